//! What a command on keys comes to.

use crate::resp::form::{Form, Join};
use crate::resp::step::Refusal;
use crate::{Action, Command};

/// What is to be done with which keys.
#[derive(Debug)]
pub(in crate::resp) enum Plan<'a> {
    /// An operation on one key.
    One(Command<'a>, Form),
    /// Operations on several keys, in one step where they are of one slot.
    Many(Vec<Command<'a>>, Join),
    /// Operations in one step if none of their keys has a value; else the reply is 0.
    IfAbsent(Vec<Command<'a>>),
}

/// A plan, or what is wrong with the arguments.
pub(in crate::resp) type Planned<'a> = Result<Plan<'a>, Refusal>;

/// Longest key in bytes.
pub(super) const KEY_BYTES_MAX: usize = 65_535;

/// One operation on one key.
pub(super) fn one<'a>(key: &'a [u8], action: Action<'a>, form: Form) -> Planned<'a> {
    Ok(Plan::One(command(key, action)?, form))
}

/// The same operation on each key; on one alone its reply has the form `single`.
pub(super) fn each<'a>(keys: &[&'a [u8]], action: &Action<'a>, single: Form, join: Join) -> Planned<'a> {
    if let [key] = keys {
        return one(key, action.clone(), single);
    }
    let commands: Result<_, _> = keys.iter().map(|key| command(key, action.clone())).collect();
    Ok(Plan::Many(commands?, join))
}

/// An operation on a key, if that is one.
pub(super) fn command<'a>(key: &'a [u8], action: Action<'a>) -> Result<Command<'a>, Refusal> {
    let other = if let Action::Rename { to, .. } = action { to } else { b"" };
    if key.len().max(other.len()) > KEY_BYTES_MAX {
        return Err("ERR a key is longer than 65535 bytes".into());
    }
    Ok(Command { key, action })
}
