//! What a change of members or of the table means for the slots, and which of them have to be looked at for it.
//!
//! A node has 16384 slots, so a look at all of them takes a good part of a millisecond and more if each is worked on. A
//! death may concern any slot, another table only those whose target it changes; whoever joins concerns none before
//! there is a table with it.

use std::sync::Arc;

use boato_placement::Table;

use super::Machine;
use crate::pid::{Epoch, Hint, Pid};
use crate::slot::{Header, State};
use crate::time::Now;
use crate::view::Routes;

/// How much sooner a table follows when there is none yet but of this node alone.
const HASTE: u32 = 10;

impl Machine {
    /// Members are others than before: soon there is a table of them.
    pub(super) fn members_changed(&mut self, now: Now) {
        // Who comes to a cluster has clients that wait for a table with somebody else in it.
        let haste = if self.table.nodes().len() > 1 { 1 } else { HASTE };
        self.rebuild_at = self.rebuild_at.or(Some(now.at + self.config.settle / haste));
        self.table_before = None;
        self.publish();
        if self.view.take_upheaval() {
            (self.stirred, self.upheaval) = (true, true);
        }
        // A claim asks whoever turns up.
        self.stirred |= !self.claims.is_empty();
    }

    /// A new table, if its time has come, and a look at the slots that what has changed may concern.
    pub(super) fn advance_changes(&mut self, now: Now) {
        let is_due = self.rebuild_at.is_some_and(|at| at <= now.at);
        let retargeted = if is_due { self.rebuild() } else { Vec::new() };
        let rebuilt = is_due;
        if std::mem::take(&mut self.stirred) {
            self.budgets.retain(|&pid, _| !self.view.is_dead(pid));
            self.wanted.retain(|&pid, _| !self.view.is_dead(pid));
            for slot in self.unsettled() {
                self.look(slot, rebuilt, now);
            }
        } else {
            for slot in retargeted {
                self.look(slot, rebuilt, now);
            }
        }
    }

    fn look(&mut self, slot: u16, rebuilt: bool, now: Now) {
        self.on_slot(slot, now, |machine, cell| {
            // Another target is offered the slot at once.
            if rebuilt && matches!(cell.header.state, State::Held { .. }) {
                machine.rest(cell);
            }
            machine.tick(cell, now);
        });
    }

    /// Makes the table of the present members; the slots that another node is to have from now on.
    fn rebuild(&mut self) -> Vec<u16> {
        self.rebuild_at = None;
        // After a death the targets' processes may be others though the table is the same.
        self.stirred |= std::mem::take(&mut self.upheaval) || !self.claims.is_empty();
        let candidates = self.view.candidates(false);
        let mut retargeted = Vec::new();
        if candidates != self.table.nodes() {
            let table = Arc::new(Table::build(&*self.config.strategy, candidates));
            let before = std::mem::replace(&mut self.table, table);
            retargeted.extend(
                self.config.slots.clone().filter(|&slot| before.owner(slot) != self.table.owner(slot)),
            );
            for &slot in &retargeted {
                self.retarget(slot, &before);
            }
        }
        self.publish();
        retargeted
    }

    /// Another node is to have a slot: counts it anew as misplaced or not, and where nothing is known of it presumes it
    /// where it was to be before, so that clients' operations do not wait for whoever is yet to ask for it.
    fn retarget(&mut self, slot: u16, before: &Table) {
        let owner = before.owner(slot);
        let presumed = owner.and_then(|node| self.view.pid_of(node)).filter(|&pid| pid != self.me);
        let slots = Arc::clone(&self.slots);
        let mut guard = slots.store.lock(usize::from(slot));
        let header = guard.header_mut();
        header.handed_on = false;
        if matches!(header.state, State::Absent) && header.hint.is_none() {
            header.hint = presumed.map(|pid| Hint { pid, epoch: Epoch::ZERO });
        }
        let serving = header.serving().is_some();
        drop(guard);
        self.misplaced += usize::from(serving != self.is_target(slot));
        self.misplaced -= usize::from(serving != (owner == Some(self.me.node)));
    }

    pub(super) fn publish(&self) {
        self.slots.set_members(self.view.members());
        self.slots.routes.store(Arc::new(Routes::new(Arc::clone(&self.table), &self.view)));
    }

    /// The slots on which a look might change something.
    fn unsettled(&self) -> Vec<u16> {
        // Neighbours mostly have the same hint.
        let mut known = None;
        let mut is_dead = |pid: Pid| match known {
            Some((last, dead)) if last == pid => dead,
            _ => known.insert((pid, self.view.is_dead(pid))).1,
        };
        let slots = self.config.slots.clone();
        slots
            .filter(|&slot| self.slots.inspect(slot, |header| !self.is_at_rest(slot, header, &mut is_dead)))
            .collect()
    }

    /// Whether the slot is where it should be, waits for nothing and knows of no dead.
    fn is_at_rest(&self, slot: u16, header: &Header, mut is_dead: impl FnMut(Pid) -> bool) -> bool {
        let placed = match header.state {
            State::Held { .. } => self.is_target(slot),
            State::Absent => !self.is_target(slot),
            _ => false,
        };
        placed
            && header.retry.at.is_none()
            && header.retry.attempts == 0
            && header.promised.is_none()
            && header.queue.is_empty()
            && header.hint.is_none_or(|hint| !is_dead(hint.pid))
    }

    pub(super) fn count_misplaced(&self) -> usize {
        let slots = self.config.slots.clone();
        slots.filter(|&slot| self.slots.inspect(slot, |header| self.is_misplaced(slot, header))).count()
    }

    /// Whether the slot is served here and should not be, or the reverse.
    pub(super) fn is_misplaced(&self, slot: u16, header: &Header) -> bool {
        header.serving().is_some() != self.is_target(slot)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::machine::{Config, Input};
    use crate::operation::Operation;
    use crate::route::{Attempt, Next};
    use crate::view::Liveness;

    #[test]
    fn a_slot_of_which_nothing_is_known_is_looked_for_where_it_was_to_be_before() {
        let [me, old, fresh] = [1, 2, 3].map(|node| Pid { node, boot: 1 });
        let at = |ms| Now { at: Duration::from_millis(ms), unix_ms: 1 };
        let mut machine = Machine::new(Config::new(me, 1), at(0));
        machine.handle(Input::Member { pid: me, liveness: Liveness::Alive, weight: 0 }, at(0));
        machine.handle(Input::Member { pid: old, liveness: Liveness::Alive, weight: 1 }, at(0));
        machine.handle(Input::Timeout, at(1000));
        machine.handle(Input::Member { pid: fresh, liveness: Liveness::Alive, weight: 1 }, at(1000));
        machine.handle(Input::Timeout, at(2000));
        let slots = machine.slots();
        let mut keys = (0..100_u8).map(|key| Operation::<Vec<u8>>::get(vec![key]));
        let moved = keys.find(|operation| slots.routes().target(operation.slot()) == Some(fresh)).unwrap();
        assert_eq!(Attempt::new(&moved).next(&slots), Next::Peer { to: old, used: Some(Epoch::ZERO) });
        // Once it is known to have come to an end, there is nothing to presume.
        machine.handle(Input::Member { pid: old, liveness: Liveness::Dead, weight: 1 }, at(2000));
        assert_eq!(Attempt::new(&moved).next(&slots), Next::Peer { to: fresh, used: None });
    }
}
