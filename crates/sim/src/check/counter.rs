//! Counters: a key that clients increment with conditional writes.

use super::{Action, History, Value, Violation};

/// Whether a counter's last value is possible: increments are swaps from `n` (or nothing) to `n + 1` (or 1), and
/// `last` is what was read after all of them (`None`: no such key, as good as 0). Each acknowledged increment counts
/// once, each of unknown outcome at most once. If a crash may have taken the key, only the upper bound holds.
///
/// # Errors
///
/// [`Violation::Counter`].
///
/// # Panics
///
/// If a swap is not an increment.
pub fn counter(history: &History, last: Option<Value>) -> Result<(), Violation> {
    let (mut acknowledged, mut unknown, mut vanished) = (0, 0, false);
    for call in history.calls() {
        match call.action {
            Action::Swap { expected, value, done } => {
                assert!(value == expected.unwrap_or(0) + 1, "{call}: not an increment");
                match done {
                    Some(true) => acknowledged += 1,
                    Some(false) => {}
                    None => unknown += 1,
                }
            }
            Action::Vanish => vanished = true,
            Action::Read { .. } | Action::Write { .. } | Action::Delete { .. } | Action::Add { .. } => {}
        }
    }
    let lowest = if vanished { 0 } else { acknowledged };
    if (lowest..=acknowledged + unknown).contains(&last.unwrap_or(0)) {
        return Ok(());
    }
    Err(Violation::Counter { acknowledged, unknown, vanished, last })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{call, history, swap};
    use super::*;

    fn increments(answers: &[(Option<Value>, Option<bool>)]) -> History {
        let swaps = answers.iter().map(|(from, done)| swap(*from, from.unwrap_or(0) + 1, *done));
        history((0..).zip(swaps).map(|(at, swap)| call(at, at + 5, swap)))
    }

    #[test]
    fn unknown_increments_count_or_not() {
        let history =
            increments(&[(None, Some(true)), (Some(1), Some(false)), (Some(1), Some(true)), (Some(2), None)]);
        let verdicts = [0, 1, 2, 3, 4].map(|last| counter(&history, Some(last)).is_ok());
        assert_eq!(verdicts, [false, false, true, true, false]);
    }

    #[test]
    fn an_absent_counter_is_at_0() {
        assert_eq!(counter(&increments(&[(None, None)]), None), Ok(()));
        let lost = Violation::Counter { acknowledged: 1, unknown: 0, vanished: false, last: None };
        assert_eq!(counter(&increments(&[(None, Some(true))]), None), Err(lost));
    }

    #[test]
    fn a_crash_takes_increments_along() {
        let mut history = increments(&[(None, Some(true)), (Some(1), Some(true))]);
        history.push(call(20, 30, Action::Vanish));
        assert_eq!(counter(&history, Some(1)), Ok(()));
        assert!(counter(&history, Some(3)).is_err());
    }
}
