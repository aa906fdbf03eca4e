//! What a member has signed counts, whoever says it; what somebody else has made up in its name does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::failure::{news, relayed, rumour};
use super::trust::{exchange, exchange_later, questions};
use super::world::*;
use crate::codec::{DATAGRAM_BYTES_MIN, announce, announce_short, decode, encode, standing};
use crate::precedence::Standing;
use crate::wire::{
    Announce, ArchivedMessage, Belief, Body, Message, Packet, PushPull, Record, Step, WirePid,
};
use crate::{
    Config, Event, Gossip, Input, Member, NodeId, Output, SIGNATURE_BYTES, Signature, Signer, State,
};

/// Whom node 5, which makes things up, speaks of; and who listens.
const VICTIM: u16 = 4;
const LISTENERS: [u16; 3] = [1, 2, 3];

/// What the inventor says of its victim to all who listen, in an incarnation that is higher than the one before.
fn invent(world: &mut World, victim: &Member, incarnation: u64) {
    let words =
        Member { incarnation, addr: addr(99), name: "false".into(), state: State::Alive, ..victim.clone() };
    let another =
        Member { signature: signed(&Member { id: id(5), ..words.clone() }).signature, ..words.clone() };
    let suspect = Member { state: State::Suspect, ..words.clone() };
    for n in LISTENERS {
        for member in [&words, &unsigned(&words), &another, &suspect] {
            world.input(addr(n), Input::Datagram { from: addr(5), bytes: &relayed(5, member) });
            world.input(addr(n), Input::Stream { from: addr(5), bytes: &exchange(5, member) });
        }
        let suspicion = rumour(5, VICTIM, 1, incarnation, Belief::Suspect);
        world.input(addr(n), Input::Datagram { from: addr(5), bytes: &suspicion });
        world.input(addr(n), Input::Stream { from: addr(5), bytes: &summary(incarnation) });
    }
}

/// A step of an exchange of node 5 that says that the victim lives in this incarnation, without words.
fn summary(incarnation: u64) -> Vec<u8> {
    let alive = standing(id(VICTIM), Standing { boot: 1, incarnation, state: State::Alive });
    let step = Step::Summary { log2: 0, buckets: vec![0], standings: vec![alive] };
    let from = WirePid { id: id(5).0, boot: 1 };
    encode(&Message::PushPull(PushPull { from, number: 0, event_time: 0, step, records: vec![] }), 0)
}

fn known(world: &World, at: u16) -> &Member {
    world.node(addr(at)).member(id(VICTIM)).expect("listed")
}

#[test]
fn the_living_are_not_moved_by_words_that_others_make_up() {
    let mut world = World::cluster(5, 1);
    for incarnation in 1..20 {
        let victim = world.node(addr(VICTIM)).me().clone();
        invent(&mut world, &victim, victim.incarnation + incarnation);
        for n in LISTENERS {
            assert_eq!((known(&world, n).addr, &*known(&world, n).name), (addr(VICTIM), "node-4"));
        }
        world.run(SECOND);
    }
    world.until("it has refuted all that", 20 * SECOND, World::converged);
    assert_eq!(world.failures(), 0);
    assert!(world.node(addr(1)).stats().signatures_refused > 0);
}

#[test]
fn the_dead_are_not_kept_alive_by_words_that_others_make_up() {
    let mut world = World::cluster(5, 1);
    let victim = world.crash(addr(VICTIM)).me().clone();
    world.until("it is dead", 40 * SECOND, |world| world.all_believe(VICTIM, Some(State::Dead)));
    world.events.clear();
    for incarnation in 1..60 {
        invent(&mut world, &victim, incarnation);
        assert!(LISTENERS.iter().all(|n| world.state(addr(*n), VICTIM) == Some(State::Dead)));
        world.run(SECOND);
    }
    assert_eq!(world.count(|event| matches!(event, Event::Joined(_))), 0);
    assert!(
        LISTENERS.iter().all(|n| known(&world, *n).addr == addr(VICTIM)),
        "it is knocked at where it was"
    );
}

