//! The harness: members, and a network between their addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use crate::codec::{Signatures, decode};
use crate::wire::{ArchivedBody, ArchivedMessage};
use crate::{
    Config, Event, Gossip, Identity, Input, Member, NodeId, Output, SIGNATURE_BYTES, Signature, Signer, State,
};

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const HOUR: Duration = Duration::from_hours(1);

/// The usual address of node `n`.
pub(super) fn addr(n: u16) -> SocketAddr {
    let [high, low] = n.to_be_bytes();
    SocketAddr::from(([10, 0, high, low], 7400))
}

pub(super) fn id(n: u16) -> NodeId {
    NodeId(u128::from(n) << 96 | u128::from(n))
}

pub(super) fn identity(n: u16, boot: u64, addr: SocketAddr) -> Identity {
    Identity { id: id(n), boot, addr, name: format!("node-{n}"), tags: vec![("weight".into(), "1".into())] }
}

/// The first node of those that have no key, as before there were any.
pub(super) const KEYLESS: u16 = 1000;

/// A key that signs without secrets, as nobody here guesses it.
#[derive(Debug)]
pub(super) struct Key(pub(super) NodeId);

fn hash(parts: &[&[u8]]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.iter());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

impl Signer for Key {
    fn keyed(&self, NodeId(id): NodeId) -> bool {
        id >> 96 < KEYLESS.into()
    }

    fn sign(&self, words: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let hash = hash(&[&self.0.0.to_le_bytes(), words]).to_le_bytes();
        std::array::from_fn(|i| hash[i % 8])
    }

    fn verify(&self, id: NodeId, words: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> bool {
        Key(id).sign(words) == *signature
    }

    fn digest(&self, text: &[u8]) -> [u8; 32] {
        let hash = hash(&[b"digest", text]).to_le_bytes();
        std::array::from_fn(|i| hash[i % 8])
    }
}

fn is_keyed(id: NodeId) -> bool {
    Key(id).keyed(id)
}

/// The member with its words signed by itself.
pub(super) fn signed(member: &Member) -> Member {
    if !is_keyed(member.id) {
        return unsigned(member);
    }
    Member { signature: Signature::make(&Key(member.id), member), ..member.clone() }
}

pub(super) fn unsigned(member: &Member) -> Member {
    Member { signature: Signature::default(), ..member.clone() }
}

/// The message as version 8 sends it, and as it understands it.
fn without_signatures(bytes: &[u8]) -> &[u8] {
    let message = decode(bytes).expect("a sound message");
    let announcements = match message {
        ArchivedMessage::Packet(packet) => packet.announces.len(),
        ArchivedMessage::PushPull(push_pull) => push_pull.records.len(),
        _ => 0,
    };
    let signatures = Signatures::of(message, bytes).take(announcements);
    &bytes[signatures.map(|signature| 1 + signature.len()).sum()..]
}

/// Everything sent can be read. Datagrams fit. Messages meant to be light carry nothing but what the sender says of itself
/// and of their reader.
pub(super) fn check_output(output: &Output) {
    let (Output::Datagram { bytes, .. } | Output::Stream { bytes, .. } | Output::Bulk { bytes, .. }) = output
    else {
        return;
    };
    let ArchivedMessage::Packet(packet) = decode(bytes).expect("a sound message") else { return };
    let full = match packet.body {
        ArchivedBody::News => true,
        ArchivedBody::Ping { .. } | ArchivedBody::Ack { .. } => matches!(output, Output::Datagram { .. }),
        _ => false,
    };
    assert!(bytes.len() <= 1162, "a datagram of {} bytes", bytes.len());
    let words = packet.announces.iter().map(|words| words.pid.id);
    let claims = packet.claims.iter().map(|claim| claim.pid.id);
    let foreign = words.chain(claims).filter(|id| *id != packet.from.id).count();
    assert!(full || foreign <= 1, "news on a light message");
}

/// A message under way.
#[derive(Debug)]
struct Flight {
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
    stream: bool,
}

pub(super) struct World {
    pub(super) now: Duration,
    pub(super) config: Config,
    /// The running members, by their addresses.
    pub(super) nodes: BTreeMap<SocketAddr, Gossip>,
    /// All events, with their time and the address of the member that had them.
    pub(super) events: Vec<(Duration, SocketAddr, Event)>,
    /// Share of datagrams lost.
    pub(super) loss: f64,
    /// Addresses on the far side of the partition.
    pub(super) far: BTreeSet<SocketAddr>,
    /// Pairs of addresses, the lower first, between which nothing gets through.
    pub(super) cut: BTreeSet<(SocketAddr, SocketAddr)>,
    /// Addresses whose process does not run; what is sent to them waits.
    pub(super) paused: BTreeSet<SocketAddr>,
    pub(super) datagrams: usize,
    flights: BTreeMap<(Duration, u64), Flight>,
    sent: u64,
    rng: Rng,
}

impl World {
    pub(super) fn new(seed: u64) -> World {
        World {
            now: Duration::ZERO,
            config: Config::lan(),
            nodes: BTreeMap::new(),
            events: Vec::new(),
            loss: 0.0,
            far: BTreeSet::new(),
            cut: BTreeSet::new(),
            paused: BTreeSet::new(),
            datagrams: 0,
            flights: BTreeMap::new(),
            sent: 0,
            rng: Rng::with_seed(seed),
        }
    }

