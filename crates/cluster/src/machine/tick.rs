//! What a slot does by itself: reactions to deaths, retries, and the first step towards a slot it should have.

use std::time::Duration;

use boato_placement::Table;

use super::wanted::Wanted;
use super::{Cell, Machine};
use crate::canary::Canary;
use crate::message::Message;
use crate::pid::{Epoch, Hint};
use crate::slot::State;
use crate::time::Now;

/// Milliseconds between repetitions, first and last.
pub(super) const ASK: (u64, u64) = (50, 1000);
pub(super) const TAKEN: (u64, u64) = (20, 500);
pub(super) const COMMIT: (u64, u64) = (20, 500);
const PROMISE: (u64, u64) = (500, 500);
pub(super) const OFFER: (u64, u64) = (1000, 10_000);
const COPY: (u64, u64) = (50, 50);

impl Machine {
    /// Draws the consequences of deaths. Level-triggered: checked whenever the slot is touched.
    pub(super) fn settle_deaths(&mut self, cell: &mut Cell, now: Now) {
        let header = &mut *cell.header;
        if header.hint.is_some_and(|hint| self.view.is_dead(hint.pid)) {
            header.hint = None;
        }
        if header.promised.is_some_and(|(claimant, _)| self.view.is_dead(claimant)) {
            header.promised = None;
        }
        match &header.state {
            State::Asking(asking) if self.view.is_dead(asking.source) => self.give_up_asking(cell, now),
            State::Ready { source, epoch } if self.view.is_dead(*source) => {
                let epoch = *epoch;
                self.hold(cell, epoch);
            }
            State::Copying(giving) if self.view.is_dead(giving.target) => self.stop_copying(cell),
            State::Committing(giving)
                if self.view.is_dead(giving.target) && !self.bug(Canary::DeadTargetAwaited) =>
            {
                self.resume(cell);
            }
            State::Merging(giving) if self.view.is_dead(giving.target) => self.keep_fork(cell),
            _ => {}
        }
    }

    /// Acts on a slot whose time has come, or after something changed that may concern it.
    pub(super) fn tick(&mut self, cell: &mut Cell, now: Now) {
        let due = cell.header.retry.at.is_none_or(|at| at <= now.at);
        match &cell.header.state {
            State::Absent => self.tick_absent(cell, due, now),
            State::Asking(_) => self.tick_asking(cell, due, now),
            State::Claiming(_) => self.tick_claiming(cell, due, now),
            State::Ready { source, epoch } if due => {
                let (source, epoch) = (*source, *epoch);
                if self.bug(Canary::ReadyServesOnSilence) && cell.header.retry.attempts > 3 {
                    return self.hold(cell, epoch);
                }
                if !self.bug(Canary::TakenOnce) {
                    self.send(cell, source, Message::Taken { epoch });
                }
                self.retry(cell, TAKEN, now);
            }
            State::Held { epoch } => {
                let epoch = *epoch;
                self.tick_held(cell, epoch, due, now);
            }
            State::Copying(_) => {
                self.tick_copying(cell, now);
                if matches!(cell.header.state, State::Copying(_)) {
                    // Each at a moment of its own, so that all of those who wait for the pace have their turn.
                    let pause = Duration::from_micros(COPY.0 * self.rng.u64(750..=1250));
                    self.wake(cell, now.at + pause);
                }
            }
            State::Committing(_)
                if due && self.bug(Canary::ResumeOnSilence) && cell.header.retry.attempts > 3 =>
            {
                self.resume(cell);
            }
            State::Committing(_) if due => {
                self.send_commit(cell);
                self.retry(cell, COMMIT, now);
            }
            State::Merging(_) => {
                self.tick_merging(cell, now);
                if matches!(cell.header.state, State::Merging(_)) {
                    self.retry(cell, COPY, now);
                }
            }
            State::Ready { .. } | State::Committing(_) => {}
        }
    }

    /// Goes after the slot if it should be here: from the holder known, else from the one guessed, else by
    /// asking everybody.
    fn tick_absent(&mut self, cell: &mut Cell, due: bool, now: Now) {
        if let Some((claimant, nonce)) = cell.header.promised
            && !self.bug(Canary::BrokenPromise)
        {
            if due {
                self.say_not_here(cell, claimant, nonce);
                self.retry(cell, PROMISE, now);
            }
            return;
        }
        if !self.may_take() || !self.is_target(cell.slot) {
            return self.rest(cell);
        }
        // Members change: perhaps the one who ended has begun anew, and another should have the slot.
        if let Some(at) = self.rebuild_at {
            return self.wake(cell, at);
        }
        if cell.header.hint.is_none() && !cell.header.guessed {
            cell.header.guessed = true;
            cell.header.hint = self.guess(cell.slot);
        }
        match cell.header.hint {
            // A client's answer may have pointed to a process not known yet: it is met first.
            Some(hint) if self.view.learn(hint.pid, now.at) => self.members_changed(now),
            Some(hint) if hint.pid != self.me => self.ask(cell, hint.pid, false, now),
            _ => {
                cell.header.hint = None;
                self.claim(cell, now);
            }
        }
    }

    /// Who held the slot before this node came: the owner in the table without it.
    fn guess(&mut self, slot: u16) -> Option<Hint> {
        let without_me = || Table::build(&*self.config.strategy, self.view.candidates(true));
        let table = self.table_before.get_or_insert_with(without_me);
        let pid = self.view.pid_of(table.owner(slot)?)?;
        Some(Hint { pid, epoch: Epoch::ZERO })
    }

    fn tick_held(&mut self, cell: &mut Cell, epoch: Epoch, due: bool, now: Now) {
        match self.target(cell.slot).filter(|&target| target != self.me) {
            None => self.rest(cell),
            Some(target) if due => {
                let waits = self.wanted.get(&target).and_then(|slots| slots.get(&cell.slot));
                // Room to freeze in is of no use to a slot that is not copied any more.
                if !matches!(waits, Some(Wanted::Grant | Wanted::Merge(_))) {
                    self.send(cell, target, Message::Offer { epoch });
                }
                self.retry(cell, OFFER, now);
            }
            Some(_) => {}
        }
    }
}
