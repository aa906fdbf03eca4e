use std::net::SocketAddr;

use super::world::*;
use crate::codec::{decode, encode};
use crate::wire::{ArchivedBody, ArchivedMessage, Body, Message, Packet, WirePid};
use crate::{Event, Input, InputError, Output};

#[test]
fn members_that_join_one_of_them_at_once_know_each_other_at_once() {
    for n in [2, 3, 5, 20] {
        for seed in 0..50 {
            let mut world = World::new(seed);
            for k in 1..=n {
                world.start(k);
                world.join(addr(k), addr(1));
            }
            world.until("all know all", 2 * SECOND, World::converged);
            assert_eq!(world.count(|event| matches!(event, Event::Joined(_))), usize::from(n * (n - 1)));
            assert_eq!(world.failures(), 0);
        }
    }
}

#[test]
fn members_that_join_through_different_members_at_once_know_each_other_soon() {
    for seed in 0..5 {
        let mut world = World::new(seed);
        for k in 1..=30 {
            world.start(k);
            // Five seeds, each of which knows its own part first.
            world.join(addr(k), addr(1 + k * 7 % 5.min(k)));
        }
        world.until("all know all", 4 * SECOND, World::converged);
    }
}

#[test]
fn members_that_were_alone_for_long_know_each_other_as_soon() {
    let mut world = World::new(1);
    (1..=30).for_each(|n| world.start(n));
    world.run(300 * SECOND);
    for k in 1..=30 {
        world.join(addr(k), addr(1 + k * 7 % 5.min(k)));
    }
    world.until("all know all", 4 * SECOND, World::converged);
}

#[test]
fn a_newcomer_is_known_to_all_within_the_time_of_an_epidemic() {
    let mut world = World::cluster(100, 1);
    world.start(101);
    world.join(addr(101), addr(50));
    let took = world.until("all know the newcomer", 5 * SECOND, World::converged);
    assert!(took <= 3 * SECOND, "{took:?}");
}

#[test]
fn joining_the_own_address_is_found_out() {
    let mut world = World::new(1);
    world.start(1);
    world.join(addr(1), addr(1));
    assert_eq!(world.events, [(world.now, addr(1), Event::SelfJoin { addr: addr(1) })]);
}

#[test]
fn joining_the_own_address_under_another_name_is_found_out() {
    let mut world = World::new(1);
    let outside = "192.0.2.7:7400".parse().unwrap();
    world.start_as(crate::Identity { addr: outside, ..identity(1, 1, addr(1)) });
    let node = world.nodes.get_mut(&outside).unwrap();
    // The network carries what is sent to addr(1) back to the sender.
    node.handle(Input::Join(addr(1)), world.now).unwrap();
    let Some(crate::Output::Stream { bytes, .. }) = node.poll_output() else { panic!("a request") };
    node.handle(Input::Stream { from: outside, bytes: &bytes }, world.now).unwrap();
    assert_eq!(node.poll_output(), Some(crate::Output::Event(Event::SelfJoin { addr: addr(1) })));
    assert_eq!(node.members().count(), 1);
}

#[test]
fn a_join_is_repeated_by_the_caller_until_somebody_is_there() {
    let mut world = World::new(1);
    world.start(1);
    world.join(addr(1), addr(2));
    world.run(SECOND);
    world.start(2);
    world.run(SECOND);
    assert!(!world.converged());
    world.join(addr(1), addr(2));
    world.until("both know both", SECOND / 10, World::converged);
    assert_eq!(world.node(addr(1)).stats().push_pulls, 1, "one join, sent twice");
    // And once more costs nothing.
    let sent = world.node(addr(1)).stats().push_pulls;
    world.join(addr(1), addr(2));
    assert_eq!(world.node(addr(1)).stats().push_pulls, sent);
}

#[test]
fn waiting_joins_are_bounded_and_unusable_addresses_refused() {
    let mut world = World::new(1);
    world.start(1);
    let node = world.nodes.get_mut(&addr(1)).unwrap();
    for n in 0..16 + 1024 {
        node.handle(Input::Join(addr(1000 + n)), world.now).unwrap();
    }
    assert!(matches!(node.handle(Input::Join(addr(9)), world.now), Err(InputError::JoinsFull(1024))));
    let unspecified = "0.0.0.0:7400".parse().unwrap();
    assert!(matches!(node.handle(Input::Join(unspecified), world.now), Err(InputError::Address(_))));
}

