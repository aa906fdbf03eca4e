//! What a table is made of, and who decides it.

/// A node that can own ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Candidate {
    /// Identity of the node, distinct within a table.
    pub id: u128,
    /// Its capacity relative to the others. 0 owns nothing, unless all weights are 0.
    pub weight: u16,
}

/// Decides which node owns which range.
///
/// An implementation is a pure function: the same nodes give the same answer on every machine.
/// [`Table::build`](crate::Table::build) prepares the nodes, so that no strategy needs to care about
/// their order, duplicates or weights of 0.
pub trait Strategy: Send + Sync {
    /// The id of the owner of each range, in the order of the ranges; exactly
    /// [`RANGES`](crate::RANGES) of them.
    ///
    /// `nodes` are at least one, ascending by id, distinct, each with a weight above 0.
    fn assign(&self, nodes: &[Candidate]) -> Vec<u128>;
}
