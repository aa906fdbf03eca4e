//! Get and put of one million entries, by one and two threads: the store beside hash tables that others use.

use std::hash::BuildHasherDefault;
use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use boato_placement::{SLOTS, slot};
use boato_storage::{Clock, Condition, Config, FETCH_MAX, Store, Value, Writer};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dashmap::DashMap;
use fastrand::Rng;
use hashbrown::HashTable;
use moka::sync::Cache;
use parking_lot::RwLock;
use rapidhash::quality::RapidHasher;
use rapidhash::v3::rapidhash_v3;

/// The one of the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEYS: usize = 1_000_000;
const NOW_MS: u64 = 1_800_000_000_000;

type Key = [u8; 20];

/// What is measured: copying a value out, replacing a value.
trait Map: Sync {
    fn get(&self, key: &Key, out: &mut Vec<u8>);
    fn put(&self, key: &Key, value: &[u8; 64]);
}

/// The store as a node uses it: a key finds its slot by CRC16, a write has a version.
struct Slotted {
    store: Store,
    clock: Clock,
}

impl Slotted {
    fn new() -> Self {
        let config = Config { slots: SLOTS, hash_seed: 1, max_memory: None };
        Self { store: Store::new(config, |_| ()), clock: Clock::new() }
    }
}

impl Map for Slotted {
    fn get(&self, key: &Key, out: &mut Vec<u8>) {
        let slot = self.store.lock(slot(key).into());
        let value = slot.value(key, NOW_MS).expect("every key was stored");
        out.clear();
        out.extend_from_slice(value.bytes);
    }

    fn put(&self, key: &Key, value: &[u8; 64]) {
        let writer = Writer { clock: &self.clock, node: 1, now_ms: NOW_MS };
        let value = Value { bytes: value, ..Value::default() };
        let mut slot = self.store.lock(slot(key).into());
        slot.put(key, value, &Condition::Always, &writer).expect("there is no limit");
    }
}

/// The usual way: a power of two of hash tables of boxes, each behind a read-write lock; no versions.
struct Sharded {
    shards: Vec<Shard>,
}

type Shard = RwLock<HashTable<(Box<[u8]>, Box<[u8]>)>>;

impl Sharded {
    fn new() -> Self {
        Self { shards: (0..64).map(|_| RwLock::default()).collect() }
    }

    /// The shard of a hash: bits that the table itself does not use.
    fn shard(&self, hash: u64) -> &Shard {
        &self.shards[(hash >> 32) as usize % self.shards.len()]
    }
}

impl Map for Sharded {
    fn get(&self, key: &Key, out: &mut Vec<u8>) {
        let hash = rapidhash_v3(key);
        let shard = self.shard(hash).read();
        let (_, value) = shard.find(hash, |(stored, _)| **stored == *key).expect("every key was stored");
        out.clear();
        out.extend_from_slice(value);
    }

    fn put(&self, key: &Key, value: &[u8; 64]) {
        let hash = rapidhash_v3(key);
        let mut shard = self.shard(hash).write();
        let entry = shard.entry(hash, |(stored, _)| **stored == *key, |(stored, _)| rapidhash_v3(stored));
        entry
            .and_modify(|(_, stored)| *stored = Box::new(*value))
            .or_insert_with(|| (Box::new(*key), Box::new(*value)));
    }
}

type Hasher = BuildHasherDefault<RapidHasher<'static>>;

impl Map for DashMap<Box<[u8]>, Box<[u8]>, Hasher> {
    fn get(&self, key: &Key, out: &mut Vec<u8>) {
        let value = DashMap::get(self, &key[..]).expect("every key was stored");
        out.clear();
        out.extend_from_slice(&value);
    }

    fn put(&self, key: &Key, value: &[u8; 64]) {
        self.insert(Box::new(*key), Box::new(*value));
    }
}

impl Map for papaya::HashMap<Box<[u8]>, Box<[u8]>, Hasher> {
    fn get(&self, key: &Key, out: &mut Vec<u8>) {
        let pinned = self.pin();
        let value = pinned.get(&key[..]).expect("every key was stored");
        out.clear();
        out.extend_from_slice(value);
    }

    fn put(&self, key: &Key, value: &[u8; 64]) {
        self.pin().insert(Box::new(*key), Box::new(*value));
    }
}

