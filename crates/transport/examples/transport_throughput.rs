//! Measures the mesh between two nodes of this process on loopback: requests with so many in flight, and bulk messages.
//!
//! CPU time is that of the whole process, both nodes together. The requests in flight are sent in one go and answered
//! before the next go begins, as a front door does with a pipelined batch.
//!
//! `cargo run --release -p boato-transport --example transport_throughput [SECONDS]`

mod process;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use boato_transport::{Channel, Handler, Peer, Responder, SendError, Transport};
use bytes::Bytes;
use process::{cpu, node};

/// A key to ask for and a value to get.
const KEY: Bytes = Bytes::from_static(&[b'k'; 20]);
const VALUE: Bytes = Bytes::from_static(&[b'v'; 64]);
/// A slice of a hand-off.
const CHUNK: usize = 256 << 10;
const CHUNK_MIB: f64 = 0.25;

#[derive(Default)]
struct Sink {
    chunks: AtomicU32,
}

impl Handler for Sink {
    fn datagram(&self, _from: Peer, _payload: Bytes) {}

    fn message(&self, _from: Peer, _channel: Channel, _payload: Bytes) {
        self.chunks.fetch_add(1, Ordering::Relaxed);
    }

    fn request(&self, _from: Peer, _channel: Channel, _payload: Bytes, reply: Responder) {
        reply.send(VALUE);
    }
}

/// Wall and CPU time since a moment.
struct Meter {
    start: Instant,
    cpu: Duration,
}

impl Meter {
    fn start() -> Self {
        Self { start: Instant::now(), cpu: cpu() }
    }

    fn wall(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    fn cpu(&self) -> f64 {
        cpu().saturating_sub(self.cpu).as_secs_f64()
    }
}

async fn requests(from: &Transport, to: SocketAddr, in_flight: usize, seconds: f64) {
    let mut pending = Vec::with_capacity(in_flight);
    let (meter, mut operations) = (Meter::start(), 0.0);
    while meter.wall() < seconds {
        pending.extend((0..in_flight).map(|_| from.request(to, Channel(1), KEY)));
        for answer in pending.drain(..) {
            answer.await.expect("the peer answers");
            operations += 1.0;
        }
    }
    println!(
        "{in_flight:>4} in flight: {:>8.0} requests/s, {:>6.2} us each, {:>6.2} CPU-us each on both sides",
        operations / meter.wall(),
        meter.wall() * 1e6 / operations,
        meter.cpu() * 1e6 / operations,
    );
}

async fn bulk(from: &Transport, to: SocketAddr, sink: &Sink, seconds: f64) {
    let chunk = Bytes::from(vec![7; CHUNK]);
    let (meter, before) = (Meter::start(), sink.chunks.load(Ordering::Relaxed));
    while meter.wall() < seconds {
        match from.send(to, Channel(2), chunk.clone()) {
            Ok(()) => tokio::task::yield_now().await,
            Err(SendError::Full) => tokio::time::sleep(Duration::from_millis(1)).await,
            Err(error) => panic!("{error}"),
        }
    }
    let mib = f64::from(sink.chunks.load(Ordering::Relaxed) - before) * CHUNK_MIB;
    println!(
        "        bulk: {:>8.0} MiB/s, {:.2} CPU-ms per MiB on both sides",
        mib / meter.wall(),
        meter.cpu() * 1e3 / mib,
    );
}

#[tokio::main]
async fn main() {
    // On a worker of the runtime, where front doors run, and not on the thread that waits for it.
    tokio::spawn(run()).await.expect("the measurement ends");
}

async fn run() {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(2.0);
    let sink = Arc::new(Sink::default());
    let [a, b] = [(); 2].map(|()| node(Arc::<Sink>::clone(&sink)));
    let to = b.local_addr();
    let begun = Instant::now();
    a.request(to, Channel(1), KEY).await.expect("the peer answers");
    println!("connect and first answer: {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);
    // Until the path's packet size is known.
    requests(&a, to, 16, seconds / 4.0).await;
    for in_flight in [1, 16, 64, 512] {
        requests(&a, to, in_flight, seconds).await;
    }
    bulk(&a, to, &sink, seconds).await;
    a.close().await;
    b.close().await;
}
