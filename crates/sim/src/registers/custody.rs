//! Who has which slot, watched from outside: never two holders, and nothing lost but by a crash.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use boato_cluster::{Epoch, Pid, Purpose, Routes, Slots, State};

use super::report::Safety;
use crate::check::{Holders, Holding, Violation};

/// The copies of all slots during a run.
pub(super) struct Custody {
    holders: Holders,
    fates: Vec<Fate>,
    /// A living process was considered dead, or two clusters began: two holders may be.
    forked: bool,
    vanished: Vec<Vanished>,
}

/// The keys of a slot went away between two moments, with a process that crashed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vanished {
    pub(super) slot: u16,
    pub(super) from: Duration,
    pub(super) to: Duration,
}

/// A process has something else of a slot than before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub(super) slot: u16,
    pub(super) holding: Holding,
    /// Whether it began the slot anew, because a crash had taken it.
    pub(super) lost: bool,
}

/// What has become of one slot so far.
#[derive(Clone, Default)]
struct Fate {
    existed: bool,
    /// When a crash took the last copy, unless a hand-over that was under way saved it.
    crashed: Option<Duration>,
    /// The last hand-over that began: whose, and the epoch announced.
    announced: Option<(Pid, Epoch)>,
    /// Who merges its copy into whose.
    merging: BTreeMap<Pid, Pid>,
    /// See [`Custody::is_copied`].
    copied: bool,
    /// The processes that ended with a copy, and when.
    ended: Vec<(Pid, Duration)>,
    /// Whom each process that has to do with the slot knew when it set out for it.
    knew: BTreeMap<Pid, Arc<Routes>>,
}

impl Fate {
    /// Notes whom a process knows that sets out for the slot; forgets it when the process has given up.
    fn sets_out(&mut self, slots: &Slots, slot: u16) {
        slots.inspect(slot, |header| match header.state() {
            State::Asking(_) | State::Claiming(_) => {
                self.knew.entry(slots.me()).or_insert_with(|| Arc::clone(&slots.routes()));
            }
            State::Absent => {
                self.knew.remove(&slots.me());
            }
            _ => {}
        });
    }

    /// Where a process stands with the merge of its copy: into which other one.
    fn merges(&mut self, pid: Pid, winner: Option<Pid>, holding: Holding) {
        match winner {
            Some(winner) => self.copied |= self.merging.insert(pid, winner).is_some_and(|it| it != winner),
            None if holding == Holding::Nothing => {
                self.merging.remove(&pid);
                self.copied |= self.merging.values().any(|winner| *winner == pid);
            }
            None => self.copied |= self.merging.remove(&pid).is_some(),
        }
    }
}

impl Custody {
    pub(super) fn new(slots: u16) -> Self {
        Self {
            holders: Holders::new(slots),
            fates: vec![Fate::default(); slots.into()],
            forked: false,
            vanished: Vec::new(),
        }
    }

    /// Whether two holders were possible in this run.
    pub(super) fn is_forked(&self) -> bool {
        self.forked
    }

    /// Whether two processes may have gone on from one copy of a slot, or a merge was begun anew.
    pub(super) fn is_copied(&self, slot: u16) -> bool {
        self.fates[usize::from(slot)].copied
    }

    pub(super) fn vanished(&self) -> &[Vanished] {
        &self.vanished
    }

    /// Somebody considers a living process dead, or a second cluster begins.
    pub(super) fn fork(&mut self) {
        self.forked = true;
        self.holders.false_death();
    }

    /// Whether `pid` knew `other` when it last set out for the slot.
    pub(super) fn knew(&self, slot: u16, pid: Pid, other: Pid) -> bool {
        self.fates[usize::from(slot)].knew.get(&pid).is_some_and(|routes| routes.is_live(other))
    }

    /// The processes that have the slot.
    pub(super) fn holders(&self, slot: u16) -> impl Iterator<Item = Pid> {
        self.holders.copies(slot).iter().map(|copy| copy.0)
    }

    /// The states of a process's slots may have changed: what has is returned. If one broke a promise, which slot.
    pub(super) fn look(&mut self, at: Duration, slots: &Slots) -> Result<Vec<Change>, (u16, Safety)> {
        let mut changes = Vec::new();
        for slot in 0..u16::try_from(self.fates.len()).unwrap_or(u16::MAX) {
            changes.extend(self.look_at(at, slots, slot).map_err(|safety| (slot, safety))?);
        }
        Ok(changes)
    }

