use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::failure::{news, relayed, rumour};
use super::world::*;
use crate::codec::decode;
use crate::wire::Belief;
use crate::{Config, Event, Filter, Gossip, Input, Output, Query, Question};

fn start(n: u16) -> Gossip {
    let gossip = Gossip::new(Config::lan(), identity(n, 3, addr(n)), u64::from(n), SECOND).unwrap();
    gossip.with_signer(Arc::new(Key(id(n))))
}

fn drain(node: &mut Gossip) -> Vec<Output> {
    std::iter::from_fn(|| node.poll_output()).collect()
}

fn received(from: SocketAddr, bytes: &[u8], stream: bool) -> Input<'_> {
    if stream { Input::Stream { from, bytes } } else { Input::Datagram { from, bytes } }
}

/// Messages as members really send them.
fn real_messages() -> Vec<Vec<u8>> {
    let mut nodes = [start(1), start(2)];
    nodes[0].handle(Input::Join(addr(2)), SECOND).unwrap();
    nodes[0].handle(Input::Event { name: "e".into(), payload: vec![1] }, SECOND).unwrap();
    let filter = Filter::new(&["node-*".into()], &[]);
    let query = Query { name: "q".into(), filter, acks: true, relays: 1, ..Query::default() };
    nodes[0].handle(Input::Query { number: 1, query }, SECOND).unwrap();
    let mut messages = Vec::new();
    let mut now = SECOND;
    for turn in 0..80 {
        if turn == 40 {
            nodes[1].handle(Input::Recall, now).unwrap();
        }
        let (from, to) = (turn % 2, (turn + 1) % 2);
        for output in drain(&mut nodes[from]) {
            let at = nodes[from].me().addr;
            let (bytes, stream) = match output {
                Output::Datagram { bytes, .. } => (bytes, false),
                Output::Stream { bytes, .. } | Output::Bulk { bytes, .. } => (bytes, true),
                Output::Event(Event::Query(Question { id: query, .. })) => {
                    nodes[from].handle(Input::Answer { query, response: Some(vec![1]) }, now).unwrap();
                    continue;
                }
                Output::Event(_) => continue,
            };
            nodes[to].handle(received(at, &bytes, stream), now).unwrap();
            messages.push(bytes);
        }
        now = nodes[from].poll_timeout().unwrap_or(now).max(now);
        nodes[from].handle(Input::Timeout, now).unwrap();
    }
    messages.extend([Belief::Suspect, Belief::Dead, Belief::Left].map(|state| rumour(2, 1, 3, 5, state)));
    messages
}

#[derive(Clone, Debug)]
enum Action {
    Real { which: usize, stream: bool, wait_ms: u64 },
    Broken { which: usize, at: usize, with: u8, stream: bool },
    Short { which: usize, keep: usize },
    Rumour { about: u16, boot: u64, incarnation: u64, state: u8 },
    Words { about: u16, boot: u64, incarnation: u64, size: usize },
    Bytes(Vec<u8>, bool),
    Timeout { wait_ms: u64 },
    Join(u16),
    Tags(Vec<(String, String)>),
    Query(String),
    Leave,
}

fn action() -> impl Strategy<Value = Action> {
    let incarnation = prop_oneof![0..10u64, Just(1 << 20), Just(1 << 48), any::<u64>()];
    prop_oneof![
        6 => (any::<usize>(), any::<bool>(), 0..3000u64)
            .prop_map(|(which, stream, wait_ms)| Action::Real { which, stream, wait_ms }),
        6 => (any::<usize>(), any::<usize>(), any::<u8>(), any::<bool>())
            .prop_map(|(which, at, with, stream)| Action::Broken { which, at, with, stream }),
        2 => (any::<usize>(), any::<usize>()).prop_map(|(which, keep)| Action::Short { which, keep }),
        6 => (1..5u16, 0..5u64, incarnation, 0..4u8)
            .prop_map(|(about, boot, incarnation, state)| Action::Rumour { about, boot, incarnation, state }),
        6 => (1..9u16, 2..5u64, 0..4u64, 0..870usize)
            .prop_map(|(about, boot, incarnation, size)| Action::Words { about, boot, incarnation, size }),
        2 => (proptest::collection::vec(any::<u8>(), 0..300), any::<bool>()).prop_map(|(b, s)| Action::Bytes(b, s)),
        6 => (0..100_000u64).prop_map(|wait_ms| Action::Timeout { wait_ms }),
        1 => (1..6u16).prop_map(Action::Join),
        1 => proptest::collection::vec((".{0,9}", ".{0,300}"), 0..4).prop_map(Action::Tags),
        1 => ".{0,9}".prop_map(Action::Query),
        1 => Just(Action::Leave),
    ]
}

fn apply(node: &mut Gossip, action: Action, real: &[Vec<u8>], now: &mut Duration) {
    let from = addr(2);
    let message = |bytes: &[u8], stream: bool, node: &mut Gossip, now| {
        let before = node.members().cloned().collect::<Vec<_>>();
        let refused = node.handle(received(from, bytes, stream), now).is_err();
        if refused {
            assert_eq!(
                before,
                node.members().cloned().collect::<Vec<_>>(),
                "a refused input changes nothing"
            );
        }
    };
    let wait = |now: &mut Duration, ms| *now += Duration::from_millis(ms);
    match action {
        Action::Real { which, stream, wait_ms } => {
            wait(now, wait_ms);
            message(&real[which % real.len()], stream, node, *now);
        }
        Action::Broken { which, at, with, stream } => {
            let mut bytes = real[which % real.len()].clone();
            let at = at % bytes.len();
            bytes[at] ^= with;
            message(&bytes, stream, node, *now);
        }
        Action::Short { which, keep } => {
            let bytes = &real[which % real.len()];
            message(&bytes[..keep % bytes.len()], false, node, *now);
        }
        Action::Rumour { about, boot, incarnation, state } => {
            let state = [Belief::Alive, Belief::Suspect, Belief::Dead, Belief::Left][usize::from(state)];
            message(&rumour(2, about, boot, incarnation, state), false, node, *now);
        }
        Action::Words { about, boot, incarnation, size } => {
            let mut member = start(about).me().clone();
            (member.boot, member.incarnation, member.name) = (boot, incarnation, "x".repeat(size).into());
            let signed = size % 2 == 0;
            let bytes = if signed { news(2, &member) } else { relayed(2, &member) };
            message(&bytes, false, node, *now);
        }
        Action::Bytes(bytes, stream) => message(&bytes, stream, node, *now),
        Action::Timeout { wait_ms } => {
            wait(now, wait_ms);
            node.handle(Input::Timeout, *now).unwrap();
        }
        Action::Join(n) => drop(node.handle(Input::Join(addr(n)), *now)),
        Action::Tags(tags) => drop(node.handle(Input::SetTags(tags), *now)),
        Action::Query(name) => {
            let query = Query { name, acks: true, relays: 2, ..Query::default() };
            drop(node.handle(Input::Query { number: 1, query }, *now));
        }
        Action::Leave => drop(node.handle(Input::Leave, *now)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn arbitrary_inputs_never_panic_and_keep_the_invariants(actions in proptest::collection::vec(action(), 1..60)) {
        let real = real_messages();
        let (mut node, mut now) = (start(1), SECOND);
        for action in actions {
            apply(&mut node, action, &real, &mut now);
            node.check();
            drain(&mut node).iter().for_each(check_output);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic_the_decoder(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = decode(&bytes);
    }
}
