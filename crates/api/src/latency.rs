//! Histograms of how long answers took, the same for every door. An answer is counted once, in a cell between two neighbouring
//! bounds of all buckets, classic and native; both kinds of buckets are sums of cells, so each is exact.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use prometheus_client::encoding::{MetricEncoder, NativeHistogram, NativeHistogramBuckets, NoLabelSet};

/// Upper bounds of the classic buckets, in microseconds; one more bucket takes the rest.
const CLASSIC_US: [u64; 18] = [
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 10_000_000,
];

/// Of Prometheus' native histograms: eight buckets per doubling, of which bucket `i` ends at 2^(i/8) seconds.
const SCHEMA: i32 = 3;
/// The zero bucket takes what is up to this, 2^-20 seconds.
const ZERO_S: f64 = 1.0 / (1 << 20) as f64;
/// The bucket after it.
const FIRST: i32 = -159;
/// How many there are, up to 2^6 seconds; the last takes what is above, too.
const NATIVE: usize = 26 * 8;
/// Their bounds from 2^6 seconds on, in nanoseconds rounded down; those below are halves of them.
const DOUBLING_NS: [u64; 8] = [
    64_000_000_000,
    69_792_494_890,
    76_109_255_360,
    82_997_731_497,
    90_509_667_991,
    98_701_492_826,
    107_634_741_152,
    117_376_517_530,
];

/// All bounds in order, in nanoseconds; one more cell takes the rest.
const BOUNDS_NS: [u64; CELLS - 1] = bounds_ns();
const CELLS: usize = CLASSIC_US.len() + NATIVE + 2;

const fn classic_ns(place: usize) -> u64 {
    CLASSIC_US[place] * 1000
}

/// The bound of the zero bucket at place 0, then those of the others.
const fn native_ns(place: usize) -> u64 {
    DOUBLING_NS[place % 8] >> (NATIVE / 8 - place / 8)
}

const fn bounds_ns() -> [u64; CELLS - 1] {
    let mut bounds = [0; CELLS - 1];
    let (mut classic, mut native) = (0, 0);
    while classic + native < bounds.len() {
        let is_classic =
            native > NATIVE || classic < CLASSIC_US.len() && classic_ns(classic) < native_ns(native);
        if is_classic {
            bounds[classic + native] = classic_ns(classic);
            classic += 1;
        } else {
            bounds[classic + native] = native_ns(native);
            native += 1;
        }
    }
    bounds
}

/// How often an answer took how long.
#[derive(Debug)]
pub(crate) struct Latency {
    cells: [AtomicU64; CELLS],
    sum_ns: AtomicU64,
}

impl Default for Latency {
    fn default() -> Latency {
        Latency { cells: std::array::from_fn(|_| AtomicU64::default()), sum_ns: AtomicU64::default() }
    }
}

impl Latency {
    /// So many answers took so long each.
    pub(crate) fn observe(&self, took: Duration, answers: u64) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.cells[BOUNDS_NS.partition_point(|bound_ns| *bound_ns < ns)].fetch_add(answers, Relaxed);
        self.sum_ns.fetch_add(ns.saturating_mul(answers), Relaxed);
    }

    /// Reports several as one.
    #[expect(clippy::cast_precision_loss, reason = "seconds for people: 52 bits of them are plenty")]
    pub(crate) fn encode<'a>(
        all: impl Iterator<Item = &'a Latency> + Clone,
        mut encoder: MetricEncoder<'_>,
    ) -> fmt::Result {
        let sum_ns: u64 = all.clone().map(|latency| latency.sum_ns.load(Relaxed)).sum();
        let times = Times::of(all);
        let bounds = CLASSIC_US.iter().map(|us| *us as f64 / 1e6).chain([f64::INFINITY]);
        let classic: Vec<(f64, u64)> =
            bounds.zip(times.up_to((0..CLASSIC_US.len()).map(classic_ns))).collect();
        let native = Native::of(times.up_to((0..NATIVE).map(native_ns)));
        let seconds = sum_ns as f64 / 1e9;
        encoder.encode_histogram_with_native::<NoLabelSet>(
            seconds,
            times.count(),
            &classic,
            None,
            native.shown(),
        )
    }
}

/// Native buckets as Prometheus wants them: runs of buckets with something in them, and counts as differences.
struct Native {
    zero: u64,
    /// How many buckets after the run before (the first: after bucket 0) a run begins, and how long it is.
    runs: Vec<(i32, u32)>,
    differences: Vec<i64>,
}

impl Native {
    /// The zero bucket is the first.
    fn of(mut buckets: impl Iterator<Item = u64>) -> Native {
        let mut native =
            Native { zero: buckets.next().unwrap_or(0), runs: Vec::new(), differences: Vec::new() };
        let (mut next, mut before) = (0, 0);
        for (bucket, count) in (FIRST..).zip(buckets).filter(|(_, count)| *count > 0) {
            match native.runs.last_mut() {
                Some((_, length)) if bucket == next => *length += 1,
                _ => native.runs.push((bucket - next, 1)),
            }
            native.differences.push(count.cast_signed() - before);
            (next, before) = (bucket + 1, count.cast_signed());
        }
        native
    }

