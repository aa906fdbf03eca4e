//! What operations on keys of another node cost between the two: one frame there and one back, in a few packets.
#![expect(clippy::disallowed_methods, reason = "a wait for two nodes of this process has a deadline")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use boato_cluster::quic::Cluster;
use boato_cluster::{Action, Config, Effect, Liveness, Operation, Outcome, PROTOCOL, Pid, Slice, Standing};
use boato_transport::{NodeKey, Transport};
use tokio_util::sync::CancellationToken;

/// As many as a client's pipeline.
const TOGETHER: usize = 64;
/// Acknowledgements and signs of life included; each operation alone would take two at least.
const PACKETS_MAX: u64 = 24;

struct Node {
    cluster: Cluster,
    transport: Transport,
    pid: Pid,
    addr: SocketAddr,
}

impl Node {
    fn start(seed: u8, weight: u16, stop: &CancellationToken) -> Self {
        let bind = SocketAddr::from(([127, 0, 0, 1], 0));
        let key = NodeKey::from_seed(&[seed; 32]);
        let pid = Pid { node: key.node(), boot: 1 };
        let transport = Transport::bind(boato_transport::Config::new("forwarding", key, bind, PROTOCOL))
            .expect("a port of loopback is free");
        let addr = transport.local_addr();
        let config = Config { weight, ..Config::new(pid, 7) };
        let cluster = Cluster::spawn(config, transport.clone(), Duration::from_secs(20), stop.clone());
        transport.serve(Arc::new(cluster.downgrade()));
        Self { cluster, transport, pid, addr }
    }

    /// Frames and packets sent so far.
    fn sent(&self) -> (u64, u64) {
        let packets = self.transport.paths().iter().map(|path| path.sent).sum();
        (self.transport.stats().frames_sent, packets)
    }
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_pipeline_of_foreign_keys_is_a_frame_and_few_packets() {
    let stop = CancellationToken::new();
    let (holder, asker) = (Node::start(1, 1, &stop), Node::start(2, 0, &stop));
    holder.cluster.eligible(Duration::from_millis(10));
    until("the first node begins a cluster", || holder.cluster.standing() == Standing::Claimed).await;
    holder.cluster.member(asker.pid, asker.addr, Liveness::Alive, 0);
    asker.cluster.member(holder.pid, holder.addr, Liveness::Alive, 1);
    until("the second node belongs to it", || asker.cluster.standing() == Standing::Claimed).await;

    let keys: Vec<String> = (0..TOGETHER).map(|number| format!("key:{number:016}")).collect();
    let value = |key: &str| key.repeat(3).into_bytes();
    let values: Vec<Vec<u8>> = keys.iter().map(|key| value(key)).collect();
    let put = |(key, value): (&String, &Vec<u8>)| Operation::on(key.clone(), Action::put(value.clone()));
    let writes: Vec<Operation> = keys.iter().zip(&values).map(put).collect();
    let writes: Vec<_> = writes.iter().map(Operation::as_slices).collect();
    for answer in asker.cluster.execute_all(&writes).await {
        assert!(matches!(answer, Ok((Effect::Key(Outcome::Created(_)), pid)) if pid == holder.pid));
    }
    let reads: Vec<Operation<Slice<'_>>> = keys.iter().map(|key| Operation::get(key.as_bytes())).collect();
    // Of several times the best: the nodes have more to say to each other now and then.
    let mut least = [(u64::MAX, u64::MAX); 2];
    for _ in 0..10 {
        let before = [&asker, &holder].map(Node::sent);
        let answers = asker.cluster.execute_all(&reads).await;
        let after = [&asker, &holder].map(Node::sent);
        for (answer, expected) in answers.into_iter().zip(&values) {
            let Ok((Effect::Key(Outcome::Value { value, .. }), _)) = answer else { panic!("{answer:?}") };
            assert_eq!(value, expected);
        }
        for (least, (before, after)) in least.iter_mut().zip(before.into_iter().zip(after)) {
            *least = (*least).min((after.0 - before.0, after.1 - before.1));
        }
    }
    for (frames, packets) in least {
        assert!(frames == 1 && packets <= PACKETS_MAX, "{frames} frames in {packets} packets");
    }
    stop.cancel();
}
