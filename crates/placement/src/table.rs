//! The immutable answer to "who owns this slot?".

use std::cmp::Reverse;

use crate::{Candidate, RANGES, SLOTS_PER_RANGE, Strategy};

/// Which node owns which range. Immutable; equal tables have equal members and equal owners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    nodes: Box<[Candidate]>,
    /// The nodes that own something, ascending; at most one per range, so that two bytes count them.
    owners: Box<[u128]>,
    /// Per range the place of its owner in `owners`.
    ranges: Box<[u16; RANGES]>,
}

/// Consecutive slots with the same owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first slot.
    pub first: u16,
    /// The last slot, included.
    pub last: u16,
    /// The id of the node that owns them.
    pub owner: u128,
}

impl Table {
    /// The table of these nodes, given in any order. No nodes: [`Table::empty`].
    ///
    /// A node given more than once counts once, with its highest weight. Nodes of weight 0 own
    /// nothing, unless all weights are 0, which then count as 1.
    ///
    /// # Panics
    ///
    /// If the strategy breaks its contract: not exactly one owner for each range.
    pub fn build(strategy: &dyn Strategy, nodes: impl IntoIterator<Item = Candidate>) -> Self {
        let nodes = distinct(nodes);
        if nodes.is_empty() {
            return Self::empty();
        }
        let owner_of_range = strategy.assign(&eligible(&nodes));
        assert_eq!(owner_of_range.len(), RANGES, "a strategy names one owner for each range");
        let chunks = owner_of_range.chunk_by(|left, right| left == right);
        let runs: Vec<(u128, usize)> = chunks.map(|run| (run[0], run.len())).collect();
        let mut owners: Vec<u128> = runs.iter().map(|&(owner, _)| owner).collect();
        owners.sort_unstable();
        owners.dedup();
        let mut ranges = Box::new([0; RANGES]);
        let mut next = 0;
        for (owner, len) in runs {
            ranges[next..next + len].fill(place(&owners, owner));
            next += len;
        }
        Self { nodes, owners: owners.into(), ranges }
    }

    /// The table without nodes: nobody owns anything.
    pub fn empty() -> Self {
        Self { nodes: Box::default(), owners: Box::default(), ranges: Box::new([0; RANGES]) }
    }

    /// The node that owns a slot; `None` for the empty table and for a slot that does not exist
    /// ([`SLOTS`](crate::SLOTS) and above).
    #[inline]
    pub fn owner(&self, slot: u16) -> Option<u128> {
        self.owner_of_range(usize::from(slot) / SLOTS_PER_RANGE)
    }

    /// The node that owns a range; `None` for the empty table and for [`RANGES`] and above.
    #[inline]
    pub fn owner_of_range(&self, range: usize) -> Option<u128> {
        let place = *self.ranges.get(range)?;
        self.owners.get(usize::from(place)).copied()
    }

    /// All nodes, ascending by id, each with the weight it was given, also those that own nothing.
    pub fn nodes(&self) -> &[Candidate] {
        &self.nodes
    }

    /// All slots, ascending, as runs of one owner that are as long as possible. Nothing if the table
    /// is empty.
    pub fn runs(&self) -> impl Iterator<Item = Run> {
        let ranges = if self.owners.is_empty() { &[][..] } else { &self.ranges[..] };
        let mut next = 0;
        ranges.chunk_by(|left, right| left == right).map(move |run| {
            let first = next;
            next += slots_of(run.len());
            Run { first, last: next - 1, owner: self.owners[usize::from(run[0])] }
        })
    }
}

/// Slots in at most [`RANGES`] ranges.
fn slots_of(ranges: usize) -> u16 {
    u16::try_from(ranges * SLOTS_PER_RANGE).expect("invariant: there are 16384 slots in all")
}

/// Ascending by id, once each.
fn distinct(nodes: impl IntoIterator<Item = Candidate>) -> Box<[Candidate]> {
    let mut nodes: Vec<_> = nodes.into_iter().collect();
    nodes.sort_unstable_by_key(|node| (node.id, Reverse(node.weight)));
    nodes.dedup_by_key(|node| node.id);
    nodes.into()
}

/// Those that may own something: all with a weight, or all with weight 1 if there is none.
fn eligible(nodes: &[Candidate]) -> Vec<Candidate> {
    let weighted: Vec<_> = nodes.iter().copied().filter(|node| node.weight > 0).collect();
    if weighted.is_empty() {
        nodes.iter().map(|node| Candidate { weight: 1, ..*node }).collect()
    } else {
        weighted
    }
}

/// Where an owner stands among the owners.
fn place(owners: &[u128], owner: u128) -> u16 {
    let place = owners.binary_search(&owner).expect("invariant: the list was made of all owners");
    u16::try_from(place).expect("invariant: there are at most as many owners as ranges")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Rendezvous, SLOTS};

    fn table(nodes: &[(u128, u16)]) -> Table {
        let nodes = nodes.iter().map(|(id, weight)| Candidate { id: *id, weight: *weight });
        Table::build(&Rendezvous::default(), nodes)
    }

    #[test]
    fn nobody_owns_anything_in_the_empty_table() {
        let empty = Table::empty();
        assert_eq!(empty, table(&[]));
        assert_eq!(empty.owner(0), None);
        assert_eq!(empty.runs().count(), 0);
        assert!(empty.nodes().is_empty());
    }

    #[test]
    fn slots_that_do_not_exist_have_no_owner() {
        let table = table(&[(5, 1)]);
        assert_eq!(table.owner(16383), Some(5));
        assert_eq!(table.owner(16384), None);
        assert_eq!(table.owner(u16::MAX), None);
        assert_eq!(table.owner_of_range(RANGES), None);
    }

    #[test]
    fn a_node_without_weight_is_listed_and_owns_nothing() {
        let table = table(&[(1, 1), (2, 0), (3, 7)]);
        assert_eq!(table.nodes().len(), 3);
        assert!(table.runs().all(|run| run.owner != 2));
    }

    #[test]
    fn no_weight_at_all_counts_as_one_each() {
        let (unweighted, equal) = (table(&[(1, 0), (2, 0)]), table(&[(1, 1), (2, 1)]));
        assert!(unweighted.runs().eq(equal.runs()));
    }

    #[test]
    fn a_node_given_twice_counts_once_with_its_highest_weight() {
        assert_eq!(table(&[(1, 2), (2, 1), (1, 5), (1, 3)]), table(&[(1, 5), (2, 1)]));
    }

    #[test]
    fn runs_tell_every_slot_once_and_its_owner() {
        let table = table(&[(1, 1), (2, 1), (3, 1)]);
        let mut next = 0;
        let mut previous = None;
        for run in table.runs() {
            assert_eq!(run.first, next);
            assert_ne!(Some(run.owner), previous, "two runs where one would do");
            assert!((run.first..=run.last).all(|slot| table.owner(slot) == Some(run.owner)));
            (next, previous) = (run.last + 1, Some(run.owner));
        }
        assert_eq!(usize::from(next), SLOTS);
    }

    #[test]
    #[should_panic(expected = "one owner for each range")]
    fn a_strategy_that_leaves_ranges_out_is_caught() {
        struct Half;
        impl Strategy for Half {
            fn assign(&self, nodes: &[Candidate]) -> Vec<u128> {
                vec![nodes[0].id; RANGES / 2]
            }
        }
        Table::build(&Half, [Candidate { id: 1, weight: 1 }]);
    }
}
