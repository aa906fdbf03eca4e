//! What clients counted.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::nodes::Answer;

/// Answers that make no sense, kept for the report at most.
const STRANGE_MAX: usize = 10;

/// Calls, errors and times.
pub(super) struct Tally {
    /// Answers of 503: certainly not applied.
    pub(super) unavailable: u64,
    /// Answers of 504: perhaps applied.
    pub(super) unknown: u64,
    /// Connections refused.
    pub(super) unreachable: u64,
    /// Connections lost, and answers that did not come in time.
    pub(super) broken: u64,
    /// Calls given up without having been applied.
    pub(super) given_up: u64,
    /// Times of calls in microseconds, tries and rests between them included.
    times_us: Histogram<u64>,
    /// The longest of them, and when it was over.
    slowest: (Duration, Duration),
    strange: Vec<String>,
}

impl Tally {
    pub(super) fn new() -> Self {
        let times_us = Histogram::new_with_bounds(1, 60_000_000, 3);
        Self {
            unavailable: 0,
            unknown: 0,
            unreachable: 0,
            broken: 0,
            given_up: 0,
            times_us: times_us.expect("invariant: these bounds suit a histogram"),
            slowest: (Duration::ZERO, Duration::ZERO),
            strange: Vec::new(),
        }
    }

    /// A call is over at `now`; `refused`: it was certainly not applied.
    pub(super) fn over(&mut self, took: Duration, now: Duration, refused: bool) {
        self.slowest = self.slowest.max((took, now));
        self.given_up += u64::from(refused);
        self.times_us.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// An answer that no node may give.
    pub(super) fn strange(&mut self, method: &str, path: &str, answer: &Answer) {
        if self.strange.len() < STRANGE_MAX {
            let body = String::from_utf8_lossy(&answer.body);
            self.strange.push(format!("{method} {path} was answered {}: {body:?}", answer.status));
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.unavailable += other.unavailable;
        self.unknown += other.unknown;
        self.unreachable += other.unreachable;
        self.broken += other.broken;
        self.given_up += other.given_up;
        self.times_us.add(&other.times_us).expect("invariant: both have the same bounds");
        self.slowest = self.slowest.max(other.slowest);
        self.strange.extend(other.strange.iter().cloned());
    }

    /// How many calls there were.
    pub(super) fn calls(&self) -> u64 {
        self.times_us.len()
    }

    /// A time that so many of all calls did not exceed, in milliseconds; 1.0: none.
    pub(super) fn quantile_ms(&self, quantile: f64) -> f64 {
        let time = match quantile {
            1.0.. => self.slowest.0,
            _ => Duration::from_micros(self.times_us.value_at_quantile(quantile)),
        };
        1000.0 * time.as_secs_f64()
    }

    /// When the longest call was over.
    pub(super) fn slowest_at(&self) -> Duration {
        self.slowest.1
    }

    /// How many calls took longer than this.
    pub(super) fn slower_than(&self, time: Duration) -> u64 {
        let time_us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.times_us.len() - self.times_us.count_between(0, time_us)
    }

    /// Answers that no node may give.
    pub(super) fn strangers(&self) -> &[String] {
        &self.strange
    }

    /// Whether a client that tries again after 503 has seen any error.
    pub(super) fn errors(&self) -> u64 {
        self.unknown + self.broken + self.given_up
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors = BTreeMap::from([
            ("503", self.unavailable),
            ("504", self.unknown),
            ("connections refused", self.unreachable),
            ("connections lost", self.broken),
        ]);
        let errors: Vec<_> = errors.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        writeln!(f, "operations       {} ({})", self.times_us.len(), errors.join(", "))?;
        write!(
            f,
            "took             p50 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms, max {:.0} ms (at {:.1} s)",
            self.quantile_ms(0.5),
            self.quantile_ms(0.99),
            self.quantile_ms(0.999),
            self.quantile_ms(1.0),
            self.slowest.1.as_secs_f64()
        )
    }
}
