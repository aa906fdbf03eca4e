//! What every door counts of its connections, whatever it speaks.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use crate::PerThread;

/// Counts of connections and bytes; clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traffic(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    opened: AtomicU64,
    closed: AtomicU64,
    refused: AtomicU64,
    bytes: PerThread<Bytes>,
}

#[derive(Debug, Default)]
struct Bytes {
    received: AtomicU64,
    sent: AtomicU64,
}

impl Traffic {
    /// Connections open now.
    pub(crate) fn connections(&self) -> u64 {
        self.0.opened.load(Relaxed).saturating_sub(self.0.closed.load(Relaxed))
    }

    /// Connections accepted since the start.
    pub(crate) fn connections_opened(&self) -> u64 {
        self.0.opened.load(Relaxed)
    }

    /// A connection was accepted; it is open until the returned guard is dropped.
    pub(crate) fn open(&self) -> Open {
        self.0.opened.fetch_add(1, Relaxed);
        Open(self.clone())
    }

    /// A connection was turned away at the cap.
    pub(crate) fn refused(&self) {
        self.0.refused.fetch_add(1, Relaxed);
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.0.bytes.mine().received.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.0.bytes.mine().sent.fetch_add(bytes as u64, Relaxed);
    }

    /// Reports everything, under names that start with the name of the door.
    pub(crate) fn encode(&self, door: &str, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let open = i64::try_from(self.connections()).unwrap_or(i64::MAX);
        encoder
            .encode_descriptor(&format!("{door}_connections"), "Connections open", None, MetricType::Gauge)?
            .encode_gauge(&open)?;
        let bytes = Some(&Unit::Bytes);
        let (opened, refused) = (self.0.opened.load(Relaxed), self.0.refused.load(Relaxed));
        let (received, sent) =
            (self.0.bytes.sum(|bytes| &bytes.received), self.0.bytes.sum(|bytes| &bytes.sent));
        for (name, help, unit, count) in [
            ("connections_opened", "Connections accepted", None, opened),
            ("connections_refused", "Connections turned away at the cap", None, refused),
            ("received", "Bytes read from clients", bytes, received),
            ("sent", "Bytes written to clients", bytes, sent),
        ] {
            encoder
                .encode_descriptor(&format!("{door}_{name}"), help, unit, MetricType::Counter)?
                .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        Ok(())
    }
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Open(Traffic);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.closed.fetch_add(1, Relaxed);
    }
}
