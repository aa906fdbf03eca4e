//! What becomes of a command: done at once, or an operation to run and the form of its reply.

use std::borrow::Cow;

use futures_util::future::BoxFuture;

use super::door::Door;
use super::form::{Form, Join};
use super::replies::Replies;
use super::session::Session;
use crate::Command;

/// What `dispatch` leaves to the connection.
pub(super) enum Step<'a> {
    /// Nothing: the reply is written.
    Done,
    /// One key that is not served here now; nothing is written yet.
    Key(Command<'a>, Form),
    /// Keys of several slots; nothing is written yet.
    Many(Vec<Command<'a>>, Join),
    /// To be awaited alone, in its order; nothing is written yet.
    Later(Later),
    /// Write the replies and close.
    Close,
}

/// Does nothing before it is polled first, and may be dropped. What it brings writes the reply.
pub(super) type Later = BoxFuture<'static, Finish>;

/// The end of a [`Later`]: writes the reply.
pub(super) type Finish = Box<dyn FnOnce(&mut Session, &Door, &mut Replies) + Send>;

/// Why a command is not run: the text of the error, its kind first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) Cow<'static, str>);

impl Refusal {
    pub(super) const SYNTAX: Refusal = Refusal(Cow::Borrowed("ERR syntax error"));
    pub(super) const NOT_AN_INTEGER: Refusal =
        Refusal(Cow::Borrowed("ERR value is not an integer or out of range"));
    pub(super) const NO_MEMORY: Refusal =
        Refusal(Cow::Borrowed("ERR no memory is left for commands that wait, try again"));
    pub(super) const NOT_A_FLOAT: Refusal = Refusal(Cow::Borrowed("ERR value is not a valid float"));
    pub(super) const CROSS_SLOT: Refusal =
        Refusal(Cow::Borrowed("CROSSSLOT Keys in request don't hash to the same slot"));

    pub(super) fn arity(name: &str) -> Refusal {
        format!("ERR wrong number of arguments for '{name}' command").into()
    }

    /// Too many arguments of a subcommand whose arity leaves them open, as Redis says it.
    pub(super) fn subcommand_arity(name: &str, subcommand: &[u8]) -> Refusal {
        let subcommand = String::from_utf8_lossy(subcommand);
        format!("ERR unknown subcommand or wrong number of arguments for '{subcommand}'. Try {name} HELP.")
            .into()
    }
}

impl From<&'static str> for Refusal {
    fn from(text: &'static str) -> Refusal {
        Refusal(Cow::Borrowed(text))
    }
}

impl From<String> for Refusal {
    fn from(text: String) -> Refusal {
        Refusal(Cow::Owned(text))
    }
}
