//! What `/_/metrics` shows of a node beside its doors, read at the moment it is asked for.

use std::fmt;
use std::sync::Arc;

use boato_cluster::quic::Cluster;
use boato_transport::Transport;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::moves;
use crate::roster::Roster;

/// Reads the counters of slots, entries, members and peers.
pub(crate) struct NodeMetrics {
    pub(crate) cluster: Cluster,
    pub(crate) roster: Arc<Roster>,
    pub(crate) transport: Transport,
    pub(crate) moving: moves::Latest,
}

impl fmt::Debug for NodeMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeMetrics").finish_non_exhaustive()
    }
}

impl Collector for NodeMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (stats, memory) = (self.cluster.stats(), self.cluster.slots().memory());
        let mesh = self.transport.stats();
        let moving = *self.moving.borrow();
        let left = moving.map_or((0, 0, 0), |it| (it.slots_to_give, it.bytes_to_give, it.slots_to_take));
        let gauges = [
            ("members", "Members alive, this node included", self.roster.len() as u64),
            ("slots", "Slots in this node's custody", stats.custody as u64),
            ("slots_to_give", "Slots here that belong to other nodes", left.0 as u64),
            ("handoff_bytes_left", "Bytes of entries in slots that belong to other nodes", left.1),
            ("slots_to_take", "Slots that belong here and are not here yet", left.2 as u64),
            ("entries", "Entries held, expired ones not yet swept included", memory.entries),
            ("tombstones", "Deleted keys remembered", memory.tombstones),
            ("entries_bytes", "Bytes of entries, tombstones and tables", memory.bytes),
            ("operations_waiting", "Operations that wait for a slot to settle", stats.queued as u64),
            ("operations_waiting_bytes", "Bytes of operations that wait", stats.queued_bytes as u64),
            ("peer_connections", "QUIC connections to peers", mesh.connections),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        let counters = [
            ("slots_given", "Slots handed to other nodes", stats.slots_given),
            ("slots_taken", "Slots received from other nodes", stats.slots_taken),
            ("slots_minted", "Slots minted empty", stats.slots_minted),
            ("slots_lost", "Slots minted empty after their holder had crashed", stats.slots_lost),
            ("slots_merged", "Slots merged into another holder's", stats.slots_merged),
            (
                "keys_superseded",
                "Values given up in merges, as the other holder had a later one of the same key",
                stats.keys_superseded,
            ),
            ("handoff_bytes", "Bytes of entries sent to other nodes", stats.bytes_given),
            ("peers_refused", "Peers refused in the handshake", mesh.refused),
        ];
        for (name, help, value) in counters {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        Ok(())
    }
}
