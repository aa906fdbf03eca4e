//! What is on its way to other nodes, and how much of it may be.

use super::Machine;
use crate::pid::Pid;
use crate::slot::Giving;
use crate::time::Now;

/// Bytes on their way to one node.
pub(super) const WINDOW_BYTES: usize = 4 << 20;

/// Bytes on their way to all nodes.
const WINDOWS_BYTES: usize = 32 << 20;

/// Slots with entries on their way to one node at a time.
const GIVING_MAX: usize = 64;

/// The bytes of frozen slots on their way to one node, beyond which no further slot is frozen: with the round
/// trip they make up the pause of a hand-over.
pub(super) const FROZEN_BYTES: usize = 256 << 10;

/// What is on its way to one node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Budget {
    pub(super) in_flight: usize,
    pub(super) frozen: usize,
    giving: usize,
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
                budget.in_flight < WINDOW_BYTES && budget.frozen < FROZEN_BYTES && budget.giving < GIVING_MAX
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
