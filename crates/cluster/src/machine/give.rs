//! The source of a hand-off: granting, copying while serving, freezing, letting go.

use std::time::Duration;

use super::budget::{FROZEN_BYTES, WINDOW_BYTES};
use super::take::NEED_MAX;
use super::tick::COMMIT;
use super::wanted::Wanted;
use super::{Cell, Machine};
use crate::canary::Canary;
use crate::message::{Item, Message};
use crate::pid::{Epoch, Hint, Pid};
use crate::slot::{Ended, Giving, Purpose, State};
use crate::time::Now;
use crate::transfer::Transfer;

/// Rounds after which writes to a slot keep to half the pace of its copy: from then on every round is at most half
/// as long as the one before, however fast clients write.
const FREE_ROUNDS: u32 = 2;

/// Rounds after which a slot is frozen whatever is left.
const ROUNDS_MAX: u32 = 32;

/// A chunk that has been on its way for so long is sent again if it is lost. A target that has acknowledged nothing
/// for so long is asked what has arrived.
const RESEND_AFTER: Duration = Duration::from_millis(500);

/// A copy of which the target has acknowledged nothing for this long, and for which it has not asked either, is given
/// up.
const SILENT_AFTER: Duration = Duration::from_secs(10);

/// The same for a merge: the other side never asks, and both serve.
const MERGE_SILENT_AFTER: Duration = Duration::from_mins(1);

impl Machine {
    pub(super) fn on_acquire(&mut self, cell: &mut Cell, from: Pid, now: Now) {
        self.note_heir(from, now);
        match &mut cell.header.state {
            State::Absent | State::Asking(_) | State::Claiming(_) => {
                let (hint, floor) = (cell.header.hint, cell.header.floor);
                let hint = hint.filter(|hint| hint.pid != from && hint.epoch > Epoch::ZERO);
                self.send(cell, from, Message::NotHolder { hint, floor });
            }
            State::Held { .. } if self.target(cell.slot) == Some(from) && cell.entries.is_empty() => {
                // Needs no room: an empty slot does not wait behind those that do.
                self.grant(cell, from, now);
            }
            State::Held { .. } if self.target(cell.slot) == Some(from) => {
                self.wanted.entry(from).or_default().insert(cell.slot, Wanted::Grant);
            }
            State::Copying(giving) if giving.target == from && giving.purpose == Purpose::HandOver => {
                giving.transfer.progress_at = now.at;
            }
            State::Committing(giving) if giving.target == from => self.send_commit(cell),
            _ => self.send(cell, from, Message::Later),
        }
    }

    /// Begins to copy a slot. False: there is no room now.
    pub(super) fn grant(&mut self, cell: &mut Cell, target: Pid, now: Now) -> bool {
        let epoch = match cell.header.state {
            State::Held { epoch } if self.target(cell.slot) == Some(target) => epoch,
            _ => return true,
        };
        if !cell.entries.is_empty() {
            if !self.has_room(target, now) {
                return false;
            }
            self.count_giving(target);
        }
        let one_number = self.bug(Canary::OneTransferNumber);
        let xfer = if one_number { 1 } else { cell.header.next_serial(self.batch) };
        let transfer = Transfer::new(xfer, cell.entries, now.at);
        let counted = !cell.entries.is_empty();
        let purpose = Purpose::HandOver;
        let giving = Giving {
            epoch,
            target,
            purpose,
            next: epoch,
            counted,
            frozen: 0,
            allowance: None,
            began_at: now.at,
            frozen_at: now.at,
            transfer,
        };
        self.enter(cell, State::Copying(Box::new(giving)));
        // An empty slot goes over in this very step.
        self.tick(cell, now);
        true
    }

    pub(super) fn tick_copying(&mut self, cell: &mut Cell, now: Now) {
        let State::Copying(giving) = &cell.header.state else { return };
        let (target, purpose) = (giving.target, giving.purpose);
        let patience = if purpose == Purpose::Merge { MERGE_SILENT_AFTER } else { SILENT_AFTER };
        let stuck = !giving.transfer.settled() && giving.transfer.progress_at + patience <= now.at;
        let wanted = purpose == Purpose::Merge
            || (!self.view.is_leaving(target) && self.target(cell.slot) == Some(target));
        if stuck || !wanted {
            return self.abort_copying(cell);
        }
        self.resend_lost(cell, now);
        if !self.pump(cell, now) {
            self.wanted.entry(target).or_default().insert(cell.slot, Wanted::Room);
        }
    }

