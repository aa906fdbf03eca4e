//! Hand-off under every order of events: production machines in virtual time. One failing seed is one bug.

#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod world;

use std::collections::BTreeSet;
use std::time::Duration;

use boato_cluster::{Event, Liveness, Pid, Standing};
use world::{Weather, World, seconds};

const SEEDS: std::ops::Range<u64> = 0..3;

/// Three nodes that hold all slots, with clients at work.
fn three_nodes(seed: u64, weather: Weather) -> (World, Vec<Pid>) {
    let mut world = World::new(seed, 12, weather);
    let pids = (1..=3).map(|node| world.start(node << 100, 1, 1)).collect();
    world.run(seconds(2));
    world.settle(seconds(20));
    world.add_ballast(32 << 10);
    (world, pids)
}

fn lost(world: &World) -> usize {
    world
        .events
        .iter()
        .map(|(_, event)| if let Event::SlotsLost { slots } = event { *slots } else { 0 })
        .sum()
}

#[test]
fn nodes_that_start_together_become_one_cluster() {
    for seed in SEEDS {
        for weather in [Weather::CALM, Weather::STORM] {
            let (world, _) = three_nodes(seed, weather);
            assert_eq!(world.custody().iter().map(|&(_, slots)| slots).sum::<usize>(), 16384);
            assert_eq!(lost(&world), 0);
        }
    }
}

#[test]
fn ten_fresh_nodes_have_settled_a_second_after_the_last_has_joined() {
    for seed in SEEDS {
        let mut world = World::new(seed, 0, Weather::CALM);
        for node in 1..=10 {
            world.start(node << 100, 1, 1);
            world.run(Duration::from_millis(300));
        }
        let begun = world.now;
        while !world.is_settled() {
            world.run(Duration::from_millis(10));
            assert!(world.now < begun + seconds(1), "not settled after a second: {:?}", world.custody());
        }
        assert_eq!(world.custody().iter().map(|&(_, slots)| slots).sum::<usize>(), 16384);
    }
}

#[test]
fn a_node_alone_holds_everything_after_a_second() {
    let mut world = World::new(1, 1, Weather::CALM);
    let pid = world.start(1, 1, 1);
    world.run(Duration::from_millis(900));
    assert_eq!(world.standing(pid), Standing::Eligible);
    world.run(Duration::from_millis(200));
    assert_eq!(world.custody(), [(pid, 16384)]);
}

#[test]
fn bytes_by_state_add_up_while_slots_move() {
    let (mut world, _) = three_nodes(1, Weather::CALM);
    world.start(4 << 100, 1, 1);
    let mut seen = BTreeSet::new();
    for _ in 0..2000 {
        world.run(Duration::from_millis(1));
        for slots in world.slots() {
            let states = slots.by_state();
            assert_eq!(states.values().map(|&(slots, _)| slots).sum::<u64>(), 16384);
            assert_eq!(states.values().map(|&(_, bytes)| bytes).sum::<u64>(), slots.memory().bytes);
            seen.extend(states.into_iter().filter(|(_, (_, bytes))| *bytes > 0).map(|(state, _)| state));
        }
        if ["held", "copying", "asking"].iter().all(|state| seen.contains(state)) {
            return;
        }
    }
    panic!("only {seen:?} had entries");
}

#[test]
fn joins_move_slots_and_lose_nothing() {
    for seed in SEEDS {
        for weather in [Weather::CALM, Weather::STORM] {
            let (mut world, _) = three_nodes(seed, weather);
            world.start(4 << 100, 1, 1);
            world.start(5 << 100, 1, 1);
            world.run(seconds(3));
            world.settle(seconds(30));
            let (acknowledged, _) = world.finish_clients();
            assert!(acknowledged > 100, "clients made progress: {acknowledged}");
            assert_eq!(lost(&world), 0);
        }
    }
}

#[test]
fn leaves_hand_everything_off() {
    for seed in SEEDS {
        for weather in [Weather::CALM, Weather::STORM] {
            let (mut world, pids) = three_nodes(seed, weather);
            world.leave(pids[0]);
            world.leave(pids[1]);
            world.run(seconds(3));
            world.settle(seconds(30));
            assert_eq!(world.bury_left(), 2);
            world.run(seconds(1));
            world.settle(seconds(30));
            world.finish_clients();
            assert_eq!(lost(&world), 0);
        }
    }
}

/// Two nodes, of which the second has just crashed, as the first knows.
fn heir_has_crashed() -> (World, Pid, Pid) {
    let mut world = World::new(1, 4, Weather::CALM);
    let [leaver, heir] = [1, 2].map(|node| world.start(node << 100, 1, 1));
    world.run(seconds(2));
    world.settle(seconds(20));
    world.lenient = true;
    world.crash(heir);
    world.believe(leaver, heir, Liveness::Dead);
    world.run(Duration::from_millis(400));
    (world, leaver, heir)
}

#[test]
fn a_leaver_waits_for_an_heir_that_restarts() {
    let (mut world, leaver, heir) = heir_has_crashed();
    world.leave(leaver);
    world.run(Duration::from_millis(300));
    world.start(heir.node, 2, 1);
    world.run(seconds(5));
    world.settle(seconds(10));
    assert_eq!(world.bury_left(), 1, "everything was handed off");
}

