//! What `/_/metrics` shows of a node beside its doors and its process, read at the moment it is asked for. docs/metrics.md
//! lists all of it; a test compares.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use boato_api::Moving;
use boato_cluster::quic::Cluster;
use boato_cluster::{BOUNDS_MS, Stats, Times};
use boato_gossip::NodeId;
use boato_transport::{Path, Transport};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::attributes::VERSION;
use crate::membership::Membership;
use crate::moves;
use crate::otlp::Exported;
use crate::roster::Roster;
use crate::tally::Tally;

/// How long what is to be given away will take; nothing: 0.
fn seconds_left(moving: Option<Moving>) -> f64 {
    let Some(moving) = moving.filter(|it| it.slots_to_give > 0) else { return 0.0 };
    moving.seconds_left.map_or(f64::INFINITY, |seconds| Duration::from_secs(seconds).as_secs_f64())
}

/// Reads the counters of slots, entries, members, gossip and peers.
pub(crate) struct NodeMetrics {
    pub(crate) id: NodeId,
    /// The cluster's.
    pub(crate) name: String,
    pub(crate) cluster: Cluster,
    pub(crate) membership: Membership,
    pub(crate) roster: Arc<Roster>,
    pub(crate) transport: Transport,
    pub(crate) moving: moves::Latest,
    pub(crate) tally: Arc<Tally>,
    pub(crate) exported: Arc<Exported>,
    pub(crate) ready: Box<dyn Fn() -> bool + Send + Sync>,
}

impl fmt::Debug for NodeMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeMetrics").finish_non_exhaustive()
    }
}

impl Collector for NodeMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_labelled(&mut encoder)?;
        self.encode_slots(&mut encoder)?;
        self.encode_paths(&mut encoder)?;
        let stats = self.cluster.stats();
        self.encode_gauges(&mut encoder, &stats)?;
        self.encode_counters(&mut encoder, &stats)?;
        encode_times(
            &mut encoder,
            "handoff_duration",
            "Time that a slot with entries took to another node",
            &stats.handoffs,
        )?;
        let help = "The part of it in which neither node served the slot, as the giver sees it";
        encode_times(&mut encoder, "handoff_pause", help, &stats.pauses)
    }
}

impl NodeMetrics {
    fn encode_gauges(&self, encoder: &mut DescriptorEncoder<'_>, stats: &Stats) -> fmt::Result {
        let (memory, mesh) = (self.cluster.slots().memory(), self.transport.stats());
        let gossip = self.membership.stats();
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
            ("ready", "Whether the node serves keys: 1 or 0", (self.ready)().into()),
            (
                "memory_limit_bytes",
                "Limit of the bytes of entries, 0 without one",
                self.cluster.slots().max_memory().unwrap_or(0),
            ),
            (
                "gossip_health_score",
                "How little this node trusts its own clock: 0 is healthy, 8 least",
                gossip.health_score.into(),
            ),
            ("gossip_news_queued", "Members of which news is still to be sent", gossip.news_queued as u64),
            (
                "gossip_queue_bytes",
                "Bytes that sending this news once takes, and events and queries still to be sent",
                gossip.queue_bytes as u64,
            ),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        let help =
            "Time that the slots to give will take, at the rate of the last seconds; +Inf while nothing goes";
        let gauge = ConstGauge::new(seconds_left(moving));
        gauge.encode(encoder.encode_descriptor(
            "handoff_time_left",
            help,
            Some(&Unit::Seconds),
            gauge.metric_type(),
        )?)
    }

