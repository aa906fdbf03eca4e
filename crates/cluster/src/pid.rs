//! Processes and epochs: who a message is from, and the order of a slot's holders.

use std::fmt;

use rkyv::{Archive, Deserialize, Serialize};

/// One boot of one node. Memory is volatile: a newer boot of a node proves every older one dead.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Archive, Serialize, Deserialize)]
pub struct Pid {
    /// The node's stable id.
    pub node: u128,
    /// The boot epoch: strictly increases with each start of that node.
    pub boot: u64,
}

impl Pid {
    /// The id under which this boot stamps its writes: another for every boot, as a boot may begin with an earlier clock
    /// than the one before had reached, and no two writes may have one version.
    pub(crate) fn writer(self) -> u128 {
        /// Odd, so that no two boots of a node have one id; its bits spread a boot's over the whole id.
        const SPREAD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
        self.node ^ u128::from(self.boot).wrapping_mul(SPREAD)
    }
}

impl fmt::Display for Pid {
    /// The first 8 hex digits of the node id and the last 4 of the boot.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}.{:04x}", self.node >> 96, self.boot & 0xffff)
    }
}

/// The reign of one holder over one slot. Ordered by counter, then by the process that activates it; a later
/// holder always has the higher epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Archive, Serialize, Deserialize)]
pub struct Epoch {
    /// Counts hand-overs of the slot.
    pub counter: u64,
    /// The process that activates this epoch.
    pub pid: Pid,
}

impl Epoch {
    /// Before any holder: the epoch of a slot that was never minted, and of a guess.
    pub const ZERO: Self = Self { counter: 0, pid: Pid { node: 0, boot: 0 } };

    /// The highest counter taken from a peer; a greater one is refused, so that the counter cannot overflow.
    pub const COUNTER_MAX: u64 = 1 << 62;

    /// The epoch that follows both `self` and `other`, to be activated by `pid`.
    #[must_use]
    pub fn after(self, other: Self, pid: Pid) -> Self {
        Self { counter: self.counter.max(other.counter) + 1, pid }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.counter, self.pid)
    }
}

/// Where a slot was last known to be.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Archive, Serialize, Deserialize)]
pub struct Hint {
    /// The process that held it.
    pub pid: Pid,
    /// The epoch under which it did; [`Epoch::ZERO`] for a guess.
    pub epoch: Epoch,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_boot_of_every_node_stamps_its_writes_with_an_id_of_its_own() {
        let pids = (0..32).flat_map(|node| (0..32).map(move |boot| Pid { node, boot }));
        let writers: std::collections::BTreeSet<u128> = pids.map(Pid::writer).collect();
        assert_eq!(writers.len(), 32 * 32);
    }
}
