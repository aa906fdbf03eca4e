//! Traces: what callers sample by `traceparent`, sent to a collector by who has the feature `otlp`.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::task::JoinHandle;
#[cfg(not(feature = "otlp"))]
use {crate::config::Config, boato_api::http::AccessLog, tokio_util::sync::CancellationToken};

#[cfg(feature = "otlp")]
mod export;

#[cfg(feature = "otlp")]
pub(crate) use export::start;

/// What became of spans.
#[derive(Debug, Default)]
pub(crate) struct Exported {
    pub(crate) sent: AtomicU64,
    pub(crate) dropped: AtomicU64,
}

/// What became of spans, and the task that sends them, which ends once the last are sent.
pub(crate) type Traces = (Arc<Exported>, Option<JoinHandle<()>>);

/// Nothing is sent, and no configuration names a collector.
#[cfg(not(feature = "otlp"))]
pub(crate) fn start(_: &Config, _: &str, _: String, _: &AccessLog, _: &CancellationToken) -> Traces {
    Traces::default()
}
