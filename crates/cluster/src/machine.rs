//! The state machine: messages, operations, members and time in; frames, answers and events out.
//!
//! One file per concern: `change` (which slots a change of members concerns), `give` (the source of a hand-off), `take` (its target), `claim` (asking everybody,
//! minting), `merge` (two holders), `tick` (what a slot does by itself), `standing` (beginning and leaving a
//! cluster), `budget` (what may be on its way), `pace` (the limit on the rate), `queue` (operations that wait), `wanted` (slots that wait for
//! room on the way), `receive` (from a frame to what a slot makes of its messages); `interface` (what goes in
//! and what comes out); `model` (copies and fingerprints for the model check, feature `model`).

mod budget;
mod change;
mod claim;
mod give;
mod heirs;
mod interface;
mod merge;
#[cfg(feature = "model")]
mod model;
mod pace;
mod queue;
mod receive;
mod standing;
mod take;
mod tick;
mod times;
mod wanted;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use boato_placement::Table;
use boato_storage::Entries;

use crate::canary::{Bug, Canary};
use crate::message::{Frame, Message, Standing};
use crate::outbox::{Outbox, Parcel};
use crate::pid::Pid;
use crate::shared::Slots;
use crate::slot::{Header, State};
use crate::time::Now;
use crate::view::{Routes, View};

pub use interface::{Config, Event, Input, Limits, Output, Progress, Stats};
pub use merge::Superseded;
#[cfg(feature = "model")]
pub use model::Timer;
pub use times::{BOUNDS_MS, Times};

use budget::Budget;
use claim::Claim;
use pace::Pace;
use standing::Departure;
use wanted::Wanted;

/// One slot under its lock.
struct Cell<'a> {
    slot: u16,
    header: &'a mut Header,
    entries: &'a mut Entries,
}

/// The slots of one node and their way to and from the others. Has no I/O, clock or unseeded randomness.
pub struct Machine {
    slots: Arc<Slots>,
    me: Pid,
    config: Arc<Config>,
    view: View,
    table: Arc<Table>,
    /// The table without this node: who held our slots before we came. Made when needed.
    table_before: Option<Table>,
    rebuild_at: Option<Duration>,
    standing: Standing,
    eligible: Option<standing::Eligible>,
    search: standing::Search,
    departure: Departure,
    batch: u64,
    claims: BTreeMap<u64, Claim>,
    wanted: BTreeMap<Pid, BTreeMap<u16, Wanted>>,
    budgets: BTreeMap<Pid, Budget>,
    pace: Pace,
    timers: BTreeSet<(Duration, u16)>,
    deadlines: BTreeSet<(Duration, u16, u64)>,
    /// Slots that are served here and should not be, or the reverse.
    misplaced: usize,
    outbox: Outbox,
    outputs: VecDeque<Output>,
    stats: Stats,
    lost: usize,
    superseded: Vec<Superseded>,
    /// Something changed that may concern any slot that is not at rest.
    stirred: bool,
    /// Somebody has died or come back since the last table was made.
    upheaval: bool,
    rng: fastrand::Rng,
    /// Thousandths of a pause that slots rest which begin to wait at the same time: they ask again together, in
    /// one frame. If each had its own, thousands of frames would fall on a peer that is slow to answer.
    pause_permille: u64,
}

impl Machine {
    /// A node that knows nobody and holds nothing.
    pub fn new(config: Config, now: Now) -> Self {
        let view = View::new(config.me, config.weight, now.at);
        let table = Arc::new(Table::build(&*config.strategy, view.candidates(false)));
        let slots = usize::from(config.slots.end);
        let store = boato_storage::Config { slots, hash_seed: config.seed, max_memory: config.max_memory };
        let healing_ms = u64::try_from(config.healing.as_millis()).unwrap_or(u64::MAX);
        let routes = Routes::new(Arc::clone(&table), &view);
        #[cfg(feature = "canaries")]
        let bug = Bug::of(config.canary);
        #[cfg(not(feature = "canaries"))]
        let bug = Bug::default();
        Self {
            slots: Arc::new(Slots::new(config.me, store, healing_ms, config.min_members, routes, bug)),
            me: config.me,
            rng: fastrand::Rng::with_seed(config.seed),
            pause_permille: 1000,
            pace: Pace::new(config.handoff_rate),
            config: Arc::new(config),
            view,
            table,
            table_before: None,
            rebuild_at: None,
            standing: Standing::Waiting,
            eligible: None,
            search: standing::Search::default(),
            departure: Departure::Staying,
            batch: 0,
            claims: BTreeMap::new(),
            wanted: BTreeMap::new(),
            budgets: BTreeMap::new(),
            timers: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            misplaced: slots, // alone, it should have them all
            outbox: Outbox::default(),
            outputs: VecDeque::new(),
            stats: Stats::default(),
            lost: 0,
            superseded: Vec::new(),
            stirred: false,
            upheaval: false,
        }
    }

