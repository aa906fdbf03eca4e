//! Frames between nodes: an operation there and its answer back, a chunk of a hand-off, the four frames of empty slots.

use std::hint::black_box;

use boato_cluster::{
    Action, Answer, Effect, Epoch, Frame, Greeting, Item, Message, Operation, Outcome, Pid, Request,
    Response, Run, Standing,
};
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const PID: Pid = Pid { node: 7, boot: 1 };
const EPOCH: Epoch = Epoch { counter: 3, pid: PID };

fn frame(runs: Vec<Run>) -> Frame {
    Frame { from: PID, to: PID, standing: Standing::Claimed, greeting: Greeting::None, digest: None, runs }
}

/// 64 KiB of entries of 20 + 64 bytes.
fn chunk() -> Frame {
    let item = |index: u32| Item {
        key: Bytes::from(format!("key:{index:016}")),
        value: Bytes::from(vec![b'v'; 64]),
        content_type: Bytes::new(),
        version: (index.into(), 7),
        expires_at_ms: None,
        tombstone: false,
    };
    let items = (0..443).map(item).collect();
    frame(vec![Run { start: 1, len: 1, message: Message::Chunk { xfer: 1, seq: 0, items } }])
}

/// A commit for every second range of slots: what a joiner of a cluster of two is sent.
fn commits() -> Frame {
    let commit = || Message::Commit { xfer: 1, epoch: EPOCH, chunks: 0, hlc: 1 };
    frame((0..1024).map(|range| Run { start: range * 16, len: 8, message: commit() }).collect())
}

fn operations(c: &mut Criterion) {
    let key = Bytes::from_static(b"key:0000000000000001");
    let put = Operation::<Bytes>::on(key, Action::put(vec![b'v'; 64]));
    let request = Request::Operate { to: PID, used: Some(EPOCH), wait_ms: 5000, operation: put };
    let outcome = Outcome::Value {
        value: Bytes::from(vec![b'v'; 64]),
        content_type: Bytes::new(),
        version: (1, 7),
        ttl_ms: None,
    };
    let response = Response::Operate(Answer::Done { effect: Effect::Key(outcome), epoch: EPOCH });
    let (request_bytes, response_bytes) = (request.encode(), response.encode());
    let mut group = c.benchmark_group("operation");
    group.bench_function("encode request", |b| b.iter(|| black_box(&request).encode()));
    group.bench_function("decode request", |b| b.iter(|| Request::view(black_box(&request_bytes))));
    group.bench_function("encode answer", |b| b.iter(|| black_box(&response).encode()));
    group.bench_function("decode answer", |b| b.iter(|| Response::decode(black_box(&response_bytes))));
}

fn hand_off(c: &mut Criterion) {
    for (name, frame) in [("chunk of 64 KiB", chunk()), ("1024 commits", commits())] {
        let bytes = frame.encode();
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function("encode", |b| b.iter(|| black_box(&frame).encode()));
        group.bench_function("decode", |b| b.iter(|| Frame::decode(black_box(&bytes))));
    }
}

criterion_group!(benches, operations, hand_off);
criterion_main!(benches);
