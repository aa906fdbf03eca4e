//! The target of a hand-off: asking, staging, taking over.

use std::collections::BTreeSet;
use std::time::Duration;

use super::tick::{ASK, OFFER, TAKEN};
use super::{Cell, Machine};
use crate::canary::Canary;
use crate::message::{Item, Message};
use crate::pid::{Epoch, Hint, Pid};
use crate::slot::{Asking, Staging, State};
use crate::time::Now;

/// Staged entries are dropped when nothing has come for this long.
const STAGING_TTL: Duration = Duration::from_mins(1);

/// How long to wait for the next chunk before asking again.
const PROGRESS: Duration = Duration::from_secs(1);

/// The missing chunks one `Need` names; the rest follows after they have come.
pub(super) const NEED_MAX: usize = 1024;

/// The most chunks a transfer can have: 64 GiB of entries in one slot.
const CHUNKS_MAX: u32 = 1 << 20;

/// The fields of a commit.
pub(super) struct Commit {
    pub(super) xfer: u64,
    pub(super) epoch: Epoch,
    pub(super) chunks: u32,
    pub(super) hlc: u64,
}

impl Machine {
    /// `offered`: the source says that the slot should be here.
    pub(super) fn ask(&mut self, cell: &mut Cell, source: Pid, offered: bool, now: Now) {
        self.enter(cell, State::Asking(Asking { source, offered, staging: None }));
        self.send(cell, source, Message::Acquire);
        self.retry(cell, ASK, now);
    }

    /// Back to the start, which looks for another way at once.
    pub(super) fn give_up_asking(&mut self, cell: &mut Cell, now: Now) {
        cell.entries.clear();
        self.enter(cell, State::Absent);
        self.tick(cell, now);
    }

    pub(super) fn tick_asking(&mut self, cell: &mut Cell, due: bool, now: Now) {
        let is_target = self.is_target(cell.slot);
        let State::Asking(asking) = &mut cell.header.state else { return };
        if asking.staging.as_ref().is_some_and(|staging| staging.progress_at + STAGING_TTL <= now.at) {
            asking.staging = None;
            cell.entries.clear();
        }
        let source = asking.source;
        let wanted = is_target || asking.offered || asking.staging.is_some();
        if self.is_leaving() || !wanted {
            self.give_up_asking(cell, now);
        } else if due {
            self.send(cell, source, Message::Acquire);
            self.retry(cell, ASK, now);
        }
    }

    pub(super) fn on_later(&mut self, cell: &mut Cell, from: Pid, now: Now) {
        let is_target = self.is_target(cell.slot);
        let State::Asking(asking) = &mut cell.header.state else { return };
        if asking.source != from {
            return;
        }
        (asking.staging, asking.offered) = (None, false);
        cell.entries.clear();
        if !is_target {
            self.give_up_asking(cell, now);
        }
    }

    pub(super) fn on_not_holder(&mut self, cell: &mut Cell, from: Pid, hint: Option<Hint>, now: Now) {
        match &cell.header.state {
            State::Asking(asking) if asking.source == from => {}
            _ => return,
        }
        cell.entries.clear();
        let known = cell.header.hint.map(|hint| hint.epoch);
        let newer = hint
            .filter(|hint| Some(hint.epoch) > known && hint.pid != self.me && !self.view.is_dead(hint.pid));
        cell.header.hint = newer;
        match newer {
            Some(hint) => self.ask(cell, hint.pid, false, now),
            None => self.give_up_asking(cell, now),
        }
    }

    pub(super) fn on_chunk(
        &mut self,
        cell: &mut Cell,
        from: Pid,
        (xfer, seq): (u64, u32),
        items: &[Item],
        now: Now,
    ) {
        let asking = match &mut cell.header.state {
            State::Asking(asking) if asking.source == from => asking,
            _ => return self.send(cell, from, Message::Abort { xfer }),
        };
        match &mut asking.staging {
            Some(staging) if staging.xfer > xfer => return,
            Some(staging) if staging.xfer == xfer => {
                staging.received.insert(seq);
                staging.progress_at = now.at;
            }
            staging => {
                cell.entries.clear();
                let received = BTreeSet::from([seq]);
                *staging = Some(Staging { xfer, received, progress_at: now.at });
            }
        }
        for item in items {
            cell.entries.merge(item.as_entry());
        }
        self.send(cell, from, Message::ChunkAck { xfer, seq });
        cell.header.retry.attempts = 0;
        self.wake(cell, now.at + PROGRESS);
    }

