//! What clients did to one key, and what they were told.

use std::fmt;
use std::time::Duration;

/// What a client writes: unique per key and write, never 0 or `Value::MAX`.
pub type Value = u64;

/// A call's effect and answer. Calls that were certainly not applied are left out of a history, and so are reads
/// that were not answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// A read that was answered.
    Read {
        /// The value; `None`: there was no such key.
        found: Option<Value>,
    },
    /// An unconditional write.
    Write {
        /// What was written.
        value: Value,
        /// Whether there was a value before; `None`: outcome unknown.
        replaced: Option<bool>,
    },
    /// An unconditional delete.
    Delete {
        /// Whether there was a value; `None`: outcome unknown.
        existed: Option<bool>,
    },
    /// A write on condition that nothing was written since `expected` was.
    Swap {
        /// The value whose version is the condition; `None`: that there is no such key.
        expected: Option<Value>,
        /// What was to be written.
        value: Value,
        /// Whether the condition held; `None`: outcome unknown.
        done: Option<bool>,
    },
    /// An increment by one.
    Add {
        /// The sum that it was told; `None`: outcome unknown.
        sum: Option<Value>,
    },
    /// Not a call: a crash took the key along, at one moment of this interval or not at all.
    Vanish,
}

/// One call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call {
    /// When the client sent it.
    pub invoked: Duration,
    /// When the answer arrived; `None`: never.
    pub returned: Option<Duration>,
    /// What it was.
    pub action: Action,
}

impl Call {
    /// Until when the call must have taken effect, if it has: its answer, unless the outcome is unknown.
    pub(super) fn closed(&self) -> Option<Duration> {
        let unknown = match self.action {
            Action::Write { replaced: answer, .. }
            | Action::Delete { existed: answer }
            | Action::Swap { done: answer, .. } => answer.is_none(),
            Action::Add { sum } => sum.is_none(),
            Action::Read { .. } | Action::Vanish => false,
        };
        self.returned.filter(|_| !unknown)
    }
}

/// Interval in milliseconds, call, answer.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>12} .. {:>12}  ", Ms(self.invoked).to_string(), Until(self.returned).to_string())?;
        self.action.fmt(f)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = |answer: Option<bool>, yes, no| match answer {
            Some(true) => yes,
            Some(false) => no,
            None => "unknown",
        };
        match *self {
            Self::Read { found } => write!(f, "read -> {}", Found(found)),
            Self::Write { value, replaced } => {
                write!(f, "write {value} -> {}", told(replaced, "replaced", "created"))
            }
            Self::Delete { existed } => write!(f, "delete -> {}", told(existed, "deleted", "absent")),
            Self::Swap { expected, value, done } => {
                write!(f, "swap {} for {value} -> {}", Found(expected), told(done, "done", "refused"))
            }
            Self::Add { sum: Some(sum) } => write!(f, "increment -> {sum}"),
            Self::Add { sum: None } => f.write_str("increment -> unknown"),
            Self::Vanish => f.write_str("a crash may have taken the key"),
        }
    }
}

/// A time in milliseconds.
pub(super) struct Ms(pub Duration);

impl fmt::Display for Ms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        write!(f, "{}.{:03} ms", micros / 1000, micros % 1000)
    }
}

/// The end of a call.
struct Until(Option<Duration>);

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(at) => Ms(at).fmt(f),
            None => f.write_str("never"),
        }
    }
}

/// A value, or that there is none.
pub(super) struct Found(pub Option<Value>);

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(Value::MAX) => f.write_str("a value that no later call looks for"),
            Some(value) => value.fmt(f),
            None => f.write_str("nothing"),
        }
    }
}

/// The calls on one key, in the order of their invocation.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct History {
    calls: Vec<Call>,
}

impl History {
    /// Without any call.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a call behind all that were invoked no later: calls may be pushed as they return.
    ///
    /// # Panics
    ///
    /// If the call returned before it was invoked, or writes the value 0 or `Value::MAX`.
    pub fn push(&mut self, call: Call) {
        assert!(
            call.returned.is_none_or(|returned| returned >= call.invoked),
            "{call}: returned before invoked"
        );
        if let Action::Write { value, .. } | Action::Swap { value, .. } = call.action {
            assert!(value != 0 && value != Value::MAX, "{call}: a reserved value");
        }
        let later = self.calls.iter().rev().take_while(|other| other.invoked > call.invoked).count();
        self.calls.insert(self.calls.len() - later, call);
    }

    /// The calls, in the order of their invocation.
    pub fn calls(&self) -> &[Call] {
        &self.calls
    }
}

impl FromIterator<Call> for History {
    fn from_iter<I: IntoIterator<Item = Call>>(calls: I) -> Self {
        let mut history = Self::new();
        calls.into_iter().for_each(|call| history.push(call));
        history
    }
}

/// One line for each call.
impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.calls.iter().try_for_each(|call| writeln!(f, "{call}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{add, call, create, delete, history, read, swap};
    use super::*;

    #[test]
    fn calls_are_kept_by_invocation() {
        let history =
            history([call(5, 6, read(1)), call(0, 9, create(1)), call(5, 7, read(2)), call(2, 3, read(3))]);
        let order: Vec<_> =
            history.calls().iter().map(|call| (call.invoked.as_millis(), call.returned)).collect();
        let ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!(order, [(0, ms(9)), (2, ms(3)), (5, ms(6)), (5, ms(7))]);
    }

    #[test]
    #[should_panic(expected = "reserved value")]
    fn a_reserved_value_is_not_written() {
        history([call(0, 1, create(0))]);
    }

    #[test]
    #[should_panic(expected = "returned before invoked")]
    fn time_does_not_go_back() {
        history([call(1, 0, create(1))]);
    }

    #[test]
    fn a_history_is_read_line_by_line() {
        let calls = [
            call(0, 12, create(1)),
            call(3, None, delete(None)),
            call(14, 15, swap(1, 2, false)),
            call(15, 16, add(7)),
            call(16, 1016, Action::Vanish),
            call(1017, 1018, read(None)),
        ];
        let lines = [
            "    0.000 ms ..    12.000 ms  write 1 -> created",
            "    3.000 ms ..        never  delete -> unknown",
            "   14.000 ms ..    15.000 ms  swap 1 for 2 -> refused",
            "   15.000 ms ..    16.000 ms  increment -> 7",
            "   16.000 ms ..  1016.000 ms  a crash may have taken the key",
            " 1017.000 ms ..  1018.000 ms  read -> nothing",
        ];
        assert_eq!(history(calls).to_string(), lines.map(|line| format!("{line}\n")).concat());
    }
}
