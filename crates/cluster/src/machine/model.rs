//! What a model check needs of the state machine: copies, fingerprints, and time without figures.
//!
//! In a model every pending timer may fire at any moment and in any order, so all moments are alike: `now` never
//! advances, what is pending lies far ahead of it, and firing a timer puts that one to `now`. After each step
//! [`Machine::blur`] brings the moments that the step has written back to these few. Two machines with the same
//! fingerprint then behave the same, whatever happens next.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use boato_storage::EntryRef;

use super::Machine;
use super::budget::Budget;
use super::standing::{Departure, QUIET_MAX, Search};
use crate::outbox::Outbox;
use crate::pid::Pid;
use crate::shared::Slots;
use crate::slot::{Header, State};
use crate::view::HEARSAY_TTL;

/// Something that a process does by itself when its time has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Timer {
    /// A slot acts by itself: it repeats, looks for the holder, or goes on sending.
    Slot(u16),
    /// The same after so long without progress that a copy is given up.
    Stuck(u16),
    /// A new table is computed.
    Table,
    /// Others are greeted.
    Greet,
    /// Processes that membership never spoke of count as dead.
    Hearsay,
    /// A cluster is begun.
    Begin,
    /// The time to begin a cluster came long ago, while the process stood still.
    Late,
    /// A leaver that has handed everything off goes.
    Depart,
    /// A leaver passes over who has not asked for slots for long.
    Heirs,
    /// The waiting operation with this token has waited for too long.
    Deadline(u64),
}

/// Pauses that a model knows as many.
const ATTEMPTS: u32 = 16;

impl Machine {
    /// The time of every step of a model.
    pub const MODEL_NOW: Duration = Duration::from_secs(1000);

    /// When everything that is pending is due, also the deadlines of operations in a model.
    pub const MODEL_LATER: Duration = Duration::from_secs(2000);

    /// Long enough ago for a chunk to be sent again that is lost, which every chunk is that is not acknowledged.
    const RECENTLY: Duration = Duration::from_secs(999);

    /// How long a process may look around before it begins a cluster, in a model: hearsay is believed for longer.
    pub const MODEL_QUIET: Duration = Duration::from_secs(10);

    /// A copy that shares nothing with the original, made between two steps.
    #[must_use]
    pub fn fork(&self) -> Self {
        debug_assert!(self.outputs.is_empty(), "a copy is made after the outputs were taken");
        Self {
            slots: Arc::new(self.slots.fork()),
            me: self.me,
            config: Arc::clone(&self.config),
            view: self.view.clone(),
            table: Arc::clone(&self.table),
            table_before: self.table_before.clone(),
            rebuild_at: self.rebuild_at,
            standing: self.standing,
            eligible: self.eligible,
            search: self.search,
            departure: self.departure,
            batch: self.batch,
            claims: self.claims.clone(),
            wanted: self.wanted.clone(),
            budgets: self.budgets.clone(),
            pace: self.pace.clone(),
            timers: self.timers.clone(),
            deadlines: self.deadlines.clone(),
            misplaced: self.misplaced,
            outbox: Outbox::default(),
            outputs: std::collections::VecDeque::new(),
            stats: self.stats,
            lost: self.lost,
            superseded: self.superseded.clone(),
            stirred: self.stirred,
            upheaval: self.upheaval,
            rng: self.rng.clone(),
            pause_permille: self.pause_permille,
        }
    }

    /// What may happen by itself.
    pub fn timers(&self) -> Vec<Timer> {
        let mut timers: Vec<_> = self.timers.iter().map(|&(_, slot)| Timer::Slot(slot)).collect();
        timers.extend(
            self.timers.iter().filter(|&&(_, slot)| self.may_be_stuck(slot)).map(|it| Timer::Stuck(it.1)),
        );
        timers.extend(self.deadlines.iter().map(|&(_, _, token)| Timer::Deadline(token)));
        let unclaimed = self.standing != crate::Standing::Claimed;
        let others = [
            (self.rebuild_at, Timer::Table),
            (self.view.next_hello(unclaimed), Timer::Greet),
            (self.view.next_hearsay(), Timer::Hearsay),
            (self.begins_at(), Timer::Begin),
            (self.begins_at(), Timer::Late),
            (departs_at(self.departure), Timer::Depart),
            (self.heirs_at(), Timer::Heirs),
        ];
        timers.extend(others.into_iter().filter_map(|(at, timer)| at.map(|_| timer)));
        timers
    }

