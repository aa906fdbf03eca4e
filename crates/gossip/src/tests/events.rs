use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::world::*;
use crate::{Config, Event, Input, InputError, Output, UserEvent};

fn send(world: &mut World, at: u16, name: &str) {
    world.input(addr(at), Input::Event { name: name.to_owned(), payload: b"payload".to_vec() });
}

/// The names of the events each member has been told, in order.
fn told(world: &World) -> BTreeMap<SocketAddr, Vec<String>> {
    let mut told: BTreeMap<SocketAddr, Vec<String>> = BTreeMap::new();
    for (_, at, event) in &world.events {
        if let Event::User(UserEvent { name, .. }) = event {
            told.entry(*at).or_default().push(name.to_string());
        }
    }
    told
}

#[test]
fn an_event_reaches_everybody_once_in_spite_of_loss() {
    let mut world = World::cluster(30, 1);
    world.loss = 0.1;
    for n in 1..=20 {
        send(&mut world, n, &format!("event-{n}"));
    }
    world.run(10 * SECOND);
    let told = told(&world);
    assert_eq!(told.len(), 30);
    for names in told.into_values() {
        let mut distinct = names.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!((names.len(), distinct.len()), (20, 20));
    }
    world.loss = 0.0;
    world.run(10 * SECOND);
    let sent = world.datagrams;
    world.run(10 * SECOND);
    assert!(world.datagrams - sent < 1500, "the queues have drained: probes and their answers only");
}

#[test]
fn an_answer_to_an_event_has_a_later_time() {
    let mut world = World::cluster(5, 1);
    (0..10).for_each(|_| send(&mut world, 1, "question"));
    world.run(SECOND);
    send(&mut world, 2, "answer");
    world.run(SECOND);
    let times = |wanted: &str| {
        let of = |event: &Event| match event {
            Event::User(event) if &*event.name == wanted => Some(event.time),
            _ => None,
        };
        world.events.iter().filter_map(|(_, _, event)| of(event)).collect::<Vec<_>>()
    };
    assert!(times("question").iter().max() < times("answer").iter().min());
}

#[test]
fn a_member_that_rejoins_hears_of_past_events_only_if_it_asks() {
    let mut world = World::cluster(5, 1);
    send(&mut world, 1, "past");
    world.run(20 * SECOND);
    world.crash(addr(3));
    world.start_as(identity(3, 2, addr(3)));
    world.join(addr(3), addr(1));
    world.events.clear();
    world.run(20 * SECOND);
    assert_eq!(told(&world), BTreeMap::new());
    world.input(addr(3), Input::Recall);
    world.run(SECOND);
    assert_eq!(told(&world), [(addr(3), vec!["past".to_owned()])].into(), "and tells nobody again");
}

#[test]
fn who_knows_a_newcomer_first_hears_of_past_events_from_others() {
    let mut world = World::cluster(5, 1);
    send(&mut world, 1, "past");
    world.run(20 * SECOND);
    world.events.clear();
    // Of newcomers each knows the next one when it asks.
    (11..=16).for_each(|n| world.start_as(identity(n, 2, addr(n))));
    (11..=15).for_each(|n| world.join(addr(n), addr(n + 1)));
    world.run(SECOND);
    (11..=16).for_each(|n| world.input(addr(n), Input::Recall));
    world.run(SECOND);
    assert_eq!(told(&world), BTreeMap::new());
    world.join(addr(16), addr(1));
    world.run(9 * SECOND);
    assert_eq!(told(&world), (11..=16).map(|n| (addr(n), vec!["past".to_owned()])).collect());
    let sent = |world: &World| world.node(addr(16)).stats().stream_messages_sent;
    world.run(120 * SECOND);
    let before = sent(&world);
    world.run(20 * SECOND);
    assert!(sent(&world) - before < 5, "it does not ask for ever");
}

#[test]
fn recalls_are_answered_once_per_gossip_interval() {
    let mut world = World::cluster(2, 1);
    send(&mut world, 1, "past");
    world.run(SECOND);
    let (now, before) = (world.now, world.node(addr(2)).stats().stream_messages_sent);
    let asker = world.nodes.get_mut(&addr(1)).unwrap();
    asker.handle(Input::Recall, now).unwrap();
    let recall = std::iter::from_fn(|| asker.poll_output()).find_map(|output| match output {
        Output::Stream { bytes, .. } => Some(bytes),
        _ => None,
    });
    let bytes = recall.unwrap();
    let answers = |world: &World| world.node(addr(2)).stats().stream_messages_sent - before;
    for _ in 0..3 {
        world.input(addr(2), Input::Stream { from: addr(1), bytes: &bytes });
    }
    assert_eq!(answers(&world), 1);
    world.run(world.config.gossip_interval);
    world.input(addr(2), Input::Stream { from: addr(1), bytes: &bytes });
    assert!(answers(&world) >= 2);
}

#[test]
fn events_too_large_or_too_many_are_refused() {
    let mut world = World::cluster(2, 1);
    let node = world.nodes.get_mut(&addr(1)).unwrap();
    let event = |bytes| Input::Event { name: String::new(), payload: vec![0; bytes] };
    let refused = node.handle(event(897), SECOND).unwrap_err();
    assert!(refused.to_string().contains("at most 896"), "{refused}");
    let accepted = (0..1000).take_while(|_| node.handle(event(896), SECOND).is_ok()).count();
    assert!((100..200).contains(&accepted), "half of 256 KiB: {accepted}");
    assert!(matches!(node.handle(event(896), SECOND), Err(InputError::EventsFull)));
    node.check();
    while node.poll_output().is_some() {}
    world.run(60 * SECOND);
    let node = world.nodes.get_mut(&addr(1)).unwrap();
    node.handle(event(896), 100 * SECOND).expect("room again");
}

#[test]
fn who_is_alone_tells_itself_only() {
    let mut world = World::new(1);
    world.start(1);
    send(&mut world, 1, "alone");
    world.run(5 * SECOND);
    world.start(2);
    world.join(addr(2), addr(1));
    world.run(5 * SECOND);
    assert_eq!(told(&world), [(addr(1), vec!["alone".to_owned()])].into());
}

#[test]
fn the_first_event_of_a_newcomer_is_told_however_much_has_been_told_before() {
    let mut world = World::new(1);
    world.config.event_bytes = 4096;
    (1..=3).for_each(|n| world.start(n));
    (2..=3).for_each(|n| world.join(addr(n), addr(1)));
    for _ in 0..60 {
        send(&mut world, 1, &"x".repeat(800));
        world.run(2 * SECOND);
    }
    world.start(9);
    world.join(addr(9), addr(1));
    world.run(20 * SECOND);
    world.events.clear();
    send(&mut world, 9, "hello");
    world.run(20 * SECOND);
    assert_eq!(told(&world).len(), 4);
}

#[test]
fn in_a_small_cluster_everybody_hears_every_event() {
    for config in [Config::local(), Config::lan()] {
        for (n, seed) in (2..=12).flat_map(|n| (1..=20_u32).map(move |seed| (n, seed))) {
            let mut world = World::with(n, seed.into(), config.clone());
            world.run(10 * SECOND + Duration::from_millis(140) * seed);
            send(&mut world, 2, "deploy");
            world.run(5 * SECOND);
            assert_eq!(told(&world).len(), usize::from(n), "seed {seed} {:?}", config.gossip_interval);
        }
    }
}
