//! Two holders of one slot, after a false death, a healed partition, or when two clusters meet: the higher
//! epoch keeps the slot, the other ships its entries, and per key the higher version wins.

use boato_storage::{EntryRef, Version};

use super::wanted::Wanted;
use super::{Cell, Event, Machine, Output};
use crate::canary::Canary;
use crate::intake::{Intake, Meeting};
use crate::message::{Item, Message};
use crate::pid::{Epoch, Hint, Pid};
use crate::slot::{Giving, Purpose, State};
use crate::time::Now;
use crate::transfer::Transfer;

/// A merge chunk but for its items.
pub(super) struct Part {
    pub(super) xfer: u64,
    pub(super) epoch: Epoch,
    pub(super) seq: u32,
    pub(super) hlc: u64,
}

/// A value that a merge gave up.
#[derive(Clone, Debug)]
pub struct Superseded {
    /// Its key.
    pub key: bytes::Bytes,
    /// `(hlc, node)` of the write that stayed.
    pub kept: (u64, u128),
    /// The write given up.
    pub gone: (u64, u128),
    /// Which of the two came from the loser.
    pub sent: (u64, u128),
    /// The epoch of the holder that merges.
    pub winner: Epoch,
    /// The epoch of the other one.
    pub loser: Epoch,
    /// Whether the two sides had stood apart on this key before, so that it counts no more.
    pub again: bool,
}

impl Machine {
    /// What the last input has made merges give up.
    pub fn superseded(&self) -> &[Superseded] {
        &self.superseded
    }

    /// A holder offers the slot.
    pub(super) fn on_offer(&mut self, cell: &mut Cell, from: Pid, epoch: Epoch, now: Now) {
        if self.view.is_dead(from) {
            return;
        }
        match &mut cell.header.state {
            State::Held { .. } | State::Copying(_) => self.meet(cell, from, epoch),
            State::Absent => {
                // A hint without an epoch is but presumed.
                let known = cell.header.hint.is_some_and(|hint| hint.epoch > Epoch::ZERO);
                let fresh = epoch >= cell.header.floor || !known;
                let promised = cell.header.promised.is_some() && !self.bug(Canary::BrokenPromise);
                let free = !promised && self.may_take();
                if fresh && free {
                    self.take_offer(cell, from, epoch, now);
                }
            }
            State::Asking(asking) if asking.source == from => asking.offered = true,
            State::Asking(asking) => {
                let newer = cell.header.hint.is_none_or(|hint| epoch > hint.epoch);
                if asking.staging.is_none() && newer {
                    self.take_offer(cell, from, epoch, now);
                }
            }
            State::Claiming(_) => self.take_offer(cell, from, epoch, now),
            State::Ready { .. } | State::Committing(_) | State::Merging(_) => {}
        }
    }

    fn take_offer(&mut self, cell: &mut Cell, from: Pid, epoch: Epoch, now: Now) {
        cell.header.hint = Some(Hint { pid: from, epoch });
        self.ask(cell, from, true, now);
    }

    /// The target of our offer holds the slot itself, or a process we meet says what it holds.
    pub(super) fn on_holding(&mut self, cell: &mut Cell, from: Pid, epoch: Epoch) {
        if self.view.is_dead(from) {
            return;
        }
        if matches!(cell.header.state, State::Absent)
            && cell.header.hint.is_none_or(|hint| epoch > hint.epoch)
        {
            cell.header.hint = Some(Hint { pid: from, epoch });
        }
        self.meet(cell, from, epoch);
    }

    /// Another holder: the higher epoch says so, the lower makes ready to merge.
    fn meet(&mut self, cell: &mut Cell, other: Pid, theirs: Epoch) {
        let Some(mine) = cell.header.serving() else { return };
        if self.bug(Canary::ForksIgnored) {
            return;
        }
        if mine > theirs {
            self.send(cell, other, Message::Holding { epoch: mine });
        } else if mine < theirs {
            self.wanted.entry(other).or_default().insert(cell.slot, Wanted::Merge(theirs));
        }
    }

    /// Begins to ship everything, serving on meanwhile. False: there is no room now.
    pub(super) fn begin_merge(&mut self, cell: &mut Cell, winner: Pid, theirs: Epoch, now: Now) -> bool {
        if self.view.is_dead(winner) || cell.header.serving().is_none_or(|mine| mine >= theirs) {
            return true;
        }
        if matches!(&cell.header.state, State::Copying(giving) if giving.purpose == Purpose::Merge) {
            return true;
        }
        if !self.has_room(winner, now) {
            return false;
        }
        self.abort_copying(cell);
        let State::Held { epoch } = cell.header.state else { return true };
        self.outputs.push_back(Output::Event(Event::Merging { slot: cell.slot, winner }));
        self.ship(cell, (winner, theirs), epoch, now);
        true
    }

