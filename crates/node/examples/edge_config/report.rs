//! What was measured.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;

/// From which node an answer came.
#[derive(Clone, Copy)]
pub(crate) enum Whence {
    /// The one that was asked.
    Local,
    /// Another.
    Cluster,
}

/// Latencies in microseconds, to three digits.
pub(crate) struct Latencies {
    local: Histogram<u64>,
    cluster: Histogram<u64>,
    lookup: Histogram<u64>,
}

impl Latencies {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { local: Histogram::new(3)?, cluster: Histogram::new(3)?, lookup: Histogram::new(3)? })
    }

    pub(crate) fn read(&mut self, whence: Whence, took: Duration) -> Result<()> {
        let latencies = match whence {
            Whence::Local => &mut self.local,
            Whence::Cluster => &mut self.cluster,
        };
        Ok(latencies.record(micros(took))?)
    }

    pub(crate) fn lookup(&mut self, took: Duration) -> Result<()> {
        Ok(self.lookup.record(micros(took))?)
    }

    pub(crate) fn lookups(&self) -> u64 {
        self.lookup.len()
    }

    pub(crate) fn add(&mut self, other: &Self) -> Result<()> {
        self.local.add(&other.local)?;
        self.cluster.add(&other.cluster)?;
        Ok(self.lookup.add(&other.lookup)?)
    }
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

/// The figures of a run.
pub(crate) struct Report {
    pub(crate) hosts: u32,
    pub(crate) stored_bytes: u64,
    pub(crate) load_time: Duration,
    pub(crate) lookups: u32,
    pub(crate) lookup_time: Duration,
    pub(crate) latencies: Latencies,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (load_s, lookup_s) = (self.load_time.as_secs_f64(), self.lookup_time.as_secs_f64());
        let writes = 2.0 * f64::from(self.hosts);
        let mib = self.stored_bytes >> 20;
        writeln!(f, "{} hosts with {mib} MiB of configurations on three nodes", self.hosts)?;
        writeln!(f, "stored in {load_s:.1} s: {:.0} writes/s", writes / load_s)?;
        writeln!(
            f,
            "{} lookups in {lookup_s:.1} s: {:.0} lookups/s, two reads each; every answer was right",
            self.lookups,
            f64::from(self.lookups) / lookup_s
        )?;
        writeln!(f)?;
        writeln!(
            f,
            "{:<22}{:>10}{:>9}{:>9}{:>9}{:>9}",
            "latency in us", "count", "p50", "p90", "p99", "p99.9"
        )?;
        let latencies = &self.latencies;
        line(f, "read, asked node holds", &latencies.local)?;
        line(f, "read, another holds", &latencies.cluster)?;
        line(f, "lookup", &latencies.lookup)
    }
}

fn line(f: &mut fmt::Formatter<'_>, what: &str, latencies: &Histogram<u64>) -> fmt::Result {
    let [p50, p90, p99, p999] = [0.5, 0.9, 0.99, 0.999].map(|part| latencies.value_at_quantile(part));
    writeln!(f, "{what:<22}{:>10}{p50:>9}{p90:>9}{p99:>9}{p999:>9}", latencies.len())
}
