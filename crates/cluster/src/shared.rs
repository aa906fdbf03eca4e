//! What the state machine and the paths around it share: the slots, the clock and the published routes.

use arc_swap::{ArcSwap, Guard};
use boato_storage::{Clock, Entries, EntryRef, FETCH_MAX, Memory, Store, Value, Writer};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::canary::{Bug, Canary};
use crate::message::{SlotRun, Status};
use crate::operation::{Applier, Effect, Operation, Outcome, Step};
use crate::pid::{Epoch, Hint, Pid};
use crate::slot::{Disposition, Header, State};
use crate::time::Now;
use crate::view::Routes;

/// Longer keys take more time to hash once more than it takes to wait for what they lead to.
const FETCHED_KEY_BYTES_MAX: usize = 256;

/// The slots of one node. Operations on slots it holds are applied here directly, without the machine.
#[derive(Debug)]
pub struct Slots {
    pub(crate) me: Pid,
    pub(crate) store: Store<Header>,
    pub(crate) clock: Clock,
    pub(crate) routes: ArcSwap<Routes>,
    pub(crate) healing_ms: u64,
    pub(crate) bug: Bug,
    /// Live members in view, this node included.
    pub(crate) members: AtomicU32,
    /// With fewer, writes are refused.
    pub(crate) min_members: AtomicU32,
}

impl Slots {
    pub(crate) fn new(
        me: Pid,
        store: boato_storage::Config,
        healing_ms: u64,
        min_members: usize,
        routes: Routes,
        bug: Bug,
    ) -> Self {
        Self {
            me,
            store: Store::new(store, |_| Header::default()),
            clock: Clock::new(),
            routes: ArcSwap::from_pointee(routes),
            healing_ms,
            bug,
            members: AtomicU32::new(1),
            min_members: AtomicU32::new(saturate(min_members)),
        }
    }

    /// The process these slots belong to.
    pub fn me(&self) -> Pid {
        self.me
    }

    /// The table and the live processes, as last published.
    pub fn routes(&self) -> Guard<Arc<Routes>> {
        self.routes.load()
    }

