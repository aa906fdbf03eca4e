//! A read and a write through the trait between front doors and node, on a node that holds the key; the same read by the program
//! that carries the node, and a map behind a lock to compare with.

use std::collections::HashMap;
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use boato_api::{Action, Backend, Command, Execution, Readiness};
use criterion::{Criterion, criterion_group, criterion_main};
use node::{Config, Node, Settings};
use parking_lot::Mutex;
use tokio::runtime::Runtime;

const KEYS: usize = 100_000;

/// One node alone, which holds every slot.
fn start(runtime: &Runtime) -> Node {
    let address = |text: &str| Some(text.parse().expect("an address"));
    let settings = Settings {
        cluster: Some(format!("bench-{}", std::process::id())),
        quic: address("127.0.0.1:0"),
        http: address("127.0.0.1:0"),
        ..Settings::default()
    };
    let config = Config::new(&settings).expect("these settings are complete");
    let node = runtime.block_on(Node::start(config)).expect("loopback can be bound");
    let deadline = Instant::now() + Duration::from_secs(10);
    while node.backend().readiness() != Readiness::Ready {
        assert!(Instant::now() < deadline, "a node alone is ready within seconds");
        std::thread::sleep(Duration::from_millis(20));
    }
    node
}

fn put(backend: &dyn Backend, key: &[u8]) {
    let command = Command { key, action: Action::put(&[b'v'; 64]) };
    assert!(matches!(backend.execute(&command), Execution::Ready(Ok(_))), "the key is held here");
}

fn local(c: &mut Criterion) {
    let runtime = Runtime::new().expect("threads can be started");
    let node = start(&runtime);
    let backend: Arc<dyn Backend> = node.backend();
    let keys: Vec<String> = (0..KEYS).map(|index| format!("key:{index:016}")).collect();
    for key in &keys {
        put(&*backend, key.as_bytes());
    }
    let mut random = fastrand::Rng::with_seed(7);
    let mut pick = || keys[random.usize(..KEYS)].as_bytes();
    let mut group = c.benchmark_group("backend, held here, 100 k keys");
    group.bench_function("get", |b| {
        b.iter(|| match backend.execute(&Command { key: pick(), action: Action::Get }) {
            Execution::Ready(reply) => black_box(reply),
            Execution::Pending(_) => unreachable!("the key is held here"),
        });
    });
    let mut out = Vec::with_capacity(64);
    group.bench_function("read", |b| {
        b.iter(|| {
            out.clear();
            backend.read(pick(), backend.now_ms(), &mut |entry| {
                out.extend_from_slice(entry.map_or(b"", |entry| entry.value));
            })
        });
    });
    let embedded = node.keys();
    let mut context = Context::from_waker(Waker::noop());
    group.bench_function("Keys::get", |b| {
        b.iter(|| match pin!(embedded.get(pick())).poll(&mut context) {
            Poll::Ready(value) => black_box(value),
            Poll::Pending => unreachable!("the key is held here"),
        });
    });
    let map = keys.iter().map(|key| (key.clone().into_bytes(), vec![b'v'; 64])).collect();
    let map: Mutex<HashMap<Vec<u8>, Vec<u8>>> = Mutex::new(map);
    group.bench_function("a HashMap in a Mutex", |b| b.iter(|| black_box(map.lock().get(pick()).cloned())));
    group.bench_function("put", |b| b.iter(|| put(&*backend, pick())));
    group.finish();
    runtime.block_on(node.leave());
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = local
}
criterion_main!(benches);