    /// When this node looks for whom its slots wait, if there are such slots.
    fn heirs_at(&self) -> Option<Duration> {
        match self.departure {
            Departure::HandingOff { heirs_at } if !self.awaited_heirs().is_empty() => Some(heirs_at),
            _ => None,
        }
    }

    fn may_be_stuck(&self, slot: u16) -> bool {
        self.slots.inspect(slot, |header| match &header.state {
            State::Asking(asking) => asking.staging.is_some(),
            State::Copying(giving) => !giving.transfer.settled(),
            _ => false,
        })
    }

    /// Lets one timer be due; [`Input::Timeout`](super::Input::Timeout) is to follow.
    pub fn fire(&mut self, timer: Timer) {
        match timer {
            Timer::Slot(slot) => self.wake_slot(slot, false),
            Timer::Stuck(slot) => self.wake_slot(slot, true),
            Timer::Table => self.rebuild_at = Some(Self::MODEL_NOW),
            Timer::Greet => {
                self.view.blur(Self::MODEL_NOW, None);
                self.search = Search { at: Self::MODEL_NOW, attempts: 0 };
            }
            Timer::Hearsay => {
                self.view.blur(Self::MODEL_LATER, Some(Self::MODEL_NOW.saturating_sub(HEARSAY_TTL)));
            }
            Timer::Begin => self.end_quiet(Self::MODEL_QUIET),
            Timer::Late => {
                self.end_quiet(2 * Self::MODEL_QUIET);
                // One stop stands for as many as are noticed.
                if let Some(eligible) = &mut self.eligible {
                    eligible.ran_at = eligible.since;
                    eligible.stops = eligible.stops.max(QUIET_MAX - 1);
                }
            }
            Timer::Depart => set_departure(&mut self.departure, Self::MODEL_NOW),
            Timer::Heirs => {
                self.view.blur_asked(Duration::ZERO);
                self.departure = Departure::HandingOff { heirs_at: Self::MODEL_NOW };
            }
            Timer::Deadline(token) => self.call_in(token),
        }
    }

    /// Lets this node have begun to look around, and have heard of others last, so long ago.
    fn end_quiet(&mut self, ago: Duration) {
        let at = Self::MODEL_NOW.saturating_sub(ago);
        self.view.blur(Self::MODEL_LATER, Some(at));
        if let Some(eligible) = &mut self.eligible {
            eligible.since = at;
        }
    }

    fn wake_slot(&mut self, slot: u16, stuck: bool) {
        self.timers.retain(|&(_, other)| other != slot);
        self.timers.insert((Self::MODEL_NOW, slot));
        let mut guard = self.slots.store.lock(usize::from(slot));
        let header = guard.header_mut();
        header.retry.at = Some(Self::MODEL_NOW);
        if stuck {
            blur_progress(&mut header.state, Duration::ZERO);
        }
    }

    fn call_in(&mut self, token: u64) {
        let called = |&(_, _, other): &(Duration, u16, u64)| other == token;
        let Some(&(at, slot, _)) = self.deadlines.iter().find(|it| called(it)) else { return };
        self.deadlines.remove(&(at, slot, token));
        self.deadlines.insert((Self::MODEL_NOW, slot, token));
        let mut guard = self.slots.store.lock(usize::from(slot));
        for queued in guard.header_mut().queue.iter_mut().filter(|queued| queued.token == token) {
            queued.deadline = Self::MODEL_NOW;
        }
    }

