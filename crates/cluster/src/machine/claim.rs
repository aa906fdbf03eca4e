//! Asking everybody, and minting when nobody has it.

use std::collections::BTreeSet;

use super::tick::ASK;
use super::{Cell, Machine};
use crate::canary::Canary;
use crate::message::{Digest, Message};
use crate::pid::{Epoch, Hint, Pid};
use crate::slot::{Claiming, State};
use crate::time::Now;

/// What the claims of one nonce have in common.
#[derive(Clone, Hash, Debug)]
pub(super) struct Claim {
    /// The processes that need not answer, because this node holds them dead; every answerer agrees first.
    dead: BTreeSet<Pid>,
    /// The slots still being claimed under it.
    slots: usize,
}

impl Claim {
    pub(super) fn digest(&self) -> Digest {
        Digest { live: Vec::new(), dead: self.dead.iter().copied().collect() }
    }
}

impl Machine {
    /// Absent to Claiming, and straight on to Held where there is nobody to ask.
    pub(super) fn claim(&mut self, cell: &mut Cell, now: Now) {
        let nonce = cell.header.next_serial(self.batch);
        let view = &self.view;
        let claim = self.claims.entry(nonce).or_insert_with(|| Claim { dead: view.dead().clone(), slots: 0 });
        claim.slots += 1;
        let floor = cell.header.floor;
        self.enter(cell, State::Claiming(Claiming { nonce, answered: BTreeSet::new(), floor }));
        self.ask_everybody(cell, now);
    }

    /// Called once for each slot that leaves `Claiming`.
    pub(super) fn claim_left(&mut self, nonce: u64) {
        if let Some(claim) = self.claims.get_mut(&nonce) {
            claim.slots = claim.slots.saturating_sub(1);
            if claim.slots == 0 {
                self.claims.remove(&nonce);
            }
        }
    }

    fn ask_everybody(&mut self, cell: &mut Cell, now: Now) {
        let State::Claiming(claiming) = &cell.header.state else { return };
        let nonce = claiming.nonce;
        let unanswered: Vec<Pid> = self.view.live().filter(|pid| !claiming.answered.contains(pid)).collect();
        for pid in &unanswered {
            self.send(cell, *pid, Message::WhoHas { nonce });
        }
        self.retry(cell, ASK, now);
        if unanswered.is_empty() {
            self.mint(cell);
        }
    }

    pub(super) fn tick_claiming(&mut self, cell: &mut Cell, due: bool, now: Now) {
        let State::Claiming(claiming) = &cell.header.state else { return };
        if self.is_leaving() || !self.is_target(cell.slot) || !self.still_agreed(claiming) {
            self.end_claim(cell);
            return self.tick(cell, now);
        }
        if due {
            self.ask_everybody(cell, now);
        } else {
            self.mint_if_answered(cell);
        }
    }

    /// Not so if somebody died whom the answerers were not told about: everybody has to agree anew. Nor if nobody
    /// will agree any more on the death of one who lives.
    fn still_agreed(&self, claiming: &Claiming) -> bool {
        let dead = self.view.dead();
        let agreed = self.claims.get(&claiming.nonce).map(|claim| &claim.dead);
        let excused = |pid: &Pid| agreed.is_some_and(|agreed| agreed.contains(pid));
        agreed == Some(dead)
            || (dead.iter().all(|pid| excused(pid) || claiming.answered.contains(pid))
                && !agreed.into_iter().flatten().any(|&pid| self.view.is_live(pid)))
    }

    fn mint_if_answered(&mut self, cell: &mut Cell) {
        let State::Claiming(claiming) = &cell.header.state else { return };
        let first = self.bug(Canary::MintAfterFirstAnswer) && !claiming.answered.is_empty();
        if first || self.view.live().all(|pid| claiming.answered.contains(&pid)) {
            self.mint(cell);
        }
    }

