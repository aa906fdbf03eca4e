//! A bad network on this machine: a relay of UDP packets that loses, delays, doubles and cuts.
//!
//! A node binds its endpoint to one address and tells others to dial the relay's ([`Relay::route`]). Towards the node the
//! relay has a socket of its own for each source, so that answers find their way back and every packet is known by the
//! two nodes that it travels between. What happens to the packets of a link follows from the seed, the nodes' order and the
//! packets' number; what is in them is up to the nodes.

mod link;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use link::Link;
pub(crate) use link::{Counts, Weather};
use tokio::net::UdpSocket;
use tokio::runtime::{Builder, Runtime};
use tokio::task::{AbortHandle, JoinSet};

/// Largest UDP packet.
const PACKET_MAX: usize = 65_535;
/// Sources that one node may have; packets of more are lost.
const SOURCES_MAX: usize = 256;
/// Packets that may be on their way; more are lost, as they are in a router.
const DELAYED_MAX: usize = 20_000;

/// A running relay. It ends when dropped.
pub(crate) struct Relay {
    hub: Arc<Hub>,
    runtime: Runtime,
}

#[derive(Default)]
struct Hub {
    seed: u64,
    state: Mutex<State>,
    /// Packets on their way.
    delayed: AtomicUsize,
}

#[derive(Default)]
struct State {
    /// What all links do that no one has said anything else of.
    weather: Weather,
    /// Every node's number and its task.
    nodes: HashMap<SocketAddr, (u64, AbortHandle)>,
    count: u64,
    links: HashMap<(SocketAddr, SocketAddr), Link>,
    counts: Counts,
}

/// Where a packet goes.
#[derive(Clone)]
struct Exit {
    socket: Arc<UdpSocket>,
    /// `None`: where the socket is connected to.
    to: Option<SocketAddr>,
}

impl Relay {
    /// A relay without routes.
    pub(crate) fn start(seed: u64, weather: Weather) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let state = Mutex::new(State { weather, ..State::default() });
        let hub = Arc::new(Hub { seed, state, delayed: AtomicUsize::new(0) });
        Ok(Self { hub, runtime: runtime.context("starting the relay")? })
    }

    /// The address that others have to dial to reach the node at `node`.
    pub(crate) fn route(&self, node: SocketAddr) -> Result<SocketAddr> {
        let public = self.runtime.block_on(bind())?;
        let addr = public.local_addr().context("asking for the relay's address")?;
        let task = self.runtime.spawn(serve(Arc::clone(&self.hub), Arc::new(public), node));
        let mut state = self.hub.state();
        state.count += 1;
        let number = state.count;
        state.nodes.insert(node, (number, task.abort_handle()));
        Ok(addr)
    }

    /// The node at `node` is gone: what is for it is lost.
    pub(crate) fn forget(&self, node: SocketAddr) {
        let mut state = self.hub.state();
        if let Some((_, task)) = state.nodes.remove(&node) {
            task.abort();
        }
        state.links.retain(|(from, to), _| *from != node && *to != node);
    }

    /// Loses everything that one node sends to the other, or no more.
    pub(crate) fn cut(&self, from: SocketAddr, to: SocketAddr, cut: bool) {
        self.hub.state().link(self.hub.seed, from, to).cut = cut;
    }

    /// What has become of all packets so far.
    pub(crate) fn counts(&self) -> Counts {
        self.hub.state().counts
    }
}

impl Hub {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes a packet on, as often and as late as its link says.
    async fn send(self: &Arc<Self>, packet: &[u8], (from, to): (SocketAddr, SocketAddr), exit: &Exit) {
        let fate = {
            let mut state = self.state();
            let fate = state.link(self.seed, from, to).fate();
            state.counts.add(&fate);
            fate
        };
        for delay in fate.copies {
            if delay.is_zero() {
                exit.send(packet).await;
            } else if self.delayed.fetch_add(1, Relaxed) < DELAYED_MAX {
                let (hub, packet, exit) = (Arc::clone(self), packet.to_vec(), exit.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    exit.send(&packet).await;
                    hub.delayed.fetch_sub(1, Relaxed);
                });
            } else {
                self.delayed.fetch_sub(1, Relaxed);
            }
        }
    }
}

impl State {
    fn link(&mut self, seed: u64, from: SocketAddr, to: SocketAddr) -> &mut Link {
        let number = |node| self.nodes.get(&node).map_or(0, |(number, _)| *number);
        let seed = seed ^ (number(from) << 32) ^ (number(to) << 48);
        let weather = self.weather;
        self.links.entry((from, to)).or_insert_with(|| Link::new(weather, seed))
    }
}

impl Exit {
    /// A full buffer or a closed socket loses the packet, as networks do.
    async fn send(&self, packet: &[u8]) {
        let _lost = match self.to {
            Some(to) => self.socket.send_to(packet, to).await,
            None => self.socket.send(packet).await,
        };
    }
}

async fn bind() -> Result<UdpSocket> {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.context("binding a socket of the relay")
}

