//! Histograms of how long answers took, the same for every door.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use prometheus_client::encoding::{MetricEncoder, NoLabelSet};

/// Upper bounds of the buckets, in microseconds; one more bucket takes the rest.
const BOUNDS_US: [u64; 18] = [
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 10_000_000,
];

/// How often an answer took how long.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_ns: AtomicU64,
}

impl Latency {
    /// So many answers took so long each.
    pub(crate) fn observe(&self, took: Duration, answers: u64) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound_us| bound_us * 1000 < ns);
        self.buckets[bucket].fetch_add(answers, Relaxed);
        self.sum_ns.fetch_add(ns.saturating_mul(answers), Relaxed);
    }

    /// Reports several as one.
    #[expect(clippy::cast_precision_loss, reason = "seconds for people: 52 bits of them are plenty")]
    pub(crate) fn encode<'a>(
        all: &(impl Iterator<Item = &'a Latency> + Clone),
        mut encoder: MetricEncoder<'_>,
    ) -> fmt::Result {
        let bounds = BOUNDS_US.iter().map(|us| *us as f64 / 1e6).chain([f64::INFINITY]);
        let sum = |count: &dyn Fn(&Latency) -> u64| all.clone().map(count).sum::<u64>();
        let buckets: Vec<(f64, u64)> = bounds
            .enumerate()
            .map(|(place, bound)| (bound, sum(&|latency| latency.buckets[place].load(Relaxed))))
            .collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let seconds = sum(&|latency| latency.sum_ns.load(Relaxed)) as f64 / 1e9;
        encoder.encode_histogram::<NoLabelSet>(seconds, count, &buckets, None)
    }
}
