//! Any history of one key: J. M. Wing and C. Gong, *Testing and Verifying Concurrent Objects*, Journal of Parallel
//! and Distributed Computing 17, 1993, with the memory of G. Lowe, *Testing for Linearizability*, Concurrency and
//! Computation 29(4), 2017.
//!
//! Calls take effect one after the other, none later than its answer: depth first over which open call is next,
//! never entering a configuration twice. A configuration names the next answer and which of the calls open then have
//! taken effect, so where no call is open, only the possible states are left of all that came before.
//!
//! What keeps it small, none of which changes the verdict:
//!
//! - An open call that leaves the state as it is takes effect as soon as its answer is right.
//! - A call of unknown outcome takes effect right before an answer that is impossible without it: earlier it would
//!   be pointless, and it may always be later. In between there can only be swaps of unknown outcome that build on it.
//! - A value does not go before all calls that need it have had it, unless several calls may have written it.
//! - A crash takes the key at an answer's turn, or not at all when its interval ends.

mod plan;

use std::collections::HashSet;
use std::hash::BuildHasherDefault;

use rapidhash::quality::RapidHasher;

use super::{History, Value, Violation};
use plan::{ABSENT, Need, Plan, State, Step, UNREAD};

/// Configurations visited at most: about half a second and 50 MB.
const VISITED_MAX: usize = 1 << 19;

/// Calls printed around the one that cannot be explained.
const AROUND: usize = 16;

/// How far a search has come.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Configuration {
    /// The next answer: all calls answered before have taken effect.
    answer: usize,
    /// The lanes of open calls that have taken effect.
    taken: u64,
    state: State,
    /// Calls of unknown outcome that have taken effect.
    used: u128,
}

/// Judges any history.
pub(super) fn check(history: &History) -> Result<(), Violation> {
    check_within(history, VISITED_MAX)
}

pub(super) fn check_within(history: &History, visited_max: usize) -> Result<(), Violation> {
    let undecided = |visited| Violation::Undecided { calls: history.calls().len(), visited };
    let plan = Plan::new(history).ok_or_else(|| undecided(0))?;
    match Search::new(&plan, true).run(visited_max) {
        Verdict::Right => Ok(()),
        Verdict::Undecided => Err(undecided(visited_max)),
        // Foresight stops before the call to blame: an expected loss is a dead end already.
        Verdict::Wrong(early) => match Search::new(&plan, false).run(visited_max) {
            Verdict::Wrong(furthest) => Err(furthest.violation(history, &plan)),
            Verdict::Undecided => Err(early.violation(history, &plan)),
            Verdict::Right => unreachable!("invariant: foresight does not change the verdict"),
        },
    }
}

enum Verdict {
    Right,
    Wrong(Furthest),
    Undecided,
}

struct Search<'a> {
    plan: &'a Plan,
    /// Whether a value may not go before all calls that need it have had it.
    foresight: bool,
    seen: HashSet<Configuration, BuildHasherDefault<RapidHasher<'static>>>,
    stack: Vec<Configuration>,
}

impl<'a> Search<'a> {
    fn new(plan: &'a Plan, foresight: bool) -> Self {
        let start = Configuration { answer: 0, taken: 0, state: ABSENT, used: 0 };
        Self { plan, foresight, seen: HashSet::default(), stack: vec![start] }
    }

    fn run(mut self, visited_max: usize) -> Verdict {
        let mut furthest = Furthest::default();
        while let Some(mut configuration) = self.stack.pop() {
            self.plan.advance(&mut configuration);
            if configuration.answer == self.plan.steps.len() {
                return Verdict::Right;
            }
            if !self.seen.insert(configuration) {
                continue;
            }
            if self.seen.len() > visited_max {
                return Verdict::Undecided;
            }
            furthest.reached(&configuration);
            self.branch(configuration);
        }
        Verdict::Wrong(furthest)
    }

    /// Whether the state may change for good, by what one call does.
    fn may_leave(&self, from: &Configuration, by: Option<usize>) -> bool {
        let looked = self.plan.looked(from.state).filter(|_| self.foresight);
        looked.is_none_or(|looked| looked.may_go(from.answer, by))
    }

