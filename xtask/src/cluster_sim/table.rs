//! The report as a table for people.

use std::fmt;
use std::time::Duration;

use boato_sim::membership::Report;
use boato_sim::registers::{self, Outcomes, Scenario};

/// Shows a report; `took` is real time.
pub(super) struct Table<'a> {
    pub(super) report: &'a Report,
    pub(super) length: Duration,
    pub(super) took: Duration,
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { figures, detect_max_ms, return_max_ms, false_suspicions, happened, .. } = self.report;
        let pair = |one, other| format!("{:>9} {:>10}", seconds(one), seconds(other));
        row(f, "converged", &format!("{:>9}", seconds(figures.converge_ms)))?;
        if let Some(bytes) = figures.burst_bytes_per_node {
            row(f, "one after the burst", &format!("{:>9}", seconds(figures.burst_ms)))?;
            row(f, "bytes per node until then", &format!("{bytes:>9}"))?;
        }
        if let Some(bytes) = figures.heal_bytes_per_node {
            row(f, "one again after the heal", &format!("{:>9}", seconds(figures.heal_ms)))?;
            row(f, "bytes per node until then", &format!("{bytes:>9}"))?;
        }
        let probed = format!(
            "{:>9} {} periods",
            seconds(figures.first_probe_ms),
            number(figures.first_probe_periods, 2)
        );
        row(f, "first probe, mean", &probed)?;
        row(f, "first suspicion, mean", &format!("{:>9}", seconds(figures.first_suspect_ms)))?;
        row(f, "heard by all after, mean", &format!("{:>9}", seconds(figures.spread_ms)))?;
        writeln!(f, "{:<28} {:>9} {:>10} {:>10}", "", "p50", "p99", "max")?;
        row(f, "crash suspected", &pair(figures.suspect_p50_ms, figures.suspect_p99_ms))?;
        let declared = pair(figures.detect_p50_ms, figures.detect_p99_ms);
        row(f, "crash declared", &format!("{declared} {:>10}", seconds(*detect_max_ms)))?;
        if figures.restarts > 0 {
            let returned = pair(figures.return_p50_ms, figures.return_p99_ms);
            row(f, "restarts", &format!("{:>9}", figures.restarts))?;
            row(f, "listed again after a restart", &format!("{returned} {:>10}", seconds(*return_max_ms)))?;
        }
        row(f, "false suspicions", &format!("{false_suspicions:>9}"))?;
        let healthy = format!(
            "{:>9} {:>10} of nodes that never stand still",
            figures.false_deaths, figures.false_deaths_healthy
        );
        row(f, "false deaths", &healthy)?;
        row(f, "messages per node and second", &number(figures.msgs_per_node_s, 2))?;
        row(f, "bytes per node and second", &number(figures.bytes_per_node_s, 0))?;
        row(f, "trace hash", &figures.trace_hash)?;
        let (virtual_s, real_s) = (self.length.as_secs_f64(), self.took.as_secs_f64());
        write!(
            f,
            "\n{happened} steps, {virtual_s:.0} s simulated in {real_s:.2} s, {:.0} times real time",
            virtual_s / real_s
        )
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, value: &str) -> fmt::Result {
    writeln!(f, "{name:<28} {value}")
}

fn seconds(ms: Option<f64>) -> String {
    ms.map_or_else(|| "-".to_owned(), |ms| format!("{:.3} s", ms / 1e3))
}

fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| format!("{:>9}", "-"), |value| format!("{value:>9.decimals$}"))
}

/// Shows the report of a run of registers; `took` is real time.
pub(super) struct Registers<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) report: &'a registers::Report,
    pub(super) took: Duration,
}

impl fmt::Display for Registers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, report, took } = self;
        let &Scenario { nodes, slots, keys, clients_per_key, min_members, .. } = *scenario;
        row(f, "seed", &format!("{:>20}", report.seed))?;
        row(f, "trace hash", &format!("{:>20}", report.trace_hash))?;
        row(
            f,
            "nodes, slots, keys, clients",
            &format!("{nodes}, {slots}, {keys}, {}", keys * clients_per_key),
        )?;
        if min_members > 0 {
            row(f, "writes need members", &format!("{min_members}"))?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "{:<28} {:>9} {:>9} {:>11} {:>9}",
            "operations", "done", "refused", "unavailable", "unknown"
        )?;
        let operations = &report.operations;
        let kinds = [
            ("  get", operations.get),
            ("  put", operations.put),
            ("  delete", operations.delete),
            ("  conditional put", operations.swap),
            ("  increment", operations.add),
        ];
        for (name, Outcomes { done, refused, unavailable, unknown }) in kinds {
            writeln!(f, "{name:<28} {done:>9} {refused:>9} {unavailable:>11} {unknown:>9}")?;
        }
        writeln!(f, "{:<28} {:>9} {:>9} {:>11}", "", "p50", "p99", "max")?;
        let wait = |time: Option<Duration>| {
            time.map_or_else(|| "-".to_owned(), |time| format!("{:.1} ms", time.as_secs_f64() * 1e3))
        };
        let [p50, p99, max] = [report.waits.p50, report.waits.p99, report.waits.max].map(wait);
        writeln!(f, "{:<28} {p50:>9} {p99:>9} {max:>11}", "answered after")?;
        writeln!(f)?;
        let mut faults: Vec<String> =
            report.faults.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        if faults.is_empty() {
            faults.push("none".to_owned());
        }
        for (index, line) in faults.chunks(4).enumerate() {
            row(f, if index == 0 { "faults" } else { "" }, &line.join(", "))?;
        }
        row(f, "slots handed over", &format!("{:>9}", report.hand_offs))?;
        row(f, "slots merged", &format!("{:>9}", report.merges))?;
        row(f, "values superseded", &format!("{:>9}", report.superseded))?;
        row(f, "slots lost in crashes", &format!("{:>9}", report.slots_lost))?;
        if min_members > 0 {
            row(f, "writes refused among few", &format!("{:>9}", report.too_few))?;
        }
        row(f, "two holders were possible", if report.forked { "      yes" } else { "       no" })?;
        let settled = report.settled_after.map(|time| time.as_secs_f64() * 1e3);
        row(f, "settled after the faults", &format!("{:>9}", seconds(settled)))?;
        if report.undecided > 0 {
            row(f, "histories not decided", &format!("{:>9}", report.undecided))?;
        }
        row(f, "verdict", if report.verdict.is_ok() { "       ok" } else { " VIOLATED" })?;
        let (virtual_s, real_s) = (report.simulated.as_secs_f64(), took.as_secs_f64());
        write!(
            f,
            "\n{:.0} s of {:.0} node-seconds simulated in {real_s:.2} s",
            virtual_s, report.node_seconds
        )
    }
}
