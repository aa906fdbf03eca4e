//! A history made ready for the search: what each call needs and leaves, and which calls are open when.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::{Action, Call, History, Value};

/// What the key holds: 0 for absent, [`UNREAD`] for any value that nobody looks for.
pub(super) type State = Value;

/// The state of an absent key.
pub(super) const ABSENT: State = 0;

/// All values that no read found and no condition names: it makes no difference which of them it is.
pub(super) const UNREAD: State = Value::MAX;

/// What the state must be for a call to have been answered as it was.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Need {
    Nothing,
    Is(State),
    Not(State),
}

impl Need {
    pub(super) fn holds(self, state: State) -> bool {
        match self {
            Self::Nothing => true,
            Self::Is(wanted) => state == wanted,
            Self::Not(unwanted) => state != unwanted,
        }
    }

    fn presence(present: bool) -> Self {
        if present { Self::Not(ABSENT) } else { Self::Is(ABSENT) }
    }
}

/// An answered call.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// Leaves the state as it is.
    Look(Need),
    /// Leaves another state.
    Set(Need, State),
    /// Leaves the key absent, or does nothing.
    Vanish,
}

/// A call of unknown outcome: takes effect at most once after it was invoked, if its need is met then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unknown {
    pub(super) need: Need,
    pub(super) leaves: State,
    /// The one before that does just the same. Of those, the earliest is used first.
    pub(super) twin: Option<u32>,
    invoked: Duration,
}

/// The answered calls in the order of their answers.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) calls: Vec<Call>,
    pub(super) steps: Vec<Step>,
    /// The bit of each answered call in a set of open ones; shared with calls that do not overlap it.
    pub(super) lanes: Vec<u64>,
    open: Vec<u32>,
    /// Where the part of `open` ends that belongs to each answer.
    open_ends: Vec<usize>,
    /// By invocation.
    pub(super) unknown: Vec<Unknown>,
    /// How many of `unknown` were invoked by each answer.
    pub(super) usable: Vec<usize>,
}

impl Plan {
    /// `None` if more than 64 answered calls are open at once, or the outcome of more than 128 is unknown.
    pub(super) fn new(history: &History) -> Option<Self> {
        let values = Values::of(history);
        let mut plan = Self::default();
        let mut answered = Vec::new();
        for call in history.calls() {
            match call.closed() {
                Some(over) => answered.extend(values.step(&call.action).map(|step| (over, *call, step))),
                None => plan.unknown.extend(values.unknown(call)),
            }
        }
        if plan.unknown.len() > 128 {
            return None;
        }
        plan.find_twins();
        answered.sort_by_key(|(over, call, _)| (*over, call.invoked));
        plan.calls = answered.iter().map(|(_, call, _)| *call).collect();
        plan.steps = answered.iter().map(|(_, _, step)| *step).collect();
        plan.usable = answered
            .iter()
            .map(|(over, ..)| plan.unknown.partition_point(|unknown| unknown.invoked <= *over))
            .collect();
        plan.open_lanes()?;
        Some(plan)
    }

    /// The calls that were invoked by the time of an answer and not over before, in the order of their answers.
    pub(super) fn open(&self, answer: usize) -> &[u32] {
        let start = answer.checked_sub(1).map_or(0, |before| self.open_ends[before]);
        &self.open[start..self.open_ends[answer]]
    }

    fn find_twins(&mut self) {
        let mut last = BTreeMap::new();
        for (index, unknown) in (0..).zip(&mut self.unknown) {
            unknown.twin = last.insert((unknown.need, unknown.leaves), index);
        }
    }

    fn open_lanes(&mut self) -> Option<()> {
        let mut by_invocation: Vec<u32> = (0..).take(self.calls.len()).collect();
        by_invocation.sort_by_key(|index| self.calls[*index as usize].invoked);
        let mut to_come = by_invocation.into_iter().peekable();
        let (mut open, mut free) = (Vec::<u32>::new(), u64::MAX);
        self.lanes = vec![0; self.calls.len()];
        for answer in 0..self.calls.len() {
            let now = self.calls[answer].closed();
            while let Some(index) = to_come.next_if(|index| Some(self.calls[*index as usize].invoked) <= now)
            {
                let lane = free & free.wrapping_neg();
                if lane == 0 {
                    return None;
                }
                free &= !lane;
                self.lanes[index as usize] = lane;
                let place = open.partition_point(|other| *other < index);
                open.insert(place, index);
            }
            self.open.extend(&open);
            self.open_ends.push(self.open.len());
            free |= self.lanes[open.remove(0) as usize];
        }
        Some(())
    }
}

/// Which values matter, and which do not say who wrote them.
struct Values {
    /// Sorted: what reads found and conditions name.
    looked_for: Vec<Value>,
    /// Sorted: what more than one call may have written.
    ambiguous: Vec<Value>,
}

impl Values {
    fn of(history: &History) -> Self {
        let (mut looked_for, mut written) = (Vec::new(), Vec::new());
        for call in history.calls() {
            match call.action {
                Action::Read { found } => looked_for.extend(found),
                Action::Write { value, .. } => written.push(value),
                Action::Swap { expected, value, done } => {
                    looked_for.extend(expected);
                    written.extend((done != Some(false)).then_some(value));
                }
                Action::Delete { .. } | Action::Vanish => {}
            }
        }
        looked_for.sort_unstable();
        written.sort_unstable();
        let ambiguous = written.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        Self { looked_for, ambiguous }
    }

    fn state(&self, value: Value) -> State {
        if self.looked_for.binary_search(&value).is_ok() { value } else { UNREAD }
    }

    /// What an answered call needs and leaves; `None` if its answer tells nothing: a swap is refused when another
    /// version is there, which may well have the same value if several calls wrote it.
    fn step(&self, action: &Action) -> Option<Step> {
        Some(match *action {
            Action::Read { found } => Step::Look(Need::Is(found.unwrap_or(ABSENT))),
            Action::Write { value, replaced } => Step::Set(Need::presence(replaced?), self.state(value)),
            Action::Delete { existed: Some(false) } => Step::Look(Need::Is(ABSENT)),
            Action::Delete { .. } => Step::Set(Need::Not(ABSENT), ABSENT),
            Action::Swap { expected, value, done: Some(true) } => {
                Step::Set(Need::Is(expected.unwrap_or(ABSENT)), self.state(value))
            }
            Action::Swap { expected: Some(value), .. } if self.ambiguous.binary_search(&value).is_ok() => {
                return None;
            }
            Action::Swap { expected, .. } => Step::Look(Need::Not(expected.unwrap_or(ABSENT))),
            Action::Vanish => Step::Vanish,
        })
    }

    fn unknown(&self, call: &Call) -> Option<Unknown> {
        let (need, leaves) = match call.action {
            Action::Read { .. } => return None,
            Action::Write { value, .. } => (Need::Nothing, self.state(value)),
            Action::Delete { .. } | Action::Vanish => (Need::Nothing, ABSENT),
            Action::Swap { expected, value, .. } => (Need::Is(expected.unwrap_or(ABSENT)), self.state(value)),
        };
        Some(Unknown { need, leaves, twin: None, invoked: call.invoked })
    }
}
