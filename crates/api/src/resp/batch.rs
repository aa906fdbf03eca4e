//! Commands of one client on keys held elsewhere, collected to be asked for together.

use std::collections::VecDeque;

use super::form::{Form, Join};
use super::replies::{Protocol, Replies};
use crate::{Command, Failure, Outcome, Reply};

/// A batch of so many commands or bytes is full.
const COMMANDS_MAX: usize = 256;
const BYTES_MAX: usize = 1 << 20;

/// Commands, and the places of their replies among those that are already written. They are asked for part by part, and
/// each reply goes to its place as soon as all answers behind it have come.
#[derive(Default)]
pub(super) struct Batch<'a> {
    commands: Vec<Command<'a>>,
    holes: VecDeque<Hole>,
    bytes: usize,
    /// How many of the commands have been asked for.
    asked: usize,
    /// The answers whose replies are not written, in the order of the commands.
    answers: VecDeque<Result<Reply, Failure>>,
    /// What was written behind the first hole, once it is parted from what is before.
    behind: Option<Behind>,
}

/// Replies to be written between those that were missing.
struct Behind {
    replies: Vec<u8>,
    /// Where they began.
    start: usize,
    /// How many of their bytes are in their places.
    copied: usize,
}

/// Where a reply is missing.
struct Hole {
    /// The place among the replies.
    at: usize,
    /// How many commands are behind it.
    commands: usize,
    writer: Writer,
    protocol: Protocol,
    /// The command's place in the table.
    command: usize,
}

enum Writer {
    One(Form),
    All(Join),
}

impl<'a> Batch<'a> {
    /// Adds the command of the table's place `place`, whose reply belongs at the present end of `out`.
    pub(super) fn add(&mut self, command: Command<'a>, form: Form, place: usize, out: &Replies) {
        self.hole(1, Writer::One(form), place, out);
        self.commands.push(command);
    }

    /// Adds the commands of one reply.
    pub(super) fn add_all(&mut self, commands: Vec<Command<'a>>, join: Join, place: usize, out: &Replies) {
        self.hole(commands.len(), Writer::All(join), place, out);
        self.commands.extend(commands);
    }

    /// Counts the bytes of what was added.
    pub(super) fn weigh(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// The next commands to ask for, at most so many.
    pub(super) fn unasked(&self, most: usize) -> &[Command<'a>] {
        let rest = &self.commands[self.asked..];
        &rest[..rest.len().min(most)]
    }

    /// Takes the answers to the commands that are next.
    pub(super) fn take(&mut self, answers: Vec<Result<Reply, Failure>>) {
        self.asked += answers.len();
        self.answers.extend(answers);
    }

    /// Bytes of values in the answers whose replies are not written.
    pub(super) fn value_bytes(&self) -> usize {
        self.answers.iter().map(value_bytes).sum()
    }

    /// Whether nothing is collected.
    pub(super) fn is_empty(&self) -> bool {
        self.holes.is_empty() && self.behind.is_none()
    }

    /// Whether it is time to ask.
    pub(super) fn is_full(&self) -> bool {
        self.commands.len() >= COMMANDS_MAX || self.bytes >= BYTES_MAX
    }

    /// Takes what is behind the first missing reply out of `out`: from then on all of `out` may be written.
    pub(super) fn part(&mut self, out: &mut Replies) {
        if let (Some(Hole { at, .. }), None) = (self.holes.front(), &self.behind) {
            self.behind = Some(Behind { replies: out.split_off(*at), start: *at, copied: 0 });
        }
    }

    /// Puts the next reply into its place if its answers have come, tells `answered` the command's place in the table and
    /// the reply's errors.
    pub(super) fn fill_one(&mut self, out: &mut Replies, answered: impl FnOnce(usize, u64)) -> bool {
        if self.holes.front().is_none_or(|hole| hole.commands > self.answers.len()) {
            return false;
        }
        self.part(out);
        let (Some(hole), Some(behind)) = (self.holes.pop_front(), &mut self.behind) else { return false };
        let until = hole.at - behind.start;
        out.append(&behind.replies[behind.copied..until]);
        behind.copied = until;
        let (protocol, errors) = (out.protocol(), out.errors());
        out.set_protocol(hole.protocol);
        let mut answers = self.answers.drain(..hole.commands);
        match hole.writer {
            Writer::One(form) => form.write(answers.next().expect("invariant: an answer per command"), out),
            Writer::All(join) => join.write(answers.collect(), out),
        }
        out.set_protocol(protocol);
        answered(hole.command, out.errors() - errors);
        true
    }

    /// Writes what comes behind the last hole, and is empty.
    pub(super) fn end(&mut self, out: &mut Replies) {
        if let Some(Behind { replies, copied, .. }) = self.behind.take() {
            out.append(&replies[copied..]);
        }
        *self = Batch::default();
    }

    fn hole(&mut self, commands: usize, writer: Writer, command: usize, out: &Replies) {
        let (at, protocol) = (out.len(), out.protocol());
        self.holes.push_back(Hole { at, commands, writer, protocol, command });
    }
}

/// Bytes of the value that an answer brings.
pub(super) fn value_bytes(answer: &Result<Reply, Failure>) -> usize {
    match answer.as_ref().map(|reply| &reply.outcome) {
        Ok(
            Outcome::Value { value, .. }
            | Outcome::Replaced { previous: Some(value), .. }
            | Outcome::Deleted { previous: Some(value), .. }
            | Outcome::Refused { previous: Some(value), .. },
        ) => value.len(),
        _ => 0,
    }
}
