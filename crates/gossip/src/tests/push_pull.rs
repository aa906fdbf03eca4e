use super::failure::news;
use super::world::*;
use crate::codec::{announce, decode, encode};
use crate::wire::{ArchivedMessage, Belief, Message, PushPull, Record, WirePid};
use crate::{Gossip, Input, Member, NodeId, Output, State, Tags};

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

/// A node that knows so many others.
fn knowing(members: u128) -> Gossip {
    let mut world = World::new(1);
    world.start(1);
    let mut node = world.crash(addr(1));
    let tags = Tags::new([("k".to_owned(), "v".repeat(870))]).unwrap();
    let mut member = Member { id: NodeId(0), tags, addr: addr(9), ..node.me().clone() };
    for n in 1..=members {
        member.id = NodeId(1000 + n);
        node.handle(Input::Datagram { from: addr(2), bytes: &news(2, &member) }, SECOND).unwrap();
        while node.poll_output().is_some() {}
    }
    assert_eq!(node.members().count(), usize::try_from(members).unwrap() + 1);
    node
}

#[test]
fn many_answers_at_once_are_spread_over_time() {
    let mut node = knowing(6000);
    let three = Member { id: id(3), ..node.me().clone() };
    for number in 1..=12 {
        let bytes = push_pull(number, false, &three, Belief::Alive);
        node.handle(Input::Stream { from: addr(2), bytes: &bytes }, SECOND).unwrap();
    }
    let (mut now, mut times) = (SECOND, Vec::new());
    while now < 3 * SECOND {
        node.check();
        while let Some(output) = node.poll_output() {
            let Output::Stream { bytes, .. } = output else { continue };
            if let Ok(ArchivedMessage::PushPull(push_pull)) = decode(&bytes)
                && push_pull.answer
            {
                times.push(now);
            }
        }
        now = node.poll_timeout().unwrap();
        node.handle(Input::Timeout, now).unwrap();
    }
    assert_eq!(times.len(), 12, "all are answered");
    times.dedup();
    assert_eq!(times.len(), 3, "four at a time");
}

#[test]
fn of_a_state_too_large_for_a_message_each_answer_holds_another_part() {
    let mut node = knowing(10_000);
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
