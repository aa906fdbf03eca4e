//! A register that clients use, right or with one bug.

use std::time::Duration;

use super::super::{Action, Call, History, Value};

/// Who does what.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Setup {
    pub(in super::super) clients: usize,
    pub(in super::super) calls: usize,
    /// Only reads and unconditional writes.
    pub(in super::super) plain: bool,
    /// One in so many calls is not answered.
    pub(in super::super) unanswered: u64,
    pub(in super::super) crashes: usize,
}

/// What goes wrong, once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) enum Bug {
    /// An acknowledged change is not there.
    LostWrite,
    /// A read finds what was there before the last change.
    StaleRead,
    /// A write takes effect again after others.
    AppliedTwice,
}

/// What happens at one moment.
struct Moment {
    at: u64,
    invoked: u64,
    returned: Option<u64>,
    /// Whether it takes effect.
    applied: bool,
    crash: bool,
}

/// A history of that register.
pub(in super::super) fn record(setup: Setup, seed: u64, bug: Option<Bug>) -> History {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut moments = Vec::new();
    for client in 0..setup.clients {
        let calls = setup.calls / setup.clients + usize::from(client < setup.calls % setup.clients);
        moments.extend(client_calls(setup, calls, &mut rng));
    }
    let end = moments.iter().map(|moment| moment.invoked).max().unwrap_or(0);
    moments.extend((0..setup.crashes).map(|_| crash(end, &mut rng)));
    moments.sort_by_key(|moment| moment.at);
    let bug = bug.map(|bug| (bug, rng.usize(..moments.len())));
    Register { setup, rng, bug, next: 1, state: None, past: Vec::new(), again: None }.serve(&moments)
}

fn client_calls(setup: Setup, calls: usize, rng: &mut fastrand::Rng) -> Vec<Moment> {
    let mut clock = rng.u64(..300);
    let mut call = || {
        let invoked = clock;
        let at = invoked + rng.u64(1..100);
        let over = at + rng.u64(1..100);
        clock = over + rng.u64(1..200);
        if rng.u64(..setup.unanswered) > 0 {
            return Moment { at, invoked, returned: Some(over), applied: true, crash: false };
        }
        Moment { at: at + rng.u64(..2000), invoked, returned: None, applied: rng.bool(), crash: false }
    };
    (0..calls).map(|_| call()).collect()
}

fn crash(end: u64, rng: &mut fastrand::Rng) -> Moment {
    let at = rng.u64(..=end);
    let (invoked, over) = (at.saturating_sub(rng.u64(..300)), at + rng.u64(..300));
    Moment { at, invoked, returned: Some(over), applied: rng.bool(), crash: true }
}

impl Default for Setup {
    fn default() -> Self {
        Self { clients: 3, calls: 6, plain: false, unanswered: 5, crashes: 0 }
    }
}

struct Register {
    setup: Setup,
    rng: fastrand::Rng,
    bug: Option<(Bug, usize)>,
    state: Option<Value>,
    /// What was there before.
    past: Vec<Option<Value>>,
    /// The next value to write.
    next: Value,
    /// A write to apply again: the moment, and what it leaves.
    again: Option<(usize, Value)>,
}

impl Register {
    fn serve(mut self, moments: &[Moment]) -> History {
        let mut calls = Vec::new();
        for (index, moment) in moments.iter().enumerate() {
            if let Some((_, value)) = self.again.take_if(|(due, _)| *due <= index) {
                self.set(Some(value));
            }
            let action = if moment.crash { self.crash(moment.applied) } else { self.call(index, moment) };
            let unanswered_read = matches!(action, Action::Read { .. }) && moment.returned.is_none();
            let returned = moment.returned.map(Duration::from_micros);
            if !unanswered_read {
                calls.push(Call { invoked: Duration::from_micros(moment.invoked), returned, action });
            }
        }
        calls.into_iter().collect()
    }

    fn crash(&mut self, applied: bool) -> Action {
        if applied {
            self.set(None);
        }
        Action::Vanish
    }

    fn set(&mut self, state: Option<Value>) {
        let before = std::mem::replace(&mut self.state, state);
        self.past.push(before);
    }

    /// A bug waits from its moment on for a call that it fits.
    fn strikes(&mut self, bug: Bug, index: usize) -> bool {
        self.bug.take_if(|(due, from)| *due == bug && *from <= index).is_some()
    }

    fn call(&mut self, index: usize, moment: &Moment) -> Action {
        let kinds = if self.setup.plain { 6 } else { 11 };
        let answer = |truth: bool| moment.returned.map(|_| truth);
        let (value, present) = (self.next, self.state.is_some());
        match self.rng.u32(..kinds) {
            0..3 => Action::Read { found: self.read(index, moment) },
            3..6 => {
                self.next += 1;
                self.change(index, moment, Some(value));
                Action::Write { value, replaced: answer(present) }
            }
            6..8 => {
                if present {
                    self.change(index, moment, None);
                }
                Action::Delete { existed: answer(present) }
            }
            _ => {
                self.next += 1;
                let expected = if self.rng.u32(..3) > 0 { self.state } else { self.seen() };
                let done = expected == self.state;
                if done {
                    self.change(index, moment, Some(value));
                }
                Action::Swap { expected, value, done: answer(done) }
            }
        }
    }

    fn read(&mut self, index: usize, moment: &Moment) -> Option<Value> {
        match self.past.last().copied() {
            Some(before)
                if before != self.state
                    && moment.returned.is_some()
                    && self.strikes(Bug::StaleRead, index) =>
            {
                before
            }
            _ => self.state,
        }
    }

    fn change(&mut self, index: usize, moment: &Moment, to: Option<Value>) {
        if !moment.applied || moment.returned.is_some() && self.strikes(Bug::LostWrite, index) {
            return;
        }
        self.set(to);
        if let Some(value) = to
            && self.strikes(Bug::AppliedTwice, index)
        {
            self.again = Some((index + 4, value));
        }
    }

    /// Some state that there was.
    fn seen(&mut self) -> Option<Value> {
        let index = self.rng.usize(..self.past.len().max(1));
        self.past.get(index).copied().flatten()
    }
}