    /// Brings all moments, and the number of the last step, back to the few that a model tells apart.
    pub fn blur(&mut self) {
        self.view.blur(Self::MODEL_LATER, Some(Self::MODEL_NOW));
        self.rebuild_at = self.rebuild_at.map(|_| Self::MODEL_LATER);
        if let Some(eligible) = &mut self.eligible {
            (eligible.since, eligible.ran_at) = (Self::MODEL_NOW, Self::MODEL_NOW);
        }
        self.search = Search { at: Self::MODEL_LATER, attempts: 0 };
        set_departure(&mut self.departure, Self::MODEL_LATER);
        if let Departure::HandingOff { heirs_at } = &mut self.departure {
            *heirs_at = Self::MODEL_LATER;
        }
        self.view.blur_asked(Self::MODEL_NOW);
        (self.timers, self.deadlines) = Default::default();
        self.batch = 0;
        self.budgets.values_mut().for_each(|budget| budget.blur(Self::MODEL_NOW));
        for slot in self.config.slots.clone() {
            let mut guard = self.slots.store.lock(usize::from(slot));
            let header = guard.header_mut();
            if let Some(at) = &mut header.retry.at {
                *at = Self::MODEL_LATER;
                self.timers.insert((*at, slot));
            }
            header.retry.attempts = ATTEMPTS;
            for queued in &mut header.queue {
                queued.deadline = Self::MODEL_LATER;
                self.deadlines.insert((queued.deadline, slot, queued.token));
            }
            blur_progress(&mut header.state, Self::MODEL_NOW);
            self.batch = self.batch.max(header.serial);
        }
    }

    /// The highest number of a transfer or claim used here: a bound for models.
    pub fn last_serial(&self) -> u64 {
        self.batch
    }
}

fn departs_at(departure: Departure) -> Option<Duration> {
    match departure {
        Departure::Lingering { until } | Departure::Deserted { until } => Some(until),
        Departure::Staying | Departure::HandingOff { .. } | Departure::Gone => None,
    }
}

fn set_departure(departure: &mut Departure, at: Duration) {
    match departure {
        Departure::Lingering { until } | Departure::Deserted { until } => *until = at,
        Departure::Staying | Departure::HandingOff { .. } | Departure::Gone => {}
    }
}

/// Sets when a copy last made progress.
fn blur_progress(state: &mut State, at: Duration) {
    match state {
        State::Asking(asking) => {
            if let Some(staging) = &mut asking.staging {
                staging.progress_at = at;
            }
        }
        State::Copying(giving) | State::Committing(giving) | State::Merging(giving) => {
            giving.transfer.blur(at, at.min(Machine::RECENTLY));
        }
        _ => {}
    }
}

/// Everything that decides what the machine will do; not what only counts.
impl Hash for Machine {
    fn hash<S: Hasher>(&self, state: &mut S) {
        (self.me, &self.view, self.table.nodes(), self.rebuild_at).hash(state);
        (self.standing, self.eligible, self.departure, self.batch).hash(state);
        (&self.claims, &self.wanted, self.stirred, self.upheaval).hash(state);
        self.budgets.iter().filter(|(_, budget)| **budget != Budget::default()).for_each(|it| it.hash(state));
        self.slots.clock.latest().hash(state);
        for slot in self.config.slots.clone() {
            self.slots.look(slot, |header, entries| (header, entries).hash(state));
        }
    }
}

impl Slots {
    fn fork(&self) -> Self {
        let Self { me, store, clock, routes, healing_ms, bug, members, min_members } = self;
        Self {
            me: *me,
            store: store.clone(),
            clock: clock.clone(),
            routes: arc_swap::ArcSwap::new(routes.load_full()),
            healing_ms: *healing_ms,
            bug: *bug,
            members: members.load(Ordering::Relaxed).into(),
            min_members: min_members.load(Ordering::Relaxed).into(),
        }
    }

    /// Looks at a slot's state and its entries, which are in the order of their keys.
    pub fn look<R>(&self, slot: u16, look: impl FnOnce(&Header, &[EntryRef<'_>]) -> R) -> R {
        let guard = self.store.lock(usize::from(slot));
        let mut entries: Vec<_> = guard.entries().collect();
        entries.sort_unstable_by_key(|entry| entry.key);
        look(guard.header(), &entries)
    }
}

impl Machine {
    /// Whether this node knows of a process and does not take it for dead.
    pub fn knows(&self, pid: Pid) -> bool {
        self.view.live().any(|known| known == pid)
    }

    /// The process that this node's table names for a slot, if it is known.
    pub fn names(&self, slot: u16) -> Option<Pid> {
        self.target(slot)
    }
}
