//! Whom this process knows, and the table that follows from it.

mod ended;
mod greetings;
mod heirs;
mod routes;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::time::Duration;

use boato_placement::Candidate;

use crate::message::{Digest, Standing};
use crate::pid::Pid;
use ended::Ended;
pub use routes::Routes;

/// What membership says of a process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Liveness {
    /// Alive, suspected or not.
    Alive,
    /// Alive, and about to leave: it gets no slots.
    Leaving,
    /// Confirmed dead, or left.
    Dead,
}

/// How long a process that only a peer's message speaks of is believed in before membership confirms it.
pub(crate) const HEARSAY_TTL: Duration = Duration::from_mins(1);

#[derive(Clone, Hash, Debug)]
struct Peer {
    liveness: Liveness,
    /// `None`: membership has not spoken of it yet, only messages have.
    weight: Option<u16>,
    met: bool,
    standing: Standing,
    known_at: Duration,
    hello: Hello,
    /// When it last asked this node, which leaves, for a slot; until then when it became known.
    asked_at: Duration,
    /// It is to get nothing of this node, as it does not ask for it.
    passed_over: bool,
}

/// The state of our greetings to a process not met yet.
#[derive(Clone, Hash, Debug, Default)]
struct Hello {
    at: Duration,
    attempts: u32,
}

/// What a message says about its sender.
pub(crate) struct Heard {
    /// It was unknown before.
    pub(crate) new: bool,
    /// It had not sent anything before.
    pub(crate) first: bool,
}

/// The members as this process sees them. Every other process may see them differently.
#[derive(Clone, Hash, Debug)]
pub(crate) struct View {
    me: Pid,
    my_weight: u16,
    my_leaving: bool,
    peers: BTreeMap<Pid, Peer>,
    /// How many of them have not been met.
    unmet: usize,
    /// Who lived in this view, or lives in another's, and is dead here. Claims have it agreed on, so the bound of it
    /// bounds that message, too (24 KiB).
    dead: Ended,
    /// Who was dead when it was first heard of. This process has never asked it for anything, so nobody has to know that it
    /// is dead here; it is not passed on, or old deaths would go round for ever.
    told: Ended,
    /// Whether somebody has died or come back since the last look.
    upheaval: bool,
    grown_at: Duration,
}

impl View {
    pub(crate) fn new(me: Pid, weight: u16, now: Duration) -> Self {
        Self {
            me,
            my_weight: weight,
            my_leaving: false,
            peers: BTreeMap::new(),
            unmet: 0,
            dead: Ended::default(),
            told: Ended::default(),
            upheaval: false,
            grown_at: now,
        }
    }

    /// Takes what membership says. Returns whether anything changed.
    pub(crate) fn set(&mut self, pid: Pid, liveness: Liveness, weight: u16, now: Duration) -> bool {
        if pid == self.me {
            let changed = self.my_weight != weight;
            self.my_weight = weight;
            return changed;
        }
        if pid.node == self.me.node {
            return self.bury(pid);
        }
        if liveness == Liveness::Dead || self.newer_boot(pid) {
            return self.bury(pid);
        }
        self.upheaval |= self.dead.remove(pid) | self.told.remove(pid);
        self.bury_older(pid);
        if let Some(peer) = self.peers.get_mut(&pid) {
            let changed = (peer.liveness, peer.weight) != (liveness, Some(weight));
            if peer.weight.is_none() && !peer.met {
                // Only now there is an address to greet it at.
                peer.hello = Hello { at: now, attempts: 0 };
            }
            (peer.liveness, peer.weight) = (liveness, Some(weight));
            return changed;
        }
        self.insert(pid, liveness, Some(weight), now);
        true
    }

    pub(crate) fn set_leaving(&mut self) {
        self.my_leaving = true;
    }

    /// Takes a message from `pid`.
    pub(crate) fn heard(&mut self, pid: Pid, standing: Standing, now: Duration) -> Heard {
        let new = self.learn(pid, now);
        let Some(peer) = self.peers.get_mut(&pid) else { return Heard { new, first: false } };
        let first = !std::mem::replace(&mut peer.met, true);
        self.unmet -= usize::from(first);
        peer.standing = peer.standing.max(standing);
        Heard { new, first }
    }

    /// Takes a peer's list of members. Returns whether any of it was new.
    pub(crate) fn learn_digest(&mut self, digest: &Digest, now: Duration) -> bool {
        let mut new = false;
        for &pid in &digest.live {
            new |= self.learn(pid, now) || self.contest(pid);
        }
        for &pid in &digest.dead {
            // Membership's word about a member it knows stands above a peer's.
            if self.peers.get(&pid).is_none_or(|peer| peer.weight.is_none()) {
                new |= self.bury(pid);
            }
        }
        new
    }

