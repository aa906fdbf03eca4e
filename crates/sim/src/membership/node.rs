//! One node of the simulated cluster: the production gossip core, and what its driver would do.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use boato_gossip::{
    Config, Event, Gossip, Identity, Input, InputError, MemberPool, NewError, NodeId, Output,
};
use fastrand::Rng;

use super::run::Peer;
use super::scenario::{Scenario, ScenarioError};
use crate::signer::Key;
use crate::{Host, Outbox, Payload, Process, Way};

/// Every node listens on this port of an address of its own.
const PORT: u16 = 7400;
/// A node that knows nobody at the address it was told to join asks again after this time.
pub(super) const JOIN_RETRY: Duration = Duration::from_secs(1);

/// What a gossip core sends.
#[derive(Clone, Debug)]
pub struct Message {
    way: Way,
    bytes: Vec<u8>,
}

impl Message {
    #[cfg(feature = "foca")]
    pub(super) fn new(way: Way, bytes: Vec<u8>) -> Self {
        Self { way, bytes }
    }
}

impl Payload for Message {
    fn way(&self) -> Way {
        self.way
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// What a node tells the observer.
#[derive(Debug)]
pub enum Note {
    /// The core reports a change.
    Event(Event),
    /// The core has begun to ask a node, in its boot of this number, whether it is there.
    Probe(Host, u64),
    /// A member of another protocol lists a node, in its boot of this number.
    Up(Host, u64),
    /// A member of another protocol takes it for dead.
    Down(Host, u64),
    /// The core refused the message of a peer, which no correct peer sends.
    Refused(InputError),
}

/// A node: the core, and the retry of its join.
#[derive(Debug)]
pub struct Node {
    core: Gossip,
    /// Probes that were told.
    probes: u64,
    join: Option<Join>,
    clock: Clock,
}

#[derive(Debug)]
struct Join {
    addr: SocketAddr,
    at: Duration,
}

/// A clock that may run too fast or too slow from its beginning on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    begin: Duration,
    pace: Option<f64>,
}

impl Clock {
    /// One that counts `pace` seconds, above 0, in one.
    pub(super) fn new(begin: Duration, pace: Option<f64>) -> Self {
        Self { begin, pace }
    }

    pub(super) fn show(self, now: Duration) -> Duration {
        let Self { begin, pace } = self;
        pace.map_or(now, |pace| begin + now.saturating_sub(begin).mul_f64(pace))
    }

    /// When it shows at least `at`.
    pub(super) fn when(self, at: Duration) -> Duration {
        let Self { begin, pace } = self;
        // Rounding must not wake anybody too early, who would wake for ever.
        let after = |pace| at.saturating_sub(begin).div_f64(pace) + Duration::from_micros(1);
        pace.map_or(at, |pace| begin + after(pace))
    }
}

impl Node {
    /// A node that starts at `now` and joins through `seed_host`, if that is given.
    ///
    /// Its identity is drawn from `rng`.
    ///
    /// # Errors
    /// The core refuses the configuration.
    pub fn new(
        host: Host,
        seed_host: Option<Host>,
        config: Config,
        rng: &mut Rng,
        now: Duration,
    ) -> Result<Self, NewError> {
        let id = NodeId(rng.u128(..));
        let name = format!("n{}-{:08x}", host.0, rng.u32(..));
        Self::with_identity(identity(host, id, 1, name), seed_host, config, rng, now)
    }

    fn with_identity(
        identity: Identity,
        seed_host: Option<Host>,
        config: Config,
        rng: &mut Rng,
        now: Duration,
    ) -> Result<Self, NewError> {
        let key = Arc::new(Key(identity.id));
        let core = Gossip::new(config, identity, rng.u64(..), now)?.with_signer(key);
        let join = seed_host.map(|seed| Join { addr: addr_of(seed), at: now });
        Ok(Self { core, probes: 0, join, clock: Clock::new(now, None) })
    }

    /// The production core.
    pub fn core(&self) -> &Gossip {
        &self.core
    }

    fn handle(&mut self, input: Input<'_>, outbox: &mut Outbox<Self>) {
        if let Err(error) = self.core.handle(input, self.clock.show(outbox.now())) {
            outbox.note(Note::Refused(error));
        }
        self.drain(outbox);
    }

    fn tell_probe(&mut self, outbox: &mut Outbox<Self>) {
        let probes = self.core.stats().probes;
        let asked = self.core.probing().filter(|_| probes > self.probes);
        if let Some(probe) = asked.and_then(|member| Some(Note::Probe(host_of(member.addr)?, member.boot))) {
            outbox.note(probe);
        }
        self.probes = probes;
    }

