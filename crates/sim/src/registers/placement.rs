//! A placement for few slots: the production one spends its time on 2048 ranges, of which a run has a handful.

use boato_placement::{Candidate, RANGES, SLOTS_PER_RANGE, Strategy};
use rapidhash::v3::rapidhash_v3;

/// Plain weighted rendezvous hashing of the first ranges (Thaler and Ravishankar 1998; a node counts once for each
/// unit of its weight); all others belong to the first node.
#[derive(Clone, Copy)]
pub(super) struct Placement {
    ranges: usize,
}

impl Placement {
    /// For the first `slots` slots.
    pub(super) fn of(slots: u16) -> Self {
        Self { ranges: usize::from(slots).div_ceil(SLOTS_PER_RANGE) }
    }
}

impl Strategy for Placement {
    fn assign(&self, nodes: &[Candidate]) -> Vec<u128> {
        let mut owners = vec![nodes[0].id; RANGES];
        for (range, owner) in (0_u64..).zip(owners.iter_mut().take(self.ranges)) {
            let score = |node: &&Candidate| (0..node.weight).map(|unit| score(range, node.id, unit)).max();
            *owner = nodes.iter().max_by_key(score).map_or(*owner, |node| node.id);
        }
        owners
    }
}

fn score(range: u64, node: u128, unit: u16) -> u64 {
    let mut bytes = [0; 26];
    bytes[..8].copy_from_slice(&range.to_le_bytes());
    bytes[8..24].copy_from_slice(&node.to_le_bytes());
    bytes[24..].copy_from_slice(&unit.to_le_bytes());
    rapidhash_v3(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_spread_by_weight() {
        let nodes = [(1, 1), (2, 3), (3, 1)].map(|(id, weight)| Candidate { id, weight });
        let owners = Placement::of(u16::MAX / 4 + 1).assign(&nodes);
        let count = |id| owners.iter().filter(|owner| **owner == id).count();
        assert_eq!(owners.len(), RANGES);
        assert!((350..470).contains(&count(1)) && (1_150..1_310).contains(&count(2)), "{}", count(2));
    }
}
