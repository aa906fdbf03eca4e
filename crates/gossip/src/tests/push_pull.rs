use super::failure::{news, rumour};
use super::world::*;
use crate::codec::{announce, decode, encode, standing};
use crate::precedence::Standing;
use crate::wire::{ArchivedMessage, ArchivedStep, Belief, Message, PushPull, Record, Step, WirePid};
use crate::{Gossip, Input, Member, NodeId, Output, State, Tags};

/// A push-pull from node 2 that says this of a member, whose words it has signed.
pub(super) fn push_pull(number: u64, step: Step, member: &Member, state: Belief) -> Vec<u8> {
    let member = signed(member);
    let record = Record {
        announce: announce(&member, member.incarnation),
        state,
        incarnation: member.incarnation,
        by: id(2).0,
        gone_s: 100,
    };
    let from = WirePid { id: id(2).0, boot: 1 };
    encode(&Message::PushPull(PushPull { from, number, event_time: 0, step, records: vec![record] }), 0)
}

#[test]
fn a_death_heard_in_a_push_pull_is_a_suspicion() {
    let mut world = World::cluster(4, 1);
    let three = world.node(addr(3)).me().clone();
    let bytes = push_pull(1, Step::Digest(vec![]), &three, Belief::Dead);
    world.input(addr(1), Input::Stream { from: addr(2), bytes: &bytes });
    assert_eq!(world.state(addr(1), 3), Some(State::Suspect));
    world.until("it is refuted", 4 * SECOND, World::converged);
    assert_eq!(world.failures(), 0);
}

