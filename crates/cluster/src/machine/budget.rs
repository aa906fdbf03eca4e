//! What is on its way to other nodes, and how much of it may be.

use std::time::Duration;

use super::Machine;
use crate::pid::Pid;
use crate::slot::Giving;
use crate::time::Now;
use crate::transfer::Arrived;

/// Bytes on their way to one node: how many may be at most, how few always, and at first.
pub(super) const WINDOW_BYTES: usize = 4 << 20;
const WINDOW_LEAST_BYTES: usize = 128 << 10;
const WINDOW_FIRST_BYTES: usize = 1 << 20;

/// What takes longer to be acknowledged waits for others on a way that carries no more: less may be on its way then.
const LONG: Duration = Duration::from_millis(500);

/// Bytes on their way to all nodes.
const WINDOWS_BYTES: usize = 32 << 20;

/// Slots with entries on their way to one node at a time.
const GIVING_MAX: usize = 64;

/// The bytes of frozen slots on their way to one node, beyond which no further slot is frozen: with the round
/// trip they make up the pause of a hand-over.
pub(super) const FROZEN_BYTES: usize = 256 << 10;

/// What is on its way to one node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Budget {
    pub(super) in_flight: usize,
    pub(super) frozen: usize,
    giving: usize,
    /// How much may be on its way.
    window: usize,
    /// When the last of what it has acknowledged was sent: of what was sent before, the rest is lost.
    pub(super) reached: Duration,
    /// When it last acknowledged something, was asked what has arrived, or had nothing to acknowledge.
    pub(super) quiet_since: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        let (reached, quiet_since) = (Duration::ZERO, Duration::ZERO);
        Self { in_flight: 0, frozen: 0, giving: 0, window: WINDOW_FIRST_BYTES, reached, quiet_since }
    }
}

impl Budget {
    /// Whether more may be sent.
    pub(super) fn is_open(&self) -> bool {
        self.in_flight < self.window
    }

    /// Counts what is sent.
    pub(super) fn send(&mut self, bytes: usize, now: Duration) {
        if self.in_flight == 0 {
            self.quiet_since = now;
        }
        self.in_flight += bytes;
    }

    /// Counts what has arrived. The window follows what the way carries in [`LONG`]: it grows by what arrives
    /// sooner, and shrinks by what arrives later.
    pub(super) fn arrive(&mut self, Arrived { bytes, sent_at }: Arrived, now: Duration) {
        self.in_flight = self.in_flight.saturating_sub(bytes);
        self.quiet_since = now;
        if let Some(sent_at) = sent_at {
            self.reached = self.reached.max(sent_at);
            let is_late = now.saturating_sub(sent_at) > LONG;
            let window = if is_late { self.window.saturating_sub(bytes) } else { self.window + bytes };
            self.window = window.clamp(WINDOW_LEAST_BYTES, WINDOW_BYTES);
        }
    }

    /// Forgets all but what is on its way, and sets the times.
    #[cfg(feature = "model")]
    pub(super) fn blur(&mut self, at: Duration) {
        let Self { in_flight, frozen, giving, .. } = *self;
        let counts = Self { in_flight, frozen, giving, ..Self::default() };
        *self =
            if counts == Self::default() { counts } else { Self { reached: at, quiet_since: at, ..counts } };
    }
}

impl Machine {
    /// Whether another slot may be copied to a node.
    pub(super) fn has_room(&mut self, target: Pid, now: Now) -> bool {
        let in_flight: usize = self.budgets.values().map(|budget| budget.in_flight).sum();
        let giving: usize = self.budgets.values().map(|budget| budget.giving).sum();
        in_flight < WINDOWS_BYTES
            && giving < self.pace.copies(self.config.chunk_bytes)
            && self.pace.is_open(now.at)
            && self.budgets.get(&target).is_none_or(|budget| {
                budget.is_open() && budget.frozen < FROZEN_BYTES && budget.giving < GIVING_MAX
            })
    }

    pub(super) fn count_giving(&mut self, target: Pid) {
        self.budgets.entry(target).or_default().giving += 1;
    }

    /// Takes what is on its way out of the books.
    pub(super) fn settle_budget(&mut self, giving: &Giving) {
        if let Some(budget) = self.budgets.get_mut(&giving.target) {
            budget.in_flight = budget.in_flight.saturating_sub(giving.transfer.in_flight());
            budget.frozen = budget.frozen.saturating_sub(giving.frozen);
            budget.giving = budget.giving.saturating_sub(usize::from(giving.counted));
        }
    }
}