    fn applier(&self, unix_ms: u64) -> Applier<'_> {
        let writer = Writer { clock: &self.clock, node: self.me.writer(), now_ms: unix_ms };
        let healing_ms = if self.bug.is(Canary::NoTombstones) { 0 } else { self.healing_ms };
        Applier { writer, healing_ms, aside: None }
    }

    /// Applies `operation` if this node serves its slot now: one lock, one step. `None`: it does not, or the write
    /// has to wait for a copy to catch up; nothing was changed.
    #[inline]
    pub fn try_apply<B: AsRef<[u8]>>(
        &self,
        operation: &Operation<B>,
        unix_ms: u64,
    ) -> Option<(Effect, Epoch)> {
        self.try_apply_on(operation.slot(), operation, unix_ms)
    }

    /// [`Slots::try_apply`] for an operation whose slot is known.
    #[inline]
    pub fn try_apply_on<B: AsRef<[u8]>>(
        &self,
        slot: u16,
        operation: &Operation<B>,
        unix_ms: u64,
    ) -> Option<(Effect, Epoch)> {
        let mut guard = self.store.lock(usize::from(slot));
        let (header, entries) = guard.split();
        let epoch = match self.buggy_epoch(header, operation.is_write()) {
            Some(epoch) => epoch,
            None => header.serving()?,
        };
        if header.slows(operation) {
            return None;
        }
        Some((self.apply(operation, header, entries, unix_ms), epoch))
    }

    /// Applies `operation` to a slot that is served here and locked by the caller.
    #[inline]
    pub(crate) fn apply<B: AsRef<[u8]>>(
        &self,
        operation: &Operation<B>,
        header: &mut Header,
        entries: &mut Entries,
        unix_ms: u64,
    ) -> Effect {
        if operation.is_write()
            && let Some(refusal) = self.too_few_members()
        {
            return refusal;
        }
        self.apply_allowed(self.applier(unix_ms), operation, header, entries)
    }

    #[inline]
    fn apply_allowed<B: AsRef<[u8]>>(
        &self,
        applier: Applier<'_>,
        operation: &Operation<B>,
        header: &mut Header,
        entries: &mut Entries,
    ) -> Effect {
        if operation.is_write() && header.is_copied() && !self.bug.is(Canary::DropDirtySet) {
            operation.written_keys(entries, applier.writer.now_ms, |key| header.mark_written(key));
        }
        applier.apply(operation, entries)
    }

    /// What a write is answered while too few members are in view.
    #[inline]
    fn too_few_members(&self) -> Option<Effect> {
        let [members, needed] = [&self.members, &self.min_members].map(|it| it.load(Ordering::Relaxed));
        let refused = members < needed && !self.bug.is(Canary::FewMembersWrite);
        refused.then_some(Effect::TooFewMembers { members, needed })
    }

    /// The limit of the bytes of entries and tables.
    pub fn max_memory(&self) -> Option<u64> {
        self.store.max_memory()
    }

    /// Changes the limits of [`Config`](crate::Config) that slots look at themselves.
    pub(crate) fn set_limits(&self, max_memory: Option<u64>, min_members: usize) {
        self.store.set_max_memory(max_memory);
        self.min_members.store(saturate(min_members), Ordering::Relaxed);
    }

    /// Live members in view: with too few of them writes are refused.
    pub(crate) fn set_members(&self, members: usize) {
        self.members.store(saturate(members), Ordering::Relaxed);
    }

    /// The epoch under which a deliberate bug serves a slot that is not to be served.
    #[inline]
    fn buggy_epoch(&self, header: &Header, is_write: bool) -> Option<Epoch> {
        match &header.state {
            State::Committing(giving) if self.bug.is(Canary::WritesWhileFrozen) => Some(giving.epoch),
            State::Claiming(_) if self.bug.is(Canary::MissWhileClaiming) && !is_write => Some(header.floor),
            _ => None,
        }
    }

    /// Shows the value of a key, if this node serves its slot now and there is one, without a copy. `None`: the slot is
    /// not served here, nothing was shown. `show` runs under the slot's lock.
    #[inline]
    pub fn try_read<R>(
        &self,
        key: &[u8],
        unix_ms: u64,
        show: impl FnOnce(Option<Value<'_>>) -> R,
    ) -> Option<R> {
        self.try_look(key, |entries| show(entries.value(key, unix_ms)))
    }

    /// The same with the version.
    #[inline]
    pub fn try_show<R>(
        &self,
        key: &[u8],
        unix_ms: u64,
        show: impl FnOnce(Option<EntryRef<'_>>) -> R,
    ) -> Option<R> {
        self.try_look(key, |entries| show(entries.get(key, unix_ms)))
    }

    /// [`Slots::try_read`] for several keys, those of one slot that follow each other in one step: shows each, in their order, while
    /// `show` says so. False: it said otherwise, or a slot is not served here. What is looked at is fetched for
    /// [`FETCH_MAX`] keys at a time.
    pub fn try_read_all(
        &self,
        keys: &[&[u8]],
        unix_ms: u64,
        mut show: impl FnMut(Option<Value<'_>>) -> bool,
    ) -> bool {
        let (mut at, mut fetched) = (0, 0);
        while let Some(first) = keys.get(at) {
            if at >= fetched {
                self.fetch(keys[at..].iter().copied());
                fetched = at + FETCH_MAX;
            }
            let slot = boato_placement::slot(first);
            let guard = self.store.lock(usize::from(slot));
            if guard.header().serving().is_none() {
                return false;
            }
            for key in keys[at..].iter().take_while(|key| boato_placement::slot(key) == slot) {
                at += 1;
                if !show(guard.value(key, unix_ms)) {
                    return false;
                }
            }
        }
        true
    }

    /// Applies writes of keys to the slot in one step, in their order, if this node serves it now, members enough are in view, and
    /// none has to wait for a copy: tells `done` what came of each and returns true. Where memory does not suffice for all of
    /// them, all are refused. False: nothing was changed.
    pub fn try_apply_all<B: AsRef<[u8]>>(
        &self,
        slot: u16,
        writes: impl Iterator<Item = Step<B>> + Clone,
        unix_ms: u64,
        mut done: impl FnMut(Effect),
    ) -> bool {
        let mut guard = self.store.lock(usize::from(slot));
        let (header, entries) = guard.split();
        // Once for all: members may go meanwhile.
        if header.serving().is_none() || header.slows_writes() || self.too_few_members().is_some() {
            return false;
        }
        let applier = self.applier(unix_ms);
        let Ok(aside) = applier.set_aside(entries, writes.clone()) else {
            writes.for_each(|_| done(Effect::Key(Outcome::Full)));
            return true;
        };
        let applier = Applier { aside: aside.as_ref(), ..applier };
        for write in writes.map(Operation::Key) {
            debug_assert!(write.is_write() && write.slot() == slot, "the caller's writes are of the slot");
            done(self.apply_allowed(applier, &write, header, entries));
        }
        true
    }

    #[inline]
    fn try_look<R>(&self, key: &[u8], look: impl FnOnce(&Entries) -> R) -> Option<R> {
        let guard = self.store.lock(usize::from(boato_placement::slot(key)));
        guard.header().serving()?;
        Some(look(&guard))
    }

    /// Has the processor fetch what operations on these keys will look at, see [`Store::fetch`]; keys beyond [`FETCH_MAX`], those
    /// of more than 256 bytes, and a single one, are left out.
    pub fn fetch<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) {
        self.fetch_on(keys.map(|key| (boato_placement::slot(key), key)));
    }

    /// [`Slots::fetch`] for keys whose slots are known.
    pub(crate) fn fetch_on<'a>(&self, keys: impl Iterator<Item = (u16, &'a [u8])>) {
        let mut places: [(usize, &[u8]); FETCH_MAX] = [(0, &[]); FETCH_MAX];
        let mut count = 0;
        let short = keys.take(FETCH_MAX).filter(|(_, key)| key.len() <= FETCHED_KEY_BYTES_MAX);
        for (place, (slot, key)) in places.iter_mut().zip(short) {
            *place = (slot.into(), key);
            count += 1;
        }
        if count > 1 {
            self.store.fetch(&places[..count], |header| {
                if header.serving().is_none() {
                    // Where the operation goes instead, which lies elsewhere.
                    black_box(header.hint);
                }
            });
        }
    }

    /// Looks at one slot's state, under its lock.
    ///
    /// # Panics
    ///
    /// If there is no such slot on this node ([`Config::slots`](crate::Config::slots)).
    pub fn inspect<R>(&self, slot: u16, look: impl FnOnce(&Header) -> R) -> R {
        look(self.store.lock(usize::from(slot)).header())
    }

    pub(crate) fn disposition(&self, slot: u16, used: Option<Epoch>, target_is_me: bool) -> Disposition {
        self.store.lock(usize::from(slot)).header().disposition(used, target_is_me)
    }

    /// Remembers where a slot was found, unless something newer is known or the slot is in custody here.
    pub fn learn(&self, slot: u16, hint: Hint) {
        let mut guard = self.store.lock(usize::from(slot));
        let header = guard.header_mut();
        let newer = header.hint.is_none_or(|known| hint.epoch > known.epoch);
        if newer && hint.pid != self.me && matches!(header.state, State::Absent) {
            header.hint = Some(hint);
        }
    }

    /// Forgets a hint that led nowhere, if it is still the one.
    pub fn forget(&self, slot: u16, epoch: Epoch) {
        let mut guard = self.store.lock(usize::from(slot));
        let header = guard.header_mut();
        if matches!(header.state, State::Absent) && header.hint.is_some_and(|hint| hint.epoch == epoch) {
            header.hint = None;
        }
    }

    /// Removes expired entries and old tombstones of one slot; returns how many entries expired.
    ///
    /// Only a slot that is held and at rest is swept: a tombstone that vanished in the midst of a copy would
    /// bring the deleted key back at the target.
    pub fn sweep(&self, slot: u16, now: Now) -> usize {
        let mut guard = self.store.lock(usize::from(slot));
        let (header, entries) = guard.split();
        header.intakes.retain(|_, intake| intake.is_recent(now));
        if matches!(header.state, State::Held { .. }) { entries.sweep(now.unix_ms) } else { 0 }
    }

    /// Totals over all slots.
    pub fn memory(&self) -> Memory {
        self.store.memory()
    }

    /// How many slots are in each state, by its name, and the bytes that their entries and tables take. Looks at one slot after the other.
    pub fn by_state(&self) -> BTreeMap<&'static str, (u64, u64)> {
        let mut states = BTreeMap::from(State::NAMES.map(|name| (name, (0, 0))));
        for index in 0..self.store.slots() {
            let guard = self.store.lock(index);
            let (name, bytes) = (guard.header().state.name(), guard.memory().bytes);
            drop(guard);
            let (slots, sum) = states.entry(name).or_default();
            *slots += 1;
            *sum += bytes;
        }
        states
    }

    /// What this node holds, and `slots_lost`, which the machine counts.
    pub fn status(&self, slots_lost: u64) -> Status {
        let mut runs: Vec<SlotRun> = Vec::new();
        let mut slots = 0;
        for (slot, index) in (0..).zip(0..self.store.slots()) {
            let guard = self.store.lock(index);
            let (state, custody) = (guard.header().state.name(), guard.header().custody().is_some());
            drop(guard);
            slots += u32::from(custody);
            match runs.last_mut() {
                Some(run) if run.state == state && run.to + 1 == slot => run.to = slot,
                _ if state == State::Absent.name() => {}
                _ => runs.push(SlotRun { from: slot, to: slot, state: state.to_owned(), custody }),
            }
        }
        let memory = self.memory();
        Status { slots, slots_lost, entries: memory.entries, bytes: memory.bytes, runs }
    }
}

fn saturate(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