    pub(super) fn on_commit(&mut self, cell: &mut Cell, from: Pid, commit: &Commit, now: Now) {
        let &Commit { xfer, epoch, chunks, hlc } = commit;
        if cell.header.taken == Some((from, epoch)) && !self.bug(Canary::CommitTwice) {
            return self.send(cell, from, Message::Taken { epoch });
        }
        let again = self.bug(Canary::CommitTwice) && cell.header.taken == Some((from, epoch));
        let acceptable = (!self.is_leaving() || self.bug(Canary::LeaveWithSlots))
            && (epoch > cell.header.floor || again || self.bug(Canary::SkipEpochCheck))
            && epoch.pid == self.me
            && chunks <= CHUNKS_MAX
            && (again || is_asking_under(cell, from, xfer));
        if !acceptable {
            if !self.bug(Canary::RefuseKeepsFloor) {
                cell.header.raise_floor(epoch);
            }
            let floor = cell.header.floor;
            return self.send(cell, from, Message::Refuse { epoch, floor });
        }
        let missing = missing(cell, xfer, chunks, now);
        if !missing.is_empty() && !self.bug(Canary::CommitWithGaps) {
            return self.send(cell, from, Message::Need { xfer, epoch, missing });
        }
        cell.header.raise_floor(epoch);
        cell.header.taken = Some((from, epoch));
        // A clock too far ahead is not followed; every write exceeds the version it replaces all the same.
        let _ = self.slots.clock.observe(hlc, now.unix_ms);
        self.send(cell, from, Message::Taken { epoch });
        if self.bug(Canary::ServeOnTaken) {
            return self.hold(cell, epoch);
        }
        self.enter(cell, State::Ready { source: from, epoch });
        self.retry(cell, TAKEN, now);
    }

    /// The source has let go, or knows of no such commit and lets us keep the copy as a fork.
    pub(super) fn on_released(&mut self, cell: &mut Cell, from: Pid, epoch: Epoch, now: Now) {
        if matches!(cell.header.state, State::Ready { source, epoch: mine } if source == from && mine == epoch)
        {
            self.stats.slots_taken += 1;
            self.hold(cell, epoch);
            if cell.header.handed_on && !self.is_target(cell.slot) {
                // It comes back though the table here is the same: until one of the tables is another, it would go on.
                self.retry(cell, OFFER, now);
            }
        }
    }

    /// The source serves on: this copy is not the truth.
    pub(super) fn on_void(&mut self, cell: &mut Cell, from: Pid, epoch: Epoch, floor: Epoch, now: Now) {
        if matches!(cell.header.state, State::Ready { source, epoch: mine } if source == from && mine == epoch)
        {
            cell.header.taken = None;
            cell.header.hint = Some(Hint { pid: from, epoch: floor });
            self.give_up_asking(cell, now);
        }
    }

    /// Begins to serve.
    pub(super) fn hold(&mut self, cell: &mut Cell, epoch: Epoch) {
        cell.header.raise_floor(epoch);
        cell.header.hint = None;
        cell.header.guessed = false;
        self.enter(cell, State::Held { epoch });
        // Whether the slot should be elsewhere is looked at in the next step.
        self.wake(cell, Duration::ZERO);
    }
}

fn is_asking_under(cell: &Cell, from: Pid, xfer: u64) -> bool {
    match &cell.header.state {
        State::Asking(asking) => {
            asking.source == from && asking.staging.as_ref().is_none_or(|staging| staging.xfer <= xfer)
        }
        _ => false,
    }
}

/// The chunks of a transfer that have not come. What was staged of an older one is dropped.
fn missing(cell: &mut Cell, xfer: u64, chunks: u32, now: Now) -> Vec<u32> {
    let State::Asking(asking) = &mut cell.header.state else { return Vec::new() };
    let staging = match &mut asking.staging {
        Some(staging) if staging.xfer == xfer => staging,
        staging => {
            cell.entries.clear();
            staging.insert(Staging { xfer, received: BTreeSet::new(), progress_at: now.at })
        }
    };
    (0..chunks).filter(|seq| !staging.received.contains(seq)).take(NEED_MAX).collect()
}