/// A cache that would evict, had it not room for all.
impl Map for Cache<Box<[u8]>, Arc<[u8]>, Hasher> {
    fn get(&self, key: &Key, out: &mut Vec<u8>) {
        let value = Cache::get(self, &key[..]).expect("every key was stored");
        out.clear();
        out.extend_from_slice(&value);
    }

    fn put(&self, key: &Key, value: &[u8; 64]) {
        self.insert(Box::new(*key), Arc::new(*value));
    }
}

/// Distinct keys as an application has them.
fn keys() -> Vec<Key> {
    let key = |number| format!("session:{number:012}").into_bytes().try_into().expect("8 and 12 bytes");
    (0..KEYS).map(key).collect()
}

/// The keys in an order that has nothing to do with where their entries are in memory. Going through this
/// list costs next to nothing, as the processor reads it ahead.
fn shuffled(mut keys: Vec<Key>) -> Vec<Key> {
    Rng::with_seed(5).shuffle(&mut keys);
    keys
}

/// The time that `threads` take for `work`, which gets the number of its thread.
fn together(threads: usize, work: impl Fn(usize) + Sync) -> Duration {
    let ready = Barrier::new(threads + 1);
    let start = thread::scope(|scope| {
        for thread in 0..threads {
            let (ready, work) = (&ready, &work);
            scope.spawn(move || {
                ready.wait();
                work(thread);
            });
        }
        ready.wait();
        Instant::now()
    });
    start.elapsed()
}

/// Measures an operation on keys in turn; every thread starts elsewhere, every sample where the last ended.
fn by_threads(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    keys: &[Key],
    operation: impl Fn(&Key, &mut Vec<u8>) + Sync,
) {
    for threads in [1, 2] {
        let mut done = 0;
        group.throughput(Throughput::Elements(threads as u64));
        group.bench_function(BenchmarkId::new(name, threads), |bencher| {
            bencher.iter_custom(|iterations| {
                let iterations = usize::try_from(iterations).expect("fewer than memory has bytes");
                let first = done;
                done += iterations;
                together(threads, |thread| {
                    let from = (first + thread * KEYS / threads) % KEYS;
                    let mut out = Vec::with_capacity(64);
                    for key in keys.iter().cycle().skip(from).take(iterations) {
                        operation(black_box(key), &mut out);
                    }
                })
            });
        });
    }
}

/// Reads by one thread of keys in turn that are fetched together before, as those of a pipeline are.
fn together_fetched(criterion: &mut Criterion, keys: &[Key], map: &Slotted) {
    let mut out = Vec::with_capacity(64);
    let mut parts = keys.as_chunks::<FETCH_MAX>().0.iter().cycle();
    let mut group = criterion.benchmark_group("store");
    group.throughput(Throughput::Elements(FETCH_MAX as u64));
    group.bench_function("get, fetched together", |bencher| {
        bencher.iter(|| {
            let part = parts.next().expect("there are keys");
            map.store.fetch(&part.each_ref().map(|key| (usize::from(slot(key)), &key[..])), |()| ());
            for key in part {
                map.get(black_box(key), &mut out);
            }
        });
    });
    group.finish();
}

fn measure(criterion: &mut Criterion, name: &str, keys: &[Key], map: &impl Map) {
    for key in &self::keys() {
        map.put(key, &[b'v'; 64]);
    }
    let mut group = criterion.benchmark_group(name);
    by_threads(&mut group, "get", keys, |key, out| map.get(key, out));
    by_threads(&mut group, "put", keys, |key, _| map.put(key, &[b'w'; 64]));
    group.finish();
}

fn maps(criterion: &mut Criterion) {
    let keys = shuffled(keys());
    let slotted = Slotted::new();
    measure(criterion, "store", &keys, &slotted);
    together_fetched(criterion, &keys, &slotted);
    drop(slotted);
    measure(criterion, "rwlock x 64", &keys, &Sharded::new());
    measure(criterion, "dashmap", &keys, &DashMap::with_hasher(Hasher::default()));
    measure(criterion, "papaya", &keys, &papaya::HashMap::with_hasher(Hasher::default()));
    let cache = Cache::builder().max_capacity(2 * KEYS as u64).build_with_hasher(Hasher::default());
    measure(criterion, "moka", &keys, &cache);
}

criterion_group! {
    name = storage;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3));
    targets = maps
}
criterion_main!(storage);