#[test]
fn a_suspicion_does_not_last_longer_for_words_that_others_make_up() {
    let time_to_die = |invented: bool| {
        let mut world = World::cluster(5, 1);
        let victim = world.crash(addr(VICTIM)).me().clone();
        let mut incarnation = 0;
        world.until("it is suspected", 10 * SECOND, |world| {
            LISTENERS.iter().all(|n| world.state(addr(*n), VICTIM) == Some(State::Suspect))
        });
        let start = world.now;
        while !LISTENERS.iter().all(|n| world.state(addr(*n), VICTIM) == Some(State::Dead)) {
            assert!(world.now < start + 60 * SECOND, "it lives on");
            if invented {
                incarnation += 1;
                invent(&mut world, &victim, incarnation);
            }
            world.run(SECOND / 2);
        }
        world.now.saturating_sub(start)
    };
    let (alone, invented) = (time_to_die(false), time_to_die(true));
    assert!(invented <= alone + SECOND, "{invented:?} instead of {alone:?}");
}

#[test]
fn what_a_member_has_signed_is_believed_of_anybody() {
    let mut world = World::cluster(3, 1);
    let now = world.now;
    let before = world.node(addr(3)).me().clone();
    let node = world.nodes.get_mut(&addr(1)).unwrap();
    let mut hear = |member: &Member| {
        node.handle(Input::Datagram { from: addr(2), bytes: &news(2, member) }, now).unwrap();
        assert!(questions(node).is_empty());
        node.member(id(3)).unwrap().clone()
    };
    let moved = signed(&Member { incarnation: 1, addr: addr(33), ..before.clone() });
    assert_eq!(hear(&moved), moved);
    // What it said before does not count any more, though it was signed.
    assert_eq!(hear(&before), moved);
    let far = signed(&Member { incarnation: 1 << 40, ..before.clone() });
    assert_eq!(hear(&far), far);
    let restarted = signed(&Member { boot: 2, ..before.clone() });
    assert_eq!(hear(&restarted), restarted);
    assert_eq!(node.stats().signatures_refused, 0);
}

#[test]
fn a_refutation_that_others_pass_on_ends_a_suspicion() {
    let mut world = World::cluster(4, 1);
    world.cut.insert((addr(1), addr(3)));
    world.input(addr(1), Input::Datagram { from: addr(2), bytes: &rumour(2, 3, 1, 0, Belief::Suspect) });
    assert_eq!(world.state(addr(1), 3), Some(State::Suspect));
    world.until("it is refuted", 4 * SECOND, |world| world.state(addr(1), 3) == Some(State::Alive));
    assert!(world.node(addr(3)).me().incarnation > 0);
    assert_eq!(world.failures(), 0);
}

/// Of an incarnation that the suspect has not been heard to announce: it may have refuted meanwhile.
#[test]
fn who_suspects_a_member_asks_for_its_refutation_when_it_is_suspected_again() {
    let mut world = World::cluster(3, 1);
    let now = world.now;
    let node = world.nodes.get_mut(&addr(1)).unwrap();
    let mut asked = |incarnation| {
        let bytes = rumour(2, 3, 1, incarnation, Belief::Suspect);
        node.handle(Input::Datagram { from: addr(2), bytes: &bytes }, now).unwrap();
        assert_eq!(
            node.member(id(3)).map(|member| (member.state, member.incarnation)),
            Some((State::Suspect, 0))
        );
        let outputs = std::iter::from_fn(|| node.poll_output());
        let exchange = |bytes: &[u8]| matches!(decode(bytes), Ok(ArchivedMessage::PushPull(_)));
        let to = outputs.filter_map(|output| match output {
            Output::Stream { to, bytes } => exchange(&bytes).then_some(to),
            _ => None,
        });
        to.collect::<Vec<_>>()
    };
    assert!(asked(0).is_empty());
    assert_eq!(asked(1), [addr(2)], "who knows of it");
}

#[test]
fn a_member_that_is_not_known_is_asked_whether_it_said_so() {
    let mut world = World::cluster(2, 1);
    world.start(3);
    let three = world.node(addr(3)).me().clone();
    let input = exchange(2, &Member { incarnation: 7, name: "false".into(), ..three.clone() });
    world.input(addr(1), Input::Stream { from: addr(2), bytes: &input });
    assert_eq!(world.state(addr(1), 3), None);
    world.until("it has answered", SECOND, |world| world.node(addr(1)).member(id(3)) == Some(&three));
}

#[test]
fn a_signature_comes_with_large_tags() {
    let mut world = World::cluster(5, 1);
    let tags = |byte: &str| vec![("large".to_owned(), byte.repeat(2 * DATAGRAM_BYTES_MIN))];
    for byte in ["x", "y"] {
        world.input(addr(3), Input::SetTags(tags(byte)));
        world.until("all have them", 3 * SECOND, World::converged);
    }
    let me = world.node(addr(3)).me();
    assert_eq!(me.signature.bytes().len(), SIGNATURE_BYTES + 32, "with a digest for datagrams");
    assert!(world.nodes.values().all(|node| node.stats().signatures_refused == 0));
}

