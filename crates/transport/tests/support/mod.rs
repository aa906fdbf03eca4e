//! Nodes on loopback for the scenarios.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "every scenario uses a part of it")]
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use boato_transport::{Channel, Config, Handler, NodeKey, Peer, RequestError, Responder, Transport};
use bytes::Bytes;
use parking_lot::Mutex;

/// No condition of these tests takes this long on a machine that works.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Records what arrives and answers a request with its payload, unless told otherwise by the payload.
#[derive(Default)]
pub struct Recorder {
    pub datagrams: Mutex<Vec<(Peer, Bytes)>>,
    pub frames: Mutex<Vec<(Peer, Channel, Bytes)>>,
    /// Requests that begin with `hold` wait here for the test to answer them.
    pub held: Mutex<Vec<(Bytes, Responder)>>,
}

impl Handler for Recorder {
    fn datagram(&self, from: Peer, payload: Bytes) {
        self.datagrams.lock().push((from, payload));
    }

    fn message(&self, from: Peer, channel: Channel, payload: Bytes) {
        self.frames.lock().push((from, channel, payload));
    }

    fn request(&self, from: Peer, channel: Channel, payload: Bytes, reply: Responder) {
        self.frames.lock().push((from, channel, payload.clone()));
        match &*payload {
            b"drop" => drop(reply),
            b"panic" => panic!("a test asked for it"),
            bytes if bytes.starts_with(b"hold") => self.held.lock().push((payload, reply)),
            _ => reply.send(payload),
        }
    }
}

impl Recorder {
    pub fn payloads(&self, channel: Channel) -> Vec<Bytes> {
        self.frames
            .lock()
            .iter()
            .filter(|(_, c, _)| *c == channel)
            .map(|(_, _, payload)| payload.clone())
            .collect()
    }
}

pub struct Node {
    pub transport: Transport,
    pub seen: Arc<Recorder>,
    pub id: u128,
}

impl Node {
    pub fn addr(&self) -> SocketAddr {
        self.transport.local_addr()
    }

    pub async fn ask(&self, to: SocketAddr, payload: impl Into<Bytes>) -> Result<Bytes, RequestError> {
        within(self.transport.request(to, Channel(1), payload.into())).await
    }

    /// Asks until there is an answer.
    pub async fn ask_until_answered(&self, to: SocketAddr) {
        let start = Instant::now();
        while let Err(error) = self.ask(to, "again").await {
            assert!(start.elapsed() < DEADLINE, "no answer, last: {error}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A configuration on a free loopback port with an id that no other test node of this process has. A handshake has the time that a
/// busy machine takes for a hundred at once.
pub fn config() -> Config {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    let key = NodeKey::from_seed(&seed);
    let mut config = Config::new("test", key, "127.0.0.1:0".parse().unwrap(), 1);
    config.limits.handshake_timeout = DEADLINE;
    config
}

pub fn node() -> Node {
    start(config())
}

pub fn start(config: Config) -> Node {
    let (id, seen) = (config.key.node(), Arc::new(Recorder::default()));
    let transport = Transport::bind(config).unwrap();
    transport.serve(Arc::clone(&seen) as Arc<dyn Handler>);
    Node { transport, seen, id }
}

pub async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(DEADLINE, future).await.expect("the deadline has passed")
}

pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
