//! What a door is told: limits, guards, where its counters go.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;

use super::access::AccessLog;
use super::guard::Guard;
use super::metrics::Metrics;
use crate::resp;

/// What [`run`](super::run) needs beside a listener and a backend.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Who may speak.
    pub guard: Guard,
    /// How much of everything.
    pub limits: Limits,
    /// Where this door counts; registered once, shared by all doors of a process.
    pub metrics: Metrics,
    /// Where the RESP doors of the same process count: what the page shows is of all doors.
    pub resp: resp::Metrics,
    /// What `/_/metrics` shows.
    pub registry: Arc<Registry>,
    /// Which requests are written to the log.
    pub access_log: AccessLog,
}

/// The bounds of a door. Times are taken as at least 10 ms and at most a year. Memory for bodies is bounded
/// by the two `*_memory_bytes`; what a connection holds beside is about `head_bytes`, and for HTTP/2 up to 1
/// MiB of receive window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest value, in bytes; a larger one is refused with 413, by `Content-Length` before any of it is
    /// read. Default 8 MiB.
    pub value_bytes: usize,
    /// All request bodies being read or waiting for their answer, together, in bytes; beyond, 429. At least
    /// `value_bytes` to be of use. Default 256 MiB.
    pub upload_memory_bytes: usize,
    /// All values of more than 4 KiB being sent, together, in bytes; beyond, 429. Default 256 MiB.
    pub download_memory_bytes: usize,
    /// Request line and headers of one request, in bytes, never less than 8192; beyond, 431. HTTP/1 takes at
    /// most 100 headers. Default 64 KiB.
    pub head_bytes: usize,
    /// Open connections; one more is answered 503 and closed. Default 4096.
    pub connections: usize,
    /// Requests at once on one HTTP/2 connection. Default 100.
    pub http2_streams: u32,
    /// Readers of `/_/events` and `/_/log`, and apart from them of answers to queries; one more is answered 503. Default 64 each.
    pub subscribers: usize,
    /// From the first byte of a request, or the start of a connection, to the end of the head; then the
    /// connection is dropped. Default 10 s.
    pub head_timeout: Duration,
    /// Between two requests of a connection; then it is closed. Default 60 s.
    pub idle_timeout: Duration,
    /// A request body brings 16 KiB or its end within this time, again and again, or is refused with 408.
    /// Default 30 s.
    pub body_timeout: Duration,
    /// A client takes at least a byte of its answers within this time, or its connection is dropped. Default
    /// 30 s.
    pub write_timeout: Duration,
    /// How long requests may take to finish once the door shuts down; then their connections are dropped.
    /// Default 10 s.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            value_bytes: 8 << 20,
            upload_memory_bytes: 256 << 20,
            download_memory_bytes: 256 << 20,
            head_bytes: 64 << 10,
            connections: 4096,
            http2_streams: 100,
            subscribers: 64,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_mins(1),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// The limits as the door can keep them.
    pub(super) fn within_reason(self) -> Limits {
        let time = |limit: Duration| limit.clamp(Duration::from_millis(10), Duration::from_hours(24 * 365));
        Limits {
            head_bytes: self.head_bytes.max(8192),
            subscribers: self.subscribers.min(Semaphore::MAX_PERMITS),
            head_timeout: time(self.head_timeout),
            idle_timeout: time(self.idle_timeout),
            body_timeout: time(self.body_timeout),
            write_timeout: time(self.write_timeout),
            drain_timeout: time(self.drain_timeout),
            ..self
        }
    }
}
