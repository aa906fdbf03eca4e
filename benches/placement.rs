//! Key to slot, key to owner: the table beside what one would compute without it.

use std::hash::BuildHasherDefault;
use std::hint::black_box;
use std::time::Duration;

use boato_placement::{Candidate, Rendezvous, Ring, Scores, Strategy, Table, slot};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main};
use fastrand::Rng;
use hashring::HashRing;
use rapidhash::quality::RapidHasher;
use rapidhash::v3::rapidhash_v3;

/// Keys a benchmark goes round in: enough that no branch predictor learns them, few enough for the L1 cache.
const KEYS: usize = 256;

fn nodes(count: u16) -> Vec<Candidate> {
    let mut rng = Rng::with_seed(7);
    (0..count).map(|_| Candidate { id: rng.u128(..), weight: 1 }).collect()
}

/// Random keys of one length, in braces from place to place if there is a tag.
fn keys(length: usize, tag: Option<(usize, usize)>) -> Vec<Vec<u8>> {
    let mut rng = Rng::with_seed(11);
    let mut key = || {
        let mut key: Vec<u8> = (0..length).map(|_| rng.lowercase() as u8).collect();
        if let Some((open, close)) = tag {
            (key[open], key[close]) = (b'{', b'}');
        }
        key
    };
    (0..KEYS).map(|_| key()).collect()
}

/// Measures a function of one key, over all keys in turn.
fn per_key<T>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    id: BenchmarkId,
    keys: &[Vec<u8>],
    of: impl Fn(&[u8]) -> T,
) {
    let mut turn = keys.iter().cycle();
    group.bench_function(id, |bencher| {
        bencher.iter(|| of(black_box(turn.next().expect("invariant: a cycle has no end"))));
    });
}

fn slots(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("slot");
    for length in [10, 20, 40] {
        per_key(&mut group, BenchmarkId::new("plain", length), &keys(length, None), slot);
    }
    for (length, tag) in [(20, (5, 15)), (40, (0, 17))] {
        per_key(&mut group, BenchmarkId::new("tagged", length), &keys(length, Some(tag)), slot);
    }
    group.finish();
}

fn owners(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("owner");
    let keys = keys(20, None);
    for count in [3, 10, 100, 1000] {
        let nodes = nodes(count);
        let table = Table::build(&Rendezvous::default(), nodes.iter().copied());
        per_key(&mut group, BenchmarkId::new("table", count), &keys, |key| table.owner(slot(key)));
        let scores = Scores::new(&nodes);
        per_key(&mut group, BenchmarkId::new("rendezvous", count), &keys, |key| {
            scores.best(rapidhash_v3(key))
        });
        let ring = ring(&nodes);
        per_key(&mut group, BenchmarkId::new("hashring", count), &keys, |key| ring.get(&key).copied());
    }
    group.finish();
}

/// A ring for keys, with as many points a node as the strategy of that name has.
fn ring(nodes: &[Candidate]) -> HashRing<(u128, u16), BuildHasherDefault<RapidHasher<'static>>> {
    let mut ring = HashRing::with_hasher(BuildHasherDefault::default());
    let points = |node: &Candidate| (0..Ring::POINTS).map(|point| (node.id, point)).collect::<Vec<_>>();
    ring.batch_add(nodes.iter().flat_map(points).collect());
    ring
}

fn builds(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("build");
    let strategies: [(_, &dyn Strategy); 2] =
        [("rendezvous", &Rendezvous::default()), ("ring", &Ring::default())];
    for count in [10, 100, 1000] {
        let nodes = nodes(count);
        for (name, strategy) in strategies {
            group.bench_function(BenchmarkId::new(name, count), |bencher| {
                bencher.iter(|| Table::build(strategy, black_box(&nodes).iter().copied()));
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = placement;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = slots, owners, builds
}
criterion_main!(placement);
