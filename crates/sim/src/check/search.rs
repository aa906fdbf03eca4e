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
//! - A crash takes the key at an answer's turn, or not at all when its interval ends.

mod plan;

use std::collections::HashSet;
use std::hash::BuildHasherDefault;

use rapidhash::quality::RapidHasher;

use super::{History, Violation};
use plan::{ABSENT, Need, Plan, State, Step};

/// Configurations visited at most, which takes about a fifth of a second.
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

fn check_within(history: &History, visited_max: usize) -> Result<(), Violation> {
    let undecided = |visited| Violation::Undecided { calls: history.calls().len(), visited };
    let plan = Plan::new(history).ok_or_else(|| undecided(0))?;
    let mut seen = HashSet::<_, BuildHasherDefault<RapidHasher<'static>>>::default();
    let mut furthest = Furthest::default();
    let mut stack = vec![Configuration { answer: 0, taken: 0, state: ABSENT, used: 0 }];
    while let Some(mut configuration) = stack.pop() {
        plan.advance(&mut configuration);
        if configuration.answer == plan.steps.len() {
            return Ok(());
        }
        if !seen.insert(configuration) {
            continue;
        }
        if seen.len() > visited_max {
            return Err(undecided(visited_max));
        }
        furthest.reached(&configuration);
        plan.branch(configuration, &mut stack);
    }
    Err(furthest.violation(history, &plan))
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
    }

    /// Adds what may come next, the most likely last: the call that is answered first.
    fn branch(&self, from: Configuration, stack: &mut Vec<Configuration>) {
        for &index in self.open(from.answer).iter().rev() {
            let (index, lane) = (index as usize, self.lanes[index as usize]);
            if from.taken & lane != 0 {
                continue;
            }
            let taken = Configuration { taken: from.taken | lane, ..from };
            match self.steps[index] {
                Step::Look(need) => self.reach(taken, need, &mut |next| stack.push(next)),
                Step::Set(need, state) => {
                    self.reach(taken, need, &mut |next| stack.push(Configuration { state, ..next }));
                }
                Step::Vanish => {
                    if from.state != ABSENT {
                        stack.push(Configuration { state: ABSENT, ..taken });
                    }
                    if index == from.answer {
                        stack.push(taken);
                    }
                }
            }
        }
    }

    /// Every way to meet a need: as it is, or if that is not enough, by calls of unknown outcome.
    fn reach(&self, from: Configuration, need: Need, found: &mut dyn FnMut(Configuration)) {
        if need.holds(from.state) {
            return found(from);
        }
        for (index, unknown) in (0..).zip(&self.unknown[..self.usable[from.answer]]) {
            let is_used = |index: u32| from.used & 1 << index != 0;
            let wasteful = unknown.twin.is_some_and(|twin| !is_used(twin));
            if is_used(index) || wasteful || !need.holds(unknown.leaves) {
                continue;
            }
            let used = Configuration { used: from.used | 1 << index, ..from };
            let mut then = |next| found(Configuration { state: unknown.leaves, ..next });
            // What is only to be changed is changed by one call: with two, the first would do.
            if matches!(need, Need::Is(_)) || unknown.need.holds(from.state) {
                self.reach(used, unknown.need, &mut then);
            }
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
        let states = self.states.iter().map(|state| (*state != ABSENT).then_some(*state)).collect();
        Violation::Stuck { call: Box::new(call), states, around }
    }
}