    /// The slots, for the paths that need no state machine.
    pub fn slots(&self) -> Arc<Slots> {
        Arc::clone(&self.slots)
    }

    /// How far this node is on its way into a cluster.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Counts and gauges.
    pub fn stats(&self) -> Stats {
        Stats { queued: self.deadlines.len(), ..self.stats }
    }

    /// Whether every slot that the table gives this node is held here, and no other.
    pub fn is_settled(&self) -> bool {
        debug_assert_eq!(self.misplaced, self.count_misplaced());
        self.standing == Standing::Claimed && self.rebuild_at.is_none() && self.misplaced == 0
    }

    /// What is left to move. Looks at every slot.
    pub fn progress(&self) -> Progress {
        let mut progress = Progress::default();
        for slot in self.config.slots.clone() {
            let guard = self.slots.store.lock(usize::from(slot));
            match (guard.header().custody().is_some(), self.is_target(slot)) {
                (true, false) => {
                    progress.slots_to_give += 1;
                    progress.bytes_to_give += guard.bytes();
                }
                (false, true) => progress.slots_to_take += 1,
                (true, true) | (false, false) => {}
            }
        }
        progress
    }

    /// Takes one input. Drain [`Machine::poll_output`] afterwards, then wait for [`Machine::poll_timeout`].
    pub fn handle(&mut self, input: Input, now: Now) {
        self.batch += 1;
        self.superseded.clear();
        self.pause_permille = self.rng.u64(750..=1250);
        self.notice_stop(now);
        match input {
            Input::Frame(frame) => self.on_frame(frame, now),
            Input::Member { pid, liveness, weight } => {
                if !self.view.set(pid, liveness, weight, now.at) {
                    return;
                }
                self.members_changed(now);
            }
            Input::Eligible { quiet } => self.on_eligible(quiet, now),
            Input::Operate { token, used, deadline, operation } => {
                self.on_operation(token, used, deadline, operation, now);
            }
            Input::Leave => self.on_leave(now),
            Input::Abandon => self.on_abandon(now),
            Input::Limits(limits) => {
                self.slots.set_limits(limits.max_memory, limits.min_members);
                self.pace.set_rate(limits.handoff_rate, now.at);
            }
            Input::Timeout => {}
        }
        self.advance(now);
    }