#[test]
fn a_goodbye_is_no_words() {
    let mut world = World::cluster(3, 1);
    let before = world.node(addr(3)).me().clone();
    world.input(addr(3), Input::Leave);
    world.until("all know", 2 * SECOND, |world| world.all_believe(3, Some(State::Left)));
    let left = world.node(addr(3)).me();
    assert_eq!((left.incarnation, &left.signature), (before.incarnation + 1, &before.signature));
}

/// The goodbye itself is not signed, and may not be believed in an incarnation before that of its words.
#[test]
fn a_suspect_that_left_is_suspected_in_the_incarnation_of_its_last_words() {
    let mut world = World::cluster(3, 1);
    world.input(addr(1), Input::Datagram { from: addr(2), bytes: &rumour(2, 3, 1, 0, Belief::Suspect) });
    assert_eq!(world.state(addr(1), 3), Some(State::Suspect));
    let before = world.node(addr(3)).me().clone();
    let said = signed(&Member { incarnation: 1, addr: addr(33), ..before });
    let left = exchange_later(2, &Member { state: State::Left, ..said.clone() }, 2);
    world.input(addr(1), Input::Stream { from: addr(2), bytes: &left });
    assert_eq!(
        world.node(addr(1)).member(id(3)),
        Some(&Member { state: State::Suspect, ..said }),
        "it may have been made up"
    );
}

/// Nodes of version 8 neither send signatures nor pass them on.
#[test]
fn members_with_and_without_keys_are_one_cluster() {
    for seed in 1..=5 {
        let mut world = World::new(seed);
        let old = |n| KEYLESS + n;
        for n in (1..=4).flat_map(|n| [old(n), n]) {
            world.start(n);
            world.join(addr(n), addr(old(1)));
        }
        world.until("all know all", 10 * SECOND, World::converged);
        for n in [2, old(2)] {
            world.input(addr(n), Input::SetTags(vec![("role".into(), "db".into())]));
        }
        world.until("all know the tags", 5 * SECOND, World::converged);
        for (n, by) in [(3, old(1)), (old(3), 1)] {
            for at in [1, old(1)] {
                let bytes = rumour(by, n, 1, 0, Belief::Suspect);
                world.input(addr(at), Input::Datagram { from: addr(by), bytes: &bytes });
            }
        }
        world.run(SECOND);
        world.until("all is refuted", 10 * SECOND, World::converged);
        for n in [3, old(3)] {
            world.crash(addr(n));
            world.start_as(identity(n, 2, addr(n)));
            world.join(addr(n), addr(old(1)));
        }
        world.until("all know the restarted", 10 * SECOND, World::converged);
        let older = |m: &Member| m.boot == 1 && [id(3), id(old(3))].contains(&m.id);
        let failures = world.count(|event| matches!(event, Event::Failed(m) if older(m)));
        assert_eq!(world.failures(), failures, "the older boots alone");
        for n in [4, old(4)] {
            world.input(addr(n), Input::Leave);
        }
        world.run(3 * SECOND);
        for n in [4, old(4)] {
            assert!(world.nodes.keys().all(|at| *at == addr(n) || world.state(*at, n) == Some(State::Left)));
        }
        assert!(world.nodes.values().all(|node| node.stats().signatures_refused == 0));
    }
}

/// What node 2 passes on, as it is written here.
fn passed_on(announce: Announce<'_>) -> Vec<u8> {
    let from = WirePid { id: id(2).0, boot: 1 };
    let announces = vec![announce];
    encode(
        &Message::Packet(Packet { from, body: Body::News, coordinate: vec![], announces, claims: vec![] }),
        0,
    )
}

fn with_tags(member: &Member, bytes: usize) -> Member {
    let tags = crate::Tags::new([("k".to_owned(), "x".repeat(bytes))]).unwrap();
    signed(&Member { incarnation: member.incarnation + 1, tags, ..member.clone() })
}

