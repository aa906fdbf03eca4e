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
    /// When a living process was first considered dead, or two clusters began: two holders may be since then.
    forked: Option<Duration>,
    /// From then on there is one holder of each slot again.
    whole: Option<Duration>,
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
    /// In whose favour processes have let go of their copies, unless they have got another since.
    heirs: BTreeMap<Pid, Pid>,
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

    /// When the last one ended with a copy who got what `heir` has got: itself, or whom it gave it, and so on.
    fn end_of_line(&self, heir: Option<Pid>) -> Option<Duration> {
        let mut line = heir;
        // Nobody is in it twice but by a fault.
        for _ in 0..=self.heirs.len() {
            let pid = line?;
            if let Some(ended) = self.ended.iter().find(|ended| ended.0 == pid) {
                return Some(ended.1);
            }
            line = self.heirs.get(&pid).copied();
        }
        None
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
            forked: None,
            whole: None,
            vanished: Vec::new(),
        }
    }

    /// Whether two holders were possible in this run.
    pub(super) fn is_forked(&self) -> bool {
        self.forked.is_some()
    }

    /// The same for a moment between these two.
    pub(super) fn was_forked(&self, from: Duration, to: Duration) -> bool {
        self.forked.is_some_and(|at| at <= to) && self.whole.is_none_or(|at| from <= at)
    }

    /// Whether two processes may have gone on from one copy of a slot, or a merge was begun anew.
    pub(super) fn is_copied(&self, slot: u16) -> bool {
        self.fates[usize::from(slot)].copied
    }

    pub(super) fn vanished(&self) -> &[Vanished] {
        &self.vanished
    }

    /// Somebody considers a living process dead, or a second cluster begins.
    pub(super) fn fork(&mut self, at: Duration) {
        self.forked.get_or_insert(at);
        self.holders.false_death();
    }

    /// Everything has come to rest: what clients do from `at` on is told by one holder again.
    pub(super) fn whole(&mut self, at: Duration) {
        self.whole = Some(at);
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
        if before == Holding::Nothing {
            fate.heirs.remove(&slots.me());
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
            Some(&(pid, _)) if copies.len() > 1 && self.forked.is_none() => {
                Err(Safety::NotAlone { at, slot, pid, copies: copies.len() })
            }
            _ => Ok(()),
        }
    }

    /// A process let go of its copy, and gave it to `heir`.
    fn let_go(&mut self, at: Duration, pid: Pid, slot: u16, heir: Option<Pid>) -> Result<(), Safety> {
        // Perhaps the heir has crashed since it said that it has everything.
        let fate = &mut self.fates[usize::from(slot)];
        fate.heirs.extend(heir.map(|heir| (pid, heir)));
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
        let crashed = fate.end_of_line(heir);
        fate.crashed = Some(crashed.ok_or(Safety::CopyDropped { at, slot, pid })?);
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
            None if existed && self.forked.is_none() => Err(Safety::MintedAgain { at, slot, pid }),
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
            if self.forked.is_some() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_copy_goes_with_who_has_got_it_and_with_nobody_else() {
        let [a, b, c, other] = [1, 2, 3, 4].map(|node| Pid { node, boot: 1 });
        let at = Duration::from_secs(1);
        let mut fate = Fate { ended: vec![(other, at)], ..Fate::default() };
        assert_eq!(fate.end_of_line(None), None);
        assert_eq!(fate.end_of_line(Some(a)), None, "another one ended");
        assert_eq!(fate.end_of_line(Some(other)), Some(at));
        fate.heirs = BTreeMap::from([(a, b), (b, c)]);
        assert_eq!(fate.end_of_line(Some(a)), None, "the last of the line lives");
        fate.ended.push((c, 2 * at));
        assert_eq!(fate.end_of_line(Some(a)), Some(2 * at));
        fate.heirs = BTreeMap::from([(a, b), (b, a)]);
        assert_eq!(fate.end_of_line(Some(a)), None, "nobody ends in a circle");
    }
}
