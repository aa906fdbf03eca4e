//! What the RESP doors count: plain atomics, touched once per read and command name, summed up when somebody looks.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::table;
use crate::PerThread;
use crate::latency::{Latency, Times};
use crate::traffic::Traffic;

/// Most commands that are told apart; the last place takes all others.
const COMMANDS: usize = 256;

/// The counters of the RESP doors of one process; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    counters: Arc<PerThread<Counters>>,
    pub(super) traffic: Traffic,
}

#[derive(Debug)]
struct Counters {
    /// By place in the command table: answered, and answered by an error.
    commands: [[AtomicU64; 2]; COMMANDS],
    latency: Latency,
}

impl Default for Counters {
    fn default() -> Counters {
        Counters { commands: std::array::from_fn(|_| Default::default()), latency: Latency::default() }
    }
}

impl Metrics {
    /// Makes counters and has `registry` report them, under names that start with `resp_`.
    pub fn register(registry: &mut Registry) -> Metrics {
        let metrics = Metrics::default();
        registry.register_collector(Box::new(metrics.clone()));
        metrics
    }

    /// Connections open now, and accepted since the start.
    pub fn connections(&self) -> (u64, u64) {
        (self.traffic.connections(), self.traffic.connections_opened())
    }

    /// How long answers have taken so far.
    pub(crate) fn times(&self) -> Times {
        Times::of(self.counters.iter().map(|counters| &counters.latency))
    }

    /// Commands answered since the start.
    pub(super) fn commands(&self) -> u64 {
        let all = self.counters.iter().flat_map(|counters| counters.commands.iter().flatten());
        all.map(|count| count.load(Relaxed)).sum()
    }

    fn answered(&self, command: usize, times: u64, errors: u64) {
        let [answered, failed] = &self.counters.mine().commands[command.min(COMMANDS - 1)];
        answered.fetch_add(times - errors, Relaxed);
        if errors > 0 {
            failed.fetch_add(errors, Relaxed);
        }
    }
}

/// Counts the commands of one connection, and passes runs of the same one on at once.
#[derive(Debug, Default)]
pub(super) struct Tally {
    command: usize,
    times: u64,
    errors: u64,
    /// All commands since the last read.
    together: u64,
}

impl Tally {
    /// A command was answered, by this many errors.
    pub(super) fn answered(&mut self, metrics: &Metrics, command: usize, errors: u64) {
        if command != self.command {
            self.pass_on(metrics);
            self.command = command;
        }
        self.times += 1;
        self.together += 1;
        self.errors += u64::from(errors > 0);
    }

    /// Has everything counted. These commands, so many, were read together, so long ago.
    pub(super) fn end(&mut self, metrics: &Metrics, took: Duration) -> u64 {
        self.pass_on(metrics);
        if self.together > 0 {
            metrics.counters.mine().latency.observe(took, self.together);
        }
        std::mem::take(&mut self.together)
    }

    fn pass_on(&mut self, metrics: &Metrics) {
        if self.times > 0 {
            metrics.answered(self.command, self.times, self.errors);
            (self.times, self.errors) = (0, 0);
        }
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_commands(&mut encoder)?;
        let help = "Time from the end of the read that brought a command to its reply, and those of all commands that were read with it";
        let seconds = Some(&Unit::Seconds);
        let family =
            encoder.encode_descriptor("resp_command_duration", help, seconds, MetricType::Histogram)?;
        Latency::encode(self.counters.iter().map(|counters| &counters.latency), family)?;
        self.traffic.encode("resp", &mut encoder)
    }
}

impl Metrics {
    fn encode_commands(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Commands answered; those that no table knows as unknown";
        let mut family = encoder.encode_descriptor("resp_commands", help, None, MetricType::Counter)?;
        for command in 0..COMMANDS {
            for (place, outcome) in ["ok", "error"].into_iter().enumerate() {
                let count = self.counters.sum(|counters| &counters.commands[command][place]);
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
        tally.end(&metrics, Duration::from_micros(20));
        tally.end(&metrics, Duration::from_micros(5));
        metrics.traffic.received(7);
        let kept = metrics.traffic.open();
        drop(metrics.traffic.open());
        assert_eq!((metrics.commands(), metrics.traffic.connections()), (4, 1));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let first = table::name(0);
        for line in [
            &format!("resp_commands_total{{command=\"{first}\",outcome=\"ok\"}} 2"),
            &format!("resp_commands_total{{command=\"{first}\",outcome=\"error\"}} 1"),
            "resp_commands_total{command=\"unknown\",outcome=\"error\"} 1",
            "resp_command_duration_seconds_bucket{le=\"0.00001\"} 0",
            "resp_command_duration_seconds_bucket{le=\"0.000025\"} 4",
            "resp_command_duration_seconds_count 4",
            "resp_command_duration_seconds_sum 0.00008",
            "resp_connections 1",
            "resp_connections_opened_total 2",
            "resp_received_bytes_total 7",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} is missing in\n{text}");
        }
        drop(kept);
    }
}