    /// Sends on as far as there is room, and freezes the slot once little is left. False: it waits
    /// for room to freeze in.
    pub(super) fn pump(&mut self, cell: &mut Cell, now: Now) -> bool {
        let little_bytes = self.config.chunk_bytes;
        loop {
            let State::Copying(giving) = &mut cell.header.state else { return true };
            let transfer = &giving.transfer;
            let little = transfer.pending_bytes(cell.entries, little_bytes + 1) <= little_bytes;
            if transfer.settled() && (little || transfer.rounds >= ROUNDS_MAX) {
                let budget = self.budgets.entry(giving.target).or_default();
                if !transfer.drained() && budget.frozen >= FROZEN_BYTES {
                    return false;
                }
                match giving.purpose {
                    Purpose::HandOver => self.freeze(cell, now),
                    Purpose::Merge => self.freeze_to_merge(cell, now),
                }
                return true;
            }
            if !little && transfer.rounds >= FREE_ROUNDS {
                giving.allowance.get_or_insert(0);
            }
            if little || transfer.rounds >= ROUNDS_MAX {
                return true;
            }
            let budget = self.budgets.entry(giving.target).or_default();
            if !budget.is_open() || !self.pace.is_open(now.at) || !self.send_chunk(cell, now) {
                return true;
            }
        }
    }

    /// Sends the next chunk; false: nothing was left.
    pub(super) fn send_chunk(&mut self, cell: &mut Cell, now: Now) -> bool {
        let frozen = !matches!(cell.header.state, State::Copying(_));
        let Some(giving) = cell.header.state.giving_mut() else { return false };
        if giving.transfer.settled() {
            // It may have waited long for its turn.
            giving.transfer.progress_at = now.at;
        }
        let chunk = giving.transfer.next_chunk(cell.entries, self.config.chunk_bytes, now.at);
        let Some((seq, mut items, bytes)) = chunk else { return false };
        if self.slots.bug.is(Canary::ShipNoTombstones) {
            items.retain(|item| !item.tombstone);
        }
        if self.slots.bug.is(Canary::ShipWithoutExpiry) {
            items.iter_mut().filter(|item| !item.tombstone).for_each(|item| item.expires_at_ms = None);
        }
        let budget = self.budgets.entry(giving.target).or_default();
        budget.send(bytes, now.at);
        if frozen {
            budget.frozen += bytes;
            giving.frozen += bytes;
        }
        self.say(cell, seq, items, bytes, now);
        true
    }

    /// Sends a chunk, and counts its bytes.
    fn say(&mut self, cell: &Cell, seq: u32, items: Vec<Item>, bytes: usize, now: Now) {
        let Some(giving) = cell.header.state.giving() else { return };
        let (xfer, epoch) = (giving.transfer.xfer, giving.epoch);
        let message = match giving.purpose {
            Purpose::Merge => Message::Merge { xfer, epoch, seq, hlc: self.slots.clock.latest(), items },
            Purpose::HandOver => Message::Chunk { xfer, seq, items },
        };
        self.pace.spend(bytes, now.at);
        self.stats.bytes_given += bytes as u64;
        self.send(cell, giving.target, message);
    }

    /// Copying to Committing: what is left goes out with the commit.
    fn freeze(&mut self, cell: &mut Cell, now: Now) {
        let State::Copying(mut giving) = std::mem::take(&mut cell.header.state) else { return };
        giving.next = cell.header.floor.after(giving.epoch, giving.target);
        giving.frozen_at = now.at;
        cell.header.raise_floor(giving.next);
        self.enter(cell, State::Committing(giving));
        while self.send_chunk(cell, now) {}
        self.send_commit(cell);
        if self.bug(Canary::FreeBeforeTaken) {
            cell.entries.clear();
        }
        self.retry(cell, COMMIT, now);
    }

