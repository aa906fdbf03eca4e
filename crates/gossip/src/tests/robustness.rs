use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::failure::{news, relayed, rumour};
use super::world::*;
use crate::codec::{decode, encode};
use crate::query::Terms;
use crate::user_event::Told;
use crate::wire::{Belief, Events, Message, WireEvent};
use crate::{
    Config, Event, Filter, Gossip, Input, Output, Pid, Query, QueryId, Question, RESPONSE_BYTES_MAX,
    UserEvent,
};

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
    From { peer: u16, which: usize, stream: bool },
    Told { origin: u16, time: u64, size: usize, asks: bool },
    Join(u16),
    Name(String),
    Tags(Vec<(String, String)>),
    Addr(u16),
    Event(String, usize),
    Query(String),
    Answer { which: usize, size: Option<usize> },
    Forget(u64),
    Recall,
    Remove { whom: u16, prune: bool },
    Leave,
}

fn action() -> impl Strategy<Value = Action> {
    let time = prop_oneof![0..10u64, Just(1 << 20), Just(1 << 62), any::<u64>()];
    let incarnation = prop_oneof![0..10u64, Just(1 << 20), Just(1 << 48), any::<u64>()];
    prop_oneof![
        6 => (any::<usize>(), any::<bool>(), 0..3000u64)
            .prop_map(|(which, stream, wait_ms)| Action::Real { which, stream, wait_ms }),
        6 => (any::<usize>(), any::<usize>(), any::<u8>(), any::<bool>())
            .prop_map(|(which, at, with, stream)| Action::Broken { which, at, with, stream }),
        2 => (any::<usize>(), any::<usize>()).prop_map(|(which, keep)| Action::Short { which, keep }),
        6 => (1..5u16, 0..5u64, incarnation, 0..5u8)
            .prop_map(|(about, boot, incarnation, state)| Action::Rumour { about, boot, incarnation, state }),
        6 => (1..9u16, 2..5u64, 0..4u64, 0..870usize)
            .prop_map(|(about, boot, incarnation, size)| Action::Words { about, boot, incarnation, size }),
        2 => (proptest::collection::vec(any::<u8>(), 0..300), any::<bool>()).prop_map(|(b, s)| Action::Bytes(b, s)),
        6 => (0..100_000u64).prop_map(|wait_ms| Action::Timeout { wait_ms }),
        4 => (1..4u16, any::<usize>(), any::<bool>())
            .prop_map(|(peer, which, stream)| Action::From { peer, which, stream }),
        4 => (1..5u16, time, 0..900usize, any::<bool>())
            .prop_map(|(origin, time, size, asks)| Action::Told { origin, time, size, asks }),
        1 => (1..6u16).prop_map(Action::Join),
        1 => ".{0,70}".prop_map(Action::Name),
        1 => (0..9u16).prop_map(Action::Addr),
        2 => (".{0,9}", 0..900usize).prop_map(|(name, size)| Action::Event(name, size)),
        2 => (any::<usize>(), proptest::option::of(prop_oneof![0..9usize, Just(RESPONSE_BYTES_MAX + 1)]))
            .prop_map(|(which, size)| Action::Answer { which, size }),
        1 => (0..3u64).prop_map(Action::Forget),
        1 => Just(Action::Recall),
        2 => (1..6u16, any::<bool>()).prop_map(|(whom, prune)| Action::Remove { whom, prune }),
        1 => proptest::collection::vec((".{0,9}", ".{0,300}"), 0..4).prop_map(Action::Tags),
        1 => ".{0,9}".prop_map(Action::Query),
        1 => Just(Action::Leave),
    ]
}

/// Events that node 2 passes on: one, or one query.
fn passed_on(origin: u16, time: u64, size: usize, asks: bool) -> Vec<u8> {
    let [origin, from] = [origin, 2].map(|n| Pid { id: id(n), boot: 3 });
    let event = UserEvent { origin, time, name: "e".into(), payload: vec![0; size].into() };
    let terms = Terms { filter: Filter::default(), timeout: SECOND, relays: 1, acks: true };
    let told = Told { event, terms: asks.then_some(terms) };
    let events = Events { from: from.into(), recall: false, list: vec![WireEvent::from(&told)] };
    encode(&Message::Events(events), 0)
}

/// `asked`: the queries that have come to the node.
fn apply(node: &mut Gossip, action: Action, real: &[Vec<u8>], asked: &[QueryId], now: &mut Duration) {
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
            let state = [Belief::Alive, Belief::Suspect, Belief::Dead, Belief::Left, Belief::Pruned]
                [usize::from(state)];
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
        Action::From { peer, which, stream } => {
            let bytes = &real[which % real.len()];
            drop(node.handle_from(id(peer), received(addr(peer), bytes, stream), *now));
        }
        Action::Told { origin, time, size, asks } => {
            message(&passed_on(origin, time, size, asks), false, node, *now);
        }
        Action::Name(name) => drop(node.handle(Input::SetName(name), *now)),
        Action::Addr(n) => drop(node.handle(Input::SetAddr(SocketAddr::from(([127, 0, 0, 1], n))), *now)),
        Action::Event(name, size) => {
            drop(node.handle(Input::Event { name, payload: vec![0; size] }, *now));
        }
        Action::Answer { which, size } => {
            let Some(query) = which.checked_rem(asked.len()).map(|which| asked[which]) else { return };
            drop(node.handle(Input::Answer { query, response: size.map(|size| vec![0; size]) }, *now));
        }
        Action::Forget(number) => node.handle(Input::Forget { number }, *now).unwrap(),
        Action::Recall => drop(node.handle(Input::Recall, *now)),
        Action::Remove { whom, prune } => drop(node.handle(Input::Remove { id: id(whom), prune }, *now)),
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
        let mut asked = Vec::new();
        for action in actions {
            apply(&mut node, action, &real, &asked, &mut now);
            node.check();
            for output in drain(&mut node) {
                check_output(&output);
                if let Output::Event(Event::Query(question)) = output {
                    asked.push(question.id);
                }
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic_the_decoder(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = decode(&bytes);
    }
}
