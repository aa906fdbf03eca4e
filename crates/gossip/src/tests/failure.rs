use super::world::*;
use crate::codec::{announce_short, decode, encode};
use crate::wire::{ArchivedBody, ArchivedMessage, Belief, Body, Claim, Message, Packet, WirePid};
use crate::{DecodeError, Event, Input, InputError, Member, Output, State};

/// A packet from node `from` that claims `state` of node `about`.
pub(super) fn rumour(from: u16, about: u16, boot: u64, incarnation: u64, state: Belief) -> Vec<u8> {
    let claim = Claim { pid: WirePid { id: id(about).0, boot }, incarnation, state, by: id(from).0 };
    let from = WirePid { id: id(from).0, boot: 1 };
    encode(
        &Message::Packet(Packet {
            from,
            body: Body::News,
            coordinate: vec![],
            announces: vec![],
            claims: vec![claim],
        }),
        0,
    )
}

/// A packet from node `from` that carries the announcement of `member`, signed by it.
pub(super) fn news(from: u16, member: &Member) -> Vec<u8> {
    relayed(from, &signed(member))
}

/// The same with whatever signature the member has here.
pub(super) fn relayed(from: u16, member: &Member) -> Vec<u8> {
    let from = WirePid { id: id(from).0, boot: 1 };
    let announces = vec![announce_short(member, member.incarnation)];
    encode(
        &Message::Packet(Packet { from, body: Body::News, coordinate: vec![], announces, claims: vec![] }),
        0,
    )
}

#[test]
fn a_crash_is_detected_by_all() {
    for seed in 0..5 {
        let mut world = World::cluster(5, seed);
        world.crash(addr(3));
        let took = world.until("all know of the crash", 40 * SECOND, |w| w.all_believe(3, Some(State::Dead)));
        // Four seconds at least: the shortest suspicion.
        assert!(took >= 4 * SECOND, "seed {seed}: {took:?}");
        assert_eq!(world.failures(), 4);
        assert_eq!(world.count(|event| matches!(event, Event::Suspected(_))), 4);
        assert_eq!(world.nodes.values().map(|node| node.stats().suspicions).sum::<u64>(), 4);
    }
}

#[test]
fn two_members_notice_each_others_crash() {
    let mut world = World::cluster(2, 1);
    world.crash(addr(1));
    world.until("the crash is known", 10 * SECOND, |w| w.all_believe(1, Some(State::Dead)));
}

#[test]
fn confirmations_shorten_a_suspicion() {
    let mut world = World::cluster(30, 1);
    world.crash(addr(3));
    let took = world.until("all know", 60 * SECOND, |w| w.all_believe(3, Some(State::Dead)));
    // Unconfirmed it would last 6 * 3.5 s * log10(30) = 31 s after the first failed probe.
    assert!(took < 20 * SECOND, "{took:?}");
}

#[test]
fn nobody_dies_on_a_lossy_network() {
    let mut world = World::cluster(20, 1);
    world.loss = 0.2;
    world.run(600 * SECOND);
    assert_eq!(world.failures(), 0);
    assert!(world.converged());
    let relayed: u64 = world.nodes.values().map(|node| node.stats().probes_relayed).sum();
    assert!(relayed > 100, "only {relayed} probes went through relays");
}

#[test]
fn a_false_suspicion_is_refuted_in_spite_of_loss() {
    let mut world = World::cluster(10, 1);
    world.loss = 0.3;
    for k in 2..=10 {
        let by = if k == 2 { 3 } else { 2 };
        world
            .input(addr(k), Input::Datagram { from: addr(by), bytes: &rumour(by, 1, 1, 0, Belief::Suspect) });
    }
    assert!((2..=10).all(|k| world.state(addr(k), 1) == Some(State::Suspect)));
    world.until("all believe in node 1 again", 20 * SECOND, |w| w.all_believe(1, Some(State::Alive)));
    assert!(world.node(addr(1)).me().incarnation > 0);
    assert_eq!(world.failures(), 0);
}

#[test]
fn nobody_dies_of_what_one_other_says() {
    let mut world = World::cluster(10, 1);
    for _ in 0..3 {
        world.input(addr(2), Input::Datagram { from: addr(3), bytes: &rumour(3, 1, 1, 0, Belief::Dead) });
        assert_eq!(world.state(addr(2), 1), Some(State::Suspect));
    }
    world.until("all believe in node 1 again", 3 * SECOND, |w| w.all_believe(1, Some(State::Alive)));
    assert_eq!(world.failures(), 0);
}

