//! Beginning a cluster, and leaving one.

use std::time::Duration;

use super::heirs::IDLE;
use super::{Cell, Event, Machine, Output};
use crate::canary::Canary;
use crate::message::{Greeting, Standing};
use crate::pid::Pid;
use crate::slot::State;
use crate::time::Now;

/// A cluster is begun after this many quiet times even if new processes keep turning up, or this one keeps standing still.
pub(super) const QUIET_MAX: u32 = 5;

/// Who looks around asks to be called after this part of its quiet time at most, and stood still if it is called later than
/// it asked for by more than this part.
const QUIET_PART: u32 = 4;

/// Not more often than this.
const LOOK_MIN: Duration = Duration::from_millis(10);

/// How often a process without a cluster tells the others that it still has none.
const UNCLAIMED_HELLO: Duration = Duration::from_secs(1);

/// Milliseconds from asking one peer whom it knows to asking the next, first and last.
const SEARCH: (u64, u64) = (50, 1000);

/// How long a node that has handed everything off still answers for it.
const LINGER: Duration = Duration::from_secs(1);

/// How long a leaver without anybody to hand its slots to waits for somebody.
const DESERTED: Duration = Duration::from_secs(1);

/// Since when, and how long, this node looks around before it begins a cluster.
#[derive(Clone, Copy, Hash, Debug)]
pub(super) struct Eligible {
    pub(super) since: Duration,
    quiet: Duration,
    /// How often this process has stood still meanwhile.
    pub(super) stops: u32,
    /// When it ran last.
    pub(super) ran_at: Duration,
}

/// When the next peer is asked whom it knows, and how many have been asked.
#[derive(Clone, Copy, Hash, Debug, Default)]
pub(super) struct Search {
    pub(super) at: Duration,
    pub(super) attempts: u32,
}

/// How far a leave has come.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Departure {
    Staying,
    /// At `heirs_at` it looks whether those who are to have its slots ask for them.
    HandingOff {
        heirs_at: Duration,
    },
    /// Nobody is there to hand anything to, for the moment: a member that restarts is gone before it is back.
    Deserted {
        until: Duration,
    },
    Lingering {
        until: Duration,
    },
    Gone,
}

impl Machine {
    pub(super) fn on_eligible(&mut self, quiet: Duration, now: Now) {
        if self.standing == Standing::Waiting {
            self.eligible = Some(Eligible { since: now.at, quiet, stops: 0, ran_at: now.at });
            self.rise(Standing::Eligible, false);
        }
    }

    /// Greets whom it has not met, and begins or joins a cluster when it is time.
    pub(super) fn advance_standing(&mut self, now: Now) {
        let unclaimed = self.standing != Standing::Claimed;
        let guide = if unclaimed { self.ask_guide(now) } else { None };
        let mut rng = self.rng.clone();
        let pause = |attempts: u32| {
            let nominal_ms = 50_u64.saturating_mul(1 << attempts.min(5)).min(1000);
            Duration::from_micros(nominal_ms * rng.u64(750..=1250))
        };
        for pid in self.view.due_hellos(now.at, unclaimed.then_some(UNCLAIMED_HELLO), pause) {
            if Some(pid) != guide {
                self.outbox.greet(pid, Greeting::Hello);
            }
            if self.view.is_unanswered(pid) {
                self.outputs.push_back(Output::Event(Event::Unanswered { pid }));
            }
        }
        self.rng = rng;
        if self.begins_at().is_some_and(|at| at <= now.at) {
            self.rise(Standing::Claimed, true);
        }
    }

    /// A process that stood still has yet to read what others sent meanwhile: it looks around anew before it begins a
    /// cluster. To be called before anything changes what it asked for.
    pub(super) fn notice_stop(&mut self, now: Now) {
        if self.standing != Standing::Eligible {
            return;
        }
        let asked_for = self.poll_timeout();
        let ignored = self.bug(Canary::BeginAfterAStop);
        if let Some(Eligible { since, quiet, stops, ran_at }) = &mut self.eligible {
            // What was due may be due still, where it ran for something else: the same stop counts once.
            let late = asked_for.map_or(Duration::ZERO, |at| now.at.saturating_sub(at.max(*ran_at)));
            *ran_at = now.at;
            if late > *quiet / QUIET_PART && *stops < QUIET_MAX && !ignored {
                *since = now.at;
                *stops += 1;
            }
        }
    }

    /// Asks somebody whom it knows, one peer at a time: the answer of one that belongs to a cluster makes this node
    /// belong to it, too.
    fn ask_guide(&mut self, now: Now) -> Option<Pid> {
        if now.at < self.search.at {
            return None;
        }
        let Search { attempts, .. } = self.search;
        let guide = self.view.guide(attempts)?;
        self.outbox.greet(guide, Greeting::Members);
        self.search =
            Search { at: now.at + self.pause(SEARCH, attempts), attempts: attempts.saturating_add(1) };
        Some(guide)
    }

