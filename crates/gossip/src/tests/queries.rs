use std::collections::BTreeMap;
use std::time::Duration;

use super::world::*;
use crate::codec::decode;
use crate::wire::ArchivedMessage;
use crate::{Event, Filter, Input, InputError, NodeId, Output, Query, QueryId, RESPONSE_BYTES_MAX, Reply};

fn ask(world: &mut World, at: u16, query: Query) {
    world.input(addr(at), Input::Query { number: 7, query });
}

fn query(name: &str) -> Query {
    Query { name: name.to_owned(), payload: b"?".to_vec(), ..Query::default() }
}

/// The queries that have come to members since the last look, by the number of the member.
fn asked(world: &World) -> BTreeMap<u16, QueryId> {
    let of = |at: std::net::SocketAddr| (1..1000).find(|n| addr(*n) == at).unwrap();
    let events = world.events.iter().filter_map(|(_, at, event)| match event {
        Event::Query(question) => Some((of(*at), question.id)),
        _ => None,
    });
    events.collect()
}

/// Lets all who were asked answer with their number, but those in `silent`.
fn answer_all(world: &mut World, silent: &[u16]) {
    for (n, query) in asked(world) {
        if !silent.contains(&n) {
            world.input(addr(n), Input::Answer { query, response: Some(vec![u8::try_from(n).unwrap()]) });
        }
    }
}

fn replies(world: &World, at: u16) -> Vec<(NodeId, Reply)> {
    let events = world.events.iter().filter(|(_, by, _)| *by == addr(at));
    let replies = events.filter_map(|(_, _, event)| match event {
        Event::Reply { number: 7, from, reply } => Some((from.id, reply.clone())),
        _ => None,
    });
    replies.collect()
}

fn done(world: &World) -> Option<Vec<NodeId>> {
    world.events.iter().find_map(|(_, _, event)| match event {
        Event::QueryDone { number: 7, missing } => Some(missing.clone()),
        _ => None,
    })
}

#[test]
fn everybody_answers_once_and_then_it_is_over() {
    let mut world = World::cluster(30, 1);
    world.loss = 0.1;
    ask(&mut world, 3, Query { acks: true, relays: 2, ..query("load") });
    world.until("all are asked", 5 * SECOND, |world| asked(world).len() == 30);
    answer_all(&mut world, &[]);
    let took = world.until("it is over", 5 * SECOND, |world| done(world).is_some());
    assert!(took < SECOND, "as soon as the last has answered: {took:?}");
    assert_eq!(done(&world), Some(vec![]));
    let replies = replies(&world, 3);
    let responses = replies.iter().filter(|(_, reply)| matches!(reply, Reply::Response(_))).count();
    let acks = replies.iter().filter(|(_, reply)| *reply == Reply::Ack).count();
    assert_eq!((responses, acks), (30, 30), "each once, whatever relays and loss do");
}

#[test]
fn who_does_not_answer_in_time_is_missing() {
    let mut world = World::cluster(5, 1);
    ask(&mut world, 1, query("load"));
    world.run(SECOND);
    answer_all(&mut world, &[2, 4]);
    let (n, query) = (2, asked(&world)[&2]);
    world.run(SECOND);
    assert_eq!(done(&world), None);
    world.run(2 * SECOND);
    assert_eq!(done(&world), Some(vec![id(2), id(4)]), "after 3.2 s: 16 gossip intervals");
    let late =
        world.nodes.get_mut(&addr(n)).unwrap().handle(Input::Answer { query, response: None }, world.now);
    assert!(matches!(late, Err(InputError::NotAsked)), "{late:?}");
    assert_eq!(replies(&world, 1).len(), 3);
}

#[test]
fn only_those_meant_are_asked_and_a_query_for_nobody_is_over_at_once() {
    let mut world = World::cluster(5, 1);
    let filter = Filter::new(&["node-2".into(), "node-4".into()], &[("weight".into(), "*".into())]);
    ask(&mut world, 1, Query { filter, ..query("load") });
    world.run(SECOND);
    assert_eq!(asked(&world).into_keys().collect::<Vec<_>>(), [2, 4]);
    world.events.clear();
    ask(&mut world, 1, Query { filter: Filter::new(&["nobody".into()], &[]), ..query("load") });
    assert_eq!(done(&world), Some(vec![]));
}