    /// Adds what may come next, the most likely last: the call that is answered first.
    fn branch(&mut self, from: Configuration) {
        let (plan, mut stack) = (self.plan, std::mem::take(&mut self.stack));
        for &index in plan.open(from.answer).iter().rev() {
            let (index, lane) = (index as usize, plan.lanes[index as usize]);
            if from.taken & lane != 0 {
                continue;
            }
            let taken = Configuration { taken: from.taken | lane, ..from };
            match plan.steps[index] {
                Step::Look(need) => self.reach(taken, need, &mut |next| stack.push(next)),
                Step::Set(need, state) => self.reach(taken, need, &mut |next| {
                    if self.may_leave(&next, Some(index)) {
                        stack.push(Configuration { state, ..next });
                    }
                }),
                Step::Vanish => {
                    if from.state != ABSENT && self.may_leave(&from, None) {
                        stack.push(Configuration { state: ABSENT, ..taken });
                    }
                    if index == from.answer {
                        stack.push(taken);
                    }
                }
            }
        }
        self.stack = stack;
    }

    /// Every way to meet a need: as it is, or if that is not enough, by calls of unknown outcome.
    fn reach(&self, from: Configuration, need: Need, found: &mut dyn FnMut(Configuration)) {
        if need.holds(from.state) {
            return found(from);
        }
        for (index, unknown) in (0..).zip(&self.plan.unknown[..self.plan.usable[from.answer]]) {
            let is_used = |index: u32| from.used & 1 << index != 0;
            let wasteful = unknown.twin.is_some_and(|twin| !is_used(twin));
            if is_used(index) || wasteful || !need.holds(unknown.leaves) {
                continue;
            }
            let used = Configuration { used: from.used | 1 << index, ..from };
            let mut then = |next| {
                if self.may_leave(&next, None) {
                    found(Configuration { state: unknown.leaves, ..next });
                }
            };
            // What is only to be changed is changed by one call: with two, the first would do.
            if matches!(need, Need::Is(_)) || unknown.need.holds(from.state) {
                self.reach(used, unknown.need, &mut then);
            }
        }
    }
}

impl Plan {
    /// Takes in what needs no decision.
    fn advance(&self, to: &mut Configuration) {
        while to.answer < self.steps.len() {
            for &index in self.open(to.answer) {
                if let Step::Look(need) = self.steps[index as usize]
                    && need.holds(to.state)
                {
                    to.taken |= self.lanes[index as usize];
                }
            }
            if to.taken & self.lanes[to.answer] == 0 {
                break;
            }
            to.taken &= !self.lanes[to.answer];
            to.answer += 1;
        }
        if self.looked(to.state).is_some_and(|looked| looked.is_over(to.answer)) {
            to.state = UNREAD;
        }
    }
}

/// The answer that the search came to and never got past, and the states it was seen in.
#[derive(Default)]
struct Furthest {
    answer: usize,
    states: Vec<State>,
}

impl Furthest {
    fn reached(&mut self, configuration: &Configuration) {
        if configuration.answer > self.answer {
            *self = Self { answer: configuration.answer, states: Vec::new() };
        }
        if configuration.answer == self.answer && !self.states.contains(&configuration.state) {
            self.states.push(configuration.state);
        }
    }

    fn violation(&self, history: &History, plan: &Plan) -> Violation {
        let call = plan.calls[self.answer];
        let begun = history.calls().iter().filter(|other| Some(other.invoked) <= call.returned);
        let mut around: Vec<_> = begun.copied().collect();
        around.drain(..around.len().saturating_sub(AROUND));
        let value = |state: &State| plan.looked(*state).map_or(Value::MAX, |looked| looked.value);
        let states = self.states.iter().map(|state| (*state != ABSENT).then(|| value(state))).collect();
        Violation::Stuck { call: Box::new(call), states, around }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOTHING, call, create, delete, history, read, replace, swap, try_write};
    use super::super::{Action, Call};
    use super::*;

    fn judge<const N: usize>(calls: [(u64, u64, Action); N]) -> Result<(), Violation> {
        check(&history(calls.map(|(from, to, action)| call(from, to, action))))
    }

