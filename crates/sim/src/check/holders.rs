//! Who holds which slot: never two, and every reign later than the one before.

use std::fmt;
use std::time::Duration;

use boato_cluster::{Epoch, Pid};

use super::{Fault, Violation};

/// What a process has of a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holding {
    /// No copy that it answers for.
    Nothing,
    /// A copy that it keeps, frozen or not yet its own, under this epoch.
    Custody(Epoch),
    /// A copy that it serves under this epoch.
    Serving(Epoch),
}

impl Holding {
    fn epoch(self) -> Option<Epoch> {
        match self {
            Self::Nothing => None,
            Self::Custody(epoch) | Self::Serving(epoch) => Some(epoch),
        }
    }
}

impl fmt::Display for Holding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("has nothing"),
            Self::Custody(epoch) => write!(f, "keeps it as {epoch}"),
            Self::Serving(epoch) => write!(f, "serves it as {epoch}"),
        }
    }
}

/// The holders of all slots, fed with every change in the order of time.
///
/// A false death (a living process considered dead by anybody; also two clusters that meet) excuses two holders and
/// epochs that go back, from then until [`Holders::settled`].
#[derive(Clone, Debug)]
pub struct Holders {
    slots: Vec<Slot>,
    excused: bool,
}

/// Those who have something of one slot, few at any time.
#[derive(Clone, Default, Debug)]
struct Slot {
    copies: Vec<(Pid, Holding)>,
    /// The highest epoch that anybody had it under, unless that may have been lost in a crash.
    highest: Option<Epoch>,
}

impl Holders {
    /// Of slots `0..slots`, none of which anybody holds.
    pub fn new(slots: u16) -> Self {
        Self { slots: vec![Slot::default(); slots.into()], excused: false }
    }

    /// From now on `pid` has `holding` of `slot`. Being told the same again is harmless.
    ///
    /// # Errors
    ///
    /// [`Violation::Slot`]. The change counts anyway.
    ///
    /// # Panics
    ///
    /// If there is no such slot.
    pub fn change(&mut self, at: Duration, pid: Pid, slot: u16, holding: Holding) -> Result<(), Violation> {
        let state = &mut self.slots[usize::from(slot)];
        match state.change(pid, holding, self.excused) {
            None => Ok(()),
            Some(fault) => Err(Violation::Slot { at, slot, fault, copies: state.copies.clone() }),
        }
    }

    /// A process ended, and with it all its copies: a crash, or a leaver that had to go.
    pub fn stopped(&mut self, pid: Pid) {
        for slot in &mut self.slots {
            if slot.set(pid, Holding::Nothing) != Holding::Nothing {
                slot.highest = slot.copies.iter().filter_map(|(_, holding)| holding.epoch()).max();
            }
        }
    }

    /// The last copy of a slot was let go in favour of a process that had ended by then: perhaps nobody alive knows of
    /// its epoch.
    ///
    /// # Panics
    ///
    /// If there is no such slot.
    pub fn lost(&mut self, slot: u16) {
        self.slots[usize::from(slot)].highest = None;
    }

    /// Somebody considers a living process dead, or two clusters have met.
    pub fn false_death(&mut self) {
        self.excused = true;
    }

    /// The faults are over and the cluster had time to become one: every slot must be served by one process, nobody
    /// else may have a copy. If so, no past false death excuses anything from here on.
    ///
    /// # Errors
    ///
    /// [`Violation::Slot`] with the first that is not so.
    pub fn settled(&mut self, at: Duration) -> Result<(), Violation> {
        let unsettled = |slot: &&(u16, &Slot)| !matches!(slot.1.copies[..], [(_, Holding::Serving(_))]);
        if let Some((slot, state)) = (0..).zip(&self.slots).find(|slot| unsettled(&slot)) {
            let (fault, copies) = (Fault::NotSettled, state.copies.clone());
            return Err(Violation::Slot { at, slot, fault, copies });
        }
        self.excused = false;
        for slot in &mut self.slots {
            slot.highest = slot.copies[0].1.epoch();
        }
        Ok(())
    }