    pub(super) fn send_commit(&mut self, cell: &mut Cell) {
        let State::Committing(giving) = &cell.header.state else { return };
        let message = Message::Commit {
            xfer: giving.transfer.xfer,
            epoch: giving.next,
            chunks: giving.transfer.chunks(),
            hlc: self.slots.clock.latest(),
        };
        self.send(cell, giving.target, message);
    }

    /// Sends again what is lost. A target that has acknowledged nothing for a while gets a chunk without items: what it
    /// was sent may still wait on a way that carries little, and is lost only if that arrives first.
    pub(super) fn resend_lost(&mut self, cell: &mut Cell, now: Now) {
        let frozen = !matches!(cell.header.state, State::Copying(_));
        let Some(giving) = cell.header.state.giving_mut().filter(|it| !it.transfer.settled()) else { return };
        let budget = self.budgets.entry(giving.target).or_default();
        let lost = giving.transfer.lost(budget.reached, now.at.saturating_sub(RESEND_AFTER));
        if lost.is_empty() && budget.quiet_since + RESEND_AFTER <= now.at {
            budget.quiet_since = now.at;
            let seq = giving.transfer.probe(now.at);
            self.say(cell, seq, Vec::new(), 0, now);
        }
        for seq in lost {
            if !frozen && !self.pace.is_open(now.at) {
                return;
            }
            self.resend(cell, seq, now);
        }
    }

    /// Sends a chunk again; returns its bytes.
    fn resend(&mut self, cell: &mut Cell, seq: u32, now: Now) -> usize {
        let Some(giving) = cell.header.state.giving_mut() else { return 0 };
        let Some((items, more)) = giving.transfer.resend(seq, cell.entries, now.at) else { return 0 };
        self.budgets.entry(giving.target).or_default().send(more, now.at);
        let bytes = items.iter().map(|item| Item::bytes(&item.as_entry())).sum();
        self.say(cell, seq, items, bytes, now);
        bytes
    }

    pub(super) fn on_chunk_ack(&mut self, cell: &mut Cell, from: Pid, chunk: (u64, u32), now: Now) {
        if self.acknowledge(cell, from, chunk, now) && matches!(cell.header.state, State::Copying(_)) {
            self.tick_copying(cell, now);
        }
    }

    /// Notes that a chunk arrived; false: it was none of the transfer under way.
    pub(super) fn acknowledge(
        &mut self,
        cell: &mut Cell,
        from: Pid,
        (xfer, seq): (u64, u32),
        now: Now,
    ) -> bool {
        let Some(giving) = cell.header.state.giving_mut() else { return false };
        if giving.target != from || giving.transfer.xfer != xfer {
            return false;
        }
        if let Some(arrived) = giving.transfer.acknowledge(seq, now.at) {
            if let Some(allowance) = &mut giving.allowance {
                *allowance = allowance.saturating_add_unsigned(arrived.bytes / 2);
            }
            self.budgets.entry(from).or_default().arrive(arrived, now.at);
        }
        true
    }

    pub(super) fn on_abort(&mut self, cell: &mut Cell, from: Pid, xfer: u64, now: Now) {
        match &mut cell.header.state {
            State::Copying(giving) if giving.target == from && giving.transfer.xfer == xfer => {
                self.stop_copying(cell);
            }
            State::Asking(asking)
                if asking.source == from && asking.staging.as_ref().is_some_and(|it| it.xfer == xfer) =>
            {
                self.on_later(cell, from, now);
            }
            _ => {}
        }
    }

    /// Copying to Held, and tells the target so.
    pub(super) fn abort_copying(&mut self, cell: &mut Cell) {
        let State::Copying(giving) = &cell.header.state else { return };
        if giving.purpose == Purpose::HandOver {
            self.send(cell, giving.target, Message::Abort { xfer: giving.transfer.xfer });
        }
        self.stop_copying(cell);
    }

    /// Copying to Held, under the same epoch.
    pub(super) fn stop_copying(&mut self, cell: &mut Cell) {
        if let State::Copying(giving) = std::mem::take(&mut cell.header.state) {
            self.settle_budget(&giving);
            self.hold(cell, giving.epoch);
        }
    }

