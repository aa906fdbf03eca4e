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