    /// The processes that have a copy of `slot` now, in no particular order.
    ///
    /// # Panics
    ///
    /// If there is no such slot.
    pub fn copies(&self, slot: u16) -> &[(Pid, Holding)] {
        &self.slots[usize::from(slot)].copies
    }
}

impl Slot {
    fn change(&mut self, pid: Pid, holding: Holding, excused: bool) -> Option<Fault> {
        let before = self.set(pid, holding);
        let epoch = holding.epoch()?;
        let highest = self.highest;
        self.highest = highest.max(Some(epoch));
        if epoch.pid != pid {
            return Some(Fault::ForeignEpoch);
        }
        let rests = before.epoch() == Some(epoch) && matches!(holding, Holding::Custody(_));
        if excused || before == holding || rests {
            return None;
        }
        let begins = before == Holding::Nothing;
        let back = highest.filter(|highest| epoch < *highest || begins && epoch == *highest);
        if let Some(highest) = back {
            return Some(Fault::EpochBack { highest });
        }
        let serving = self.copies.iter().filter(|(_, holding)| matches!(holding, Holding::Serving(_)));
        (serving.count() > 1).then_some(Fault::ServedTwice)
    }

    /// What `pid` had before.
    fn set(&mut self, pid: Pid, holding: Holding) -> Holding {
        let found = self.copies.iter().position(|(other, _)| *other == pid);
        match (found, holding) {
            (None, Holding::Nothing) => Holding::Nothing,
            (None, _) => {
                self.copies.push((pid, holding));
                Holding::Nothing
            }
            (Some(index), Holding::Nothing) => self.copies.swap_remove(index).1,
            (Some(index), _) => std::mem::replace(&mut self.copies[index].1, holding),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Holding::{Custody, Nothing, Serving};
    use super::*;

    const A: Pid = Pid { node: 1 << 96, boot: 1 };
    const B: Pid = Pid { node: 2 << 96, boot: 1 };
    const NOW: Duration = Duration::from_millis(1);

    fn epoch(counter: u64, pid: Pid) -> Epoch {
        Epoch { counter, pid }
    }

    /// The fault of the last change of slot 0; the others must be fine.
    #[track_caller]
    fn last(holders: &mut Holders, changes: &[(Pid, Holding)]) -> Option<Fault> {
        let (last, before) = changes.split_last().expect("a change");
        for (pid, holding) in before {
            assert_eq!(holders.change(NOW, *pid, 0, *holding), Ok(()));
        }
        match holders.change(NOW, last.0, 0, last.1) {
            Ok(()) => None,
            Err(Violation::Slot { fault, .. }) => Some(fault),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_slot_that_was_given_to_a_process_that_has_ended_may_begin_at_any_epoch() {
        let mut holders = Holders::new(1);
        let given = [(A, Serving(epoch(5, A))), (A, Custody(epoch(5, A))), (B, Custody(epoch(6, B)))];
        assert_eq!(last(&mut holders, &given), None);
        holders.stopped(B);
        assert_eq!(last(&mut holders, &[(A, Nothing)]), None);
        let mut told = holders.clone();
        told.lost(0);
        assert_eq!(last(&mut told, &[(A, Serving(epoch(2, A)))]), None);
        assert_eq!(
            last(&mut holders, &[(A, Serving(epoch(2, A)))]),
            Some(Fault::EpochBack { highest: epoch(5, A) })
        );
    }

    #[test]
    fn a_hand_over_is_fine() {
        let mut holders = Holders::new(1);
        let (first, second) = (epoch(1, A), epoch(2, B));
        let there = [
            (A, Serving(first)),
            (A, Custody(first)),
            (B, Custody(second)),
            (A, Nothing),
            (B, Serving(second)),
            (B, Serving(second)),
        ];
        assert_eq!(last(&mut holders, &there), None);
        assert_eq!(holders.settled(NOW), Ok(()));
        let back = [(B, Custody(second)), (A, Custody(epoch(3, A))), (B, Nothing), (A, Serving(epoch(3, A)))];
        assert_eq!(last(&mut holders, &back), None);
        assert_eq!(holders.copies(0), [(A, Serving(epoch(3, A)))]);
    }

    #[test]
    fn two_serve_only_after_a_false_death() {
        let two = [(A, Serving(epoch(1, A))), (B, Serving(epoch(2, B)))];
        assert_eq!(last(&mut Holders::new(1), &two), Some(Fault::ServedTwice));
        let mut holders = Holders::new(1);
        holders.false_death();
        assert_eq!(last(&mut holders, &two), None);
        assert!(holders.settled(NOW).is_err());
        assert_eq!(last(&mut holders, &[(A, Custody(epoch(1, A))), (A, Nothing)]), None);
        assert_eq!(holders.settled(NOW), Ok(()));
        assert_eq!(
            last(&mut holders, &[(A, Serving(epoch(3, A)))]),
            Some(Fault::ServedTwice),
            "excused no more"
        );
    }

    #[test]
    fn nobody_has_anothers_epoch() {
        let mut holders = Holders::new(1);
        holders.false_death();
        let same = [(A, Serving(epoch(1, A))), (B, Custody(epoch(1, A)))];
        assert_eq!(last(&mut holders, &same), Some(Fault::ForeignEpoch));
    }

    #[test]
    fn epochs_grow() {
        let back = |highest| Some(Fault::EpochBack { highest });
        let (old, new) = (epoch(1, A), epoch(2, B));
        let lower = [(B, Serving(new)), (B, Nothing), (A, Serving(old))];
        assert_eq!(last(&mut Holders::new(1), &lower), back(new));
        let same = [(A, Serving(old)), (A, Nothing), (A, Serving(old))];
        assert_eq!(last(&mut Holders::new(1), &same), back(old));
        let resumed = [(A, Serving(old)), (A, Custody(old)), (B, Custody(new)), (A, Serving(old))];
        assert_eq!(last(&mut Holders::new(1), &resumed), back(new));
        let frozen = [(A, Serving(old)), (B, Custody(new)), (A, Custody(old)), (A, Nothing)];
        assert_eq!(last(&mut Holders::new(1), &frozen), None, "what comes to rest begins no reign");
        let mut holders = Holders::new(1);
        holders.false_death();
        assert_eq!(last(&mut holders, &resumed), None);
    }

    #[test]
    fn what_a_crash_took_along_is_forgotten() {
        let mut holders = Holders::new(1);
        assert_eq!(last(&mut holders, &[(B, Serving(epoch(9, B)))]), None);
        holders.stopped(B);
        assert_eq!(last(&mut holders, &[(A, Serving(epoch(1, A)))]), None);
        holders.stopped(B);
        assert_eq!(last(&mut holders, &[(A, Nothing), (B, Serving(epoch(1, B)))]), None, "later than 1 of A");
        let lower = last(&mut holders, &[(B, Nothing), (A, Serving(epoch(1, A)))]);
        assert_eq!(
            lower,
            Some(Fault::EpochBack { highest: epoch(1, B) }),
            "a stop of nobody's forgets nothing"
        );
    }

    #[test]
    fn every_slot_must_settle() {
        let mut holders = Holders::new(2);
        assert_eq!(holders.change(NOW, A, 0, Serving(epoch(1, A))), Ok(()));
        let none = Violation::Slot { at: NOW, slot: 1, fault: Fault::NotSettled, copies: Vec::new() };
        assert_eq!(holders.settled(NOW), Err(none));
        assert_eq!(holders.change(NOW, B, 1, Custody(epoch(1, B))), Ok(()));
        assert!(holders.settled(NOW).is_err(), "kept, but not served");
    }
}
