//! A history made ready for the search: what each call needs and leaves, and which calls are open when.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::{Action, Call, History, Value};

/// What the key holds: 0 for absent, `n` for the `n`th value that a read found or a condition names, [`UNREAD`].
pub(super) type State = u32;

/// The state of an absent key.
pub(super) const ABSENT: State = 0;

/// All values that nobody looks for (any more): it makes no difference which of them it is.
pub(super) const UNREAD: State = State::MAX;

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

/// Who looks for a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Looked {
    pub(super) value: Value,
    /// Whether at most one call wrote it, so that it never comes back.
    unique: bool,
    /// From the turn of this answer on, all answered calls that need this value have been invoked.
    open_by: usize,
    /// The call that replaces it and nothing else.
    replaced_by: Option<usize>,
    /// After this answer, nobody looks for it.
    until: usize,
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
    looked: Vec<Looked>,
}

impl Looked {
    /// Whether the value, which is there at the turn of `answer`, may go for good by what the call `by` does: open
    /// calls that leave it have had it, and no other call needs it.
    pub(super) fn may_go(&self, answer: usize, by: Option<usize>) -> bool {
        !self.unique || self.open_by <= answer && (self.replaced_by.is_none() || self.replaced_by == by)
    }

    /// Whether nobody looks for it from the turn of `answer` on.
    pub(super) fn is_over(&self, answer: usize) -> bool {
        self.until < answer
    }
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
        plan.looked = values.looked();
        plan.find_lookers();
        Some(plan)
    }

    /// What is known of the value of a state; nothing of [`ABSENT`] and [`UNREAD`].
    pub(super) fn looked(&self, state: State) -> Option<&Looked> {
        self.looked.get((state as usize).wrapping_sub(1))
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

    fn find_lookers(&mut self) {
        let mut opened = vec![usize::MAX; self.steps.len()];
        for answer in 0..self.steps.len() {
            for &index in self.open(answer) {
                opened[index as usize] = opened[index as usize].min(answer);
            }
        }
        for (index, step) in self.steps.iter().enumerate() {
            let (Step::Look(Need::Is(state) | Need::Not(state)) | Step::Set(Need::Is(state), _)) = *step
            else {
                continue;
            };
            let Some(looked) = state.checked_sub(1).map(|place| &mut self.looked[place as usize]) else {
                continue;
            };
            looked.until = looked.until.max(index);
            if !matches!(step, Step::Look(Need::Not(_))) {
                looked.open_by = looked.open_by.max(opened[index]);
            }
            if matches!(step, Step::Set(..)) {
                looked.replaced_by = Some(index);
            }
        }
        for unknown in &self.unknown {
            if let Need::Is(state) = unknown.need
                && let Some(place) = state.checked_sub(1)
            {
                self.looked[place as usize].until = usize::MAX;
            }
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
                Action::Add { .. } => panic!("{call}: increments have a checker of their own"),
            }
        }
        looked_for.sort_unstable();
        looked_for.dedup();
        written.sort_unstable();
        let ambiguous = written.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        Self { looked_for, ambiguous }
    }

    fn state(&self, value: Value) -> State {
        self.looked_for.binary_search(&value).map_or(UNREAD, Self::nth)
    }

    /// The state in which the key holds one of the values looked for.
    fn nth(index: usize) -> State {
        State::try_from(index + 1).expect("invariant: a history has fewer than 2^32 calls")
    }

    /// The state that a read found or a condition names.
    fn of_answer(&self, value: Option<Value>) -> State {
        value.map_or(ABSENT, |value| self.state(value))
    }

    fn looked(&self) -> Vec<Looked> {
        let looked = |value: &Value| Looked {
            value: *value,
            unique: self.ambiguous.binary_search(value).is_err(),
            open_by: 0,
            replaced_by: None,
            until: 0,
        };
        self.looked_for.iter().map(looked).collect()
    }

    /// What an answered call needs and leaves; `None` if its answer tells nothing: a swap is refused when another
    /// version is there, which may well have the same value if several calls wrote it.
    fn step(&self, action: &Action) -> Option<Step> {
        Some(match *action {
            Action::Read { found } => Step::Look(Need::Is(self.of_answer(found))),
            Action::Write { value, replaced } => Step::Set(Need::presence(replaced?), self.state(value)),
            Action::Delete { existed: Some(false) } => Step::Look(Need::Is(ABSENT)),
            Action::Delete { .. } => Step::Set(Need::Not(ABSENT), ABSENT),
            Action::Swap { expected, value, done: Some(true) } => {
                Step::Set(Need::Is(self.of_answer(expected)), self.state(value))
            }
            Action::Swap { expected: Some(value), .. } if self.ambiguous.binary_search(&value).is_ok() => {
                return None;
            }
            Action::Swap { expected, .. } => Step::Look(Need::Not(self.of_answer(expected))),
            Action::Vanish => Step::Vanish,
            Action::Add { .. } => return None,
        })
    }

    fn unknown(&self, call: &Call) -> Option<Unknown> {
        let (need, leaves) = match call.action {
            Action::Read { .. } | Action::Add { .. } => return None,
            Action::Write { value, .. } => (Need::Nothing, self.state(value)),
            Action::Delete { .. } | Action::Vanish => (Need::Nothing, ABSENT),
            Action::Swap { expected, value, .. } => (Need::Is(self.of_answer(expected)), self.state(value)),
        };
        Some(Unknown { need, leaves, twin: None, invoked: call.invoked })
    }
}