    /// What there is to do, until `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Machine::handle`] with [`Input::Timeout`], if nothing else happens before.
    pub fn poll_timeout(&self) -> Option<Duration> {
        [
            self.timers.first().map(|&(at, _)| at),
            self.deadlines.first().map(|&(at, ..)| at),
            self.rebuild_at,
            self.view.next_hello(self.standing != Standing::Claimed),
            self.view.next_hearsay(),
            self.next_standing(),
            self.pace.next(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Everything that is due, then out with the messages.
    fn advance(&mut self, now: Now) {
        self.pace.advance(now.at);
        if self.view.expire_hearsay(now.at) {
            self.members_changed(now);
        }
        self.advance_standing(now);
        self.pass_over_idle_heirs(now);
        self.advance_changes(now);
        while let Some(&(at, slot)) = self.timers.first()
            && at <= now.at
        {
            self.on_slot(slot, now, |machine, cell| {
                machine.timers.remove(&(at, slot));
                cell.header.retry.at = None;
                machine.tick(cell, now);
            });
        }
        self.serve_wanted(now);
        self.expire_queued(now);
        self.advance_departure(now);
        self.flush();
    }

    /// Works on one slot under its lock; what follows from a death comes before, what follows for waiting
    /// operations after.
    fn on_slot(&mut self, slot: u16, now: Now, act: impl FnOnce(&mut Self, &mut Cell)) {
        let slots = Arc::clone(&self.slots);
        let mut guard = slots.store.lock(usize::from(slot));
        let (header, entries) = guard.split();
        let mut cell = Cell { slot, header, entries };
        let before = (cell.header.custody().is_some(), cell.header.serving().is_some());
        self.settle_deaths(&mut cell, now);
        act(self, &mut cell);
        self.settle_queue(&mut cell, now);
        self.stats.custody += usize::from(cell.header.custody().is_some());
        self.stats.custody -= usize::from(before.0);
        if before.1 != cell.header.serving().is_some() {
            let misplaced = self.is_misplaced(slot, cell.header);
            self.misplaced += usize::from(misplaced);
            self.misplaced -= usize::from(!misplaced);
        }
    }

    /// Whether a deliberate bug is in force.
    fn bug(&self, canary: Canary) -> bool {
        self.slots.bug.is(canary)
    }

    /// Whether slots may be asked for and claimed: this node belongs to a cluster, stays, and has met everybody known.
    fn may_take(&self) -> bool {
        let barrier_is_open =
            self.view.all_met() || self.bug(Canary::NoBarrier) || self.bug(Canary::NoBarrierNoClosure);
        self.standing == Standing::Claimed && !self.is_leaving() && barrier_is_open
    }

    fn send(&mut self, cell: &Cell, to: Pid, message: Message) {
        self.outbox.push(to, cell.slot, message);
    }

    /// Puts a slot into a state; its retries begin anew.
    fn enter(&mut self, cell: &mut Cell, state: State) {
        self.rest(cell);
        if let State::Claiming(claiming) = &cell.header.state {
            self.claim_left(claiming.nonce);
        }
        cell.header.state = state;
        if cell.header.custody().is_none() {
            cell.header.intakes.clear();
        }
        self.stats.transitions += 1;
    }

    /// Lets a slot act by itself at `at`.
    fn wake(&mut self, cell: &mut Cell, at: Duration) {
        if let Some(old) = cell.header.retry.at.replace(at) {
            self.timers.remove(&(old, cell.slot));
        }
        self.timers.insert((at, cell.slot));
    }

    /// Lets a slot wait until something happens.
    fn rest(&mut self, cell: &mut Cell) {
        if let Some(old) = cell.header.retry.at.take() {
            self.timers.remove(&(old, cell.slot));
        }
        cell.header.retry.attempts = 0;
    }

    /// Lets a slot try again after a pause that doubles from `pause.0` to `pause.1` milliseconds, jittered by a
    /// quarter either way for all slots of this step.
    fn retry(&mut self, cell: &mut Cell, pause: (u64, u64), now: Now) {
        let attempts = cell.header.retry.attempts;
        cell.header.retry.attempts = attempts.saturating_add(1);
        let at = now.at + self.pause(pause, attempts);
        self.wake(cell, at);
    }

    fn pause(&self, (first_ms, last_ms): (u64, u64), attempts: u32) -> Duration {
        let nominal_ms = first_ms.saturating_mul(1 << attempts.min(16)).min(last_ms);
        Duration::from_micros(nominal_ms * self.pause_permille)
    }

    fn is_target(&self, slot: u16) -> bool {
        self.table.owner(slot) == Some(self.me.node)
    }

    fn target(&self, slot: u16) -> Option<Pid> {
        self.view.pid_of(self.table.owner(slot)?)
    }

    fn flush(&mut self) {
        if self.lost > 0 {
            let slots = std::mem::take(&mut self.lost);
            self.outputs.push_back(Output::Event(Event::SlotsLost { slots }));
        }
        for parcel in self.outbox.drain() {
            let Parcel { to, lane, nonce, members, greeting, runs, .. } = parcel;
            let digest = match nonce.map(|nonce| self.claims.get(&nonce)) {
                Some(None) => continue, // the claim ended in the same step
                Some(Some(claim)) => Some(claim.digest()),
                None => members.then(|| self.view.digest()),
            };
            let frame = Frame { from: self.me, to, standing: self.standing, greeting, digest, runs };
            self.outputs.push_back(Output::Send { to, lane, frame });
        }
    }
}