    fn look_at(&mut self, at: Duration, slots: &Slots, slot: u16) -> Result<Option<Change>, Safety> {
        let (holding, taken, hint, announced, winner) = slots.inspect(slot, |header| {
            let announced = match header.state() {
                State::Committing(giving) => Some((slots.me(), giving.next)),
                _ => None,
            };
            let winner = match header.state() {
                State::Copying(giving) | State::Merging(giving) => {
                    (giving.purpose == Purpose::Merge).then_some(giving.target)
                }
                _ => None,
            };
            let holding = holding(header.serving(), header.custody());
            (holding, header.taken(), header.hint(), announced, winner)
        });
        let fate = &mut self.fates[usize::from(slot)];
        fate.announced = announced.or(fate.announced);
        fate.sets_out(slots, slot);
        fate.merges(slots.me(), winner, holding);
        if let (Holding::Serving(epoch), Some((pid, announced))) = (holding, fate.announced)
            && pid == slots.me()
            && epoch <= announced
        {
            let (under, announced) = (epoch.counter, announced.counter);
            return Err(Safety::EpochReused { at, slot, pid, under, announced });
        }
        let copies = self.holders.copies(slot);
        let before =
            copies.iter().find(|(pid, _)| *pid == slots.me()).map_or(Holding::Nothing, |copy| copy.1);
        if before == holding {
            return Ok(None);
        }
        self.holders.change(at, slots.me(), slot, holding).map_err(broken)?;
        self.check_truth(at, slot)?;
        if matches!((before, holding), (Holding::Custody(_), Holding::Serving(_))) {
            self.fates[usize::from(slot)].copied |= self.holders.copies(slot).len() > 1;
        }
        let lost = match holding {
            Holding::Serving(epoch) if before == Holding::Nothing && taken.is_none_or(|it| it.1 != epoch) => {
                self.minted(at, slots.me(), slot)?
            }
            Holding::Serving(_) | Holding::Custody(_) => {
                self.fates[usize::from(slot)].crashed = None;
                false
            }
            Holding::Nothing => {
                self.let_go(at, slots.me(), slot, hint.map(|hint| hint.pid))?;
                false
            }
        };
        Ok(Some(Change { slot, holding, lost }))
    }

    /// Whoever serves a slot has its only copy: until the source has let go, its frozen copy is the truth.
    fn check_truth(&self, at: Duration, slot: u16) -> Result<(), Safety> {
        let copies = self.holders.copies(slot);
        let serving = |copy: &&(Pid, Holding)| matches!(copy.1, Holding::Serving(_));
        match copies.iter().find(serving) {
            Some(&(pid, _)) if copies.len() > 1 && !self.forked => {
                Err(Safety::NotAlone { at, slot, pid, copies: copies.len() })
            }
            _ => Ok(()),
        }
    }

    /// A process let go of its copy, and gave it to `heir`.
    fn let_go(&mut self, at: Duration, pid: Pid, slot: u16, heir: Option<Pid>) -> Result<(), Safety> {
        // Perhaps the heir has crashed since it said that it has everything.
        let fate = &mut self.fates[usize::from(slot)];
        if !self.holders.copies(slot).is_empty() {
            // Others have copies, but not what was written to this one; the crash may have been before there were two.
            let ended = fate.ended.iter().rev().find(|ended| Some(ended.0) == heir);
            if let Some(&(_, from)) = ended
                && !self.vanished.iter().any(|it| (it.slot, it.from) == (slot, from))
            {
                self.vanished.push(Vanished { slot, from, to: at });
            }
            return Ok(());
        }
        // After a fork it may have been merged, and handed on to somebody who has.
        let is_heir = |ended: &&(Pid, Duration)| Some(ended.0) == heir || self.forked;
        let crashed = fate.ended.iter().rev().find(is_heir);
        fate.crashed = Some(crashed.ok_or(Safety::CopyDropped { at, slot, pid })?.1);
        self.holders.lost(slot);
        Ok(())
    }

    /// A process began the slot. True: anew, because a crash had taken it.
    fn minted(&mut self, at: Duration, pid: Pid, slot: u16) -> Result<bool, Safety> {
        let fate = &mut self.fates[usize::from(slot)];
        let existed = std::mem::replace(&mut fate.existed, true);
        match fate.crashed.take() {
            Some(from) => {
                self.vanished.push(Vanished { slot, from, to: at });
                Ok(true)
            }
            None if existed && !self.forked => Err(Safety::MintedAgain { at, slot, pid }),
            None => Ok(false),
        }
    }

    /// A process ended, and its copies with it.
    pub(super) fn stopped(&mut self, at: Duration, pid: Pid) {
        let slots = 0..u16::try_from(self.fates.len()).unwrap_or(u16::MAX);
        let had: Vec<u16> =
            slots.filter(|slot| self.holders.copies(*slot).iter().any(|copy| copy.0 == pid)).collect();
        self.holders.stopped(pid);
        for slot in had {
            let fate = &mut self.fates[usize::from(slot)];
            fate.ended.push((pid, at));
            fate.merges(pid, None, Holding::Nothing);
            if self.forked {
                // Others may have copies, but not what was written to this one.
                self.vanished.push(Vanished { slot, from: at, to: at });
            }
            if self.holders.copies(slot).is_empty() {
                self.fates[usize::from(slot)].crashed = Some(at);
            }
        }
    }

    /// A process that has the slot.
    pub(super) fn holder(&self, slot: u16) -> Option<Pid> {
        self.holders(slot).next()
    }

    /// Whether every slot is served by one process that alone has it.
    pub(super) fn settled(&mut self, at: Duration) -> Result<(), Safety> {
        self.holders.settled(at).map_err(broken)
    }
}

fn holding(serving: Option<Epoch>, custody: Option<Epoch>) -> Holding {
    match (serving, custody) {
        (Some(epoch), _) => Holding::Serving(epoch),
        (None, Some(epoch)) => Holding::Custody(epoch),
        (None, None) => Holding::Nothing,
    }
}

fn broken(violation: Violation) -> Safety {
    Safety::Holders(Box::new(violation))
}
