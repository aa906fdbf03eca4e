//! What the RESP doors count: plain atomics, touched once per read and command name, summed up when somebody looks.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::table;

/// Most commands that are told apart; the last place takes all others.
const COMMANDS: usize = 256;

/// The counters of the RESP doors of one process; clones count together.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Counters>);

#[derive(Debug)]
struct Counters {
    /// By place in the command table: answered, and answered by an error.
    commands: [[AtomicU64; 2]; COMMANDS],
    opened: AtomicU64,
    closed: AtomicU64,
    refused: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics(Arc::new(Counters {
            commands: std::array::from_fn(|_| <[AtomicU64; 2]>::default()),
            opened: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        }))
    }
}

impl Metrics {
    /// Makes counters and has `registry` report them, under names that start with `resp_`.
    pub fn register(registry: &mut Registry) -> Metrics {
        let metrics = Metrics::default();
        registry.register_collector(Box::new(metrics.clone()));
        metrics
    }

    /// Connections open now.
    pub(super) fn connections(&self) -> u64 {
        self.0.opened.load(Relaxed).saturating_sub(self.0.closed.load(Relaxed))
    }

    /// Connections accepted since the start.
    pub(super) fn connections_opened(&self) -> u64 {
        self.0.opened.load(Relaxed)
    }

    /// Commands answered since the start.
    pub(super) fn commands(&self) -> u64 {
        self.0.commands.iter().flatten().map(|count| count.load(Relaxed)).sum()
    }

    /// A connection was accepted; it is open until the returned guard is dropped.
    pub(super) fn open(&self) -> Open {
        self.0.opened.fetch_add(1, Relaxed);
        Open(self.clone())
    }

    /// A connection was turned away at the cap.
    pub(super) fn refused(&self) {
        self.0.refused.fetch_add(1, Relaxed);
    }

    pub(super) fn received(&self, bytes: usize) {
        self.0.received.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.0.sent.fetch_add(bytes as u64, Relaxed);
    }

    fn answered(&self, command: usize, times: u64, errors: u64) {
        let [answered, failed] = &self.0.commands[command.min(COMMANDS - 1)];
        answered.fetch_add(times - errors, Relaxed);
        if errors > 0 {
            failed.fetch_add(errors, Relaxed);
        }
    }
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Open(Metrics);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.closed.fetch_add(1, Relaxed);
    }
}

/// Counts the commands of one connection, and passes runs of the same one on at once.
#[derive(Debug, Default)]
pub(super) struct Tally {
    command: usize,
    times: u64,
    errors: u64,
}

impl Tally {
    /// A command was answered, by this many errors.
    pub(super) fn answered(&mut self, metrics: &Metrics, command: usize, errors: u64) {
        if command != self.command {
            self.pass_on(metrics);
            self.command = command;
        }
        self.times += 1;
        self.errors += u64::from(errors > 0);
    }

    /// Has everything counted.
    pub(super) fn pass_on(&mut self, metrics: &Metrics) {
        if self.times > 0 {
            metrics.answered(self.command, self.times, self.errors);
            (self.times, self.errors) = (0, 0);
        }
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_commands(&mut encoder)?;
        let counters = &*self.0;
        let open = i64::try_from(self.connections()).unwrap_or(i64::MAX);
        encoder
            .encode_descriptor("resp_connections", "Connections open", None, MetricType::Gauge)?
            .encode_gauge(&open)?;
        let opened = ("resp_connections_opened", "Connections accepted", None, &counters.opened);
        let refused =
            ("resp_connections_refused", "Connections turned away at the cap", None, &counters.refused);
        let received = ("resp_received", "Bytes read from clients", Some(&Unit::Bytes), &counters.received);
        let sent = ("resp_sent", "Bytes written to clients", Some(&Unit::Bytes), &counters.sent);
        for (name, help, unit, count) in [opened, refused, received, sent] {
            encoder
                .encode_descriptor(name, help, unit, MetricType::Counter)?
                .encode_counter::<NoLabelSet, _, u64>(&count.load(Relaxed), None)?;
        }
        Ok(())
    }
}

impl Metrics {
    fn encode_commands(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Commands answered; those that no table knows as unknown";
        let mut family = encoder.encode_descriptor("resp_commands", help, None, MetricType::Counter)?;
        for (command, counts) in self.0.commands.iter().enumerate() {
            for (outcome, count) in ["ok", "error"].into_iter().zip(counts) {
                let count = count.load(Relaxed);
                if count > 0 {
                    let labels = [("command", table::name(command)), ("outcome", outcome)];
                    family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
                }
            }
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
        let mut tally = Tally::default();
        for errors in [0, 1, 0] {
            tally.answered(&metrics, 0, errors);
        }
        tally.answered(&metrics, usize::MAX, 2);
        tally.pass_on(&metrics);
        metrics.received(7);
        let kept = metrics.open();
        drop(metrics.open());
        assert_eq!((metrics.commands(), metrics.connections()), (4, 1));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let first = table::name(0);
        for line in [
            &format!("resp_commands_total{{command=\"{first}\",outcome=\"ok\"}} 2"),
            &format!("resp_commands_total{{command=\"{first}\",outcome=\"error\"}} 1"),
            "resp_commands_total{command=\"unknown\",outcome=\"error\"} 1",
            "resp_connections 1",
            "resp_connections_opened_total 2",
            "resp_received_bytes_total 7",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} is missing in\n{text}");
        }
        drop(kept);
    }
}