    /// Nodes 1 to `n`, all told to join node 1, and run until they know each other.
    pub(super) fn cluster(n: u16, seed: u64) -> World {
        World::with(n, seed, Config::lan())
    }

    /// The same, with settings of their own.
    pub(super) fn with(n: u16, seed: u64, config: Config) -> World {
        let mut world = World { config, ..World::new(seed) };
        for k in 1..=n {
            world.start(k);
            world.join(addr(k), addr(1));
        }
        world.until("all know all", 30 * SECOND, World::converged);
        world.events.clear();
        world
    }

    pub(super) fn start(&mut self, n: u16) {
        self.start_as(identity(n, 1, addr(n)));
    }

    pub(super) fn start_as(&mut self, identity: Identity) {
        let (addr, key) = (identity.addr, Key(identity.id));
        let gossip = Gossip::new(self.config.clone(), identity, self.rng.u64(..), self.now).unwrap();
        let gossip = if is_keyed(key.0) { gossip.with_signer(Arc::new(key)) } else { gossip };
        self.nodes.insert(addr, gossip);
    }

    pub(super) fn join(&mut self, at: SocketAddr, to: SocketAddr) {
        self.input(at, Input::Join(to));
    }

    pub(super) fn crash(&mut self, at: SocketAddr) -> Gossip {
        self.nodes.remove(&at).expect("a running node")
    }

    pub(super) fn input(&mut self, at: SocketAddr, input: Input<'_>) {
        self.nodes.get_mut(&at).expect("a running node").handle(input, self.now).unwrap();
        self.drain(at);
    }

    fn drain(&mut self, at: SocketAddr) {
        let Some(node) = self.nodes.get_mut(&at) else { return };
        node.check();
        let outputs: Vec<Output> = std::iter::from_fn(|| node.poll_output()).collect();
        for output in outputs {
            check_output(&output);
            match output {
                Output::Event(event) => self.events.push((self.now, at, event)),
                Output::Datagram { to, bytes } => {
                    self.datagrams += 1;
                    if self.rng.f64() >= self.loss {
                        self.send(Flight { from: at, to, bytes, stream: false });
                    }
                }
                Output::Stream { to, bytes } | Output::Bulk { to, bytes } => {
                    self.send(Flight { from: at, to, bytes, stream: true });
                }
            }
        }
    }

