//! The definition of linearizability for a key, by trying every order: for tiny histories.

use super::super::{Action, Call, History, Value};

/// Whether there is an order of all answered calls and any others that keeps to the times and explains all answers.
pub(in super::super) fn linearizable(history: &History) -> bool {
    let calls = history.calls();
    assert!(calls.len() <= 10, "every order of {} calls is too many", calls.len());
    explains(calls, 0, None)
}

/// `placed`: the calls that have taken effect, as bits; `state`: what they left.
fn explains(calls: &[Call], placed: u32, state: Option<Value>) -> bool {
    let rest = || (0..calls.len()).filter(move |index| placed & 1 << index == 0);
    let may_be_left_out = |call: &Call| call.closed().is_none() || call.action == Action::Vanish;
    if rest().all(|index| may_be_left_out(&calls[index])) {
        return true;
    }
    rest().any(|index| {
        let late = |other: &Call| calls[index].closed().is_some_and(|over| over < other.invoked);
        let mut before = calls.iter().enumerate().filter(|(other, _)| placed & 1 << other != 0);
        if before.any(|(_, other)| late(other)) {
            return false;
        }
        apply(&calls[index], state, calls).is_ok_and(|state| explains(calls, placed | 1 << index, state))
    })
}

/// That a call cannot be answered like that.
struct Impossible;

/// The state after a call.
fn apply(call: &Call, state: Option<Value>, calls: &[Call]) -> Result<Option<Value>, Impossible> {
    let answered = call.closed().is_some();
    let fits = |answer: Option<bool>, truth: bool| !answered || answer == Some(truth);
    let (possible, after) = match call.action {
        Action::Read { found } => (!answered || found == state, state),
        Action::Write { value, replaced } => (fits(replaced, state.is_some()), Some(value)),
        Action::Delete { existed } => (fits(existed, state.is_some()), None),
        Action::Swap { expected, value, done } => {
            let met = state == expected;
            let other_version = met && expected.is_some_and(|value| writers(calls, value) > 1);
            if met && fits(done, true) {
                (true, Some(value))
            } else {
                (fits(done, false) && (!met || other_version), state)
            }
        }
        Action::Add { sum } => {
            let next = state.unwrap_or(0) + 1;
            (sum.is_none_or(|sum| sum == next), Some(next))
        }
        Action::Vanish => (true, None),
    };
    if possible { Ok(after) } else { Err(Impossible) }
}

/// How many calls may have written a value.
fn writers(calls: &[Call], wanted: Value) -> usize {
    let writes = |call: &&Call| match call.action {
        Action::Write { value, .. } => value == wanted,
        Action::Swap { value, done, .. } => value == wanted && done != Some(false),
        _ => false,
    };
    calls.iter().filter(writes).count()
}
