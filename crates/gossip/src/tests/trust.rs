//! What a member can, and cannot, make others believe of a third.

use proptest::prelude::*;

use super::failure::{news, relayed, rumour};
use super::world::*;
use crate::codec::{DATAGRAM_BYTES_MIN, announce, decode, encode};
use crate::wire::{ArchivedBody, ArchivedMessage, Belief, Message, PushPull, Record, Step, WirePid};
use crate::{Event, Gossip, Input, Member, Output, Signature, State};

/// A push-pull of node `from` that brings the record of `member`.
pub(super) fn exchange(from: u16, member: &Member) -> Vec<u8> {
    exchange_later(from, member, member.incarnation)
}

/// The same of a state that speaks of this incarnation, with what the member has said in its own.
pub(super) fn exchange_later(from: u16, member: &Member, incarnation: u64) -> Vec<u8> {
    let record = Record {
        announce: announce(member, member.incarnation),
        state: member.state.into(),
        incarnation,
        by: id(from).0,
        gone_s: 0,
    };
    let step = Step::Difference { standings: vec![], wanted: vec![] };
    let from = WirePid { id: id(from).0, boot: 1 };
    encode(&Message::PushPull(PushPull { from, number: 0, event_time: 0, step, records: vec![record] }), 0)
}

/// Where a member asks by stream whether somebody is there, among what a member has to send now.
pub(super) fn questions(node: &mut Gossip) -> Vec<std::net::SocketAddr> {
    std::iter::from_fn(|| node.poll_output())
        .filter_map(|output| match output {
            Output::Stream { to, bytes } => match decode(&bytes) {
                Ok(ArchivedMessage::Packet(packet)) => {
                    matches!(packet.body, ArchivedBody::Ping { .. }).then_some(to)
                }
                _ => None,
            },
            _ => None,
        })
        .collect()
}

#[test]
fn a_boot_that_does_not_exist_kills_nobody() {
    let mut world = World::cluster(5, 1);
    let forged = Member { boot: u64::MAX, addr: addr(99), ..world.node(addr(4)).me().clone() };
    for n in 1..=3 {
        world.input(addr(n), Input::Datagram { from: addr(5), bytes: &relayed(5, &forged) });
        world.input(addr(n), Input::Stream { from: addr(5), bytes: &exchange(5, &forged) });
    }
    world.run(60 * SECOND);
    assert_eq!(world.count(|event| !matches!(event, Event::LeaveDone)), 0, "nothing has happened");
    world.crash(addr(4));
    world.start_as(identity(4, 2, addr(4)));
    world.join(addr(4), addr(1));
    world.until("its real next boot is known", 2 * SECOND, World::converged);
}

#[test]
fn a_boot_said_of_the_dead_does_not_keep_them_out() {
    let mut world = World::cluster(5, 1);
    let dead = world.crash(addr(4));
    world.until("it is dead", 40 * SECOND, |world| world.all_believe(4, Some(State::Dead)));
    for state in [State::Alive, State::Dead, State::Pruned] {
        let forged = Member { boot: u64::MAX, state, ..dead.me().clone() };
        for n in 1..=3 {
            world.input(addr(n), Input::Stream { from: addr(5), bytes: &exchange(5, &forged) });
        }
    }
    world.start_as(identity(4, 2, addr(4)));
    world.join(addr(4), addr(1));
    world.until("it is back", 2 * SECOND, World::converged);
}

#[test]
fn who_hears_of_a_restart_that_is_not_signed_asks_the_restarted() {
    let mut world = World::cluster(5, 1);
    world.crash(addr(3));
    world.start_as(identity(3, 2, addr(33)));
    let restarted = Member { signature: Signature::default(), ..world.node(addr(33)).me().clone() };
    let now = world.now;
    let node = world.nodes.get_mut(&addr(1)).unwrap();
    for _ in 0..3 {
        let input = relayed(2, &restarted);
        node.handle(Input::Datagram { from: addr(2), bytes: &input }, now).unwrap();
    }
    assert_eq!(node.member(id(3)).map(|member| member.boot), Some(1), "not believed yet");
    assert_eq!(questions(node), [addr(33)], "asked once in an interval");
    world.input(addr(1), Input::Datagram { from: addr(33), bytes: &relayed(3, &restarted) });
    assert_eq!(
        world.node(addr(1)).member(id(3)).map(|member| member.boot),
        Some(1),
        "its older boot says so"
    );
    // That question was taken away above; this one is answered.
    world.run(world.config.gossip_interval);
    world.input(addr(1), Input::Datagram { from: addr(2), bytes: &relayed(2, &restarted) });
    world.until("all know the new boot", 2 * SECOND, World::converged);
}

