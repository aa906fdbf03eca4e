//! A node's load in a few figures, over the last seconds.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::metrics::Metrics;
use crate::latency::Times;
use crate::{Backend, Figures, Operations, resp};

/// Rates and percentiles are over at least so long, where somebody has looked for so long.
const SPAN: Duration = Duration::from_secs(3);
/// Who looks again sooner sees the same.
const FRESH: Duration = Duration::from_millis(900);
/// What was counted longer ago says nothing of the present.
const STALE: Duration = Duration::from_secs(30);

/// Reads a node's [`Figures`], for its page and for other nodes. It counts nothing itself, and costs nothing while nobody looks.
pub struct Gauges {
    backend: Arc<dyn Backend>,
    http: Metrics,
    resp: resp::Metrics,
    began: Instant,
    looks: Mutex<Looks>,
}

/// What was seen so far, the earliest first.
#[derive(Default)]
struct Looks {
    past: VecDeque<Sample>,
    last: Option<Figures>,
}

/// What was counted up to a moment.
struct Sample {
    at: Instant,
    operations: Operations,
    times: Times,
}

impl fmt::Debug for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gauges").finish_non_exhaustive()
    }
}

impl Gauges {
    /// Of a node whose doors count in these.
    pub fn new(backend: Arc<dyn Backend>, http: Metrics, resp: resp::Metrics) -> Gauges {
        Gauges { backend, http, resp, began: Instant::now(), looks: Mutex::default() }
    }

    /// The figures of this node now.
    pub fn look(&self) -> Figures {
        let at = Instant::now();
        let mut looks = self.looks.lock();
        let is_fresh = looks.past.back().is_some_and(|last| at - last.at < FRESH);
        if let Some(last) = looks.last.as_ref().filter(|_| is_fresh) {
            return last.clone();
        }
        let now = self.sample(at);
        let mut figures = self.present(at);
        if let Some(past) = looks.before(at) {
            compare(&mut figures, past, &now);
        }
        looks.past.push_back(now);
        looks.last = Some(figures.clone());
        figures
    }

    /// The figures of all members, as far as they tell them, by their ids.
    pub(super) async fn all(&self) -> BTreeMap<String, Option<Figures>> {
        let mut all = self.backend.figures().await;
        all.insert(self.backend.status().id, Some(self.look()));
        all
    }

    fn sample(&self, at: Instant) -> Sample {
        let times = self.http.times().and(&self.resp.times());
        Sample { at, operations: self.backend.operations(), times }
    }

    /// What needs no other look to compare with.
    fn present(&self, at: Instant) -> Figures {
        let status = self.backend.status();
        Figures {
            seconds: (at - self.began).as_secs_f64(),
            connections: self.http.connections().0 + self.resp.connections().0,
            entries: status.entries,
            bytes: status.bytes,
            max_memory: status.max_memory,
            reason: status.reason,
            ..Figures::default()
        }
    }
}

impl Looks {
    /// The look that one at `at` is compared with; earlier ones are forgotten.
    fn before(&mut self, at: Instant) -> Option<&Sample> {
        self.past.retain(|look| at - look.at <= STALE);
        while self.past.get(1).is_some_and(|look| at - look.at >= SPAN) {
            self.past.pop_front();
        }
        self.past.front()
    }
}

fn compare(figures: &mut Figures, past: &Sample, now: &Sample) {
    let grown = |of: fn(&Operations) -> u64| of(&now.operations).saturating_sub(of(&past.operations));
    let (local, forwarded) = (grown(|it| it.local), grown(|it| it.forwarded));
    let (hits, misses) = (grown(|it| it.hits), grown(|it| it.misses));
    let all = local + forwarded + grown(|it| it.failed);
    figures.operations_per_s = ratio(all, (now.at - past.at).as_secs_f64());
    figures.forwarded = share(forwarded, local + forwarded);
    figures.hits = share(hits, hits + misses);
    let times = now.times.clone().since(&past.times);
    [figures.p50_s, figures.p99_s] = [0.5, 0.99].map(|share| Some(times.quantile(share)?.as_secs_f64()));
}

#[expect(clippy::cast_precision_loss, reason = "figures for people: 52 bits of them are plenty")]
fn ratio(part: u64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part as f64 / whole)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people: 52 bits of them are plenty")]
fn share(part: u64, whole: u64) -> Option<f64> {
    ratio(part, whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Latency;

    fn sample(at: Instant) -> Sample {
        Sample { at, operations: Operations::default(), times: Times::of(std::iter::empty()) }
    }

    #[test]
    fn rates_are_of_what_was_added_between_two_looks() {
        let at = Instant::now();
        let latency = Latency::default();
        let sample = |at, local, forwarded, hits, misses| Sample {
            at,
            operations: Operations { local, forwarded, failed: 5, hits, misses },
            times: Times::of(std::iter::once(&latency)),
        };
        let past = sample(at, 100, 0, 7, 7);
        latency.observe(Duration::from_millis(1), 99);
        latency.observe(Duration::from_millis(250), 1);
        let now = sample(at + Duration::from_secs(2), 130, 10, 8, 10);
        let mut figures = Figures::default();
        compare(&mut figures, &past, &now);
        let shown = [figures.operations_per_s, figures.forwarded, figures.hits, figures.p50_s, figures.p99_s];
        assert_eq!(shown, [20.0, 0.25, 0.25, 0.001, 0.001].map(Some));
        compare(&mut figures, &now, &now);
        assert_eq!([figures.operations_per_s, figures.hits, figures.p50_s], [None; 3]);
    }

    #[test]
    fn a_look_is_compared_with_one_of_a_few_seconds_ago_and_with_none_of_long_ago() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut looks = Looks::default();
        let mut compared = |seconds| {
            let before = looks.before(at(seconds)).map(|look| (look.at - began).as_secs());
            looks.past.push_back(sample(at(seconds)));
            (before, looks.past.len())
        };
        let seen = [0, 1, 2, 3, 4, 5, 20, 51].map(&mut compared);
        let expected = [None, Some(0), Some(0), Some(0), Some(1), Some(2), Some(5), None];
        assert_eq!(seen.map(|(before, _)| before), expected);
        assert!(seen.iter().all(|(_, kept)| *kept <= 5), "{seen:?}");
    }
}
