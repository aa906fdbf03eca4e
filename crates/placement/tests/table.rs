//! What every table promises, whatever the strategy.

use boato_placement::{Candidate, RANGES, Rendezvous, Ring, Strategy as Placement, Table};
use proptest::prelude::*;

const STRATEGIES: [&dyn Placement; 3] =
    [&Rendezvous::new(Rendezvous::EPSILON_PERMILLE), &Rendezvous::new(0), &Ring::new(16)];

fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
    // Ids from a small set now and then: duplicates.
    let id = prop_oneof![any::<u128>(), 0..4_u128];
    let weight = prop_oneof![Just(0), 1..4_u16, any::<u16>()];
    prop::collection::vec((id, weight).prop_map(|(id, weight)| Candidate { id, weight }), 1..30)
}

fn owners(table: &Table) -> Vec<u128> {
    (0..RANGES).map(|range| table.owner_of_range(range).expect("every range has an owner")).collect()
}

proptest! {
    #[test]
    fn any_order_of_the_nodes_gives_the_same_table(
        (nodes, shuffled) in candidates().prop_flat_map(|nodes| (Just(nodes.clone()), Just(nodes).prop_shuffle())),
    ) {
        for strategy in STRATEGIES {
            let table = Table::build(strategy, nodes.iter().copied());
            prop_assert_eq!(table, Table::build(strategy, shuffled.iter().copied()));
        }
    }

    #[test]
    fn only_nodes_with_weight_own_ranges_and_they_own_all(nodes in candidates()) {
        let heaviest = nodes.iter().map(|node| node.weight).max();
        for strategy in STRATEGIES {
            for owner in owners(&Table::build(strategy, nodes.iter().copied())) {
                let weights = nodes.iter().filter(|node| node.id == owner).map(|node| node.weight);
                let weight = weights.max();
                prop_assert!(weight > Some(0) || heaviest == Some(0), "{owner} has weight {weight:?}");
            }
        }
    }

    #[test]
    fn weights_are_respected(weights in prop::collection::vec(1..=10_u16, 2..10), seed in any::<u64>()) {
        let node = |(weight, id)| Candidate { id, weight };
        let nodes: Vec<_> = weights.into_iter().zip(u128::from(seed) << 64..).map(node).collect();
        let owners = owners(&Table::build(&Rendezvous::default(), nodes.iter().copied()));
        let total: usize = nodes.iter().map(|node| usize::from(node.weight)).sum();
        for node in nodes {
            let owned = owners.iter().filter(|owner| **owner == node.id).count();
            let share = RANGES * usize::from(node.weight) / total;
            prop_assert!(owned <= share * 11 / 10 + 2, "{owned} of {share}");
            // Below, six standard deviations of a binomial share.
            prop_assert!(share.saturating_sub(owned).pow(2) <= 36 * share, "{owned} of {share}");
        }
    }
}

/// FNV-1a over the owners of all ranges.
fn fingerprint(table: &Table) -> u64 {
    let bytes = owners(table).into_iter().flat_map(u128::to_le_bytes);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A change here changes who owns what: it needs a new `VERSION`. The figures of the default strategy
/// come from a second implementation (arbitrary precision, sorted lists), not from this one.
#[test]
fn golden_tables() {
    assert_eq!(boato_placement::VERSION, 1);
    let three = || (1..=3).map(|id| Candidate { id, weight: 1 });
    let fifty = || (1..=50_u16).map(|n| Candidate { id: u128::from(n) << 100 | 7, weight: n % 4 });
    let default = Rendezvous::default();
    for (name, table, expected) in [
        ("three", Table::build(&default, three()), 0x08ac_9e80_939e_8fe7),
        ("fifty", Table::build(&default, fifty()), 0x5469_7e58_a466_76a2),
        ("fifty, tight", Table::build(&Rendezvous::new(0), fifty()), 0xf68a_26ad_cb5f_3781),
        ("three on a ring", Table::build(&Ring::default(), three()), 0x26dd_4ad6_2cf9_d927),
    ] {
        assert_eq!(fingerprint(&table), expected, "{name}: {:#018x}", fingerprint(&table));
    }
}

#[test]
fn the_first_ranges_of_three_nodes() {
    let table = Table::build(&Rendezvous::default(), (1..=3).map(|id| Candidate { id, weight: 1 }));
    assert_eq!(owners(&table)[..16], [3, 3, 1, 1, 1, 3, 1, 2, 2, 1, 1, 1, 3, 3, 2, 1]);
}