#[test]
fn a_restart_with_large_tags_is_learnt_by_all_of_a_large_cluster() {
    let mut world = World::cluster(60, 1);
    world.loss = 0.1;
    world.crash(addr(3));
    let mut identity = identity(3, 2, addr(99));
    identity.tags.push(("large".into(), "x".repeat(DATAGRAM_BYTES_MIN)));
    world.start_as(identity);
    world.join(addr(99), addr(1));
    world.until("all know the new boot", 3 * SECOND, World::converged);
    world.run(30 * SECOND);
    assert!(world.converged());
    assert_eq!(world.failures(), 59, "the old boot, once at each");
}

#[test]
fn a_restart_is_learnt_at_once_where_much_gets_lost() {
    for seed in 1..=10 {
        let mut world = World::cluster(60, seed);
        let former = world.crash(addr(3));
        world.until("it is dead", 60 * SECOND, |world| world.all_believe(3, Some(State::Dead)));
        world.run(30 * SECOND);
        world.loss = 0.1;
        world.start_as(identity(3, 2, former.me().addr));
        world.join(addr(3), addr(1));
        world.until("all know the new boot", 2 * SECOND, World::converged);
    }
}

#[test]
fn questions_are_bounded() {
    let mut world = World::cluster(1, 1);
    let now = world.now;
    let node = world.nodes.get_mut(&addr(1)).unwrap();
    let mut hear = |by, n, boot, incarnation, signed: bool| {
        let member = Member { id: id(n), addr: addr(n), boot, incarnation, ..node.me().clone() };
        let bytes = if signed { news(by, &member) } else { relayed(by, &member) };
        node.handle(Input::Datagram { from: addr(by), bytes: &bytes }, now).unwrap();
        questions(node).iter().filter(|to| **to != addr(by)).count()
    };
    (10..40).for_each(|n| _ = hear(2, n, 1, 0, true));
    // Restarts, words in a higher incarnation, words of members that are not known.
    assert_eq!((10..15).map(|n| hear(2, n, 2, 0, false)).sum::<usize>(), 5);
    assert_eq!((20..25).map(|n| hear(2, n, 1, 1, false)).sum::<usize>(), 5);
    assert_eq!((40..100).map(|n| hear(2, n, 1, 0, false)).sum::<usize>(), 6);
    // Another teller has questions of its own, up to those of all.
    assert_eq!(
        (3..9).map(|by| (40..100).map(|n| hear(by, n, 1, 0, false)).sum()).collect::<Vec<usize>>(),
        [16, 16, 16, 0, 0, 0]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_another_says_kills_nobody_at_once(
        said in proptest::collection::vec((any::<u64>(), 0..5u64, 0..8u8), 1..30),
    ) {
        let mut world = World::cluster(3, 1);
        let (victim, now) = (world.node(addr(3)).me().clone(), world.now);
        let node = world.nodes.get_mut(&addr(1)).unwrap();
        for (boot, incarnation, what) in said {
            let boot = if boot % 4 == 0 { 1 } else { boot };
            let words = Member { boot, incarnation, addr: addr(99), ..victim.clone() };
            let (bytes, stream) = match what {
                0 => (relayed(2, &words), false),
                1 => (exchange(2, &words), true),
                2 => (exchange(2, &Member { state: State::Dead, ..words }), true),
                3 => (rumour(2, 3, boot, incarnation, Belief::Suspect), false),
                4 => (rumour(2, 3, boot, incarnation, Belief::Dead), false),
                5 => (rumour(2, 3, boot, incarnation, Belief::Left), false),
                6 => (exchange(2, &Member { state: State::Left, ..words }), true),
                _ => (rumour(2, 3, boot, incarnation, Belief::Pruned), false),
            };
            let (from, bytes) = (addr(2), &bytes);
            let input = if stream { Input::Stream { from, bytes } } else { Input::Datagram { from, bytes } };
            node.handle(input, now).unwrap();
            node.check();
            let known = node.member(victim.id).expect("listed");
            prop_assert_eq!((known.boot, known.addr), (victim.boot, victim.addr));
            prop_assert!(known.is_live(), "{:?}", known.state);
        }
        while let Some(output) = node.poll_output() {
            let fatal = matches!(output, Output::Event(Event::Failed(_) | Event::Left(_) | Event::Removed(_)));
            prop_assert!(!fatal, "{:?}", output);
        }
    }
}
