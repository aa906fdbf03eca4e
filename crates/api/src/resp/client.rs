//! One client: runs its commands, one after the other, and writes their replies.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::batch::{Batch, value_bytes};
use super::commands::dispatch;
use super::door::Door;
use super::inline;
use super::metrics::Tally;
use super::parser::ProtocolError;
use super::replies::Replies;
use super::request::Request;
use super::session::Session;
use super::step::{Later, Step};

/// So many commands are asked for together at first, and at most.
const TOGETHER: usize = 16;
const TOGETHER_MAX: usize = 64;

/// Where answers bring more bytes of values, fewer commands are asked for together.
const ANSWER_BYTES: usize = 8 << 20;

pub(super) struct Client {
    pub(super) door: Arc<Door>,
    pub(super) session: Session,
    pub(super) out: Replies,
    tally: Tally,
    /// How many commands are asked for together, by the values that the last ones brought.
    together: usize,
    /// Bytes of the values that the last ones brought.
    answer_bytes: usize,
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
        Client { door, session, out, tally: Tally::default(), together: TOGETHER, answer_bytes: 0 }
    }

    /// Whether another client has ended the connection, and not the door.
    pub(super) fn is_killed(&self) -> bool {
        self.session.client().is_killed() && !self.door.closing.is_cancelled()
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
        while self.settle_some(&mut batch).await {}
        Ok(next)
    }

    /// Takes a step on the way to have all collected commands answered, and their replies put into their places; false:
    /// that is done. Between two steps the caller may write.
    ///
    /// No more is asked for once one reply would be longer than may wait: the connection ends.
    pub(super) async fn settle_some(&mut self, batch: &mut Batch<'_>) -> bool {
        if batch.is_empty() {
            return false;
        }
        let (tally, metrics) = (&mut self.tally, &self.door.metrics);
        if batch.fill_one(&mut self.out, |command, errors| tally.answered(metrics, command, errors)) {
            return true;
        }
        let part = batch.unasked(self.together);
        let too_long = batch.value_bytes() > self.door.limits.reply_bytes;
        if part.is_empty() || too_long {
            batch.end(&mut self.out);
            self.out.overflow(too_long);
            self.session.pending.clear();
            return false;
        }
        let answers = self.door.backend.execute_all(part).await;
        self.pace(answers.len(), answers.iter().map(value_bytes).sum());
        batch.take(answers);
        true
    }

    /// Memory is short: from now on answers come one after the other, until they are small.
    pub(super) fn ask_one_by_one(&mut self) {
        self.together = 1;
    }

    /// Bytes of values in the answers that came last.
    pub(super) fn answer_bytes(&self) -> usize {
        self.answer_bytes
    }

    /// So many answers have brought so many bytes of values.
    fn pace(&mut self, answers: usize, bytes: usize) {
        self.answer_bytes = bytes;
        if bytes > ANSWER_BYTES {
            self.together = (answers * ANSWER_BYTES / bytes).max(1);
        } else if answers == self.together && bytes <= ANSWER_BYTES / 2 {
            self.together = (2 * self.together).min(TOGETHER_MAX);
        }
    }

    /// Waits for the reply of the command that was started last, and writes it.
    pub(super) async fn finish(&mut self, reply: Later) {
        let errors = self.out.errors();
        let write = reply.await;
        write(&mut self.session, &self.door, &mut self.out);
        self.count(errors);
    }

    /// Has everything counted that was answered since the last read, so long ago; gives how many commands.
    pub(super) fn pass_on_counts(&mut self, took: Duration) -> u64 {
        self.tally.end(&self.door.metrics, took)
    }

    /// Commands that were read together, `bytes` in all, have taken so long: that is kept, if it is long.
    #[inline]
    pub(super) fn note_slow(&self, bytes: &[u8], commands: u64, took: Duration) {
        if self.door.slow_log.is_slow(took) && commands > 0 && self.session.authenticated() {
            let client = self.session.client();
            self.door.slow_log.note(bytes, commands, took, client.peer, || client.labels().name);
        }
    }

    /// Counts the last command, before which there were so many errors.
    #[inline]
    fn count(&mut self, errors: u64) {
        self.tally.answered(&self.door.metrics, self.session.command, self.out.errors() - errors);
    }
}
