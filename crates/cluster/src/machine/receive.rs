//! What peers send: from a frame to what a slot makes of each message in it.

use std::ops::Range;

use super::merge::{self, on_merge_end};
use super::{Cell, Machine, take};
use crate::canary::Canary;
use crate::message::{Frame, Greeting, Message, Run, Standing};
use crate::pid::Pid;
use crate::time::Now;
use crate::wire::epochs;

impl Machine {
    /// Takes in what a peer has sent.
    pub(super) fn on_frame(&mut self, frame: Frame, now: Now) {
        let Frame { from, to, standing, greeting, digest, runs } = frame;
        if to != self.me || from == self.me {
            return;
        }
        let all_met = self.view.all_met();
        let unguided = self.view.standing() != Some(Standing::Claimed);
        let heard = self.view.heard(from, standing, now.at);
        let mut changed = heard.new;
        if let Some(digest) = &digest
            && !self.bug(Canary::NoBarrierNoClosure)
        {
            changed |= self.view.learn_digest(digest, now.at);
        }
        if changed {
            self.members_changed(now);
        }
        self.stirred |= self.view.all_met() && !all_met && self.misplaced > 0;
        if greeting != Greeting::None {
            let members = greeting == Greeting::Members && self.standing == Standing::Claimed;
            self.outbox.answer_greeting(from, members);
        }
        if heard.first && self.stats.custody > 0 {
            self.introduce(from);
        }
        self.learn_hints(&runs, now);
        if standing == Standing::Claimed && !self.view.is_dead(from) {
            let tells_all = digest.as_ref().is_some_and(|digest| digest.live.contains(&from));
            self.on_claimed_peer(tells_all, unguided);
        }
        self.advance_standing(now);
        let agreed = digest.is_none_or(|digest| !digest.dead.iter().any(|&pid| self.view.is_live(pid)));
        for Run { start, len, message } in &runs {
            let Range { start: first, end } = self.config.slots;
            for slot in first.max(*start)..end.min(start.saturating_add(*len)) {
                self.on_slot(slot, now, |machine, cell| machine.on_message(cell, from, message, agreed, now));
            }
        }
    }

    /// Whoever a message points to is known from then on: met before this node sets out for another slot, and given up
    /// if membership does not confirm it.
    fn learn_hints(&mut self, runs: &[Run], now: Now) {
        if self.bug(Canary::NoBarrierNoClosure) {
            return;
        }
        let mut new = false;
        for run in runs {
            if let Message::NotHolder { hint: Some(hint), .. }
            | Message::NotHere { hint: Some(hint), .. }
            | Message::MergeNo { hint: Some(hint), .. } = &run.message
            {
                new |= self.view.learn(hint.pid, now.at);
            }
        }
        if new {
            self.members_changed(now);
        }
    }

    /// Tells a process it meets what this one holds: so it can route, and knows which slots exist.
    fn introduce(&mut self, peer: Pid) {
        for slot in self.config.slots.clone() {
            if let Some(epoch) = self.slots.store.lock(usize::from(slot)).header().custody() {
                self.outbox.push(peer, slot, Message::Holding { epoch });
            }
        }
    }

    fn on_message(&mut self, cell: &mut Cell, from: Pid, message: &Message, agreed: bool, now: Now) {
        // A commit is judged against the floor as it was; a `Need` must leave it there.
        if !matches!(message, Message::Commit { .. } | Message::Need { .. }) {
            for epoch in epochs(message).into_iter().flatten() {
                cell.header.raise_floor(epoch);
            }
        }
        match *message {
            Message::Acquire => self.on_acquire(cell, from, now),
            Message::Later => self.on_later(cell, from, now),
            Message::NotHolder { hint, .. } => self.on_not_holder(cell, from, hint, now),
            Message::Chunk { xfer, seq, ref items } => self.on_chunk(cell, from, (xfer, seq), items, now),
            Message::ChunkAck { xfer, seq } => self.on_chunk_ack(cell, from, (xfer, seq), now),
            Message::Abort { xfer } => self.on_abort(cell, from, xfer, now),
            Message::Commit { xfer, epoch, chunks, hlc } => {
                self.on_commit(cell, from, &take::Commit { xfer, epoch, chunks, hlc }, now);
            }
            Message::Need { xfer, epoch, ref missing } => {
                self.on_need(cell, from, (xfer, epoch), missing, now);
            }
            Message::Taken { epoch } => self.on_taken(cell, from, epoch, now),
            Message::Refuse { epoch, .. } => self.on_refuse(cell, from, epoch),
            Message::Released { epoch, .. } | Message::Forgotten { epoch, .. } => {
                self.on_released(cell, from, epoch, now);
            }
            Message::Void { epoch, floor } => self.on_void(cell, from, epoch, floor, now),
            Message::WhoHas { nonce } => self.on_who_has(cell, from, nonce, agreed, now),
            Message::NotHere { nonce, floor, .. } => self.on_not_here(cell, from, nonce, floor, now),
            Message::Has { nonce, epoch } => self.on_has(cell, from, nonce, epoch, now),
            Message::ClaimEnd { nonce, .. } => self.on_claim_end(cell, from, nonce, now),
            Message::Offer { epoch } => self.on_offer(cell, from, epoch, now),
            Message::Holding { epoch } => self.on_holding(cell, from, epoch),
            Message::Merge { xfer, epoch, seq, hlc, ref items } => {
                self.on_merge(cell, from, &merge::Part { xfer, epoch, seq, hlc }, items, now);
            }
            Message::Merged { xfer, seq } => self.on_merged(cell, from, (xfer, seq), now),
            Message::MergeNo { epoch, hint } => self.on_merge_no(cell, from, epoch, hint, now),
            Message::MergeEnd { epoch } => on_merge_end(cell, from, epoch),
        }
    }
}