    /// The call at which the search ends, and the states that the key may have had.
    #[track_caller]
    fn stuck<const N: usize>(calls: [(u64, u64, Action); N]) -> (Action, Vec<Option<Value>>) {
        match judge(calls) {
            Err(Violation::Stuck { call, states, .. }) => (call.action, states),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_was_deleted_is_gone() {
        let gone = [(0, 1, create(1)), (2, 3, delete(true)), (4, 5, NOTHING), (6, 7, create(2))];
        assert_eq!(judge(gone), Ok(()));
        let back = [(0, 1, create(1)), (2, 3, delete(true)), (4, 5, read(1))];
        assert_eq!(stuck(back), (read(1), vec![None]));
    }

    #[test]
    fn a_delete_tells_whether_there_was_something() {
        assert_eq!(stuck([(0, 1, delete(true))]).0, delete(true));
        assert_eq!(stuck([(0, 1, create(1)), (2, 3, delete(false))]).0, delete(false));
        assert_eq!(judge([(0, 1, delete(false)), (2, 3, create(1)), (4, 5, delete(true))]), Ok(()));
    }

    #[test]
    fn a_swap_is_done_on_its_condition_only() {
        assert_eq!(judge([(0, 1, swap(None, 1, true)), (2, 3, swap(1, 2, true)), (4, 5, read(2))]), Ok(()));
        assert_eq!(
            stuck([(0, 1, create(1)), (2, 3, replace(2)), (4, 5, swap(1, 3, true))]).0,
            swap(1, 3, true)
        );
        assert_eq!(stuck([(0, 1, create(1)), (2, 3, swap(1, 3, false))]), (swap(1, 3, false), vec![Some(1)]));
        let both = [(0, 1, create(1)), (2, 5, swap(1, 2, true)), (2, 5, swap(1, 3, true))];
        assert!(judge(both).is_err(), "one condition met twice");
    }

    #[test]
    fn an_unknown_outcome_is_used_once() {
        let swaps = [(0, 1, create(1)), (2, 3, swap(1, 2, None)), (4, 5, swap(2, 3, None)), (6, 7, read(3))];
        assert_eq!(judge(swaps), Ok(()), "one builds on the other");
        let once =
            [(0, 1, create(1)), (2, 3, delete(None)), (4, 5, NOTHING), (6, 7, create(2)), (8, 9, NOTHING)];
        assert_eq!(stuck(once).0, NOTHING);
        let late = [(0, 1, create(1)), (2, 3, NOTHING), (4, 5, delete(None))];
        assert_eq!(stuck(late).0, NOTHING, "not before it was invoked");
        let first = [(0, 1, try_write(1)), (2, 3, replace(2)), (4, 5, create(3))];
        assert_eq!(stuck(first).0, create(3));
    }

    #[test]
    fn a_crash_takes_the_key_once_and_in_its_time() {
        let vanish = Action::Vanish;
        assert_eq!(judge([(0, 1, create(1)), (2, 9, vanish), (3, 4, read(1)), (5, 6, NOTHING)]), Ok(()));
        assert_eq!(judge([(0, 1, create(1)), (2, 5, vanish), (6, 7, read(1))]), Ok(()), "it was elsewhere");
        assert_eq!(stuck([(0, 1, create(1)), (2, 5, vanish), (6, 7, read(1)), (8, 9, NOTHING)]).0, NOTHING);
        let twice = [(0, 1, create(1)), (2, 9, vanish), (3, 4, NOTHING), (5, 6, create(2)), (7, 8, NOTHING)];
        assert_eq!(stuck(twice).0, NOTHING);
    }

    #[test]
    fn a_refusal_may_be_for_another_version_of_the_same_value() {
        let calls = [(0, 1, swap(None, 1, true)), (2, 3, swap(1, 2, false)), (4, 5, delete(true))];
        assert!(judge(calls).is_err());
        let again = [(6, 7, swap(None, 1, true)), (8, 9, swap(1, 2, false))];
        assert_eq!(judge([calls[0], calls[2], again[0], again[1]]), Ok(()));
    }

    #[test]
    fn a_value_that_several_calls_wrote_may_come_back() {
        let calls = [(0, 1, create(1)), (2, 3, delete(true)), (4, 5, create(1)), (6, 7, read(1))];
        assert_eq!(judge(calls), Ok(()));
    }

    #[test]
    fn the_effort_is_bounded() {
        let open = |value| call(0, 99, create(value));
        let unlikely = history((1..=12).map(open).chain([call(100, 101, NOTHING)]));
        assert_eq!(check_within(&unlikely, 3), Err(Violation::Undecided { calls: 13, visited: 3 }));
        let wide = history((1..=65).map(open));
        assert_eq!(check(&wide), Err(Violation::Undecided { calls: 65, visited: 0 }));
        let unknown = history((1..=129).map(|value| call(0, None, try_write(value))));
        assert_eq!(check(&unknown), Err(Violation::Undecided { calls: 129, visited: 0 }));
    }

    #[test]
    fn the_last_calls_before_are_shown() {
        let before = (0..40).map(|n| call(2 * n, 2 * n + 1, NOTHING));
        let wrong = call(90, 95, delete(true));
        let after = call(96, 97, NOTHING);
        let verdict = check(&history(before.chain([wrong, after])));
        let Err(Violation::Stuck { call, around, .. }) = verdict else { panic!("{verdict:?}") };
        assert_eq!((*call, around.len(), around.last()), (wrong, AROUND, Some(&wrong)));
    }

    #[test]
    fn a_history_without_answers_is_right() {
        assert_eq!(check(&History::new()), Ok(()));
        assert_eq!(check(&history([Call { returned: None, ..call(0, 1, create(1)) }])), Ok(()));
    }
}