#[test]
fn the_name_of_tags_is_signed_as_well() {
    let mut world = World::cluster(3, 1);
    let now = world.now;
    let member = world.node(addr(3)).me().clone();
    let (small, large) = (with_tags(&member, 1), with_tags(&member, 2 * DATAGRAM_BYTES_MIN));
    let key = Key(id(3));
    let beside = |digest: &[u8]| [&small.signature.bytes()[..SIGNATURE_BYTES], digest].concat();
    let of_small = beside(&key.digest(small.tags.text().as_bytes()));
    let other_digest = [&large.signature.bytes()[..SIGNATURE_BYTES], &[7; 32]].concat();
    let hash = "\x1f0123456789abcdef";
    let altered = [
        Announce { tags: hash, ..announce_short(&large, 1) },
        Announce { tags: hash, signature: &of_small, ..announce_short(&small, 1) },
        Announce { signature: &other_digest, ..announce_short(&large, 1) },
        Announce { tags: "", ..announce_short(&large, 1) },
        Announce { signature: &of_small, ..announce(&small, 1) },
    ];
    for (i, announce) in altered.into_iter().enumerate() {
        let node = world.nodes.get_mut(&addr(1)).unwrap();
        node.handle(Input::Datagram { from: addr(2), bytes: &passed_on(announce) }, now).unwrap();
        assert_eq!(node.member(id(3)), Some(&member), "{i}");
        assert_eq!(node.stats().signatures_refused, i as u64 + 1, "{i}");
    }
    world.run(SECOND);
    let node = world.nodes.get_mut(&addr(1)).unwrap();
    node.handle(Input::Datagram { from: addr(2), bytes: &relayed(2, &small) }, world.now).unwrap();
    assert_eq!(node.member(id(3)), Some(&small));
}

/// A key that counts what it is asked.
#[derive(Debug)]
struct Counting(Key, AtomicUsize);

impl Signer for Counting {
    fn keyed(&self, id: NodeId) -> bool {
        self.0.keyed(id)
    }

    fn sign(&self, words: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.0.sign(words)
    }

