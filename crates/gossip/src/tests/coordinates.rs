use std::time::Duration;

use super::world::*;

#[test]
fn round_trips_between_any_two_members_are_known_to_all() {
    let mut world = World::cluster(12, 1);
    world.run(300 * SECOND);
    // The network of the tests takes 0.2 to 2 ms each way, so 2.2 ms there and back on average.
    for node in world.nodes.values() {
        for (one, other) in (1..=12).flat_map(|a| (1..a).map(move |b| (a, b))) {
            let [one, other] = [one, other].map(|n| node.coordinate(id(n)).expect("all have been probed"));
            let rtt = one.rtt(&other);
            assert!(Duration::from_millis(1) < rtt && rtt < Duration::from_millis(4), "{rtt:?}");
            assert!(one.error() < 0.5, "{one:?}");
        }
    }
    assert_eq!(world.node(addr(1)).coordinate(id(99)), None);
}