#[test]
fn a_leaver_waits_for_an_heir_of_whom_only_frames_speak_yet() {
    let (mut world, leaver, heir) = heir_has_crashed();
    let heir = world.start_unannounced(heir.node, 2, 1);
    world.run(Duration::from_millis(400));
    world.leave(leaver);
    world.run(seconds(5));
    world.believe(leaver, heir, Liveness::Alive);
    world.run(seconds(5));
    world.settle(seconds(10));
    assert_eq!(world.bury_left(), 1, "everything was handed off");
}

#[test]
fn weights_move_slots_and_lose_nothing() {
    for seed in SEEDS {
        let (mut world, pids) = three_nodes(seed, Weather::STORM);
        for round in 0..4_u16 {
            world.set_weight(pids[usize::from(round % 3)], 1 + round * 3);
            world.run(Duration::from_millis(u64::from(round) * 170));
        }
        world.run(seconds(1));
        world.settle(seconds(30));
        world.finish_clients();
        assert_eq!(lost(&world), 0);
    }
}

#[test]
fn a_rolling_restart_loses_nothing() {
    for seed in SEEDS {
        let (mut world, pids) = three_nodes(seed, Weather::STORM);
        for pid in pids {
            world.leave(pid);
            world.run(seconds(2));
            world.settle(seconds(30));
            assert_eq!(world.bury_left(), 1);
            world.start(pid.node, pid.boot + 1, 1);
            world.run(seconds(2));
            world.settle(seconds(30));
        }
        world.finish_clients();
        assert_eq!(lost(&world), 0);
    }
}

#[test]
fn a_crash_loses_that_nodes_slots_and_counts_them() {
    for seed in SEEDS {
        let (mut world, pids) = three_nodes(seed, Weather::CALM);
        let held = world.custody().iter().find(|(pid, _)| *pid == pids[1]).unwrap().1;
        world.lenient = true;
        world.crash(pids[1]);
        world.run(seconds(2));
        world.settle(seconds(40));
        assert_eq!(world.custody().iter().map(|&(_, slots)| slots).sum::<usize>(), 16384);
        assert_eq!(lost(&world), held);
    }
}

/// Four nodes, three of which have seen more processes end than a node remembers, each in an order of its own; the fourth
/// has joined since.
fn after_many_deaths(seed: u64) -> (World, Vec<Pid>) {
    let mut world = World::new(seed, 0, Weather::CALM);
    world.slots = 0..32;
    let mut pids: Vec<Pid> = (1..=3).map(|node| world.start(node << 100, 1, 1)).collect();
    world.run(seconds(2));
    world.settle(seconds(20));
    let mut ended: Vec<Pid> = (0..1100).map(|node| Pid { node: (9 << 100) + node, boot: 1 }).collect();
    for &pid in &pids {
        fastrand::Rng::with_seed(seed + pid.boot).shuffle(&mut ended);
        for &about in &ended {
            world.outlive(pid, about);
        }
    }
    pids.push(world.start(4 << 100, 1, 1));
    world.run(seconds(1));
    world.settle(seconds(20));
    (world, pids)
}

#[test]
fn after_more_deaths_than_are_remembered_the_slots_of_a_crashed_node_begin_anew_at_once() {
    for seed in SEEDS {
        let (mut world, pids) = after_many_deaths(seed);
        world.crash(pids[0]);
        // Until everybody has heard of it.
        world.run(Duration::from_millis(800));
        world.settle(seconds(2));
        assert_eq!(world.custody().iter().map(|&(_, slots)| slots).sum::<usize>(), 32);
        assert!(lost(&world) > 0);
    }
}

#[test]
fn a_crash_in_the_middle_of_a_join_leaves_one_holder_per_slot() {
    for seed in 0..6 {
        let (mut world, pids) = three_nodes(seed, Weather::STORM);
        let newcomer = world.start(4 << 100, 1, 1);
        world.run(Duration::from_millis(150 * seed));
        world.lenient = true;
        world.crash(if seed % 2 == 0 { newcomer } else { pids[0] });
        world.run(seconds(2));
        world.settle(seconds(40));
        assert_eq!(world.custody().iter().map(|&(_, slots)| slots).sum::<usize>(), 16384);
    }
}

#[test]
fn a_claim_is_answered_although_one_of_its_dead_has_come_back() {
    let (mut world, pids) = three_nodes(1, Weather::CALM);
    world.start(4 << 100, 1, 1);
    world.run(seconds(2));
    world.settle(seconds(20));
    world.lenient = true;
    world.believe(pids[0], pids[2], Liveness::Dead);
    world.crash(pids[1]);
    world.run(seconds(2));
    world.believe(pids[0], pids[2], Liveness::Alive);
    world.run(seconds(1));
    world.settle(seconds(10));
}

#[test]
fn a_false_death_ends_with_one_holder_per_slot() {
    for seed in SEEDS {
        let (mut world, pids) = three_nodes(seed, Weather::STORM);
        // More than may be on its way to one node at a time, in values larger than a chunk.
        world.add_ballast(300 << 10);
        world.lenient = true;
        for other in [pids[1], pids[2]] {
            world.believe(other, pids[0], Liveness::Dead);
        }
        world.run(seconds(3));
        for other in [pids[1], pids[2]] {
            world.believe(other, pids[0], Liveness::Alive);
        }
        world.run(seconds(1));
        world.settle(seconds(60));
        world.finish_clients();
        assert!(world.stats(pids[0]).slots_merged + world.stats(pids[1]).slots_merged > 0);
    }
}