    /// A peer may still take of a process that is dead here: from now on claims have that death agreed on. Returns whether
    /// they did not before.
    fn contest(&mut self, pid: Pid) -> bool {
        let contested = pid.node != self.me.node && self.is_dead(pid) && self.dead.insert(pid);
        self.upheaval |= contested;
        contested
    }

    /// Takes a process that a message speaks of. Returns whether it was unknown.
    pub(crate) fn learn(&mut self, pid: Pid, now: Duration) -> bool {
        if self.peers.contains_key(&pid) || pid.node == self.me.node || self.is_dead(pid) {
            return false;
        }
        self.insert(pid, Liveness::Alive, None, now);
        true
    }

    fn insert(&mut self, pid: Pid, liveness: Liveness, weight: Option<u16>, now: Duration) {
        let hello = Hello { at: now, attempts: 0 };
        let standing = Standing::Waiting;
        let peer = Peer {
            liveness,
            weight,
            met: false,
            standing,
            known_at: now,
            hello,
            asked_at: now,
            passed_over: false,
        };
        self.peers.insert(pid, peer);
        self.unmet += 1;
        self.grown_at = now;
    }

    /// Takes a process for dead, and every older boot of its node, which may never have been heard to end.
    fn bury(&mut self, pid: Pid) -> bool {
        let older = self.bury_older(pid);
        self.bury_one(pid) || older
    }

    fn bury_older(&mut self, pid: Pid) -> bool {
        let older: Vec<Pid> = self.boots(pid.node).filter(|other| other.boot < pid.boot).collect();
        for &other in &older {
            self.bury_one(other);
        }
        !older.is_empty()
    }

    fn bury_one(&mut self, pid: Pid) -> bool {
        let Some(peer) = self.peers.remove(&pid) else {
            if pid != self.me && !self.dead.pids().contains(&pid) {
                self.told.insert(pid);
            }
            return false;
        };
        self.unmet -= usize::from(!peer.met);
        self.dead.insert(pid);
        self.upheaval = true;
        true
    }

    /// Takes processes that membership never confirmed for dead. Returns whether there were any.
    pub(crate) fn expire_hearsay(&mut self, now: Duration) -> bool {
        let expired = |peer: &Peer| peer.weight.is_none() && peer.known_at + HEARSAY_TTL <= now;
        let gone: Vec<Pid> =
            self.peers.iter().filter(|(_, peer)| expired(peer)).map(|(&pid, _)| pid).collect();
        for &pid in &gone {
            self.bury(pid);
        }
        !gone.is_empty()
    }

    /// Whether somebody has died or come back since this was last asked.
    pub(crate) fn take_upheaval(&mut self) -> bool {
        std::mem::take(&mut self.upheaval)
    }

    fn boots(&self, node: u128) -> impl Iterator<Item = Pid> {
        let range = Pid { node, boot: 0 }..=Pid { node, boot: u64::MAX };
        self.peers.range(range).map(|(&pid, _)| pid)
    }

    fn newer_boot(&self, pid: Pid) -> bool {
        self.dead.has_newer(pid) || self.told.has_newer(pid) || self.newer_boot_lives(pid)
    }

    fn newer_boot_lives(&self, pid: Pid) -> bool {
        let newer = self.peers.range((Excluded(pid), Unbounded)).next();
        newer.is_some_and(|(peer, _)| peer.node == pid.node)
    }

    /// Whether `pid` is considered dead; an older boot of a node always is.
    pub(crate) fn is_dead(&self, pid: Pid) -> bool {
        if pid.node == self.me.node {
            return pid != self.me;
        }
        self.dead.covers(pid) || self.told.covers(pid) || self.newer_boot_lives(pid)
    }

    /// Whether `pid` is known and not considered dead.
    pub(crate) fn is_live(&self, pid: Pid) -> bool {
        pid == self.me || (self.peers.contains_key(&pid) && !self.is_dead(pid))
    }

    pub(crate) fn is_leaving(&self, pid: Pid) -> bool {
        self.peers.get(&pid).is_some_and(|peer| peer.liveness == Liveness::Leaving)
    }

    /// Every known process that is not dead, leaving or not, without this one; in order.
    pub(crate) fn live(&self) -> impl Iterator<Item = Pid> {
        self.peers.keys().copied()
    }

    /// The dead on whom a claim needs the others to agree.
    pub(crate) fn dead(&self) -> &BTreeSet<Pid> {
        self.dead.pids()
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest { live: self.live().chain([self.me]).collect(), dead: self.dead().iter().copied().collect() }
    }

    /// Whether every known live process has sent us something.
    pub(crate) fn all_met(&self) -> bool {
        debug_assert_eq!(self.unmet, self.peers.values().filter(|peer| !peer.met).count());
        self.unmet == 0
    }

    pub(crate) fn next_hearsay(&self) -> Option<Duration> {
        self.peers.values().filter(|peer| peer.weight.is_none()).map(|peer| peer.known_at + HEARSAY_TTL).min()
    }

