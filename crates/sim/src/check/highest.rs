//! After a false death: which of several versions must be left.

use super::{Action, Call, Value, Violation};

/// Version of a write: hybrid logical time, then node.
pub type Version = (u64, u128);

/// A call with the version that its answer carried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamped {
    /// The call.
    pub call: Call,
    /// Of the write, delete or swap; `None` for other calls, refused ones and unknown outcomes.
    pub version: Option<Version>,
}

/// Whether `last`, read when all was over, is what must be left of one key: the write or delete with the highest
/// version that was acknowledged, or one of unknown outcome. If a crash may have taken the key, what was invoked
/// before the crash was over need not be left, but what is left is no older than what came after.
///
/// # Errors
///
/// [`Violation::NotHighest`] or [`Violation::NeverWritten`].
pub fn highest(calls: &[Stamped], last: Option<Value>) -> Result<(), Violation> {
    let crash = calls.iter().filter(|stamped| stamped.call.action == Action::Vanish);
    let crash = crash.map(|stamped| stamped.call.returned).max();
    // `Some(None)`: a crash without an end.
    let safe = |call: &Call| crash.is_none_or(|end| end.is_some_and(|end| call.invoked > end));
    let must = calls.iter().filter(|s| s.version.is_some() && safe(&s.call)).max_by_key(|s| s.version);
    let mut candidates = calls.iter().filter(|stamped| leaves(stamped, last)).peekable();
    let never = last.is_none() && must.is_none();
    if never || candidates.clone().any(|s| s.version.is_none() || s.version >= must.and_then(|m| m.version)) {
        return Ok(());
    }
    match (candidates.peek(), last, must) {
        (None, Some(value), _) => Err(Violation::NeverWritten { value, read: None }),
        (_, _, Some(must)) => Err(Violation::NotHighest { highest: must.call, last }),
        _ => Ok(()),
    }
}

/// Whether this call may be the one that left `last`.
fn leaves(stamped: &Stamped, last: Option<Value>) -> bool {
    match stamped.call.action {
        Action::Write { value, .. } => last == Some(value),
        Action::Swap { value, done, .. } => last == Some(value) && done != Some(false),
        Action::Delete { existed } => last.is_none() && (existed.is_none() || stamped.version.is_some()),
        Action::Read { .. } | Action::Vanish => false,
    }
}