#[test]
fn an_answer_that_was_not_asked_for_is_not_read() {
    let mut world = World::cluster(4, 1);
    let three = world.node(addr(3)).me().clone();
    let bytes = push_pull(1, Step::Answer, &three, Belief::Dead);
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
    let tags = Tags::new([("k".to_owned(), "v".repeat(790))]).unwrap();
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
        let bytes = push_pull(number, Step::Digest(vec![]), &three, Belief::Alive);
        node.handle(Input::Stream { from: addr(2), bytes: &bytes }, SECOND).unwrap();
    }
    let (mut now, mut times) = (SECOND, Vec::new());
    while now < 3 * SECOND {
        node.check();
        while let Some(output) = node.poll_output() {
            let Output::Stream { bytes, .. } = output else { continue };
            if let Ok(ArchivedMessage::PushPull(push_pull)) = decode(&bytes)
                && matches!(push_pull.step, ArchivedStep::Answer)
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
    let newcomer = Member { id: id(3), ..node.me().clone() };
    let mut part = |number: u32| {
        let bytes = push_pull(number.into(), Step::Digest(vec![]), &newcomer, Belief::Alive);
        node.handle(Input::Stream { from: addr(2), bytes: &bytes }, SECOND * number).unwrap();
        let answer = std::iter::from_fn(|| node.poll_output()).find_map(|output| match output {
            Output::Stream { bytes, .. } => Some(bytes),
            _ => None,
        });
        let bytes = answer.expect("an answer");
        assert!(bytes.len() <= 8 << 20);
        let Ok(ArchivedMessage::PushPull(push_pull)) = decode(&bytes) else { panic!("a push-pull") };
        push_pull.records.iter().map(|record| record.announce.pid.id.to_native()).collect::<Vec<u128>>()
    };
    let (first, second) = (part(1), part(2));
    assert!(first.len() > 8_000 && second.len() > 8_000);
    assert_ne!(first, second);
    assert_eq!(first[0], second[0], "itself in each");
}

/// Two members that know `members` others, but not each other.
fn two_with_acquaintances(members: u16) -> [Gossip; 2] {
    [1, 2].map(|n| {
        let mut world = World::new(u64::from(n));
        world.start(n);
        let mut node = world.crash(addr(n));
        let one = node.me().clone();
        for n in 100..100 + members {
            tell(&mut node, &news(3, &Member { id: id(n), addr: addr(n), ..one.clone() }));
        }
        node
    })
}

fn tell(node: &mut Gossip, bytes: &[u8]) {
    node.handle(Input::Datagram { from: addr(3), bytes }, SECOND).unwrap();
    while node.poll_output().is_some() {}
}

/// Node 1 joins node 2. Returns the bytes of each step.
fn exchange([one, two]: &mut [Gossip; 2]) -> Vec<usize> {
    let there = addr(9);
    one.handle(Input::Join(there), SECOND).unwrap();
    let (mut from, mut to, mut steps) = (one, two, Vec::new());
    while let Some(bytes) = std::iter::from_fn(|| from.poll_output()).find_map(|output| match output {
        Output::Stream { bytes, .. } => Some(bytes),
        _ => None,
    }) {
        to.handle(Input::Stream { from: there, bytes: &bytes }, SECOND).unwrap();
        steps.push(bytes.len());
        (from, to) = (to, from);
    }
    steps
}

#[test]
fn members_that_agree_exchange_little_and_one_difference_costs_little_more() {
    let mut both = two_with_acquaintances(1000);
    exchange(&mut both);
    // They know each other now, so another address has to serve.
    let [digest, summary] = exchange(&mut both)[..] else { panic!("two steps are enough") };
    assert!(digest < 1400 && summary < 300, "{digest} + {summary} bytes");
    tell(&mut both[0], &rumour(3, 105, 1, 0, Belief::Dead));
    let [_, summary, difference] = exchange(&mut both)[..] else { panic!("a claim needs no words") };
    assert!(summary < 1500 && difference < 400, "{summary} + {difference} bytes");
    assert_eq!(both[1].member(id(105)).map(|member| member.state), Some(State::Suspect));
}

#[test]
fn an_exchange_brings_both_what_they_lack() {
    let mut both = two_with_acquaintances(100);
    let one = both[0].me().clone();
    let member = |n| Member { id: id(n), addr: addr(n), ..one.clone() };
    tell(&mut both[0], &news(3, &member(500)));
    tell(&mut both[1], &news(3, &member(501)));
    // What both know, one of them in newer words.
    tell(&mut both[1], &news(3, &Member { incarnation: 3, name: "renamed".into(), ..member(110) }));
    // And somebody gone of whom one has never heard.
    tell(&mut both[0], &news(3, &member(502)));
    tell(&mut both[0], &rumour(502, 502, 1, 1, Belief::Left));
    assert_eq!(exchange(&mut both).len(), 4);
    for node in &both {
        assert!(node.member(id(1)).is_some() && node.member(id(2)).is_some());
        assert!(node.member(id(500)).is_some() && node.member(id(501)).is_some());
        assert_eq!(node.member(id(110)).map(|member| &*member.name), Some("renamed"));
        assert_eq!(node.member(id(502)).map(|member| member.state), Some(State::Left));
    }
}

#[test]
fn one_accuser_is_not_made_many_by_those_who_have_heard_of_it() {
    let mut world = World::cluster(30, 1);
    let mut node = world.crash(addr(2));
    let mut now = world.now;
    let suspect = rumour(9, 3, 1, 0, Belief::Suspect);
    node.handle(Input::Datagram { from: addr(9), bytes: &suspect }, now).unwrap();
    for by in 4..=7 {
        let bytes = hearsay(by, node.member(id(3)).unwrap());
        node.handle(Input::Stream { from: addr(by), bytes: &bytes }, now).unwrap();
    }
    // The shortest suspicion is 4 s * log10(30).
    let end = now + 8 * SECOND;
    while let Some(at) = node.poll_timeout().filter(|at| *at <= end) {
        now = now.max(at);
        node.handle(Input::Timeout, now).unwrap();
    }
    assert_eq!(node.member(id(3)).unwrap().state, State::Suspect);
}

/// An exchange in which `by` says what it believes of a member.
fn hearsay(by: u16, member: &Member) -> Vec<u8> {
    let Member { id: about, boot, incarnation, state, .. } = *member;
    let said = standing(about, Standing { boot, incarnation, state });
    let step = Step::Difference { standings: vec![said], wanted: vec![] };
    let from = WirePid { id: id(by).0, boot: 1 };
    encode(&Message::PushPull(PushPull { from, number: 1, event_time: 0, step, records: vec![] }), 0)
}