    fn shown(&self) -> NativeHistogram<'_> {
        NativeHistogram {
            schema: SCHEMA,
            zero_threshold: ZERO_S,
            zero_count: self.zero,
            negative: NativeHistogramBuckets { spans: &[], deltas: &[] },
            positive: NativeHistogramBuckets { spans: &self.runs, deltas: &self.differences },
            created: None,
        }
    }
}

/// What several histograms counted up to a moment, or between two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Times([u64; CELLS]);

impl Times {
    pub(crate) fn of<'a>(all: impl Iterator<Item = &'a Latency>) -> Times {
        let mut cells = [0; CELLS];
        for latency in all {
            cells.iter_mut().zip(&latency.cells).for_each(|(sum, cell)| *sum += cell.load(Relaxed));
        }
        Times(cells)
    }

    /// Both together.
    pub(crate) fn and(mut self, other: &Times) -> Times {
        self.0.iter_mut().zip(other.0).for_each(|(cell, more)| *cell += more);
        self
    }

    /// What has been added since `past`.
    pub(crate) fn since(mut self, past: &Times) -> Times {
        self.0.iter_mut().zip(past.0).for_each(|(cell, before)| *cell = cell.saturating_sub(before));
        self
    }

    /// Answers.
    pub(crate) fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// What this share of answers took at most, to within 9 % above 10 µs; `None` without any. What took more than 64 s is told as 64 s.
    pub(crate) fn quantile(&self, share: f64) -> Option<Duration> {
        let count = self.count();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of them"
        )]
        let wanted = ((count as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let reached = self.0.iter().position(|cell| {
            seen += cell;
            seen >= wanted
        })?;
        Some(Duration::from_nanos(BOUNDS_NS[reached.min(BOUNDS_NS.len() - 1)]))
    }

    /// How many there are up to each of some of the bounds, and not up to the one before; at last, the rest.
    fn up_to(&self, bounds_ns: impl Iterator<Item = u64>) -> impl Iterator<Item = u64> {
        let mut from = 0;
        let ends = bounds_ns.map(|bound| BOUNDS_NS.partition_point(|each| *each <= bound)).chain([CELLS]);
        ends.map(move |end| self.0[std::mem::replace(&mut from, end)..end].iter().sum())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn times(all: &[u64]) -> Times {
        let latency = Latency::default();
        for ns in all {
            latency.observe(Duration::from_nanos(*ns), 1);
        }
        Times::of([&latency].into_iter())
    }

    #[test]
    fn bounds_ascend_and_native_ones_are_powers_of_two_to_the_eighth() {
        assert!(BOUNDS_NS.is_sorted());
        for (bucket, place) in (FIRST - 1..).zip(0..=NATIVE) {
            let exact = 2_f64.powf(f64::from(bucket) / 8.0);
            let bound = Duration::from_nanos(native_ns(place)).as_secs_f64();
            assert!((exact - bound).abs() < 1e-9 + 1e-12 * exact, "bucket {bucket}");
        }
    }

    #[test]
    fn native_buckets_are_runs_and_differences() {
        // Bucket 0 ends at 1 s, bucket 1 at 1.09 s, bucket 8 at 2 s; above 64 s is bucket 48.
        let second = 1_000_000_000;
        let all =
            times(&[1, 953, second, second, second + 1, 2 * second, 2 * second, 2 * second, 90 * second]);
        let native = Native::of(all.up_to((0..NATIVE).map(native_ns)));
        assert_eq!(native.zero, 2);
        assert_eq!(native.runs, [(0, 2), (6, 1), (39, 1)]);
        assert_eq!(native.differences, [2, -1, 2, -2]);
        assert_eq!(Native::of(times(&[]).up_to((0..NATIVE).map(native_ns))).runs, []);
        assert_eq!(Native::of(times(&[954]).up_to((0..NATIVE).map(native_ns))).runs, [(FIRST, 1)]);
    }

    #[test]
    fn quantiles_are_of_what_was_added() {
        let past = times(&[5_000_000_000; 3]);
        let now = past.clone().and(&times(&[10_000, 10_000, 1_000_000_000]));
        let added = now.since(&past);
        assert_eq!(added.count(), 3);
        assert_eq!(added.quantile(0.5), Some(Duration::from_micros(10)));
        assert_eq!(added.quantile(0.99), Some(Duration::from_secs(1)));
        assert_eq!(times(&[]).quantile(0.5), None);
        assert_eq!(times(&[u64::MAX]).quantile(0.5), Some(Duration::from_secs(64)));
    }

    proptest! {
        #[test]
        fn both_kinds_of_buckets_count_what_was_observed(all in prop::collection::vec(0..100_000_000_000_u64, 0..50)) {
            let counted = times(&all);
            let expected = |bounds: &[u64]| -> Vec<u64> {
                let up_to = |bound: u64| all.iter().filter(|ns| **ns <= bound).count() as u64;
                let mut cumulative: Vec<u64> = bounds.iter().map(|bound| up_to(*bound)).collect();
                cumulative.push(all.len() as u64);
                let before = std::iter::once(0).chain(cumulative.iter().copied());
                cumulative.iter().zip(before).map(|(now, before)| now - before).collect()
            };
            for bounds in [
                (0..CLASSIC_US.len()).map(classic_ns).collect::<Vec<_>>(),
                (0..NATIVE).map(native_ns).collect::<Vec<_>>(),
            ] {
                prop_assert_eq!(counted.up_to(bounds.iter().copied()).collect::<Vec<_>>(), expected(&bounds));
            }
        }
    }
}
