//! What the HTTP door counts: plain atomics on the way of a request, summed up when somebody looks.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use http::{Method, StatusCode};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use crate::PerThread;
use crate::latency::{Latency, Times};
use crate::traffic::Traffic;

const METHODS: [&str; 7] = ["get", "head", "put", "post", "delete", "options", "other"];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What a request is about. Only times of requests about keys are kept: those of others would hide them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    Keys,
    Node,
}

impl About {
    /// By the path of its target.
    pub(super) fn of(path: &str) -> About {
        match path.strip_prefix("/_/") {
            Some("mget") => About::Keys,
            None if !matches!(path, "/" | "/_") => About::Keys,
            _ => About::Node,
        }
    }
}

/// The counters of the HTTP doors of one process; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    counters: Arc<PerThread<Counters>>,
    pub(super) traffic: Traffic,
}

#[derive(Debug, Default)]
struct Counters {
    requests: [[[AtomicU64; CLASSES.len()]; METHODS.len()]; 2],
    latency: [Latency; METHODS.len()],
    aborted: AtomicU64,
}

impl Metrics {
    /// Makes counters and has `registry` report them, under names that start with `http_`.
    pub fn register(registry: &mut Registry) -> Metrics {
        let metrics = Metrics::default();
        registry.register_collector(Box::new(metrics.clone()));
        metrics
    }

    /// Connections open now, and accepted since the start.
    pub fn connections(&self) -> (u64, u64) {
        (self.traffic.connections(), self.traffic.connections_opened())
    }

    /// How long answers about keys have taken so far.
    pub(super) fn times(&self) -> Times {
        Times::of(self.counters.iter().flat_map(|counters| &counters.latency))
    }

    /// A request was answered, this long after its head was complete.
    pub(super) fn answered(&self, about: About, method: usize, status: StatusCode, took: Duration) {
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        let counters = self.counters.mine();
        counters.requests[about as usize][method][class].fetch_add(1, Relaxed);
        if about == About::Keys {
            counters.latency[method].observe(took, 1);
        }
    }

    /// A client went away before its answer was there.
    pub(super) fn aborted(&self) {
        self.counters.mine().aborted.fetch_add(1, Relaxed);
    }
}

/// The place of a method in the counters.
pub(super) fn place(method: &Method) -> usize {
    match *method {
        Method::GET => 0,
        Method::HEAD => 1,
        Method::PUT => 2,
        Method::POST => 3,
        Method::DELETE => 4,
        Method::OPTIONS => 5,
        _ => METHODS.len() - 1,
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_requests(&mut encoder)?;
        let help = "Requests whose client left before the answer";
        encoder
            .encode_descriptor("http_requests_aborted", help, None, MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, u64>(&self.counters.sum(|counters| &counters.aborted), None)?;
        self.traffic.encode("http", &mut encoder)
    }
}

impl Metrics {
    fn encode_requests(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family =
            encoder.encode_descriptor("http_requests", "Requests answered", None, MetricType::Counter)?;
        for (about, name) in [(About::Keys, "keys"), (About::Node, "node")] {
            for (place, method) in METHODS.iter().enumerate() {
                for (class, status) in CLASSES.iter().enumerate() {
                    let count =
                        self.counters.sum(|counters| &counters.requests[about as usize][place][class]);
                    if count > 0 {
                        let labels = [("about", name), ("method", *method), ("status", *status)];
                        family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
                    }
                }
            }
        }
        let help = "Time from the end of a request's head to its answer, of requests about keys";
        let mut family = encoder.encode_descriptor(
            "http_request_duration",
            help,
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        for (place, method) in METHODS.iter().enumerate() {
            let all = self.counters.iter().map(|counters| &counters.latency[place]);
            Latency::encode(all, family.encode_family(&[("method", *method)])?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_encoded() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        metrics.answered(About::Keys, place(&Method::GET), StatusCode::NOT_FOUND, Duration::from_micros(10));
        metrics.answered(About::Keys, place(&Method::GET), StatusCode::OK, Duration::from_micros(11));
        metrics.answered(
            About::Keys,
            place(&Method::TRACE),
            StatusCode::METHOD_NOT_ALLOWED,
            Duration::from_secs(20),
        );
        metrics.answered(About::Node, place(&Method::GET), StatusCode::OK, Duration::from_secs(5));
        metrics.traffic.received(7);
        let kept = metrics.traffic.open();
        drop(metrics.traffic.open());
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "http_requests_total{about=\"keys\",method=\"get\",status=\"4xx\"} 1",
            "http_requests_total{about=\"node\",method=\"get\",status=\"2xx\"} 1",
            "http_requests_total{about=\"keys\",method=\"other\",status=\"4xx\"} 1",
            "http_request_duration_seconds_bucket{le=\"0.00001\",method=\"get\"} 1",
            "http_request_duration_seconds_bucket{le=\"0.000025\",method=\"get\"} 2",
            "http_request_duration_seconds_bucket{le=\"10.0\",method=\"other\"} 0",
            "http_request_duration_seconds_bucket{le=\"+Inf\",method=\"other\"} 1",
            "http_request_duration_seconds_count{method=\"get\"} 2",
            "http_connections 1",
            "http_connections_opened_total 2",
            "http_received_bytes_total 7",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} is missing in\n{text}");
        }
        drop(kept);
    }

    #[test]
    fn what_a_request_is_about_is_seen_from_its_path() {
        for path in ["/key", "/_key", "/%5F/status", "/_/mget"] {
            assert_eq!(About::of(path), About::Keys, "{path}");
        }
        for path in ["/", "/_", "/_/", "/_/metrics", "/_/mget/"] {
            assert_eq!(About::of(path), About::Node, "{path}");
        }
    }

    #[test]
    fn times_are_told_in_native_buckets_too() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        metrics.answered(About::Keys, place(&Method::GET), StatusCode::OK, Duration::from_secs(1));
        metrics.answered(About::Keys, place(&Method::GET), StatusCode::OK, Duration::from_nanos(1));
        let families = prometheus_client::encoding::prometheus_protobuf::encode(&registry).unwrap();
        let family = families.iter().find(|family| family.name == "http_request_duration_seconds").unwrap();
        let get = family.metric.iter().find(|metric| metric.label[0].value == "get").unwrap();
        let times = get.histogram.as_ref().unwrap();
        assert_eq!((times.sample_count, times.bucket.len(), times.bucket[0].cumulative_count), (2, 19, 1));
        assert_eq!((times.schema, times.zero_count), (3, 1));
        let span = &times.positive_span[0];
        assert_eq!((span.offset, span.length, &times.positive_delta), (0, 1, &vec![1]));
    }
}
