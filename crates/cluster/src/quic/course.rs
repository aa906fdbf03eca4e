//! What becomes of clients' operations, for the log, at level debug: where the time of those that take long goes, and which
//! values merges give up.

use std::fmt;
use std::time::Duration;

use super::micros;
use crate::machine::Superseded;
use crate::pid::Pid;
use crate::route::{Next, Sent};
use crate::trace::Trace;

/// An operation, or a step of the machine, that takes longer is slow.
pub(super) const SLOW: Duration = Duration::from_millis(10);

/// The course of one operation so far.
#[derive(Debug)]
pub(super) struct Course {
    slot: u16,
    /// What its client traces it by.
    pub(super) trace: Option<Trace>,
    begun: Duration,
    /// Kept by this node's machine until its slot settled.
    here: Duration,
    /// On the way to peers, in their hands, and back.
    peers: Duration,
    paused: Duration,
    tries: u32,
    not_sent: u32,
    /// The peer that took longest.
    slowest: Option<(Duration, Pid)>,
}

impl Course {
    pub(super) fn begin(slot: u16, trace: Option<Trace>, now: Duration) -> Self {
        Self {
            slot,
            trace,
            begun: now,
            here: Duration::ZERO,
            peers: Duration::ZERO,
            paused: Duration::ZERO,
            tries: 0,
            not_sent: 0,
            slowest: None,
        }
    }

    /// It was tried at `next`, from `since` to `now`.
    pub(super) fn tried(&mut self, next: Next, sent: &Sent, since: Duration, now: Duration) {
        let took = now.saturating_sub(since);
        self.tries += 1;
        self.not_sent += u32::from(matches!(sent, Sent::NotSent));
        match next {
            Next::Here { .. } | Next::Nowhere => self.here += took,
            Next::Peer { to, .. } => {
                self.peers += took;
                self.slowest = self.slowest.max(Some((took, to)));
            }
        }
    }

    pub(super) fn paused(&mut self, since: Duration, now: Duration) {
        self.paused += now.saturating_sub(since);
    }

    /// It is over.
    pub(super) fn end(&self, now: Duration) {
        let took = now.saturating_sub(self.begun);
        if took >= SLOW {
            tracing::debug!(
                slot = self.slot,
                trace = self.trace.map(tracing::field::display),
                took_us = micros(took),
                here_us = micros(self.here),
                peers_us = micros(self.peers),
                paused_us = micros(self.paused),
                tries = self.tries,
                not_sent = self.not_sent,
                slowest = self.slowest.map(|(_, peer)| tracing::field::display(peer)),
                "a slow operation"
            );
        }
    }
}

/// A batch of operations that a peer was asked for is answered, or lost.
pub(super) fn asked(peer: Pid, operations: usize, since: Duration, now: Duration) {
    let took = now.saturating_sub(since);
    if took >= SLOW {
        tracing::debug!(%peer, operations, took_us = micros(took), "a slow batch");
    }
}

/// A merge gave a value up. Versions are written as clients are told them, in entity tags.
pub(super) fn superseded(superseded: &Superseded) {
    let Superseded { key, kept, gone, sent, winner, loser, again } = superseded;
    tracing::debug!(
        key = %key.escape_ascii(),
        kept = %Stamp(*kept),
        gone = %Stamp(*gone),
        sent = %Stamp(*sent),
        %winner,
        %loser,
        again,
        "a merge gave a value up"
    );
}

/// A version: its time and its writer.
struct Stamp((u64, u128));

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (time, writer) = self.0;
        write!(f, "{time:x}-{writer:x}")
    }
}