    /// Hears from a peer that belongs to a cluster. If that peer tells whom it knows, this node belongs to it, too: whom
    /// that peer knows it now has to meet before it acts. If it does not, and this node knew nobody such before, it is
    /// asked at once.
    pub(super) fn on_claimed_peer(&mut self, tells_all: bool, is_first: bool) {
        if self.standing == Standing::Claimed {
            return;
        }
        if tells_all {
            self.rise(Standing::Claimed, false);
        } else if is_first {
            self.search = Search::default();
        }
    }

    /// When this node begins a cluster, if nothing changes before.
    pub(super) fn begins_at(&self) -> Option<Duration> {
        let Eligible { since, quiet, .. } = self.eligible.filter(|_| self.standing == Standing::Eligible)?;
        let claimed = self.view.standing() == Some(Standing::Claimed);
        let alone = !claimed && self.view.all_met() && self.view.first_eligible() && !self.is_leaving();
        alone.then(|| (self.view.grown_at().max(since) + quiet).min(since + quiet * QUIET_MAX))
    }

    pub(super) fn next_standing(&self) -> Option<Duration> {
        let departure = match self.departure {
            Departure::Lingering { until: at }
            | Departure::Deserted { until: at }
            | Departure::HandingOff { heirs_at: at } => Some(at),
            Departure::Staying | Departure::Gone => None,
        };
        let search = self.standing != Standing::Claimed && self.view.guide(0).is_some();
        let looks = self.eligible.filter(|_| self.standing == Standing::Eligible);
        let looks = looks.map(|eligible| eligible.ran_at + (eligible.quiet / QUIET_PART).max(LOOK_MIN));
        self.begins_at()
            .into_iter()
            .chain(looks)
            .chain(departure)
            .chain(search.then_some(self.search.at))
            .min()
    }

    fn rise(&mut self, standing: Standing, began: bool) {
        self.standing = standing;
        self.stirred = true;
        for pid in self.view.live().collect::<Vec<_>>() {
            self.outbox.answer_greeting(pid, false);
        }
        if standing == Standing::Claimed {
            self.outputs.push_back(Output::Event(Event::Claimed { began }));
        }
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.departure != Departure::Staying
    }

    pub(super) fn on_leave(&mut self, now: Now) {
        if !self.is_leaving() {
            self.departure = hands_off(now);
            self.view.set_leaving();
            self.members_changed(now);
            self.stirred = true;
        }
    }

    /// Ends the leave when nothing is left, or nobody to leave it to.
    pub(super) fn advance_departure(&mut self, now: Now) {
        let idle = (self.stats.custody == 0 && self.claims.is_empty()) || self.bug(Canary::LeaveWithSlots);
        match self.departure {
            Departure::HandingOff { .. } if !self.view.has_heir() => {
                let until = if self.view.is_lonely() { now.at } else { now.at + DESERTED };
                self.departure = Departure::Deserted { until };
                self.advance_departure(now);
            }
            Departure::Deserted { .. } if self.view.has_heir() => self.departure = hands_off(now),
            // Perhaps membership is about to confirm somebody that so far only messages speak of.
            Departure::Deserted { until } if until <= now.at && self.view.has_hearsay() => {
                self.departure = Departure::Deserted { until: now.at + DESERTED };
            }
            Departure::Deserted { until } if until <= now.at => self.depart(),
            Departure::HandingOff { .. } if idle => {
                self.departure = Departure::Lingering { until: now.at + LINGER };
            }
            Departure::Lingering { .. } if !idle => {
                self.departure = hands_off(now);
            }
            Departure::Lingering { until } if until <= now.at => self.depart(),
            _ => {}
        }
    }

    /// Lets go of everything that nobody has taken over, as a crash would: from now on nothing is served here. What
    /// has been taken over stays so.
    pub(super) fn on_abandon(&mut self, now: Now) {
        self.on_leave(now);
        self.departure = Departure::Gone;
        for slot in self.config.slots.clone() {
            self.on_slot(slot, now, Self::abandon);
        }
    }

    fn abandon(&mut self, cell: &mut Cell) {
        if cell.header.custody().is_none() {
            return;
        }
        if let Some(giving) = std::mem::take(&mut cell.header.state).giving() {
            self.settle_budget(giving);
        }
        // Whoever asks whether its commit was taken is to serve on.
        cell.header.taken = None;
        cell.entries.clear();
        self.enter(cell, State::Absent);
    }

    fn depart(&mut self) {
        self.departure = Departure::Gone;
        self.outputs.push_back(Output::LeaveDone { slots_left: self.stats.custody });
    }
}

fn hands_off(now: Now) -> Departure {
    Departure::HandingOff { heirs_at: now.at + IDLE }
}