#[test]
fn new_tags_reach_everybody_and_too_large_ones_change_nothing() {
    let mut world = World::cluster(10, 1);
    let tags = |size: usize| vec![("http".to_owned(), "x".repeat(size))];
    world.input(addr(3), Input::SetTags(tags(800)));
    world.until("all know the tags", 3 * SECOND, World::converged);
    assert_eq!(world.count(|event| matches!(event, Event::Updated(m) if m.id == id(3))), 10);
    let before = world.node(addr(3)).me().clone();
    let error = world.nodes.get_mut(&addr(3)).unwrap().handle(Input::SetTags(tags(70_000)), world.now);
    assert!(error.unwrap_err().to_string().contains("at most 65536"));
    assert_eq!(world.node(addr(3)).me(), &before);
}

#[test]
fn many_large_updates_at_once_all_arrive() {
    let mut world = World::cluster(30, 1);
    for n in 1..=30 {
        world.input(addr(n), Input::SetTags(vec![("k".into(), "v".repeat(850))]));
    }
    world.until("all know all tags", 60 * SECOND, World::converged);
    world.run(60 * SECOND);
    for node in world.nodes.values() {
        assert_eq!((node.stats().news_queued, node.stats().queue_bytes), (0, 0), "the backlog drains");
    }
}

#[test]
fn the_last_of_two_has_nothing_to_tell() {
    let mut world = World::cluster(2, 1);
    world.input(addr(1), Input::SetName("one".to_owned()));
    world.run(10 * SECOND);
    assert!(world.converged());
    assert!(world.nodes.values().all(|node| node.stats().news_queued == 0));
}

/// Pings the node at `at` from an unknown node 9. What it sends in return is left in its outputs.
fn ping_by_stranger(world: &mut World, at: SocketAddr) -> Vec<Output> {
    let target = world.node(at).me().pid().into();
    packet_by_stranger(world, at, Body::Ping { number: 1, target })
}

/// Sends the node at `at` a packet from an unknown node 9, without any news.
fn packet_by_stranger(world: &mut World, at: SocketAddr, body: Body) -> Vec<Output> {
    let from = WirePid { id: id(9).0, boot: 1 };
    let packet = Packet { from, body, coordinate: vec![], announces: vec![], claims: vec![] };
    let bytes = encode(&Message::Packet(packet), 0);
    let node = world.nodes.get_mut(&at).unwrap();
    node.handle(Input::Datagram { from: addr(9), bytes: &bytes }, world.now).unwrap();
    assert_eq!(node.member(id(9)), None, "a probe makes nobody a member");
    std::iter::from_fn(|| node.poll_output()).collect()
}

#[test]
fn a_stranger_is_asked_who_it_is() {
    let mut world = World::cluster(3, 1);
    let outputs = ping_by_stranger(&mut world, addr(2));
    let [Output::Datagram { .. }, Output::Datagram { to, bytes }] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    let Ok(ArchivedMessage::Packet(packet)) = decode(bytes) else { panic!("a packet") };
    assert!(*to == addr(9) && matches!(packet.body, ArchivedBody::Who));
    world.start(9);
    world.input(addr(9), Input::Datagram { from: addr(2), bytes });
    world.until("all know all", 3 * SECOND, World::converged);
}

#[test]
fn a_stranger_whose_answer_says_nothing_new_is_not_asked_again() {
    // As one that has said goodbye answers, of which a newcomer has never heard: they would go on for ever.
    let mut world = World::cluster(3, 1);
    assert_eq!(packet_by_stranger(&mut world, addr(2), Body::Me), []);
    assert_eq!(packet_by_stranger(&mut World::cluster(1, 1), addr(1), Body::Me), []);
}

#[test]
fn a_stranger_is_joined_by_who_knows_nobody() {
    let mut world = World::new(1);
    world.start(1);
    let outputs = ping_by_stranger(&mut world, addr(1));
    let [Output::Datagram { .. }, Output::Stream { to, bytes }] = &outputs[..] else { panic!("{outputs:?}") };
    assert!(*to == addr(9) && matches!(decode(bytes), Ok(ArchivedMessage::PushPull(_))));
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let mut world = World::cluster(12, seed);
        world.loss = 0.1;
        world.crash(addr(5));
        world.run(60 * SECOND);
        (world.datagrams, world.events)
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7).0, run(8).0);
}
