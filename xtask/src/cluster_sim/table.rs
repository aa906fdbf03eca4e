//! The report as a table for people.

use std::fmt;
use std::time::Duration;

use boato_sim::membership::Report;

/// Shows a report; `took` is real time.
pub(super) struct Table<'a> {
    pub(super) report: &'a Report,
    pub(super) length: Duration,
    pub(super) took: Duration,
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { figures, detect_max_ms, false_suspicions, happened, .. } = self.report;
        let pair = |one, other| format!("{:>9} {:>10}", seconds(one), seconds(other));
        row(f, "converged", &format!("{:>9}", seconds(figures.converge_ms)))?;
        writeln!(f, "{:<28} {:>9} {:>10} {:>10}", "", "p50", "p99", "max")?;
        row(f, "crash suspected", &pair(figures.suspect_p50_ms, figures.suspect_p99_ms))?;
        let declared = pair(figures.detect_p50_ms, figures.detect_p99_ms);
        row(f, "crash declared", &format!("{declared} {:>10}", seconds(*detect_max_ms)))?;
        row(f, "false suspicions", &format!("{false_suspicions:>9}"))?;
        row(f, "false deaths", &format!("{:>9}", figures.false_deaths))?;
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