    /// Held or Merging to Copying, for `winner` to merge.
    fn ship(&mut self, cell: &mut Cell, (winner, theirs): (Pid, Epoch), mine: Epoch, now: Now) {
        let transfer = Transfer::new(cell.header.next_serial(self.batch), cell.entries, now.at);
        let purpose = Purpose::Merge;
        let giving = Giving {
            epoch: mine,
            target: winner,
            purpose,
            next: theirs,
            counted: true,
            frozen: 0,
            allowance: None,
            began_at: now.at,
            frozen_at: now.at,
            transfer,
        };
        self.count_giving(winner);
        self.enter(cell, State::Copying(Box::new(giving)));
        self.tick(cell, now);
    }

    pub(super) fn tick_merging(&mut self, cell: &mut Cell, now: Now) {
        self.resend_lost(cell, now);
        self.end_merge_if_done(cell);
    }

    /// Copying to Merging: what is left goes out.
    pub(super) fn freeze_to_merge(&mut self, cell: &mut Cell, now: Now) {
        let State::Copying(giving) = std::mem::take(&mut cell.header.state) else { return };
        self.enter(cell, State::Merging(giving));
        while self.send_chunk(cell, now) {}
        self.tick(cell, now);
    }

    /// Lets go when everything has been merged.
    fn end_merge_if_done(&mut self, cell: &mut Cell) {
        let State::Merging(giving) = &cell.header.state else { return };
        let early = self.bug(Canary::MergeLetsGoEarly);
        if !early && (!giving.transfer.settled() || !giving.transfer.drained()) {
            return;
        }
        let State::Merging(giving) = std::mem::take(&mut cell.header.state) else { return };
        self.settle_budget(&giving);
        self.stats.slots_merged += 1;
        cell.entries.clear();
        cell.header.hint = Some(Hint { pid: giving.target, epoch: giving.next });
        self.send(cell, giving.target, Message::MergeEnd { epoch: giving.epoch });
        self.enter(cell, State::Absent);
        self.wake(cell, std::time::Duration::ZERO);
    }

    pub(super) fn on_merge(&mut self, cell: &mut Cell, from: Pid, part: &Part, items: &[Item], now: Now) {
        let &Part { xfer, epoch, seq, hlc } = part;
        match &cell.header.state {
            State::Held { .. } | State::Copying(_) if cell.header.serving() > Some(epoch) => {}
            State::Ready { .. } | State::Committing(_) | State::Merging(_) => return,
            _ => {
                let hint = cell.header.hint.filter(|hint| hint.epoch > Epoch::ZERO);
                return self.send(cell, from, Message::MergeNo { epoch, hint });
            }
        }
        if !cell.header.intakes.get(&from).is_some_and(|intake| intake.is_past(epoch)) {
            self.take_in(cell, from, epoch, items, now);
        }
        // A clock too far ahead is not followed; every write exceeds the version it replaces all the same.
        let _ = self.slots.clock.observe(hlc, now.unix_ms);
        self.send(cell, from, Message::Merged { xfer, seq });
    }

    /// Each key keeps its higher version.
    fn take_in(&mut self, cell: &mut Cell, from: Pid, epoch: Epoch, items: &[Item], now: Now) {
        let before = cell.header.intakes.remove(&from).filter(|intake| intake.is_of(epoch));
        let mut intake = before.unwrap_or_else(|| Intake::new(epoch));
        for item in items {
            let mut entry = item.as_entry();
            if self.bug(Canary::MergeIgnoresVersions) {
                entry.version.hlc = self.slots.clock.latest() + 1;
            }
            let stored = cell.entries.peek(&item.key);
            if self.bug(Canary::MergesForget) {
                intake = Intake::new(epoch);
            }
            match intake.meet(&entry, stored.as_ref(), now) {
                Meeting::Known => continue,
                Meeting::Agreed => {}
                Meeting::Apart { gone, again } => {
                    let kept = stored.map_or(entry.version, |stored| stored.version.max(entry.version));
                    let epochs = (cell.header.serving().unwrap_or(epoch), epoch);
                    self.supersede(&entry, [kept, gone], epochs, again);
                }
            }
            if cell.entries.merge(entry) {
                cell.header.mark_written(&item.key);
            }
        }
        cell.header.intakes.insert(from, intake);
    }