    fn send(&mut self, mut flight: Flight) {
        let keyed =
            [flight.from, flight.to].map(|at| self.nodes.get(&at).is_none_or(|node| is_keyed(node.me().id)));
        if keyed != [true, true] {
            flight.bytes = without_signatures(&flight.bytes).to_vec();
        }
        self.sent += 1;
        // A stream repeats what is lost, so it takes longer where more is lost.
        let tries = if flight.stream { 1.0 + 10.0 * self.loss } else { 1.0 };
        let delay = Duration::from_micros(self.rng.u64(200..2000)).mul_f64(tries);
        self.flights.insert((self.now + delay, self.sent), flight);
    }

    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
        self.now = end;
    }

    /// Runs until `done`; panics if that takes longer than `limit`. Returns the time it took.
    pub(super) fn until(&mut self, what: &str, limit: Duration, done: impl Fn(&World) -> bool) -> Duration {
        let start = self.now;
        while !done(self) {
            assert!(self.now < start + limit, "not within {limit:?}: {what}");
            self.run(Duration::from_millis(50));
        }
        self.now.saturating_sub(start)
    }

    /// The next thing that happens up to `end`.
    fn step(&mut self, end: Duration) -> bool {
        let timer = self
            .nodes
            .iter()
            .filter(|(addr, _)| !self.paused.contains(addr))
            .filter_map(|(addr, node)| Some((node.poll_timeout()?, *addr)))
            .min();
        let flight = self.flights.first_key_value().map(|((at, _), _)| *at);
        match (flight, timer) {
            (Some(at), timer) if at <= end && timer.is_none_or(|(due, _)| at <= due) => self.arrive(),
            (_, Some((due, addr))) if due <= end => {
                self.now = self.now.max(due);
                self.input(addr, Input::Timeout);
            }
            _ => return false,
        }
        true
    }

    fn arrive(&mut self) {
        let Some(((at, number), flight)) = self.flights.pop_first() else { return };
        self.now = self.now.max(at);
        if self.paused.contains(&flight.to) {
            self.flights.insert((at + SECOND, number), flight);
        } else if self.far.contains(&flight.from) == self.far.contains(&flight.to)
            && !self.cut.contains(&(flight.from.min(flight.to), flight.from.max(flight.to)))
            && self.nodes.contains_key(&flight.to)
        {
            let Flight { from, to, bytes, stream } = flight;
            let bytes = &bytes;
            self.input(
                to,
                if stream { Input::Stream { from, bytes } } else { Input::Datagram { from, bytes } },
            );
        }
    }

    pub(super) fn node(&self, at: SocketAddr) -> &Gossip {
        &self.nodes[&at]
    }

    /// What the node at `at` believes about node `n`.
    pub(super) fn state(&self, at: SocketAddr, n: u16) -> Option<State> {
        self.node(at).member(id(n)).map(|member| member.state)
    }

    /// Whether all running nodes believe this about node `n`.
    pub(super) fn all_believe(&self, n: u16, state: Option<State>) -> bool {
        self.nodes.iter().filter(|(_, node)| node.me().id != id(n)).all(|(at, _)| self.state(*at, n) == state)
    }

    /// Whether every running node knows exactly the running nodes as alive, with their last words.
    pub(super) fn converged(&self) -> bool {
        self.nodes.values().all(|node| {
            let known = |me: &Member| {
                let known = node.member(me.id).cloned();
                // Who has no key knows nothing of signatures.
                known == Some(if is_keyed(node.me().id) { me.clone() } else { unsigned(me) })
            };
            node.live().count() == self.nodes.len() && self.nodes.values().all(|other| known(other.me()))
        })
    }

    /// Events about other members, seen by anybody.
    pub(super) fn count(&self, kind: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|(_, _, event)| kind(event)).count()
    }

    pub(super) fn failures(&self) -> usize {
        self.count(|event| matches!(event, Event::Failed(_)))
    }
}
