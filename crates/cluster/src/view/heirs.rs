//! To whom the slots of a leaver may go.

use std::time::Duration;

use super::{Liveness, Peer, View};
use crate::pid::Pid;

impl Peer {
    /// Whether it is somebody to whom slots may go.
    pub(super) fn is_heir(&self) -> bool {
        self.liveness == Liveness::Alive && self.weight.is_some() && !self.passed_over
    }
}

impl View {
    /// When a peer last asked for a slot of this node, which leaves, or else became known.
    pub(crate) fn asked_at(&self, pid: Pid) -> Option<Duration> {
        self.peers.get(&pid).map(|peer| peer.asked_at)
    }

    /// A peer asks this node, which leaves, for a slot. Returns whether it had been passed over.
    pub(crate) fn note_asked(&mut self, pid: Pid, now: Duration) -> bool {
        let Some(peer) = self.peers.get_mut(&pid) else { return false };
        peer.asked_at = now;
        std::mem::take(&mut peer.passed_over)
    }

    /// Leaves a peer out of those to whom slots go; all are in again when it is the last. Returns whether anything changed.
    pub(crate) fn pass_over(&mut self, pid: Pid) -> bool {
        if self.peers.iter().any(|(&other, peer)| other != pid && peer.is_heir()) {
            return self
                .peers
                .get_mut(&pid)
                .is_some_and(|peer| !std::mem::replace(&mut peer.passed_over, true));
        }
        let mut changed = false;
        for peer in self.peers.values_mut() {
            changed |= std::mem::take(&mut peer.passed_over);
        }
        changed
    }

    /// Whether anybody is there to take slots over.
    pub(crate) fn has_heir(&self) -> bool {
        self.peers.values().any(|peer| peer.liveness == Liveness::Alive && peer.weight.is_some())
    }

    /// Sets when peers last asked for slots.
    #[cfg(feature = "model")]
    pub(crate) fn blur_asked(&mut self, at: Duration) {
        self.peers.values_mut().for_each(|peer| peer.asked_at = at);
    }
}
