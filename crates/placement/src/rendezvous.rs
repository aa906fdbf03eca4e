//! Weighted rendezvous hashing with bounded load.

use std::collections::BinaryHeap;

use crate::scores::{Score, Scores};
use crate::{Candidate, RANGES, Strategy, hash};

/// Each range goes to the node with the highest [score](Scores) for it that still has room.
///
/// Room: node `i` takes at most `floor((1 + epsilon) * RANGES * w_i / W + u_i)` ranges, where `w_i /
/// W` is its share of all weights and `u_i` in `[0, 1)` is a hash of its id. Without that dither the
/// capacities of all equal nodes step down at the same change of members, and every full node sheds
/// a range at once, up to 41 times what has to move.
///
/// Who gets the room is a stable matching (Gale and Shapley, 1962): a range prefers nodes by score,
/// a node prefers ranges by the same score, then the lower range. It is unique whatever the order of
/// proposals. A range that finds no room anywhere goes to its best node all the same.
///
/// Cost: 1.0 to 1.3 proposals a range, each of which scores all nodes once.
///
/// ```
/// use boato_placement::{Candidate, RANGES, Rendezvous, Table};
/// let nodes = (0..10).map(|id| Candidate { id, weight: 1 });
/// let table = Table::build(&Rendezvous::default(), nodes);
/// let most = (0..10).map(|id| (0..RANGES).filter(|r| table.owner_of_range(*r) == Some(id)).count()).max();
/// assert!(most.unwrap() <= RANGES * 11 / 100 + 1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rendezvous {
    epsilon_permille: u32,
}

impl Rendezvous {
    /// The default slack: 10 %.
    pub const EPSILON_PERMILLE: u32 = 100;

    /// With a slack of so many thousandths above a node's fair share.
    ///
    /// Less is better balanced, more moves less when members change; from about 2000 on, and for
    /// [`u32::MAX`], it is plain rendezvous hashing. All nodes of a cluster need the same.
    pub const fn new(epsilon_permille: u32) -> Self {
        Self { epsilon_permille }
    }

    /// The most ranges a node takes as long as another has room.
    fn capacity(self, node: &Candidate, total_weight: u64) -> usize {
        const DITHER: u64 = 0x6469_7468_6572; // "dither"
        let slack = 1000 + u128::from(self.epsilon_permille);
        let weight = slack * RANGES as u128 * u128::from(node.weight);
        let share = (weight << 64) / (1000 * u128::from(total_weight));
        let dither = u128::from(hash::pair(hash::node(node.id), hash::item(DITHER)));
        usize::try_from((share + dither) >> 64).map_or(RANGES, |capacity| capacity.min(RANGES))
    }
}

impl Default for Rendezvous {
    fn default() -> Self {
        Self::new(Self::EPSILON_PERMILLE)
    }
}

impl Strategy for Rendezvous {
    fn assign(&self, nodes: &[Candidate]) -> Vec<u128> {
        let mut matching = Matching::new(*self, nodes);
        for range in 0..RANGES {
            matching.propose(range);
        }
        matching.owners(nodes)
    }
}

/// Deferred acceptance between ranges, which propose, and the nodes that take any, which choose.
struct Matching {
    scores: Scores,
    /// One for each node that takes any, in the order of `scores`.
    takers: Vec<Taker>,
}

struct Taker {
    id: u128,
    capacity: usize,
    /// What it has so far, on top what it would give up first.
    held: BinaryHeap<Held>,
}

/// Ordered by how little a node wants it: the larger distance first, then the higher range.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    distance: u64,
    range: usize,
}

impl Matching {
    fn new(strategy: Rendezvous, nodes: &[Candidate]) -> Self {
        let total_weight = nodes.iter().map(|node| u64::from(node.weight)).sum();
        let capacity = |node: &Candidate| strategy.capacity(node, total_weight);
        let nodes: Vec<_> = nodes.iter().copied().filter(|node| capacity(node) > 0).collect();
        let taker =
            |node: &Candidate| Taker { id: node.id, capacity: capacity(node), held: BinaryHeap::new() };
        Self { scores: Scores::new(&nodes), takers: nodes.iter().map(taker).collect() }
    }

    /// Finds a node for a range, then for the range that this one pushed out, and so on, until a node
    /// had room or a range has asked all.
    fn propose(&mut self, mut range: usize) {
        let mut best = self.scores.best_below(range as u64, None);
        while let Some(Score { place, distance, .. }) = best {
            let Some(refused) = self.takers[place].take(Held { distance, range }) else { return };
            range = refused.range;
            best = self.scores.best_below(range as u64, Some(place));
        }
    }

