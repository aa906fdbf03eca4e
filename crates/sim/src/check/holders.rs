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

    /// Somebody considers a living process dead, or two clusters have met.
    pub fn false_death(&mut self) {
        self.excused = true;
    }

    /// The faults are over and the cluster had time to become one: every slot must be served by one process, nobody
    /// else may have a copy, and no past false death excuses anything from here on.
    ///
    /// # Errors
    ///
    /// [`Violation::Slot`] with the first that is not so.
    pub fn settled(&mut self, at: Duration) -> Result<(), Violation> {
        self.excused = false;
        for (index, slot) in (0..).zip(&mut self.slots) {
            let [(_, Holding::Serving(epoch))] = slot.copies[..] else {
                let (fault, copies) = (Fault::NotSettled, slot.copies.clone());
                return Err(Violation::Slot { at, slot: index, fault, copies });
            };
            slot.highest = Some(epoch);
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
        if excused || before == holding {
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
