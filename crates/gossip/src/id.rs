//! Who a member is: a node id that lasts, and the boot of one process.

use std::fmt;

/// Identity of a node: 128 random bits, kept across restarts where a data directory exists.
///
/// Names and addresses are attributes and may change; the id does not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u128);

impl NodeId {
    /// The first 8 hexadecimal digits: enough to tell nodes apart in a log line.
    pub fn short(self) -> impl fmt::Display {
        Short(self)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.short(), f)
    }
}

struct Short(NodeId);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0.0 >> 96)
    }
}

/// One process of a node: its id and its boot epoch. A newer boot proves every older one dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid {
    /// The node.
    pub id: NodeId,
    /// Its boot epoch: grows with each start of the same node.
    pub boot: u64,
}