#[test]
fn a_death_that_others_know_is_believed_after_the_shortest_suspicion() {
    let mut world = World::cluster(30, 1);
    world.crash(addr(3));
    world.input(addr(2), Input::Datagram { from: addr(1), bytes: &rumour(1, 3, 1, 0, Belief::Suspect) });
    world.run(2 * SECOND);
    world.input(addr(2), Input::Datagram { from: addr(1), bytes: &rumour(1, 3, 1, 0, Belief::Dead) });
    assert_eq!(world.state(addr(2), 3), Some(State::Suspect));
    // 3.5 s * log10(30), of which two have passed.
    world.until("it is dead", 4 * SECOND, |w| w.state(addr(2), 3) == Some(State::Dead));
}

#[test]
fn a_suspicion_that_ends_by_a_late_confirmation_is_not_taken_for_a_stall() {
    let mut world = World::cluster(30, 1);
    world.config.probe_interval = HOUR;
    world.start(40);
    world.join(addr(40), addr(1));
    world.run(SECOND);
    world.crash(addr(3));
    let accuse = |world: &mut World, by| {
        world
            .input(addr(40), Input::Datagram { from: addr(1), bytes: &rumour(by, 3, 1, 0, Belief::Suspect) });
    };
    accuse(&mut world, 50);
    world.run(10 * SECOND);
    (51..54).for_each(|by| accuse(&mut world, by));
    world.run(SECOND);
    assert_eq!(world.node(addr(40)).stats().stalls, 0);
}

#[test]
fn the_last_of_many_finds_out_within_minutes_that_it_is_alone() {
    for n in [10, 63] {
        let mut world = World::cluster(n, 1);
        // One after the other, as fast as they can crash.
        for k in 2..=n {
            world.crash(addr(k));
            world.run(SECOND / 4);
        }
        world.until("it is alone", 200 * SECOND, |w| w.node(addr(1)).live().count() == 1);
        world.until("it is well", 20 * SECOND, |w| w.node(addr(1)).stats().health_score == 0);
    }
}

#[test]
fn a_deaf_member_that_hears_anybody_again_accuses_nobody_more() {
    let mut world = World::cluster(30, 1);
    world.far = [addr(3)].into();
    world.until("it is in silence", 120 * SECOND, |w| {
        w.node(addr(3)).live().any(|m| m.state == State::Suspect)
    });
    world.run(10 * SECOND);
    world.far.clear();
    world.run(SECOND);
    let probes = world.node(addr(3)).stats().probes;
    world.events.clear();
    world.until("all is well", 60 * SECOND, World::converged);
    let accused = world.events.iter().filter(|(_, at, e)| *at == addr(3) && matches!(e, Event::Failed(_)));
    assert_eq!(accused.count(), 0, "after {probes} probes");
}

#[test]
fn a_suspicion_ends_although_the_prober_that_raised_it_dies() {
    let mut world = World::cluster(8, 1);
    world.crash(addr(3));
    world.until("somebody suspects", 20 * SECOND, |w| {
        w.nodes.keys().any(|at| w.state(*at, 3) == Some(State::Suspect))
    });
    let prober = *world.nodes.keys().find(|at| world.state(**at, 3) == Some(State::Suspect)).unwrap();
    world.run(SECOND);
    world.crash(prober);
    world.until("all know", 60 * SECOND, |w| w.all_believe(3, Some(State::Dead)));
}

#[test]
fn many_crashes_at_once_are_detected() {
    let mut world = World::cluster(20, 1);
    for n in 1..=10 {
        world.crash(addr(n));
    }
    world.until("all know", 120 * SECOND, |w| (1..=10).all(|n| w.all_believe(n, Some(State::Dead))));
    assert_eq!(world.failures(), 10 * 10);
    assert!(world.converged());
}

#[test]
fn a_process_that_did_not_run_accuses_nobody() {
    let mut world = World::cluster(5, 1);
    for _ in 0..10 {
        world.paused.insert(addr(1));
        world.run(3 * SECOND);
        world.paused.clear();
        world.run(5 * SECOND);
    }
    let by_the_sleeper = world
        .events
        .iter()
        .filter(|(_, at, event)| *at == addr(1) && matches!(event, Event::Suspected(m) if m.id != id(1)));
    assert_eq!(by_the_sleeper.count(), 0);
    assert!(world.node(addr(1)).stats().stalls >= 5);
    assert_eq!(world.failures(), 0, "and is back before its own suspicion ends");
}

