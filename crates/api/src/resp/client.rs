//! One client: runs its commands, one after the other, and writes their replies.

use std::net::SocketAddr;
use std::sync::Arc;

use super::batch::Batch;
use super::commands::dispatch;
use super::door::Door;
use super::inline;
use super::metrics::Tally;
use super::parser::ProtocolError;
use super::replies::Replies;
use super::request::Request;
use super::session::Session;
use super::step::{Later, Step};

pub(super) struct Client {
    pub(super) door: Arc<Door>,
    pub(super) session: Session,
    pub(super) out: Replies,
    tally: Tally,
}

/// What comes after a command.
pub(super) enum Next {
    /// Another one.
    GoOn,
    /// Its reply takes time, and those of the commands before come first.
    Later(Later),
    /// Nothing.
    Close,
}

impl Client {
    pub(super) fn new(peer: SocketAddr, door: Arc<Door>) -> Client {
        let (session, out) = (Session::new(&door, peer), Replies::new(door.limits.reply_bytes));
        Client { door, session, out, tally: Tally::default() }
    }

    /// Runs a command of so many bytes as far as it goes without waiting; what has to be asked elsewhere goes to `batch`.
    #[inline]
    pub(super) fn start<'a>(&mut self, request: &Request<'a>, bytes: usize, batch: &mut Batch<'a>) -> Next {
        let errors = self.out.errors();
        match dispatch(&mut self.session, &self.door, request, &mut self.out) {
            Step::Done => self.count(errors),
            Step::Close => {
                self.count(errors);
                return Next::Close;
            }
            Step::Key(command, form) => {
                self.session.pending.insert(self.door.backend.slot(command.key));
                batch.add(command, form, self.session.command, &self.out);
                batch.weigh(bytes);
            }
            Step::Many(commands, join) => {
                for command in &commands {
                    self.session.pending.insert(self.door.backend.slot(command.key));
                }
                batch.add_all(commands, join, self.session.command, &self.out);
                batch.weigh(bytes);
            }
            Step::Later(reply) => return Next::Later(reply),
        }
        Next::GoOn
    }

    /// Runs an inline command, on its own.
    pub(super) async fn run_line(&mut self, line: &[u8]) -> Result<Next, ProtocolError> {
        let words = inline::split(line)?;
        if words.is_empty() {
            return Ok(Next::GoOn);
        }
        let request = Request::new(words.iter().map(Vec::as_slice).collect());
        let mut batch = Batch::default();
        let next = self.start(&request, line.len(), &mut batch);
        self.settle(&mut batch).await;
        Ok(next)
    }

    /// Has all collected commands answered, and their replies put into their places.
    pub(super) async fn settle(&mut self, batch: &mut Batch<'_>) {
        if batch.is_empty() {
            return;
        }
        let answers = self.door.backend.execute_all(batch.commands()).await;
        self.session.pending.clear();
        let (tally, metrics) = (&mut self.tally, &self.door.metrics);
        batch.fill(answers, &mut self.out, |command, errors| tally.answered(metrics, command, errors));
    }

    /// Waits for the reply of the command that was started last, and writes it.
    pub(super) async fn finish(&mut self, reply: Later) {
        let errors = self.out.errors();
        let write = reply.await;
        write(&mut self.session, &self.door, &mut self.out);
        self.count(errors);
    }

    /// Has everything counted.
    pub(super) fn pass_on_counts(&mut self) {
        self.tally.pass_on(&self.door.metrics);
    }

    /// Counts the last command, before which there were so many errors.
    #[inline]
    fn count(&mut self, errors: u64) {
        self.tally.answered(&self.door.metrics, self.session.command, self.out.errors() - errors);
    }
}