    /// The owner of each range: who took it, or its best node if nobody did.
    fn owners(self, nodes: &[Candidate]) -> Vec<u128> {
        let mut owners = vec![None; RANGES];
        for taker in self.takers {
            for held in taker.held {
                owners[held.range] = Some(taker.id);
            }
        }
        let all = Scores::new(nodes);
        let best = |range| all.best(range as u64).expect("invariant: every node has a weight");
        owners.iter().enumerate().map(|(range, owner)| owner.unwrap_or_else(|| best(range))).collect()
    }
}

impl Taker {
    /// Takes a range and gives up the one it wants least, perhaps the same, if that is one too many.
    fn take(&mut self, held: Held) -> Option<Held> {
        self.held.push(held);
        if self.held.len() > self.capacity { self.held.pop() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Table;
    use proptest::prelude::*;

    fn nodes(weights: &[u16], seed: u128) -> Vec<Candidate> {
        let node = |(weight, id)| Candidate { id, weight };
        weights.iter().copied().zip(seed..).map(node).collect()
    }

    fn matched(strategy: Rendezvous, nodes: &[Candidate]) -> Matching {
        let mut matching = Matching::new(strategy, nodes);
        (0..RANGES).for_each(|range| matching.propose(range));
        matching
    }

    /// Where each range found room.
    fn places(matching: &Matching) -> Vec<Option<usize>> {
        let mut places = vec![None; RANGES];
        for (place, taker) in matching.takers.iter().enumerate() {
            for held in &taker.held {
                assert_eq!(places[held.range].replace(place), None, "one range, two nodes");
            }
        }
        places
    }

    /// Would a range and a node both rather have each other than what they have?
    fn blocks(matching: &Matching, range: usize, has: Option<usize>, place: usize) -> bool {
        let score = |place| matching.scores.at(place, range as u64);
        let wanted = score(place);
        let range_wants = has.is_none_or(|has| wanted > score(has));
        let taker = &matching.takers[place];
        let bid = Held { distance: wanted.distance, range };
        range_wants && (taker.held.len() < taker.capacity || taker.held.iter().any(|held| bid < *held))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn the_matching_is_stable(
            weights in prop::collection::vec(1..9_u16, 1..24),
            seed in 0..1_u128 << 64,
            epsilon in 0..300_u32,
        ) {
            let matching = matched(Rendezvous::new(epsilon), &nodes(&weights, seed));
            prop_assert!(matching.takers.iter().all(|taker| taker.held.len() <= taker.capacity));
            for (range, has) in places(&matching).into_iter().enumerate() {
                for place in (0..matching.takers.len()).filter(|place| Some(*place) != has) {
                    prop_assert!(!blocks(&matching, range, has, place), "range {range}, node {place}");
                }
            }
        }
    }

    #[test]
    fn capacities_sum_up_to_all_ranges_and_the_slack() {
        let weights = [1, 2, 3, 10];
        for (epsilon, total) in [(0, 2048), (100, 2252), (500, 3072)] {
            let sums = (0..200).map(|seed| {
                let nodes = nodes(&weights, seed * 1000);
                nodes.iter().map(|node| Rendezvous::new(epsilon).capacity(node, 16)).sum::<usize>()
            });
            let sums: Vec<_> = sums.collect();
            assert!(sums.iter().all(|sum| sum.abs_diff(total) <= weights.len()), "{sums:?}");
            let mean = sums.iter().sum::<usize>() / sums.len();
            assert!(mean.abs_diff(total) <= 1, "{mean} instead of {total}");
        }
    }

    #[test]
    fn a_range_that_nobody_has_room_for_goes_to_its_best_node() {
        let strategy = Rendezvous::new(0);
        let mut homeless = 0;
        for seed in 0..20 {
            let nodes = nodes(&[1; 7], seed * 1000);
            let places = places(&matched(strategy, &nodes));
            let table = Table::build(&strategy, nodes.iter().copied());
            let scores = Scores::new(&nodes);
            for range in (0..RANGES).filter(|range| places[*range].is_none()) {
                assert_eq!(table.owner_of_range(range), scores.best(range as u64));
                homeless += 1;
            }
        }
        assert!(homeless > 0, "the test has to see some");
    }

    #[test]
    fn more_nodes_than_ranges_share_all_ranges() {
        let nodes = nodes(&[1; 3 * RANGES], 1);
        let table = Table::build(&Rendezvous::default(), nodes);
        assert!((0..RANGES).all(|range| table.owner_of_range(range).is_some()));
    }

    #[test]
    fn without_bound_every_range_has_its_best_node() {
        let nodes = nodes(&[1, 5, 2, 1], 77);
        let table = Table::build(&Rendezvous::new(u32::MAX), nodes.iter().copied());
        let scores = Scores::new(&nodes);
        assert!((0..RANGES).all(|range| table.owner_of_range(range) == scores.best(range as u64)));
    }
}
