//! A node's load in a few figures, over the last seconds.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::Serialize;
use tokio::time::Instant;

use super::metrics::Metrics;
use crate::latency::Times;
use crate::{Backend, Operations, resp};

/// Rates and percentiles are over so many looks.
const WINDOW: usize = 4;

/// Where figures come from.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) http: Metrics,
    pub(super) resp: resp::Metrics,
}

impl Source {
    pub(super) fn window(self) -> Window {
        Window { source: self, began: Instant::now(), past: VecDeque::with_capacity(WINDOW) }
    }

    fn sample(&self, at: Instant) -> Sample {
        let times = self.http.times().and(&self.resp.times());
        Sample { at, operations: self.backend.operations(), times }
    }
}

/// What was counted up to a moment.
struct Sample {
    at: Instant,
    operations: Operations,
    times: Times,
}

/// The last few looks.
pub(super) struct Window {
    source: Source,
    began: Instant,
    past: VecDeque<Sample>,
}

/// What a node does, as JSON of an event `figures`. What is a rate or a share is `null` at the first look, and where there was nothing.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    /// Since somebody began to look, which tells one look from the next.
    seconds: f64,
    /// Operations on keys that clients of this node asked for.
    operations_per_s: Option<f64>,
    /// The share of them that another node had the key of.
    forwarded: Option<f64>,
    /// The share of reads that found a value.
    hits: Option<f64>,
    /// What half, and 99 of 100, of all answers of all doors took at most.
    p50_s: Option<f64>,
    p99_s: Option<f64>,
    /// Connections of clients.
    connections: u64,
    entries: u64,
    bytes: u64,
    max_memory: Option<u64>,
    /// What the node waits for, when it does not serve.
    reason: Option<String>,
}

impl Window {
    pub(super) fn look(&mut self) -> Figures {
        let now = self.source.sample(Instant::now());
        let status = self.source.backend.status();
        let (http, resp) = (self.source.http.connections().0, self.source.resp.connections().0);
        let mut figures = Figures {
            seconds: (now.at - self.began).as_secs_f64(),
            operations_per_s: None,
            forwarded: None,
            hits: None,
            p50_s: None,
            p99_s: None,
            connections: http + resp,
            entries: status.entries,
            bytes: status.bytes,
            max_memory: status.max_memory,
            reason: status.reason,
        };
        if let Some(past) = self.past.front() {
            figures.compare(past, &now);
        }
        if self.past.len() == WINDOW {
            self.past.pop_front();
        }
        self.past.push_back(now);
        figures
    }
}

impl Figures {
    fn compare(&mut self, past: &Sample, now: &Sample) {
        let grown = |of: fn(&Operations) -> u64| of(&now.operations).saturating_sub(of(&past.operations));
        let (local, forwarded) = (grown(|it| it.local), grown(|it| it.forwarded));
        let (hits, misses) = (grown(|it| it.hits), grown(|it| it.misses));
        let all = local + forwarded + grown(|it| it.failed);
        self.operations_per_s = ratio(all, (now.at - past.at).as_secs_f64());
        self.forwarded = share(forwarded, local + forwarded);
        self.hits = share(hits, hits + misses);
        let times = now.times.clone().since(&past.times);
        [self.p50_s, self.p99_s] = [0.5, 0.99].map(|share| Some(times.quantile(share)?.as_secs_f64()));
    }
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
    use std::time::Duration;

    use super::*;
    use crate::latency::Latency;

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
        let mut figures = Figures {
            seconds: 0.0,
            operations_per_s: None,
            forwarded: None,
            hits: None,
            p50_s: None,
            p99_s: None,
            connections: 0,
            entries: 0,
            bytes: 0,
            max_memory: None,
            reason: None,
        };
        figures.compare(&past, &now);
        let shown = [figures.operations_per_s, figures.forwarded, figures.hits, figures.p50_s, figures.p99_s];
        assert_eq!(shown, [20.0, 0.25, 0.25, 0.001, 0.001].map(Some));
        figures.compare(&now, &now);
        assert_eq!([figures.operations_per_s, figures.hits, figures.p50_s], [None; 3]);
    }
}