    /// Sets all moments: when others are greeted again, and if given, when processes became known.
    #[cfg(feature = "model")]
    pub(crate) fn blur(&mut self, hello_at: Duration, known_at: Option<Duration>) {
        for peer in self.peers.values_mut() {
            peer.hello = Hello { at: hello_at, attempts: 0 };
            peer.known_at = known_at.unwrap_or(peer.known_at);
        }
        self.grown_at = known_at.unwrap_or(self.grown_at);
    }

    /// When the last process became known.
    pub(crate) fn grown_at(&self) -> Duration {
        self.grown_at
    }

    /// The live members that membership has confirmed, this process included.
    pub(crate) fn members(&self) -> usize {
        1 + self.peers.values().filter(|peer| peer.weight.is_some()).count()
    }

    /// The furthest standing among the others.
    pub(crate) fn standing(&self) -> Option<Standing> {
        self.peers.values().map(|peer| peer.standing).max()
    }

    /// Somebody who may say whom it knows: a member, if there are any one of those that belong to a cluster, each in its
    /// turn.
    pub(crate) fn guide(&self, turn: u32) -> Option<Pid> {
        let members = || self.peers.iter().filter(|(_, peer)| peer.weight.is_some());
        let claimed = members().any(|(_, peer)| peer.standing == Standing::Claimed);
        let guides = || members().filter(|(_, peer)| !claimed || peer.standing == Standing::Claimed);
        guides().map(|(&pid, _)| pid).nth(turn as usize % guides().count().max(1))
    }

    /// Whether this process comes first among those that may begin a cluster.
    pub(crate) fn first_eligible(&self) -> bool {
        !self.peers.iter().any(|(&pid, peer)| {
            pid < self.me && peer.standing == Standing::Eligible && peer.liveness == Liveness::Alive
        })
    }

    /// Whether no other process has ever been known.
    pub(crate) fn is_lonely(&self) -> bool {
        self.peers.is_empty() && self.dead().is_empty() && self.told.pids().is_empty()
    }

    /// Whether messages speak of a live process that membership has not confirmed yet.
    pub(crate) fn has_hearsay(&self) -> bool {
        self.peers.values().any(|peer| peer.weight.is_none())
    }

    /// The live process of a node: the newest boot known.
    pub(crate) fn pid_of(&self, node: u128) -> Option<Pid> {
        if node == self.me.node { Some(self.me) } else { self.boots(node).last() }
    }

    /// Everybody alive and not leaving, ascending; `without_me` leaves this process out.
    pub(crate) fn candidates(&self, without_me: bool) -> Vec<Candidate> {
        let mine = (!self.my_leaving && !without_me)
            .then_some(Candidate { id: self.me.node, weight: self.my_weight });
        let others = self.peers.iter().filter_map(|(pid, peer)| {
            let weight = peer.weight.filter(|_| peer.is_heir())?;
            Some(Candidate { id: pid.node, weight })
        });
        let mut candidates: Vec<Candidate> = others.chain(mine).collect();
        candidates.sort_unstable_by_key(|candidate| candidate.id);
        candidates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_newer_boot_ends_the_older_ones() {
        let now = Duration::ZERO;
        let [me, old, new] = [(1, 1), (2, 1), (2, 2)].map(|(node, boot)| Pid { node, boot });
        let mut view = View::new(me, 1, now);
        view.set(old, Liveness::Alive, 1, now);
        // That the newer boot lived, nobody has told.
        assert!(view.set(new, Liveness::Dead, 1, now));
        assert_eq!(view.live().count(), 0);
        assert_eq!(view.candidates(false).len(), 1);
        assert!(view.is_dead(old) && view.is_dead(new));
        assert!(!view.set(new, Liveness::Dead, 1, now), "told twice, it is no news");
    }

    /// Deaths of which one peer tells the next would go round for ever.
    #[test]
    fn claims_excuse_whom_this_process_or_a_peer_took_for_alive_and_nobody_else() {
        let now = Duration::ZERO;
        let [me, known, told, contested] = [1, 2, 3, 4].map(|node| Pid { node, boot: 1 });
        let mut view = View::new(me, 1, now);
        view.set(known, Liveness::Alive, 1, now);
        view.set(known, Liveness::Dead, 1, now);
        view.learn_digest(&Digest { live: vec![], dead: vec![known, told, contested] }, now);
        assert_eq!(view.dead(), &[known].into());
        assert!(view.learn_digest(&Digest { live: vec![known, contested], dead: vec![] }, now));
        assert_eq!(view.dead(), &[known, contested].into());
        assert_eq!(view.digest().dead, [known, contested]);
        assert!([known, told, contested].into_iter().all(|pid| view.is_dead(pid) && !view.is_live(pid)));
        view.set(contested, Liveness::Alive, 1, now);
        assert!(view.is_live(contested) && view.dead() == &[known].into());
    }
}
