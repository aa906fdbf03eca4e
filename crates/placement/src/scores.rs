//! How well each of some nodes suits an item.

use std::cmp::Ordering;

use crate::{Candidate, hash, log2};

/// The scores of some nodes for any item: weighted rendezvous hashing without bounds.
///
/// The score of a node for an item is `weight / -log2(hash)`, where `hash` in `(0, 1)` is that of the
/// node and the item; higher is better. Over many items each node is the best in proportion to its
/// weight, and a node that comes or goes only takes or leaves what it is the best for (Thaler and
/// Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", 1998; the logarithm: Schindelhauer
/// and Schomaker, "Weighted Distributed Hash Tables", 2005).
///
/// A score is kept as the two integers of its fraction and compared by cross multiplication: no
/// division, no rounding, a total order. Of equal scores the lower node id is better.
///
/// ```
/// use boato_placement::{Candidate, Scores};
/// let nodes = [Candidate { id: 7, weight: 1 }, Candidate { id: 8, weight: 3 }];
/// let scores = Scores::new(&nodes);
/// let best_of_8 = (0..1000).filter(|item| scores.best(*item) == Some(8)).count();
/// assert!((700..800).contains(&best_of_8));
/// ```
#[derive(Clone, Debug)]
pub struct Scores {
    /// Ascending by id, so that the place of a node breaks ties as its id would.
    nodes: Vec<Scored>,
}

#[derive(Clone, Debug)]
struct Scored {
    hash: u64,
    weight: u64,
    id: u128,
}

/// A node's score for one item; the greater is the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Score {
    /// Which of the nodes.
    pub(crate) place: usize,
    /// `-log2(hash)` with 40 fractional bits, 1 to `64 << 40`: orders the items of one node.
    pub(crate) distance: u64,
    hash: u64,
    weight: u64,
}

impl Scores {
    /// Of these nodes, in any order. Those of weight 0 are never the best.
    pub fn new(nodes: &[Candidate]) -> Self {
        let weighted = nodes.iter().filter(|node| node.weight > 0);
        let mut nodes: Vec<_> = weighted
            .map(|node| Scored { hash: hash::node(node.id), weight: u64::from(node.weight), id: node.id })
            .collect();
        nodes.sort_unstable_by_key(|node| node.id);
        Self { nodes }
    }

    /// The id of the best node for an item, which is any 64 bits: a number, the hash of a key.
    /// `None` if no node has a weight. Takes time in proportion to the number of nodes.
    #[inline]
    pub fn best(&self, item: u64) -> Option<u128> {
        self.best_below(item, None).map(|best| self.nodes[best.place].id)
    }

    /// The best score for an item, or the best of those below that of the node at `bound`.
    #[inline]
    pub(crate) fn best_below(&self, item: u64, bound: Option<usize>) -> Option<Score> {
        let item_hash = hash::item(item);
        let bound = bound.map(|place| self.at(place, item));
        let mut best: Option<Score> = None;
        for (place, node) in self.nodes.iter().enumerate() {
            let hash = hash::pair(node.hash, item_hash);
            if best.is_some_and(|best| hash < best.hash && node.weight <= best.weight) {
                continue; // not better, and no logarithm needed to know
            }
            let score = Score::new(place, node.weight, hash);
            if best.is_none_or(|best| score > best) && bound.is_none_or(|bound| score < bound) {
                best = Some(score);
            }
        }
        best
    }

    /// The score of the node at a place for an item.
    #[inline]
    pub(crate) fn at(&self, place: usize, item: u64) -> Score {
        let node = &self.nodes[place];
        Score::new(place, node.weight, hash::pair(node.hash, hash::item(item)))
    }
}

impl Score {
    #[inline]
    fn new(place: usize, weight: u64, hash: u64) -> Self {
        Self { place, distance: log2::distance(hash), hash, weight }
    }
}

impl Ord for Score {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        let left = self.weight * other.distance;
        let right = other.weight * self.distance;
        left.cmp(&right).then_with(|| other.place.cmp(&self.place))
    }
}

impl PartialOrd for Score {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
        let candidate = (any::<u128>(), 0..4_u16).prop_map(|(id, weight)| Candidate { id, weight });
        prop::collection::vec(candidate, 0..20)
    }

    #[test]
    fn golden_vectors() {
        let nodes = [1, 2, 3].map(|id| Candidate { id, weight: 1 });
        let scores = Scores::new(&nodes);
        let distances = |item| [0, 1, 2].map(|place| scores.at(place, item).distance);
        assert_eq!(distances(0), [0x5a_69a7_5d57, 0x48_b5a5_e6ca, 0x46_ae93_abd8]);
        assert_eq!(distances(2047), [0x333_5aba_9618, 0x370_c929_86bc, 0xc2_a4b3_6a80]);
        let best: Vec<_> = (0..16).filter_map(|item| scores.best(item)).collect();
        assert_eq!(best, [3, 3, 1, 1, 1, 3, 1, 2, 2, 1, 1, 1, 3, 3, 2, 1]);
    }

    #[test]
    fn of_equal_scores_the_lower_id_is_better() {
        let score = |place, distance, weight| Score { place, distance, hash: 0, weight };
        assert!(score(0, 6, 3) > score(1, 2, 1));
        assert!(score(1, 6, 3) < score(0, 2, 1));
        assert!(score(1, 5, 3) > score(0, 2, 1));
    }

    #[test]
    fn the_extremes_do_not_overflow() {
        let heaviest = u64::from(u16::MAX);
        let far = Score { place: 0, distance: 64 << log2::FRACTION_BITS, hash: 0, weight: heaviest };
        let near = Score { place: 1, distance: 1, hash: u64::MAX, weight: heaviest };
        assert!(far < near);
    }

    proptest! {
        #[test]
        fn going_down_by_bounds_lists_all_in_order(nodes in candidates(), item in any::<u64>()) {
            let scores = Scores::new(&nodes);
            let mut expected: Vec<_> = (0..scores.nodes.len()).map(|place| scores.at(place, item)).collect();
            expected.sort_unstable_by(|left, right| right.cmp(left));
            let mut next = scores.best_below(item, None);
            for score in expected {
                prop_assert_eq!(next, Some(score));
                next = scores.best_below(item, Some(score.place));
            }
            prop_assert_eq!(next, None);
        }

        #[test]
        fn a_node_that_leaves_only_frees_what_was_its(nodes in candidates(), item in any::<u64>()) {
            let Some(best) = Scores::new(&nodes).best(item) else { return Ok(()) };
            let without = |id| -> Vec<_> { nodes.iter().copied().filter(|node| node.id != id).collect() };
            for node in nodes.iter().filter(|node| node.id != best) {
                prop_assert_eq!(Scores::new(&without(node.id)).best(item), Some(best));
            }
        }
    }
}
