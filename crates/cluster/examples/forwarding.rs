//! Measures what happens between nodes of this process on loopback: reads and writes of 64 bytes that the asked node does not hold,
//! so many together, beside the same on the node that holds them; and the hand-off of all slots to another node.
//!
//! CPU time is that of the whole process, both nodes together. The operations of a go are answered before the next go
//! begins, as with a client that pipelines.
//!
//! `cargo run --release -p boato-cluster --features quic --example forwarding [SECONDS] [TOGETHER]`

#![expect(clippy::disallowed_methods, reason = "time is what is measured")]

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use boato_cluster::quic::Cluster;
use boato_cluster::{Action, Config, Liveness, Operation, PROTOCOL, Pid};
use boato_transport::{NodeKey, Transport};
use tokio_util::sync::CancellationToken;

/// The one of the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEYS: usize = 100_000;
/// What is handed off: so many entries of 1 KiB, and their size.
const LARGE: usize = 512 << 10;
const LARGE_BYTES: usize = 1 << 10;
const MIB: f64 = (1 << 20) as f64;
const PATIENCE: Duration = Duration::from_secs(5);

fn start(seed: u8, weight: u16, stop: &CancellationToken) -> (Cluster, Pid, SocketAddr) {
    let bind = SocketAddr::from(([127, 0, 0, 1], 0));
    let key = NodeKey::from_seed(&[seed; 32]);
    let pid = Pid { node: key.node(), boot: 1 };
    let config = boato_transport::Config::new("bench", key, bind, PROTOCOL);
    let transport = Transport::bind(config).expect("loopback can be bound");
    let addr = transport.local_addr();
    let config = Config { weight, ..Config::new(pid, 7) };
    let cluster = Cluster::spawn(config, transport.clone(), PATIENCE, stop.clone());
    transport.serve(Arc::new(cluster.downgrade()));
    (cluster, pid, addr)
}

/// CPU time of this process so far.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    // User and system time are fields 14 and 15 of proc(5), in ticks of 10 ms.
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

async fn measure(
    name: &str,
    asker: &Cluster,
    together: usize,
    seconds: f64,
    operation: impl Fn(usize) -> Operation,
) {
    let mut random = fastrand::Rng::with_seed(5);
    let (start, before, mut done) = (Instant::now(), cpu(), 0.0);
    while start.elapsed().as_secs_f64() < seconds {
        let mut operations: Vec<Operation> = (0..together).map(|_| operation(random.usize(..KEYS))).collect();
        if together == 1 {
            let operation = operations.pop().expect("there is one");
            asker.execute(operation).await.expect("the holder answers");
        } else {
            let operations: Vec<_> = operations.iter().map(Operation::as_slices).collect();
            for result in asker.execute_all(&operations).await {
                result.expect("the holder answers");
            }
        }
        (0..together).for_each(|_| done += 1.0);
    }
    let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu().saturating_sub(before).as_secs_f64());
    println!(
        "{name:<8} {together:>4} together: {:>8.0}/s, {:>6.2} us each, {:>6.2} CPU-us each on both nodes",
        done / wall,
        wall * 1e6 / done,
        cpu * 1e6 / done
    );
}

async fn run() {
    let argument = |place| std::env::args().nth(place);
    let seconds = argument(1).and_then(|text| text.parse().ok()).unwrap_or(2.0);
    let only: Option<usize> = argument(2).and_then(|text| text.parse().ok());
    let stop = CancellationToken::new();
    let ((holder, holder_pid, holder_addr), (asker, asker_pid, asker_addr)) =
        (start(1, 1, &stop), start(2, 0, &stop));
    holder.eligible(Duration::from_millis(10));
    tokio::time::sleep(Duration::from_millis(200)).await;
    holder.member(asker_pid, asker_addr, Liveness::Alive, 0);
    asker.member(holder_pid, holder_addr, Liveness::Alive, 1);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let key = |number: usize| format!("key:{number:016}");
    let put = |number| Operation::on(key(number), Action::put(vec![b'v'; 64]));
    fill(&asker, KEYS, put).await;
    for together in only.map_or(vec![1, 16, 64, 256], |only| vec![only]) {
        measure("get", &asker, together, seconds, |number| Operation::get(key(number))).await;
        measure("put", &asker, together, seconds, put).await;
        measure("get here", &holder, together, seconds, |number| Operation::get(key(number))).await;
        measure("put here", &holder, together, seconds, put).await;
    }
    fill(&holder, LARGE, |number| Operation::on(key(number), Action::put(vec![b'v'; LARGE_BYTES]))).await;
    write_new_memory();
    let heir = start(3, 1, &stop);
    let nodes = [&(holder, holder_pid, holder_addr, 1), &(asker, asker_pid, asker_addr, 0)];
    hand_off(nodes, &heir).await;
    stop.cancel();
}

async fn fill(through: &Cluster, keys: usize, put: impl Fn(usize) -> Operation) {
    for first in (0..keys).step_by(1000) {
        let operations: Vec<_> = (first..keys.min(first + 1000)).map(&put).collect();
        let operations: Vec<_> = operations.iter().map(Operation::as_slices).collect();
        for result in through.execute_all(&operations).await {
            result.expect("the holder answers");
        }
    }
}

/// Has the first node leave, which hands everything to one that has just come. All know each other: whom a node has only heard of it
/// waits for.
async fn hand_off(nodes: [&(Cluster, Pid, SocketAddr, u16); 2], heir: &(Cluster, Pid, SocketAddr)) {
    let (start, before) = (Instant::now(), cpu());
    for (node, pid, addr, weight) in nodes {
        node.member(heir.1, heir.2, Liveness::Alive, 1);
        heir.0.member(*pid, *addr, Liveness::Alive, *weight);
    }
    let holder = &nodes[0].0;
    let left = holder.leave().await;
    assert_eq!(left, 0, "everything finds a holder");
    let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu().saturating_sub(before).as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "less than 2^52 bytes")]
    let mib = holder.stats().bytes_given as f64 / MIB;
    println!(
        "hand-off of {mib:.0} MiB: {:.0} MiB/s, {:.2} CPU-ms per MiB on both nodes",
        mib / wall,
        cpu * 1e3 / mib
    );
}

/// What as much memory costs that nobody has used before, as the receiver's is.
fn write_new_memory() {
    let before = cpu();
    black_box(vec![1_u8; LARGE * LARGE_BYTES]);
    let (cpu, mib) = (cpu().saturating_sub(before).as_secs_f64(), (LARGE_BYTES * LARGE) >> 20);
    #[expect(clippy::cast_precision_loss, reason = "hundreds")]
    let each = cpu * 1e3 / mib as f64;
    println!("new memory alone: {each:.2} CPU-ms per MiB");
}

#[tokio::main]
async fn main() {
    // On a worker of the runtime, where front doors run, and not on the thread that waits for it.
    tokio::spawn(run()).await.expect("the measurement ends");
}
