use super::world::*;
use crate::{Event, State};

fn divided(world: &World, n: u16) -> bool {
    world.nodes.values().all(|node| node.live().count() == usize::from(n))
}

#[test]
fn a_partition_of_an_hour_heals_by_itself() {
    let mut world = World::cluster(10, 1);
    world.far = (1..=5).map(addr).collect();
    world.until("both sides believe the other dead", 120 * SECOND, |w| divided(w, 5));
    world.run(HOUR);
    assert!(divided(&world, 5));
    world.far.clear();
    let took = world.until("one cluster again", 60 * SECOND, World::converged);
    assert!(took < 45 * SECOND, "{took:?}");
    world.run(60 * SECOND);
    assert!(world.converged());
}

#[test]
fn an_isolated_member_recovers() {
    for seed in 0..3 {
        let mut world = World::cluster(8, seed);
        world.far = [addr(4)].into();
        world.until("it is alone", 120 * SECOND, |w| w.node(addr(4)).live().count() == 1);
        world.run(60 * SECOND);
        world.far.clear();
        world.until("one cluster again", 60 * SECOND, World::converged);
    }
}

#[test]
fn a_short_partition_kills_nobody() {
    let mut world = World::cluster(10, 1);
    world.far = [addr(4)].into();
    world.run(3 * SECOND);
    world.far.clear();
    world.run(60 * SECOND);
    assert_eq!(world.failures(), 0);
    assert!(world.converged());
}

#[test]
fn two_clusters_that_meet_become_one() {
    let mut world = World::new(1);
    for n in 1..=10 {
        world.start(n);
        world.join(addr(n), addr(if n <= 5 { 1 } else { 6 }));
    }
    world.run(5 * SECOND);
    assert!(divided(&world, 5));
    world.join(addr(3), addr(8));
    world.until("one cluster", 5 * SECOND, World::converged);
}

#[test]
fn the_dead_are_forgotten_after_a_day_and_do_not_come_back_by_hearsay() {
    let mut world = World::cluster(4, 1);
    world.crash(addr(3));
    world.run(HOUR);
    // A newcomer learns of the death silently, with its age.
    world.start(5);
    world.join(addr(5), addr(1));
    world.run(5 * SECOND);
    assert_eq!(world.state(addr(5), 3), Some(State::Dead));
    assert_eq!(world.count(|event| matches!(event, Event::Joined(m) if m.id == id(3))), 0);
    world.run(22 * HOUR);
    assert!(world.all_believe(3, Some(State::Dead)));
    world.run(HOUR + 60 * SECOND);
    assert!(world.all_believe(3, None), "the same day everywhere");
}

#[test]
fn forgotten_members_still_get_their_knock() {
    let mut world = World::cluster(3, 1);
    world.far = [addr(3)].into();
    world.run(25 * HOUR);
    assert!(world.all_believe(3, None));
    world.far.clear();
    world.until("one cluster again", 120 * SECOND, World::converged);
}

#[test]
fn nobody_dies_for_ever_while_the_network_comes_and_goes() {
    let mut world = World::cluster(12, 3);
    for round in 0..20u16 {
        world.far = (1..=12).filter(|n| (n * 7 + round * 5) % 3 == 0).map(addr).collect();
        world.run(13 * SECOND);
        world.far.clear();
        world.run(7 * SECOND);
    }
    world.until("one cluster again", 90 * SECOND, World::converged);
    let incarnations: Vec<u64> = world.nodes.values().map(|node| node.me().incarnation).collect();
    world.run(300 * SECOND);
    let later: Vec<u64> = world.nodes.values().map(|node| node.me().incarnation).collect();
    assert_eq!(incarnations, later, "no endless refutations in a calm cluster");
}

#[test]
fn a_partition_of_few_among_many_dead_heals_soon() {
    for seed in 0..5 {
        let mut world = World::cluster(20, seed);
        (4..=20).for_each(|n| _ = world.crash(addr(n)));
        world.until("they are dead", 300 * SECOND, World::converged);
        world.far = [addr(3)].into();
        world.until("there are two sides", 120 * SECOND, |w| {
            w.node(addr(1)).live().count() == 2 && w.node(addr(3)).live().count() == 1
        });
        world.run(60 * SECOND);
        world.far.clear();
        world.until("it is one again", 75 * SECOND, World::converged);
    }
}
