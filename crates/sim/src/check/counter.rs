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
            Action::Read { .. } | Action::Write { .. } | Action::Delete { .. } => {}
        }
    }
    let lowest = if vanished { 0 } else { acknowledged };
    if (lowest..=acknowledged + unknown).contains(&last.unwrap_or(0)) {
        return Ok(());
    }
    Err(Violation::Counter { acknowledged, unknown, vanished, last })
}
