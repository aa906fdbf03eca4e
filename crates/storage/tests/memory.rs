//! The memory figures against an allocator that counts. Its counters are those of the process, so there is no thread but the main
//! one: a harness would allocate meanwhile.

use std::alloc::System;

use boato_storage::{Clock, Condition, Config, EntryRef, PutError, Store, Value, Version, Writer};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes requested and not given back.
fn in_use() -> u64 {
    let stats = ALLOCATOR.stats();
    (stats.bytes_allocated - stats.bytes_deallocated) as u64
}

#[derive(Clone, Debug)]
enum Op {
    Put { key: u16, len: usize, expires_at_ms: Option<u64> },
    Delete { key: u16 },
    Merge { key: u16, len: usize, node: u128 },
    Sweep { now_ms: u64 },
    Clear,
}

fn op() -> impl Strategy<Value = Op> {
    let len = || prop_oneof![4 => 0usize..100, 1 => 100usize..2000];
    prop_oneof![
        20 => (0u16..300, len(), prop::option::of(2000u64..3000))
            .prop_map(|(key, len, expires_at_ms)| Op::Put { key, len, expires_at_ms }),
        4 => (0u16..300).prop_map(|key| Op::Delete { key }),
        4 => (0u16..300, len(), 0u128..300).prop_map(|(key, len, node)| Op::Merge { key, len, node }),
        1 => (2000u64..3000).prop_map(|now_ms| Op::Sweep { now_ms }),
        1 => prop_oneof![20 => Just(Op::Sweep { now_ms: 4000 }), 1 => Just(Op::Clear)],
    ]
}

const ZEROS: [u8; 2000] = [0; 2000];

/// Applies an operation to the slot that the key is in; says whether a put was refused for want of memory.
fn apply(store: &Store, clock: &Clock, op: &Op) -> bool {
    let writer = Writer { clock, node: 1, now_ms: 1000 };
    let slot = |key: u16| store.lock(usize::from(key) % store.slots());
    match *op {
        Op::Put { key, len, expires_at_ms } => {
            let value = Value { bytes: &ZEROS[..len], content_type: b"a/b", expires_at_ms };
            let put = slot(key).put(&key.to_be_bytes(), value, &Condition::Always, &writer);
            return matches!(put, Err(PutError::Full { .. }));
        }
        Op::Delete { key } => {
            slot(key).delete(&key.to_be_bytes(), &Condition::Always, &writer, 2500);
        }
        Op::Merge { key, len, node } => {
            slot(key).merge(EntryRef {
                key: &key.to_be_bytes(),
                value: &ZEROS[..len],
                content_type: b"",
                version: Version { hlc: clock.tick(1000, 0), node },
                expires_at_ms: None,
                tombstone: false,
            });
        }
        Op::Sweep { now_ms } => {
            for slot in 0..store.slots() {
                store.lock(slot).sweep(now_ms);
            }
        }
        Op::Clear => (0..store.slots()).for_each(|slot| store.lock(slot).clear()),
    }
    false
}

fn main() {
    let mut runner = TestRunner::default();
    runner.run(&vec(op(), 1..1500), |ops| exact(&ops)).expect("exact figures");
    runner.run(&(vec(op(), 1..800), 0u64..60_000), |(ops, max)| limited(&ops, max)).expect("the limit");
}

/// The figures are what the allocator was asked for, at every moment.
fn exact(ops: &[Op]) -> Result<(), TestCaseError> {
    let store = Store::new(Config { slots: 3, hash_seed: 5, max_memory: None }, |_| ());
    let clock = Clock::new();
    let before = in_use();
    for op in ops {
        apply(&store, &clock, op);
        let used = in_use() - before;
        prop_assert_eq!(used, store.memory().bytes, "after {:?}", op);
        let slots: usize = (0..3).map(|slot| store.lock(slot).bytes()).sum();
        prop_assert_eq!(used, slots as u64);
    }
    Ok(())
}

/// Only merges and tombstones grow a store beyond its limit, and what shrinks an entry is never refused.
fn limited(ops: &[Op], max_memory: u64) -> Result<(), TestCaseError> {
    let store = Store::new(Config { slots: 3, hash_seed: 5, max_memory: Some(max_memory) }, |_| ());
    let clock = Clock::new();
    for op in ops {
        let before = store.memory();
        let stored = if let Op::Put { key, .. } = op {
            let slot = store.lock(usize::from(*key) % 3);
            slot.peek(&key.to_be_bytes()).map(|entry| entry.value.len())
        } else {
            None
        };
        let full = apply(&store, &clock, op);
        let after = store.memory();
        if let Op::Put { len, .. } = *op {
            prop_assert!(after.bytes <= max_memory.max(before.bytes), "{:?} grew {:?}", op, before);
            prop_assert!(!full || after == before, "a refused put changes nothing");
            // Some room is kept for the table, which is to be neither below nor far above what is needed.
            prop_assert!(!full || before.bytes + len as u64 + 600 > max_memory, "{:?} in {:?}", op, before);
            // 24 bytes: a content type, a deadline and a node id that the old one may lack.
            let smaller = stored.is_some_and(|old| len + 24 <= old);
            prop_assert!(!(full && smaller), "{:?} over {:?}", op, stored);
        }
    }
    Ok(())
}
