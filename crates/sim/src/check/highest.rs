//! After a false death: which of several versions must be left.

use super::{Action, Call, Value, Violation};

/// Version of a write: hybrid logical time, then node.
pub type Version = (u64, u128);

/// A call with the version that its answer carried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamped {
    /// The call.
    pub call: Call,
    /// Of the write, delete or swap, or of what was read, if known; `None` for refused calls and unknown outcomes.
    pub version: Option<Version>,
    /// Of a swap: the version that was its condition; `None`: that there is no such key.
    pub after: Option<Version>,
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
    let read = |s: &Stamped| matches!(s.call.action, Action::Read { .. });
    let writes = || calls.iter().filter(|s| !read(s));
    let must = writes().filter(|s| s.version.is_some() && safe(&s.call)).max_by_key(|s| s.version);
    if let Some(must) = must
        && let Some(left) = calls.iter().rfind(|s| read(s)).and_then(|s| s.version)
        && must.version > Some(left)
    {
        return Err(Violation::NotHighest { highest: must.call, last });
    }
    let mut candidates = writes().filter(|stamped| leaves(stamped, last)).peekable();
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
        Action::Add { sum } => last.is_some_and(|left| sum.is_none_or(|sum| sum == left)),
        Action::Delete { existed } => last.is_none() && (existed.is_none() || stamped.version.is_some()),
        Action::Read { .. } | Action::Vanish => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{call, create, delete, replace, swap, try_write};
    use super::*;

    /// Calls one after the other, with the logical time of their versions.
    fn stamped<const N: usize>(calls: [(Action, Option<u64>); N]) -> Vec<Stamped> {
        let stamp = |(at, (action, hlc)): (u64, (Action, Option<u64>))| Stamped {
            call: call(at, at + 1, action),
            version: hlc.map(|hlc| (hlc, 1)),
            after: None,
        };
        (0..).map(|n| 10 * n).zip(calls).map(stamp).collect()
    }

    #[test]
    fn the_highest_version_is_left() {
        let calls = stamped([(create(1), Some(10)), (create(2), Some(30)), (replace(3), Some(20))]);
        assert_eq!(highest(&calls, Some(2)), Ok(()));
        let wrong = |last| Err(Violation::NotHighest { highest: calls[1].call, last });
        assert_eq!(highest(&calls, Some(3)), wrong(Some(3)));
        assert_eq!(highest(&calls, None), wrong(None));
        assert_eq!(highest(&calls, Some(4)), Err(Violation::NeverWritten { value: 4, read: None }));
    }

    #[test]
    fn a_delete_has_a_version_as_well() {
        let calls = stamped([(create(1), Some(10)), (delete(true), Some(30)), (replace(3), Some(20))]);
        assert_eq!(highest(&calls, None), Ok(()));
        assert!(highest(&calls, Some(3)).is_err());
    }

    #[test]
    fn a_refused_swap_leaves_nothing() {
        let calls = stamped([(create(1), Some(10)), (swap(1, 2, false), None)]);
        assert_eq!(highest(&calls, Some(2)), Err(Violation::NeverWritten { value: 2, read: None }));
    }

    #[test]
    fn an_unknown_outcome_may_be_the_highest() {
        let calls = stamped([(create(1), Some(10)), (try_write(2), None), (delete(None), None)]);
        assert!([None, Some(1), Some(2)].iter().all(|last| highest(&calls, *last).is_ok()));
    }

    #[test]
    fn nothing_may_be_left_of_what_came_before_a_crash() {
        let calls = stamped([(create(1), Some(10)), (Action::Vanish, None)]);
        assert_eq!(highest(&calls, None), Ok(()));
        assert_eq!(highest(&calls, Some(1)), Ok(()), "it was elsewhere");
        let after = stamped([(create(1), Some(10)), (Action::Vanish, None), (create(2), Some(20))]);
        assert_eq!(highest(&after, Some(2)), Ok(()));
        assert!(highest(&after, Some(1)).is_err() && highest(&after, None).is_err());
    }

    #[test]
    fn without_any_write_nothing_is_left() {
        assert_eq!(highest(&[], None), Ok(()));
    }
}