    fn encode_counters(&self, encoder: &mut DescriptorEncoder<'_>, stats: &Stats) -> fmt::Result {
        let (mesh, gossip) = (self.transport.stats(), self.membership.stats());
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
            ("entries_expired", "Entries removed as their time to live was over", self.cluster.expired()),
            ("peers_refused", "Peers refused in the handshake", mesh.refused),
            ("peer_dials", "Connections to peers that were dialled and became usable", mesh.dialled),
            ("peer_dials_failed", "Dials of peers that failed", mesh.dial_failures),
            ("peer_sent_bytes", "Bytes of frames sent to peers", mesh.bytes_sent),
            ("peer_received_bytes", "Bytes of frames received from peers", mesh.bytes_received),
            ("peer_datagrams_sent", "Datagrams sent to peers", mesh.datagrams_sent),
            ("peer_datagrams_received", "Datagrams received from peers", mesh.datagrams_received),
            ("peer_datagrams_dropped", "Datagrams dropped before they were sent", mesh.datagrams_dropped),
            ("gossip_probes", "Probes of members", gossip.probes),
            ("gossip_probes_failed", "Probes that nobody answered in any way", gossip.probes_failed),
            ("gossip_probes_relayed", "Probes sent for other members", gossip.probes_relayed),
            (
                "gossip_suspicions",
                "How often this node began to suspect a member, or heard so",
                gossip.suspicions,
            ),
            ("gossip_refutations", "How often this node had to say that it is alive", gossip.refutations),
            ("gossip_push_pulls", "Exchanges of everything known begun by this node", gossip.push_pulls),
            ("gossip_push_pulls_failed", "Exchanges that got no answer in time", gossip.push_pulls_failed),
            (
                "gossip_sent_bytes",
                "Bytes of gossip sent",
                gossip.datagram_bytes_sent + gossip.stream_bytes_sent,
            ),
            ("gossip_messages_received", "Messages of gossip received", gossip.messages_received),
            ("gossip_messages_refused", "Messages of gossip that could not be read", gossip.messages_refused),
            (
                "gossip_signatures_refused",
                "Words of a node, passed on by another, that were not signed by that node's key",
                gossip.signatures_refused,
            ),
            ("spans_exported", "Spans of traces taken by the collector", self.exported.sent.load(Relaxed)),
            (
                "spans_dropped",
                "Spans of traces that the collector did not take, or that had no room to wait",
                self.exported.dropped.load(Relaxed),
            ),
            ("gossip_stalls", "How often this process had not run for a while", gossip.stalls),
        ];
        for (name, help, value) in counters {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        Ok(())
    }
}

fn encode_times(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, times: &Times) -> fmt::Result {
    let bounds = BOUNDS_MS.iter().map(|ms| Duration::from_millis(*ms).as_secs_f64()).chain([f64::MAX]);
    let buckets: Vec<(f64, u64)> = bounds.zip(times.counts).collect();
    let unit = Some(&Unit::Seconds);
    encoder.encode_descriptor(name, help, unit, MetricType::Histogram)?.encode_histogram::<NoLabelSet>(
        times.sum.as_secs_f64(),
        times.counts.iter().sum(),
        &buckets,
        None,
    )
}

/// What a way to a peer counts.
type Count = fn(&Path) -> u64;

