use super::failure::news;
use super::world::*;
use crate::codec::{announce, decode, encode};
use crate::wire::{ArchivedMessage, Belief, Message, PushPull, Record, WirePid};
use crate::{Event, Input, Member, NodeId, Output, State};

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

/// A push-pull from node 2 that says this of a member.
fn push_pull(number: u64, answer: bool, member: &Member, state: Belief) -> Vec<u8> {
    let record = Record {
        announce: announce(member, member.incarnation),
        state,
        incarnation: member.incarnation,
        by: id(2).0,
        gone_s: 100,
    };
    let from = WirePid { id: id(2).0, boot: 1 };
    encode(&Message::PushPull(PushPull { from, number, answer, records: vec![record] }), 0)
}

#[test]
fn a_death_heard_in_a_push_pull_is_a_suspicion() {
    let mut world = World::cluster(4, 1);
    let three = world.node(addr(3)).me().clone();
    let bytes = push_pull(1, false, &three, Belief::Dead);
    world.input(addr(1), Input::Stream { from: addr(2), bytes: &bytes });
    assert_eq!(world.state(addr(1), 3), Some(State::Suspect));
    world.until("it is refuted", 4 * SECOND, World::converged);
    assert_eq!(world.failures(), 0);
}

#[test]
fn an_answer_that_was_not_asked_for_is_not_read() {
    let mut world = World::cluster(4, 1);
    let three = world.node(addr(3)).me().clone();
    let bytes = push_pull(1, true, &three, Belief::Dead);
    world.input(addr(1), Input::Stream { from: addr(2), bytes: &bytes });
    assert_eq!(world.state(addr(1), 3), Some(State::Alive));
}

#[test]
fn a_full_table_forgets_the_gone_for_the_living() {
    let mut world = World::new(1);
    world.config.members_max = 2;
    for n in 1..=3 {
        world.start(n);
        world.join(addr(n), addr(1));
    }
    world.until("all know all", SECOND, World::converged);
    world.start(4);
    world.join(addr(4), addr(1));
    world.run(10 * SECOND);
    assert_eq!(world.state(addr(1), 4), None);
    assert!(world.node(addr(1)).stats().members_refused > 0);
    world.crash(addr(2));
    world.until("there is room", 60 * SECOND, |w| w.state(addr(1), 4) == Some(State::Alive));
    assert_eq!(world.state(addr(1), 2), None);
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
fn of_a_state_too_large_for_a_message_each_answer_holds_another_part() {
    let mut world = World::new(1);
    world.start(1);
    let mut node = world.crash(addr(1));
    let tags = crate::Tags::new([("k".to_owned(), "v".repeat(870))]).unwrap();
    let mut member = Member { id: NodeId(0), tags, addr: addr(9), ..node.me().clone() };
    for n in 0..10_000 {
        member.id = NodeId(1000 + n);
        node.handle(Input::Datagram { from: addr(2), bytes: &news(2, &member) }, SECOND).unwrap();
        while node.poll_output().is_some() {}
    }
    assert_eq!(node.members().count(), 10_001);
    let mut part = |to| {
        node.handle(Input::Join(to), SECOND).unwrap();
        let Some(Output::Stream { bytes, .. }) = node.poll_output() else { panic!("a request") };
        assert!(bytes.len() <= 8 << 20);
        let Ok(ArchivedMessage::PushPull(push_pull)) = decode(&bytes) else { panic!("a push-pull") };
        push_pull.records.iter().map(|record| record.announce.pid.id.to_native()).collect::<Vec<u128>>()
    };
    let (first, second) = (part(addr(20)), part(addr(21)));
    assert!(first.len() > 8_000 && second.len() > 8_000);
    assert_ne!(first, second);
    assert_eq!(first[0], second[0], "itself in each");
}