    fn verify(&self, id: NodeId, words: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> bool {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.verify(id, words, signature)
    }

    fn digest(&self, text: &[u8]) -> [u8; 32] {
        self.0.digest(text)
    }
}

#[test]
fn wrong_signatures_are_checked_a_few_times_only() {
    let counting = Arc::new(Counting(Key(id(1)), AtomicUsize::new(0)));
    let mut node = Gossip::new(Config::lan(), identity(1, 1, addr(1)), 1, SECOND).unwrap();
    node = node.with_signer(Arc::clone(&counting) as Arc<dyn Signer>);
    let example = node.me().clone();
    let mut hear = |teller: u16, now| {
        let before = counting.1.load(Ordering::Relaxed);
        let members: Vec<Member> =
            (100..600).map(|n| Member { id: id(n), addr: addr(n), ..example.clone() }).collect();
        let records = members.iter().map(|member| Record {
            announce: announce(member, 0),
            state: Belief::Alive,
            incarnation: 0,
            by: 0,
            gone_s: 0,
        });
        let step = Step::Difference { standings: vec![], wanted: vec![] };
        let from = WirePid { id: id(teller).0, boot: 1 };
        let message = PushPull { from, number: 0, event_time: 0, step, records: records.collect() };
        let bytes = encode(&Message::PushPull(message), 0);
        node.handle(Input::Stream { from: addr(teller), bytes: &bytes }, now).unwrap();
        counting.1.load(Ordering::Relaxed) - before
    };
    assert_eq!(hear(2, SECOND), 8);
    assert_eq!(hear(2, SECOND), 0, "in the same interval");
    assert_eq!(hear(3, SECOND), 8, "another's are");
    assert_eq!(hear(2, 2 * SECOND), 8);
}

#[test]
fn a_message_is_refuted_once() {
    let mut world = World::cluster(5, 1);
    let now = world.now;
    let node = world.nodes.get_mut(&addr(1)).unwrap();
    let suspect = |incarnation| standing(id(1), Standing { boot: 1, incarnation, state: State::Suspect });
    let step = Step::Difference { standings: (0..1000).map(suspect).collect(), wanted: vec![] };
    let from = WirePid { id: id(2).0, boot: 1 };
    let bytes =
        encode(&Message::PushPull(PushPull { from, number: 0, event_time: 0, step, records: vec![] }), 0);
    node.handle(Input::Stream { from: addr(2), bytes: &bytes }, now).unwrap();
    assert_eq!(node.me().incarnation, 1000);
    assert_eq!(node.stats().refutations, 1);
    assert!(std::iter::from_fn(|| node.poll_output()).count() < 10);
}

#[test]
fn suspicions_in_incarnations_that_do_not_exist_confirm_one_another() {
    let time_to_die = |invented: bool| {
        let mut world = World::cluster(5, 1);
        world.crash(addr(VICTIM));
        let start = world.now;
        for n in LISTENERS {
            let suspicion = rumour(5, VICTIM, 1, if invented { n.into() } else { 0 }, Belief::Suspect);
            world.input(addr(n), Input::Datagram { from: addr(5), bytes: &suspicion });
            assert_eq!((known(&world, n).state, known(&world, n).incarnation), (State::Suspect, 0));
        }
        world.until("it is dead", 60 * SECOND, |world| {
            LISTENERS.iter().all(|n| world.state(addr(*n), VICTIM) == Some(State::Dead))
        });
        world.now.saturating_sub(start)
    };
    let (alone, invented) = (time_to_die(false), time_to_die(true));
    assert!(invented <= alone + SECOND, "{invented:?} instead of {alone:?}");
}

#[test]
fn a_restart_that_cannot_be_taken_in_leaves_the_member_as_it_is() {
    let mut world = World::cluster(3, 1);
    let now = world.now;
    let before = world.node(addr(3)).me().clone();
    let restarted = signed(&Member { boot: 2, ..before.clone() });
    let record = Record {
        announce: announce(&restarted, 0),
        state: Belief::Suspect,
        incarnation: 1 << 40,
        by: id(2).0,
        gone_s: 0,
    };
    let step = Step::Difference { standings: vec![], wanted: vec![] };
    let from = WirePid { id: id(2).0, boot: 1 };
    let message = PushPull { from, number: 0, event_time: 0, step, records: vec![record] };
    let bytes = encode(&Message::PushPull(message), 0);
    let node = world.nodes.get_mut(&addr(1)).unwrap();
    node.handle(Input::Stream { from: addr(2), bytes: &bytes }, now).unwrap();
    assert_eq!(node.member(id(3)), Some(&before));
    assert!(!std::iter::from_fn(|| node.poll_output()).any(|output| matches!(output, Output::Event(_))));
}

#[test]
fn a_wrong_signature_is_not_passed_on() {
    let mut world = World::cluster(3, 1);
    let now = world.now;
    let words = Member { incarnation: 1, addr: addr(33), ..world.node(addr(3)).me().clone() };
    let node = world.nodes.get_mut(&addr(1)).unwrap();
    node.handle(Input::Datagram { from: addr(3), bytes: &relayed(3, &words) }, now).unwrap();
    assert_eq!(node.member(id(3)), Some(&unsigned(&words)), "it says so itself");
}

proptest! {
    #[test]
    fn words_with_another_signature_are_not_believed(bit in 0..8 * SIGNATURE_BYTES, stream: bool) {
        let mut world = World::cluster(3, 1);
        let now = world.now;
        let words = signed(&Member { incarnation: 1, addr: addr(33), ..world.node(addr(3)).me().clone() });
        let mut signature = words.signature.bytes().to_vec();
        signature[bit / 8] ^= 1 << (bit % 8);
        let forged = Member { signature: Signature::of(&signature), ..words.clone() };
        let node = world.nodes.get_mut(&addr(1)).unwrap();
        let (packet, push_pull) = (relayed(2, &forged), exchange(2, &forged));
        let from = addr(2);
        let input = if stream { Input::Stream { from, bytes: &push_pull } } else { Input::Datagram { from, bytes: &packet } };
        node.handle(input, now).unwrap();
        prop_assert_eq!(node.member(id(3)).map(|member| (member.incarnation, member.addr)), Some((0, addr(3))));
        prop_assert_eq!(node.stats().signatures_refused, 1);
        prop_assert_eq!(questions(node), [addr(33), addr(3)], "but asked for");
    }

    #[test]
    fn what_is_signed_is_every_part_of_the_words(part in 0..5, large: bool) {
        let key = Key(id(3));
        let text = if large { "x".repeat(2_000) } else { "x".to_owned() };
        let tags = |text: &str| crate::Tags::new([("k".to_owned(), text.to_owned())]).unwrap();
        let member = signed(&Member { tags: tags(&text), ..World::cluster(3, 1).node(addr(3)).me().clone() });
        let mut other = member.clone();
        match part {
            0 => other.boot += 1,
            1 => other.incarnation += 1,
            2 => other.addr = addr(33),
            3 => other.name = "other".into(),
            _ => other.tags = tags(&text.replace('x', "y")),
        }
        prop_assert_ne!(Signature::make(&key, &other), member.signature.clone());
        prop_assert_ne!(Signature::make(&Key(NodeId(7)), &member), member.signature);
    }
}