    pub(super) fn on_need(
        &mut self,
        cell: &mut Cell,
        from: Pid,
        (xfer, epoch): (u64, Epoch),
        missing: &[u32],
        now: Now,
    ) {
        let State::Committing(giving) = &mut cell.header.state else { return };
        if giving.target != from || giving.next != epoch || giving.transfer.xfer != xfer {
            return;
        }
        giving.transfer.progress_at = now.at;
        let missing: std::collections::BTreeSet<u32> = missing.iter().copied().take(NEED_MAX).collect();
        let mut sent_bytes = 0;
        for seq in missing {
            let (State::Committing(giving), Some(budget)) = (&cell.header.state, self.budgets.get(&from))
            else {
                break;
            };
            let before = now.at.saturating_sub(RESEND_AFTER);
            let reached = if budget.quiet_since <= before { now.at } else { budget.reached };
            if giving.transfer.is_coming(seq, reached, before) {
                continue;
            }
            // What the target has dropped is on its way once more. What is still missing then is asked for again.
            let is_full = giving.transfer.has_arrived(seq) && !budget.is_open();
            if is_full || sent_bytes >= WINDOW_BYTES {
                break;
            }
            sent_bytes += self.resend(cell, seq, now);
        }
        // While all of it is coming, the commit has its own time: each one makes the target ask.
        if sent_bytes > 0 {
            self.send_commit(cell);
        }
    }

    /// The target has everything: the slot goes over. What was ended otherwise is answered as it ended.
    pub(super) fn on_taken(&mut self, cell: &mut Cell, from: Pid, epoch: Epoch, now: Now) {
        if !is_committing(cell, from, epoch) {
            return self.answer_ended(cell, from, epoch);
        }
        let State::Committing(giving) = std::mem::take(&mut cell.header.state) else { return };
        self.settle_budget(&giving);
        cell.header.out = Some(Ended { target: from, epoch, released: true });
        cell.header.hint = Some(Hint { pid: from, epoch });
        cell.header.handed_on = true;
        cell.entries.clear();
        self.stats.slots_given += 1;
        if giving.counted {
            self.stats.handoffs.add(now.at.saturating_sub(giving.began_at));
            self.stats.pauses.add(now.at.saturating_sub(giving.frozen_at));
        }
        let floor = cell.header.floor;
        self.send(cell, from, Message::Released { epoch, floor });
        self.enter(cell, State::Absent);
        self.wake(cell, Duration::ZERO);
    }

    fn answer_ended(&mut self, cell: &mut Cell, from: Pid, epoch: Epoch) {
        let floor = cell.header.floor;
        let ended = cell.header.out.filter(|out| out.target == from && out.epoch == epoch);
        let message = match ended {
            Some(Ended { released: true, .. }) => Message::Released { epoch, floor },
            Some(Ended { released: false, .. }) => Message::Void { epoch, floor },
            None if self.bug(Canary::VoidForForgotten) => Message::Void { epoch, floor },
            None => Message::Forgotten { epoch, floor },
        };
        self.send(cell, from, message);
    }

    pub(super) fn on_refuse(&mut self, cell: &mut Cell, from: Pid, epoch: Epoch) {
        if is_committing(cell, from, epoch) {
            self.resume(cell);
        }
    }

    /// The commit came to nothing: serve on, under a new epoch.
    pub(super) fn resume(&mut self, cell: &mut Cell) {
        let State::Committing(giving) = std::mem::take(&mut cell.header.state) else { return };
        self.settle_budget(&giving);
        cell.header.out = Some(Ended { target: giving.target, epoch: giving.next, released: false });
        let old = self.bug(Canary::ResumeOldEpoch);
        let epoch = if old { giving.epoch } else { cell.header.floor.after(giving.next, self.me) };
        self.hold(cell, epoch);
    }
}

fn is_committing(cell: &Cell, target: Pid, epoch: Epoch) -> bool {
    matches!(&cell.header.state, State::Committing(giving) if giving.target == target && giving.next == epoch)
}