#[test]
fn a_cut_between_two_members_is_bridged_by_relays() {
    let mut world = World::cluster(8, 1);
    world.cut.insert((addr(1), addr(2)));
    world.run(200 * SECOND);
    assert_eq!(world.count(|event| matches!(event, Event::Suspected(_))), 0);
    let relayed: u64 = world.nodes.values().map(|node| node.stats().probes_relayed).sum();
    assert!(relayed > 0);
}

#[test]
fn where_datagrams_do_not_pass_the_stream_answers_the_probe() {
    let mut world = World::cluster(3, 1);
    world.loss = 1.0;
    world.run(200 * SECOND);
    assert_eq!(world.count(|event| matches!(event, Event::Suspected(_))), 0);
    // And says so, once for each pair.
    assert_eq!(world.count(|event| matches!(event, Event::StreamsOnly(_))), 6);
}

#[test]
fn loss_is_not_taken_for_blocked_datagrams() {
    let mut world = World::cluster(5, 1);
    world.loss = 0.2;
    world.run(600 * SECOND);
    assert_eq!(world.count(|event| matches!(event, Event::StreamsOnly(_))), 0);
}

#[test]
fn a_relay_is_asked_as_soon_as_the_measured_round_trips_allow() {
    let mut world = World::cluster(8, 1);
    world.run(60 * SECOND);
    // The network of the tests takes 0.4 to 4 ms there and back.
    let rtt = world.node(addr(1)).stats().rtt_us;
    assert!((400..4000).contains(&rtt), "{rtt} us");
    world.crash(addr(3));
    world.until("somebody asks relays", 10 * SECOND, |w| {
        w.nodes.values().any(|node| node.stats().probes_relayed > 0)
    });
}

#[test]
fn a_message_that_names_another_sender_than_its_certificate_is_refused() {
    let mut world = World::cluster(3, 1);
    let bytes = rumour(2, 3, 1, 0, Belief::Suspect);
    let now = world.now;
    let node = world.nodes.get_mut(&addr(1)).unwrap();
    let input = || Input::Datagram { from: addr(2), bytes: &bytes };
    let refused = node.handle_from(id(3), input(), now).unwrap_err();
    assert!(matches!(refused, InputError::Malformed(DecodeError::Sender)), "{refused}");
    assert_eq!(world.state(addr(1), 3), Some(State::Alive));
    world.nodes.get_mut(&addr(1)).unwrap().handle_from(id(2), input(), now).unwrap();
    assert_eq!(world.state(addr(1), 3), Some(State::Suspect));
}

#[test]
fn nacks_keep_a_healthy_prober_of_the_dead_in_good_health() {
    let mut world = World::cluster(6, 1);
    world.crash(addr(3));
    for _ in 0..400 {
        world.run(SECOND / 20);
        assert!(world.nodes.values().all(|node| node.stats().health_score == 0));
    }
    assert!(world.nodes.values().any(|node| node.stats().probes_failed > 0));
}

#[test]
fn a_member_cut_off_from_all_comes_to_doubt_itself() {
    let mut world = World::cluster(6, 1);
    world.far = [addr(3)].into();
    world.run(10 * SECOND);
    assert!(world.node(addr(3)).stats().health_score > 2);
    world.far.clear();
    world.until("it recovers", 120 * SECOND, |w| w.converged() && w.node(addr(3)).stats().health_score == 0);
}

#[test]
fn the_fallen_hear_of_their_death_by_gossip() {
    let mut world = World::new(1);
    // No probes and no exchanges, which would tell it, too.
    world.config.probe_interval = HOUR;
    world.config.push_pull_interval = HOUR;
    world.config.suspicion_floor = 1;
    for n in 1..=3 {
        world.start(n);
        world.join(addr(n), addr(1));
    }
    world.until("all know all", SECOND, World::converged);
    world.far = [addr(3)].into();
    world.input(addr(1), Input::Datagram { from: addr(2), bytes: &rumour(2, 3, 1, 0, Belief::Suspect) });
    world.until("it is dead", 5 * HOUR, |w| w.state(addr(1), 3) == Some(State::Dead));
    world.far.clear();
    world.until("it refutes", 5 * SECOND, World::converged);
    assert_eq!(world.node(addr(3)).stats().refutations, 1);
}