/// Passes on what comes for `node`.
async fn serve(hub: Arc<Hub>, public: Arc<UdpSocket>, node: SocketAddr) {
    let mut exits: HashMap<SocketAddr, Exit> = HashMap::new();
    // They end with this task.
    let mut answers = JoinSet::new();
    let mut packet = vec![0; PACKET_MAX];
    loop {
        let Ok((length, source)) = public.recv_from(&mut packet).await else { continue };
        if !exits.contains_key(&source) && exits.len() < SOURCES_MAX {
            let Ok(socket) = bind().await else { continue };
            if socket.connect(node).await.is_err() {
                continue;
            }
            let exit = Exit { socket: Arc::new(socket), to: None };
            let back = Exit { socket: Arc::clone(&public), to: Some(source) };
            answers.spawn(answer(Arc::clone(&hub), Arc::clone(&exit.socket), (node, source), back));
            exits.insert(source, exit);
        }
        if let Some(exit) = exits.get(&source) {
            hub.send(&packet[..length], (source, node), exit).await;
        }
    }
}

/// Passes on what the node answers to one source.
async fn answer(hub: Arc<Hub>, socket: Arc<UdpSocket>, link: (SocketAddr, SocketAddr), back: Exit) {
    let mut packet = vec![0; PACKET_MAX];
    loop {
        match socket.recv(&mut packet).await {
            Ok(length) => hub.send(&packet[..length], link, &back).await,
            // Nobody listens there at the moment.
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::UdpSocket as Socket;

    use super::*;

    /// Longest wait for a packet that has to come, and for one that must not.
    const PATIENCE: Duration = Duration::from_secs(5);
    const MOMENT: Duration = Duration::from_millis(50);

    /// A relay with two nodes behind it, and the addresses to dial them at.
    fn pair(weather: Weather) -> (Relay, [Socket; 2], [SocketAddr; 2]) {
        let relay = Relay::start(7, weather).unwrap();
        let nodes = [(); 2].map(|()| Socket::bind("127.0.0.1:0").unwrap());
        let routes = nodes.each_ref().map(|node| relay.route(node.local_addr().unwrap()).unwrap());
        (relay, nodes, routes)
    }

    fn receive(node: &Socket, patience: Duration) -> io::Result<(Vec<u8>, SocketAddr)> {
        node.set_read_timeout(Some(patience)).unwrap();
        let mut packet = [0; 100];
        node.recv_from(&mut packet).map(|(length, from)| (packet[..length].to_vec(), from))
    }

    #[test]
    fn answers_find_their_way_back() {
        let (_relay, [a, b], [_, to_b]) = pair(Weather::default());
        let c = Socket::bind("127.0.0.1:0").unwrap();
        for (source, text) in [(&a, b"a"), (&c, b"c")] {
            source.send_to(text, to_b).unwrap();
            let (packet, from) = receive(&b, PATIENCE).unwrap();
            assert_eq!(packet, text);
            b.send_to(&[b"re ", text.as_slice()].concat(), from).unwrap();
            assert_eq!(receive(source, PATIENCE).unwrap(), ([b"re ", text.as_slice()].concat(), to_b));
        }
    }

    #[test]
    fn a_cut_is_one_way_and_ends() {
        let (relay, [a, b], [to_a, to_b]) = pair(Weather::default());
        let [addr_a, addr_b] = [&a, &b].map(|node| node.local_addr().unwrap());
        relay.cut(addr_a, addr_b, true);
        a.send_to(b"lost", to_b).unwrap();
        b.send_to(b"1", to_a).unwrap();
        let (packet, from) = receive(&a, PATIENCE).unwrap();
        assert_eq!(packet, b"1");
        a.send_to(b"lost, though an answer", from).unwrap();
        assert!(receive(&b, MOMENT).is_err());
        relay.cut(addr_a, addr_b, false);
        a.send_to(b"2", to_b).unwrap();
        assert_eq!(receive(&b, PATIENCE).unwrap().0, b"2");
        assert_eq!(relay.counts().cut, 2);
    }

    #[test]
    fn a_doubled_packet_comes_twice_and_a_late_one_later() {
        let delay = Duration::from_millis(20);
        let (relay, [a, b], [_, to_b]) = pair(Weather { duplicate: 1.0, delay, ..Weather::default() });
        a.send_to(b"x", to_b).unwrap();
        for _ in 0..2 {
            assert_eq!(receive(&b, PATIENCE).unwrap().0, b"x");
        }
        assert!(receive(&b, MOMENT).is_err());
        assert_eq!((relay.counts().passed, relay.counts().doubled), (1, 1));
    }

    #[test]
    fn a_node_that_is_forgotten_gets_nothing_and_a_new_one_does() {
        let (relay, [a, b], [_, to_b]) = pair(Weather::default());
        let addr = b.local_addr().unwrap();
        relay.forget(addr);
        let again = relay.route(addr).unwrap();
        // The old address may be unbound by now: then the system says so.
        let _refused = a.send_to(b"old", to_b);
        a.send_to(b"new", again).unwrap();
        assert_eq!(receive(&b, PATIENCE).unwrap().0, b"new");
    }
}
