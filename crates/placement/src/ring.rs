//! Consistent hashing on a ring, to compare with.

use std::hash::{BuildHasherDefault, Hash, Hasher};

use hashring::HashRing;

use crate::{Candidate, RANGES, Strategy, hash};

/// The classic ring: each node stands at many points of a circle of hashes, each range belongs to
/// the next point (Karger et al., "Consistent Hashing and Random Trees", 1997), by the `hashring`
/// crate.
///
/// No bound on the load: with 128 points a node, the fullest of 100 owns about 1.7 times its share.
/// It is here so that [`Rendezvous`](crate::Rendezvous) can be measured against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ring {
    points: u16,
}

impl Ring {
    /// The default number of points of the heaviest node.
    pub const POINTS: u16 = 128;

    /// So many points for the heaviest node (0 counts as 1), proportionally fewer for the others, at
    /// least one. Building takes time and 48 bytes for each point.
    pub const fn new(points: u16) -> Self {
        Self { points }
    }

    /// All points of a node whose weight is to be seen beside the heaviest.
    fn points(self, node: Candidate, heaviest: u16) -> impl Iterator<Item = Point> {
        let points = u32::from(self.points) * u32::from(node.weight) / u32::from(heaviest);
        (0..points.max(1)).map(move |number| Point { node: node.id, number })
    }
}

impl Default for Ring {
    fn default() -> Self {
        Self::new(Self::POINTS)
    }
}

impl Strategy for Ring {
    fn assign(&self, nodes: &[Candidate]) -> Vec<u128> {
        let heaviest = nodes.iter().map(|node| node.weight).max().unwrap_or(1);
        let mut ring = HashRing::with_hasher(BuildHasherDefault::<FixedHasher>::default());
        ring.batch_add(nodes.iter().flat_map(|node| self.points(*node, heaviest)).collect());
        let owner =
            |range| ring.get(&range).expect("invariant: a table is built from at least one node").node;
        (0..RANGES as u64).map(owner).collect()
    }
}

/// One of a node's points on the circle, an entry of its own in the ring.
struct Point {
    node: u128,
    number: u32,
}

impl Hash for Point {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(hash::node(self.node));
        state.write_u64(u64::from(self.number));
    }
}

/// Takes numbers as numbers: the bytes a standard hasher sees depend on the platform.
#[derive(Default)]
struct FixedHasher(u64);

impl Hasher for FixedHasher {
    fn write_u64(&mut self, number: u64) {
        self.0 = hash::pair(self.0, hash::item(number));
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Table;

    fn count(table: &Table, id: u128) -> usize {
        (0..RANGES).filter(|range| table.owner_of_range(*range) == Some(id)).count()
    }

    #[test]
    fn weights_are_roughly_respected() {
        let nodes = [(1, 10), (2, 20), (3, 30)].map(|(id, weight)| Candidate { id, weight });
        let table = Table::build(&Ring::new(2000), nodes);
        for node in nodes {
            let share = RANGES * usize::from(node.weight) / 60;
            assert!(count(&table, node.id).abs_diff(share) < share / 4, "{node:?}");
        }
    }

    #[test]
    fn a_light_node_keeps_a_point() {
        let ring = Ring::default();
        assert_eq!(ring.points(Candidate { id: 1, weight: 1 }, u16::MAX).count(), 1);
        assert_eq!(ring.points(Candidate { id: 1, weight: 7 }, 7).count(), 128);
        assert_eq!(Ring::new(0).points(Candidate { id: 1, weight: 7 }, 7).count(), 1);
    }
}