#[test]
fn answers_go_through_others_where_the_straight_way_is_cut() {
    for (relays, missing) in [(0, vec![id(2)]), (3, vec![])] {
        let mut world = World::cluster(8, 1);
        world.cut.insert((addr(1), addr(2)));
        ask(&mut world, 1, Query { relays, timeout: Some(2 * SECOND), ..query("load") });
        world.run(SECOND);
        answer_all(&mut world, &[]);
        world.run(2 * SECOND);
        assert_eq!(done(&world), Some(missing), "{relays} relays");
    }
}

#[test]
fn without_a_name_receipt_is_acknowledged_and_nobody_is_told() {
    let mut world = World::cluster(6, 1);
    world.crash(addr(4));
    ask(&mut world, 1, Query { acks: true, ..Query::default() });
    world.run(4 * SECOND);
    assert!(asked(&world).is_empty());
    assert_eq!(done(&world), Some(vec![id(4)]));
}

#[test]
fn who_declines_is_not_waited_for_and_bounds_are_kept() {
    let mut world = World::cluster(3, 1);
    ask(&mut world, 1, query("load"));
    world.run(SECOND);
    let questions = asked(&world);
    let large = Input::Answer { query: questions[&1], response: Some(vec![0; RESPONSE_BYTES_MAX + 1]) };
    let node = world.nodes.get_mut(&addr(1)).unwrap();
    assert!(matches!(node.handle(large, world.now), Err(InputError::ResponseTooLarge { .. })));
    for (n, query) in questions {
        world.input(addr(n), Input::Answer { query, response: None });
    }
    world.run(SECOND);
    assert_eq!(done(&world), Some(vec![]));
    let now = world.now;
    let node = world.nodes.get_mut(&addr(1)).unwrap();
    let large = Query { payload: vec![0; 865], ..Query::default() };
    let refused = node.handle(Input::Query { number: 1, query: large }, now).unwrap_err().to_string();
    assert!(refused.contains("at most 864"), "{refused}");
    let timeout = Some(Duration::from_mins(1));
    let nobody = Query { timeout, filter: Filter::new(&["node-2".into()], &[]), ..Query::default() };
    let accepted =
        (0..400).take_while(|_| node.handle(Input::Query { number: 1, query: nobody.clone() }, now).is_ok());
    assert_eq!(accepted.count(), 256);
    let refused = node.handle(Input::Query { number: 1, query: nobody.clone() }, now);
    assert!(matches!(refused, Err(InputError::QueriesFull)));
    node.handle(Input::Forget { number: 1 }, now).unwrap();
    node.handle(Input::Query { number: 2, query: nobody }, now).unwrap();
    node.check();
}

#[test]
fn past_queries_are_not_recalled() {
    let mut world = World::cluster(3, 1);
    ask(&mut world, 1, query("load"));
    world.run(SECOND);
    world.start(9);
    world.join(addr(9), addr(1));
    world.run(5 * SECOND);
    world.events.clear();
    world.input(addr(9), Input::Recall);
    world.run(SECOND);
    assert!(asked(&world).is_empty());
}

#[test]
fn queries_do_not_come_in_lists_on_streams() {
    let mut world = World::cluster(2, 1);
    let now = world.now;
    let asker = world.nodes.get_mut(&addr(1)).unwrap();
    asker.handle(Input::Query { number: 7, query: query("load") }, now).unwrap();
    asker.handle(Input::Timeout, now + SECOND).unwrap();
    let datagram = std::iter::from_fn(|| asker.poll_output()).find_map(|output| match output {
        Output::Datagram { bytes, .. } if matches!(decode(&bytes), Ok(ArchivedMessage::Events(_))) => {
            Some(bytes)
        }
        _ => None,
    });
    let bytes = datagram.unwrap();
    let other = world.nodes.get_mut(&addr(2)).unwrap();
    let refused = other.handle(Input::Stream { from: addr(1), bytes: &bytes }, now).unwrap_err();
    assert!(refused.to_string().contains("on a stream"), "{refused}");
}
