//! Commands of one client on keys held elsewhere, collected to be asked for together.

use super::form::{Form, Join};
use super::replies::{Protocol, Replies};
use crate::{Command, Failure, Reply};

/// A batch of so many commands or bytes is full.
const COMMANDS_MAX: usize = 256;
const BYTES_MAX: usize = 1 << 20;

/// Commands, and the places of their replies among those that are already written.
#[derive(Default)]
pub(super) struct Batch<'a> {
    commands: Vec<Command<'a>>,
    holes: Vec<Hole>,
    bytes: usize,
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

    /// The commands, in the order of their replies.
    pub(super) fn commands(&self) -> &[Command<'a>] {
        &self.commands
    }

    /// Whether nothing is collected.
    pub(super) fn is_empty(&self) -> bool {
        self.holes.is_empty()
    }

    /// Whether it is time to ask.
    pub(super) fn is_full(&self) -> bool {
        self.commands.len() >= COMMANDS_MAX || self.bytes >= BYTES_MAX
    }

    /// Puts the replies into their places, tells `answered` the place in the table and the errors of each, and is empty.
    pub(super) fn fill(
        &mut self,
        answers: Vec<Result<Reply, Failure>>,
        out: &mut Replies,
        mut answered: impl FnMut(usize, u64),
    ) {
        self.commands.clear();
        self.bytes = 0;
        let mut answers = answers.into_iter();
        let start = self.holes.first().map_or(out.len(), |hole| hole.at);
        let written = out.split_off(start);
        let mut copied = 0;
        for hole in self.holes.drain(..) {
            out.append(&written[copied..hole.at - start]);
            copied = hole.at - start;
            let (protocol, errors) = (out.protocol(), out.errors());
            out.set_protocol(hole.protocol);
            match hole.writer {
                Writer::One(form) => {
                    form.write(answers.next().expect("invariant: an answer per command"), out);
                }
                Writer::All(join) => join.write(answers.by_ref().take(hole.commands).collect(), out),
            }
            out.set_protocol(protocol);
            answered(hole.command, out.errors() - errors);
        }
        out.append(&written[copied..]);
    }

    fn hole(&mut self, commands: usize, writer: Writer, command: usize, out: &Replies) {
        let (at, protocol) = (out.len(), out.protocol());
        self.holes.push(Hole { at, commands, writer, protocol, command });
    }
}