    fn drain(&mut self, outbox: &mut Outbox<Self>) {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Datagram { to, bytes } => send(outbox, to, Way::Datagram, bytes),
                Output::Stream { to, bytes } | Output::Bulk { to, bytes } => {
                    send(outbox, to, Way::Stream, bytes);
                }
                Output::Event(event) => outbox.note(Note::Event(event)),
            }
        }
    }

    /// Joins as a node's discovery does: again and again, until somebody at that address is known.
    fn join_if_due(&mut self, outbox: &mut Outbox<Self>) {
        let now = outbox.now();
        let Some(join) = self.join.as_mut().filter(|join| join.at <= now) else { return };
        let addr = join.addr;
        join.at = now + JOIN_RETRY;
        if self.core.live().any(|member| member.addr == addr) {
            self.join = None;
        } else {
            self.handle(Input::Join(addr), outbox);
        }
    }
}

impl Peer for Node {
    type Shared = MemberPool;

    fn boot(
        (scenario, pool): (&Scenario, &MemberPool),
        (host, former): (Host, Option<Self>),
        seed_host: Option<Host>,
        rng: &mut Rng,
        now: Duration,
    ) -> Result<Self, ScenarioError> {
        let config = scenario.gossip();
        let node = match former {
            Some(former) => {
                let me = former.core.me();
                let identity = identity(host, me.id, me.boot + 1, me.name.to_string());
                Self::with_identity(identity, seed_host, config, rng, now)
            }
            None => Self::new(host, seed_host, config, rng, now),
        };
        let Self { core, join, .. } = node?;
        let clock = Clock::new(now, scenario.pace(rng));
        Ok(Self { core: core.with_pool(pool.clone()), probes: 0, join, clock })
    }

    fn listed(&self) -> Vec<Host> {
        self.core.live().filter_map(|member| host_of(member.addr)).collect()
    }
}

/// Who a node on this host is, with attributes of the size that a production node's have.
fn identity(host: Host, id: NodeId, boot: u64, name: String) -> Identity {
    let addr = addr_of(host);
    let tag = |key: &str, value: String| (key.to_owned(), value);
    let tags = vec![
        tag("http", format!("{}:7480", addr.ip())),
        tag("version", env!("CARGO_PKG_VERSION").to_owned()),
        tag("weight", "1".to_owned()),
    ];
    Identity { id, boot, addr, name, tags }
}

fn send(outbox: &mut Outbox<Node>, to: SocketAddr, way: Way, bytes: Vec<u8>) {
    if let Some(host) = host_of(to) {
        outbox.send(host, Message { way, bytes });
    }
}

impl Process for Node {
    type Message = Message;
    type Note = Note;

    fn start(&mut self, outbox: &mut Outbox<Self>) {
        self.drain(outbox);
        self.join_if_due(outbox);
    }

    fn receive(&mut self, from: Host, message: Message, outbox: &mut Outbox<Self>) {
        let (from, bytes) = (addr_of(from), message.bytes());
        let input = match message.way {
            Way::Datagram => Input::Datagram { from, bytes },
            Way::Stream => Input::Stream { from, bytes },
        };
        self.handle(input, outbox);
    }

    fn wake(&mut self, outbox: &mut Outbox<Self>) {
        self.join_if_due(outbox);
        if self.core.poll_timeout().is_some_and(|at| at <= self.clock.show(outbox.now())) {
            self.handle(Input::Timeout, outbox);
            self.tell_probe(outbox);
        }
    }

    fn wake_at(&self) -> Option<Duration> {
        let join_at = self.join.as_ref().map(|join| join.at);
        let core_at = self.core.poll_timeout().map(|at| self.clock.when(at));
        core_at.into_iter().chain(join_at).min()
    }
}

/// The address of a host: its number in 10.0.0.0/8, counted from 10.0.0.1.
pub(crate) fn addr_of(host: Host) -> SocketAddr {
    let ip = u32::from(Ipv4Addr::new(10, 0, 0, 1)) + host.0;
    SocketAddr::from((Ipv4Addr::from(ip), PORT))
}

/// The host at an address; `None` for an address that no host can have.
pub(crate) fn host_of(addr: SocketAddr) -> Option<Host> {
    match addr.ip() {
        IpAddr::V4(ip) => u32::from(ip).checked_sub(u32::from(Ipv4Addr::new(10, 0, 0, 1))).map(Host),
        IpAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_shows_the_time_that_was_waited_for() {
        for pace in [None, Some(0.5), Some(0.999_9), Some(1.000_3), Some(3.0)] {
            let clock = Clock { begin: Duration::from_secs(10), pace };
            for at in (0..5000).map(|nth| Duration::from_secs(10) + Duration::from_nanos(777_777_777) * nth) {
                assert!(clock.show(clock.when(at)) >= at, "{pace:?} {at:?}");
            }
        }
        let fast = Clock { begin: Duration::ZERO, pace: Some(1.5) };
        assert_eq!(fast.show(Duration::from_secs(2)), Duration::from_secs(3));
    }

    #[test]
    fn hosts_and_addresses_correspond() {
        for host in [0, 1, 254, 255, 256, 65_536].map(Host) {
            assert_eq!(host_of(addr_of(host)), Some(host));
        }
        assert_eq!(host_of("[::1]:7400".parse().unwrap()), None);
        assert_eq!(host_of("9.9.9.9:7400".parse().unwrap()), None);
    }
}