    fn mint(&mut self, cell: &mut Cell) {
        let State::Claiming(claiming) = &cell.header.state else { return };
        let floor = claiming.floor.max(cell.header.floor);
        if floor > Epoch::ZERO && !self.bug(Canary::LossNotCounted) {
            self.stats.slots_lost += 1;
            self.lost += 1;
        }
        self.stats.slots_minted += 1;
        let epoch = floor.after(Epoch::ZERO, self.me);
        cell.header.raise_floor(epoch);
        self.end_claim(cell);
        self.hold(cell, epoch);
    }

    /// Releases everybody from their promise.
    fn end_claim(&mut self, cell: &mut Cell) {
        let State::Claiming(claiming) = &cell.header.state else { return };
        let (nonce, floor) = (claiming.nonce, cell.header.floor);
        let asked: Vec<Pid> = self.view.live().collect();
        for pid in asked {
            self.send(cell, pid, Message::ClaimEnd { nonce, floor });
        }
        self.enter(cell, State::Absent);
        self.wake(cell, std::time::Duration::ZERO);
    }

    /// `agreed`: this node, too, takes all of those for dead that the claim excuses.
    pub(super) fn on_who_has(&mut self, cell: &mut Cell, from: Pid, nonce: u64, agreed: bool, now: Now) {
        if let Some(epoch) = cell.header.custody() {
            return self.send(cell, from, Message::Has { nonce, epoch });
        }
        match &cell.header.state {
            State::Claiming(_) if self.bug(Canary::CrossedClaims) => {
                return self.say_not_here(cell, from, nonce);
            }
            State::Claiming(_) if self.me < from => return,
            State::Claiming(_) => self.end_claim(cell),
            State::Asking(asking) if asking.staging.is_some() => return,
            _ => {}
        }
        let bound = match cell.header.promised {
            Some((claimant, known)) => claimant != from || known > nonce,
            None => false,
        };
        let agreed = agreed || self.bug(Canary::NoAgreedDeaths);
        if bound || self.view.is_dead(from) || !agreed {
            return;
        }
        if self.bug(Canary::NoPromise) {
            return self.say_not_here(cell, from, nonce);
        }
        if matches!(cell.header.state, State::Asking(_)) {
            self.enter(cell, State::Absent);
        }
        cell.header.promised = Some((from, nonce));
        self.say_not_here(cell, from, nonce);
        self.rest(cell);
        self.wake(cell, now.at + std::time::Duration::from_millis(500));
    }

    pub(super) fn say_not_here(&mut self, cell: &mut Cell, claimant: Pid, nonce: u64) {
        let (floor, hint) = (cell.header.floor, cell.header.hint.filter(|hint| hint.epoch > Epoch::ZERO));
        self.send(cell, claimant, Message::NotHere { nonce, floor, hint });
    }

    pub(super) fn on_not_here(&mut self, cell: &mut Cell, from: Pid, nonce: u64, floor: Epoch, now: Now) {
        match &mut cell.header.state {
            State::Claiming(claiming) if claiming.nonce == nonce => {
                claiming.answered.insert(from);
                claiming.floor = claiming.floor.max(floor);
                self.tick_claiming(cell, false, now);
            }
            _ => {
                let floor = cell.header.floor;
                self.send(cell, from, Message::ClaimEnd { nonce, floor });
            }
        }
    }

    pub(super) fn on_has(&mut self, cell: &mut Cell, from: Pid, nonce: u64, epoch: Epoch, now: Now) {
        let current = matches!(&cell.header.state, State::Claiming(claiming) if claiming.nonce == nonce);
        if !current || self.view.is_dead(from) {
            return;
        }
        self.end_claim(cell);
        cell.header.hint = Some(Hint { pid: from, epoch });
        if self.is_target(cell.slot) && !self.is_leaving() {
            self.ask(cell, from, false, now);
        }
    }

    pub(super) fn on_claim_end(&mut self, cell: &mut Cell, from: Pid, nonce: u64, now: Now) {
        if cell.header.promised == Some((from, nonce)) {
            cell.header.promised = None;
            self.rest(cell);
            self.tick(cell, now);
        }
    }
}