impl NodeMetrics {
    fn encode_labelled(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut info = encoder.encode_descriptor(
            "build_info",
            "Which node this is, of which cluster and version",
            None,
            MetricType::Gauge,
        )?;
        let node = self.id.to_string();
        info.encode_family(&[("cluster", &*self.name), ("node", &node), ("version", VERSION)])?
            .encode_gauge(&1_i64)?;
        let members = self.membership.members();
        let help = "Members known, by what gossip says of them";
        let mut family = encoder.encode_descriptor("gossip_members", help, None, MetricType::Gauge)?;
        for (name, state) in [
            ("alive", boato_gossip::State::Alive),
            ("suspect", boato_gossip::State::Suspect),
            ("dead", boato_gossip::State::Dead),
            ("left", boato_gossip::State::Left),
        ] {
            let count = members.iter().filter(|member| member.state == state).count();
            family
                .encode_family(&[("state", name)])?
                .encode_gauge(&i64::try_from(count).unwrap_or(i64::MAX))?;
        }
        let sums = self.tally.sums();
        let help = "Operations on keys that clients of this node asked for, by who had the key";
        let mut family = encoder.encode_descriptor("operations", help, None, MetricType::Counter)?;
        for (holder, count) in [("self", sums.local), ("other", sums.forwarded), ("unknown", sums.failed)] {
            family
                .encode_family(&[("holder", holder)])?
                .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        let help = "Reads that clients of this node asked for, of a value, its length, time to live or whether it is there, by whether there was one";
        let mut family = encoder.encode_descriptor("reads", help, None, MetricType::Counter)?;
        for (outcome, count) in [("hit", sums.hits), ("miss", sums.misses)] {
            family
                .encode_family(&[("outcome", outcome)])?
                .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        Ok(())
    }

    /// What is where in a hand-off.
    fn encode_slots(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let states = self.cluster.slots().by_state();
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let help = "Slots, by their state at this node";
        let mut family = encoder.encode_descriptor("slots_by_state", help, None, MetricType::Gauge)?;
        for (state, (slots, _)) in &states {
            family.encode_family(&[("state", *state)])?.encode_gauge(&number(*slots))?;
        }
        let help = "Bytes of entries and tombstones in slots, by the slots' state";
        let mut family = encoder.encode_descriptor("slots_bytes", help, None, MetricType::Gauge)?;
        for (state, (_, bytes)) in &states {
            family.encode_family(&[("state", *state)])?.encode_gauge(&number(*bytes))?;
        }
        Ok(())
    }

    /// The ways to the peers, by their names; a peer that gossip does not know goes by its address.
    fn encode_paths(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let members = self.membership.members();
        let name = |addr: std::net::SocketAddr| {
            let member = members.iter().find(|member| member.is_live() && member.addr == addr);
            member.map_or_else(|| addr.to_string(), |member| member.name.to_string())
        };
        let paths: Vec<_> = self.transport.paths().into_iter().map(|path| (name(path.to), path)).collect();
        let help = "Smoothed round-trip time to a peer";
        let unit = Some(&Unit::Seconds);
        let mut family = encoder.encode_descriptor("peer_rtt", help, unit, MetricType::Gauge)?;
        for (peer, path) in &paths {
            family.encode_family(&[("peer", &**peer)])?.encode_gauge(&path.rtt.as_secs_f64())?;
        }
        let help = "Bytes that may be on the way to a peer at once";
        let mut family = encoder.encode_descriptor("peer_window_bytes", help, None, MetricType::Gauge)?;
        for (peer, path) in &paths {
            let window = i64::try_from(path.window).unwrap_or(i64::MAX);
            family.encode_family(&[("peer", &**peer)])?.encode_gauge(&window)?;
        }
        let counters: [(&str, &str, Count); 3] = [
            ("peer_packets_sent", "Packets sent on the connection to a peer", |path| path.sent),
            ("peer_packets_lost", "Packets to a peer that were taken for lost", |path| path.lost),
            ("peer_congestions", "How often congestion control slowed down", |path| path.congestions),
        ];
        for (metric, help, read) in counters {
            let mut family = encoder.encode_descriptor(metric, help, None, MetricType::Counter)?;
            for (peer, path) in &paths {
                let labels = [("peer", &**peer)];
                family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&read(path), None)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_left_while_slots_are_to_go_and_without_end_while_nothing_goes() {
        let moving = |slots_to_give, seconds_left| Moving {
            slots_to_give,
            bytes_to_give: 1,
            slots_to_take: 1,
            bytes_per_s: 1,
            seconds_left,
        };
        let left =
            [None, Some(moving(0, None)), Some(moving(2, Some(7))), Some(moving(2, None))].map(seconds_left);
        assert_eq!(left.map(|it| it.to_string()), ["0", "0", "7", "inf"]);
    }
}