#[test]
fn a_suspicion_may_overtake_the_announcement_it_speaks_of() {
    let mut world = World::cluster(2, 1);
    let mut words = world.node(addr(2)).me().clone();
    (words.name, words.incarnation) = ("renamed".into(), 5);
    world.input(addr(1), Input::Datagram { from: addr(3), bytes: &rumour(3, 2, 1, 5, Belief::Suspect) });
    assert_eq!(world.state(addr(1), 2), Some(State::Suspect), "in the incarnation that is known");
    world.input(addr(1), Input::Datagram { from: addr(3), bytes: &news(3, &words) });
    let known = world.node(addr(1)).member(id(2)).unwrap();
    assert_eq!((known.state, &*known.name), (State::Alive, "renamed"), "its words are newer");
    world.input(addr(1), Input::Datagram { from: addr(3), bytes: &rumour(3, 2, 1, 5, Belief::Suspect) });
    let known = world.node(addr(1)).member(id(2)).unwrap();
    assert_eq!((known.state, known.incarnation), (State::Suspect, 5), "heard again");
}

#[test]
fn an_incarnation_out_of_reach_is_not_believed() {
    let mut world = World::cluster(2, 1);
    let far = 1 << 30;
    for about in [1, 2] {
        world.input(
            addr(1),
            Input::Datagram { from: addr(3), bytes: &rumour(3, about, 1, far, Belief::Dead) },
        );
    }
    assert_eq!(world.node(addr(1)).me().incarnation, 0);
    assert_eq!(world.state(addr(1), 2), Some(State::Alive));
    world.run(60 * SECOND);
    assert!(world.converged());
}

#[test]
fn a_relay_that_does_not_know_the_target_says_so_at_once() {
    let mut world = World::cluster(3, 1);
    let from = world.node(addr(2)).me().pid().into();
    let target = WirePid { id: id(9).0, boot: 1 };
    let body = Body::Relay { number: 7, target };
    let bytes = encode(
        &Message::Packet(Packet { from, body, coordinate: vec![], announces: vec![], claims: vec![] }),
        0,
    );
    let node = world.nodes.get_mut(&addr(1)).unwrap();
    node.handle(Input::Datagram { from: addr(2), bytes: &bytes }, world.now).unwrap();
    let Some(Output::Datagram { to, bytes }) = node.poll_output() else { panic!("an answer") };
    assert_eq!(to, addr(2));
    let Ok(ArchivedMessage::Packet(answer)) = decode(&bytes) else { panic!("a packet") };
    assert!(matches!(&answer.body, ArchivedBody::Nack { number } if *number == 7));
}

#[test]
fn a_suspicion_waits_for_a_process_that_did_not_run() {
    let mut world = World::cluster(4, 1);
    world.input(addr(2), Input::Datagram { from: addr(1), bytes: &rumour(1, 3, 1, 0, Belief::Suspect) });
    world.input(addr(1), Input::Datagram { from: addr(2), bytes: &rumour(2, 3, 1, 0, Belief::Suspect) });
    world.paused.insert(addr(2));
    world.run(3 * SECOND);
    // The refutation waits, and comes when the suspicion would be over.
    world.run(2 * SECOND);
    world.paused.clear();
    world.run(5 * SECOND);
    assert_eq!(world.count(|event| matches!(event, Event::Failed(m) if m.id == id(3))), 0);
    assert!(world.all_believe(3, Some(State::Alive)));
}

/// Where all that was told of it has been lost.
#[test]
fn a_refutation_is_told_again_to_whoever_still_suspects() {
    let mut world = World::cluster(3, 1);
    let suspicion = rumour(1, 3, 1, 0, Belief::Suspect);
    world.input(addr(3), Input::Datagram { from: addr(1), bytes: &suspicion });
    world.run(200 * SECOND);
    let (now, node) = (world.now, world.nodes.get_mut(&addr(3)).unwrap());
    assert_eq!((node.me().incarnation, node.stats().news_queued), (1, 0));
    node.handle(Input::Datagram { from: addr(1), bytes: &suspicion }, now).unwrap();
    let told = std::iter::from_fn(|| node.poll_output()).any(|output| match output {
        Output::Datagram { to, bytes } if to == addr(1) => match decode(&bytes).unwrap() {
            ArchivedMessage::Packet(packet) => packet.announces.iter().any(|words| words.incarnation == 1),
            _ => false,
        },
        _ => false,
    });
    assert!(told && node.me().incarnation == 1);
}
