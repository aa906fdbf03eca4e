//! Measures what connections cost: one node asks so many others of this process once, and is then silent. CPU time and memory are
//! those of the process, so of both sides of each connection; memory is that which the connections have added to the nodes.
//!
//! `cargo run --release -p boato-transport --example connections [NODES]`

mod process;

use std::sync::Arc;
use std::time::{Duration, Instant};

use boato_transport::{Channel, Handler, Peer, Responder, Transport};
use bytes::Bytes;
use process::{cpu, node};

/// The size of the cluster whose cold start is reckoned.
const CLUSTER: f64 = 1000.0;
/// Until the packet sizes of the paths are known and all acknowledgements have come.
const SILENCE: Duration = Duration::from_secs(5);

struct Echo;

impl Handler for Echo {
    fn datagram(&self, _from: Peer, _payload: Bytes) {}

    fn message(&self, _from: Peer, _channel: Channel, _payload: Bytes) {}

    fn request(&self, _from: Peer, _channel: Channel, payload: Bytes, reply: Responder) {
        reply.send(payload);
    }
}

/// Resident memory of this process in kB (1000 bytes).
fn resident_kb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let kib = line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(f64::NAN);
    kib * 1.024
}

#[tokio::main]
async fn main() {
    tokio::spawn(run()).await.expect("the measurement ends");
}

async fn run() {
    let count: u32 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(300);
    let hub = node(Arc::new(Echo));
    let others: Vec<Transport> = (0..count).map(|_| node(Arc::new(Echo))).collect();
    tokio::time::sleep(SILENCE / 5).await;
    let (start, before, memory) = (Instant::now(), cpu(), resident_kb());
    for other in &others {
        let answer = hub.request(other.local_addr(), Channel(1), Bytes::from_static(b"hello"));
        answer.await.expect("the peer answers");
    }
    let (wall, connecting) = (start.elapsed(), cpu().saturating_sub(before));
    tokio::time::sleep(SILENCE).await;
    let sides = f64::from(count) * 2.0;
    let a_side = connecting.as_secs_f64() / sides;
    println!(
        "{count} connections, one after the other: {:.2} ms each until the first answer",
        wall.as_secs_f64() * 2e3 / sides
    );
    println!(
        "CPU time: {:.2} ms a side; a cold start of {CLUSTER} nodes, all connected: {:.2} s a node",
        a_side * 1e3,
        a_side * (CLUSTER - 1.0)
    );
    println!("memory when idle: {:.0} kB a side", (resident_kb() - memory) / sides);
}
