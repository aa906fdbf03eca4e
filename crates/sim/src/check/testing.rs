//! For the tests of the checkers: short words for calls, a register to record histories of, and the definition of
//! linearizability, tried out in full.

pub(super) mod oracle;
pub(super) mod register;

use std::time::Duration;

use super::{Action, Call, History, Value};

pub(super) fn call(from: u64, to: impl Into<Option<u64>>, action: Action) -> Call {
    Call { invoked: Duration::from_millis(from), returned: to.into().map(Duration::from_millis), action }
}

pub(super) fn history(calls: impl IntoIterator<Item = Call>) -> History {
    calls.into_iter().collect()
}

pub(super) fn read(found: impl Into<Option<Value>>) -> Action {
    Action::Read { found: found.into() }
}

pub(super) const NOTHING: Action = Action::Read { found: None };

pub(super) fn create(value: Value) -> Action {
    Action::Write { value, replaced: Some(false) }
}

pub(super) fn replace(value: Value) -> Action {
    Action::Write { value, replaced: Some(true) }
}

pub(super) fn try_write(value: Value) -> Action {
    Action::Write { value, replaced: None }
}

pub(super) fn delete(existed: impl Into<Option<bool>>) -> Action {
    Action::Delete { existed: existed.into() }
}

pub(super) fn add(sum: impl Into<Option<Value>>) -> Action {
    Action::Add { sum: sum.into() }
}

pub(super) fn swap(
    expected: impl Into<Option<Value>>,
    value: Value,
    done: impl Into<Option<bool>>,
) -> Action {
    Action::Swap { expected: expected.into(), value, done: done.into() }
}