    /// Counts a value that is given up: one of this side, or `sent` by the loser.
    fn supersede(
        &mut self,
        sent: &EntryRef<'_>,
        [kept, gone]: [Version; 2],
        (winner, loser): (Epoch, Epoch),
        again: bool,
    ) {
        let own = gone != sent.version;
        if self.bug(if own { Canary::OwnLossUncounted } else { Canary::SentLossUncounted }) {
            return;
        }
        self.stats.keys_superseded += u64::from(!again);
        let key = bytes::Bytes::copy_from_slice(sent.key);
        let [kept, gone, sent] = [kept, gone, sent.version].map(|version| (version.hlc, version.node));
        self.superseded.push(Superseded { key, kept, gone, sent, winner, loser, again });
    }

    pub(super) fn on_merged(&mut self, cell: &mut Cell, from: Pid, chunk: (u64, u32), now: Now) {
        if self.acknowledge(cell, from, chunk, now) {
            self.tick(cell, now);
        }
    }

    /// The winner has it no longer: after it, if somebody higher is known; else the slot stays here.
    pub(super) fn on_merge_no(
        &mut self,
        cell: &mut Cell,
        from: Pid,
        epoch: Epoch,
        hint: Option<Hint>,
        now: Now,
    ) {
        match &cell.header.state {
            State::Copying(giving) | State::Merging(giving)
                if giving.purpose == Purpose::Merge && giving.target == from && giving.epoch == epoch => {}
            _ => return,
        }
        let next =
            hint.filter(|hint| hint.epoch > epoch && hint.pid != self.me && !self.view.is_dead(hint.pid));
        if let Some(giving) = cell.header.state.giving() {
            self.settle_budget(giving);
        }
        match next {
            Some(hint) => self.ship(cell, (hint.pid, hint.epoch), epoch, now),
            None => self.hold(cell, epoch),
        }
    }

    /// The winner died: what it took in is gone with it, this copy serves on under a new epoch.
    pub(super) fn keep_fork(&mut self, cell: &mut Cell) {
        let State::Merging(giving) = std::mem::take(&mut cell.header.state) else { return };
        self.settle_budget(&giving);
        let epoch = cell.header.floor.after(giving.epoch, self.me);
        self.hold(cell, epoch);
    }
}

/// A lower holder has let go.
pub(super) fn on_merge_end(cell: &mut Cell, from: Pid, epoch: Epoch) {
    if let Some(intake) = cell.header.intakes.get_mut(&from) {
        intake.end(epoch);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::machine::{Config, Input};
    use crate::message::{Digest, Frame, Greeting, Run, Standing};
    use crate::view::Liveness;

    #[test]
    fn an_offer_below_the_floor_is_taken_where_the_holder_is_but_presumed() {
        let [me, other, holder] = [1, 2, 3].map(|node| Pid { node, boot: 1 });
        let now = Now { at: Duration::ZERO, unix_ms: 1 };
        let mut machine = Machine::new(Config::new(me, 1), now);
        let hear = |machine: &mut Machine, runs| {
            let (to, standing, greeting) = (me, Standing::Claimed, Greeting::None);
            let digest = Some(Digest { live: vec![me, holder], dead: Vec::new() });
            let frame = Frame { from: holder, to, standing, greeting, digest, runs };
            machine.handle(Input::Frame(frame), now);
        };
        machine.handle(Input::Member { pid: holder, liveness: Liveness::Alive, weight: 1 }, now);
        hear(&mut machine, Vec::new());
        let epoch = |counter, pid| Epoch { counter, pid };
        let slots = machine.slots();
        for (slot, presumed, taken) in [(0, epoch(8, other), false), (1, Epoch::ZERO, true)] {
            {
                let mut guard = slots.store.lock(slot.into());
                let header = guard.header_mut();
                header.floor = epoch(9, other);
                header.hint = Some(Hint { pid: other, epoch: presumed });
            }
            let message = Message::Offer { epoch: epoch(5, holder) };
            hear(&mut machine, vec![Run { start: slot, len: 1, message }]);
            let asks = slots.inspect(slot, |header| matches!(header.state, State::Asking(_)));
            assert_eq!(asks, taken, "slot {slot}");
        }
    }
}
