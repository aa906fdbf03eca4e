//! `boato bench`: a quick load test of a running cluster.

use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::json;

use super::door::Doors;
use super::failure::Failure;
use super::output;
use super::resp::Resp;
use crate::config::{ByteSize, Period};

/// Keys that it writes start with this, and live this long.
const PREFIX: &str = "boato-bench:";
const TTL: Duration = Duration::from_mins(1);

/// What is done how often.
#[derive(Clone, clap::Args)]
pub(super) struct Args {
    /// Connections, each with a thread of its own
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    connections: u16,

    /// Commands that are sent together
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pipeline: u16,

    /// How long
    #[arg(long = "time", value_name = "TIME", default_value = "5s", value_parser = Period::positive)]
    time: Period,

    /// Different keys
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    keys: u32,

    /// Size of a value
    #[arg(long, value_name = "SIZE", default_value = "100")]
    value: ByteSize,

    /// Reads among a hundred operations; the others write
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u8).range(0..=100))]
    reads: u8,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    doors: Doors,
}

/// What one connection has seen.
struct Seen {
    /// Times of round trips in microseconds.
    took_us: Histogram<u64>,
    operations: u64,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let doors = args.doors.all()?;
    let start = Instant::now();
    let workers: Vec<_> = (0..args.connections)
        .map(|number| {
            let (args, door) = (args.clone(), doors[usize::from(number) % doors.len()].clone());
            thread::spawn(move || load(&args, number.into(), door.connect()?))
        })
        .collect();
    let mut all = Seen::new();
    for worker in workers {
        let seen = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        all.operations += seen.operations;
        all.took_us.add(&seen.took_us).expect("invariant: the same bounds");
    }
    all.report(args, start.elapsed(), doors.len())
}

/// Works through one connection until the time is over.
fn load(args: &Args, number: u64, mut node: Resp) -> Result<Seen, Failure> {
    let mut rng = fastrand::Rng::with_seed(number);
    let value = vec![b'x'; usize::try_from(args.value.0).unwrap_or(usize::MAX)];
    let (start, mut seen) = (Instant::now(), Seen::new());
    while start.elapsed() < args.time.0 {
        let commands: Vec<(String, bool)> = (0..args.pipeline)
            .map(|_| (format!("{PREFIX}{}", rng.u32(0..args.keys)), rng.u8(0..100) < args.reads))
            .collect();
        let sent = Instant::now();
        node.use_keys(&commands, &value, TTL)?;
        let us = u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX);
        seen.took_us.saturating_record(us);
        seen.operations += u64::from(args.pipeline);
    }
    Ok(seen)
}

impl Seen {
    fn new() -> Self {
        let took_us = Histogram::new_with_bounds(1, 60_000_000, 3).expect("invariant: these bounds are fine");
        Self { took_us, operations: 0 }
    }

    fn report(&self, args: &Args, took: Duration, nodes: usize) -> Result<(), Failure> {
        let rate = u128::from(self.operations) * 1000 / took.as_millis().max(1);
        let quantiles = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];
        let quantiles = quantiles.map(|(name, share)| (name, self.took_us.value_at_quantile(share)));
        if args.json {
            let us: serde_json::Map<_, _> =
                quantiles.iter().map(|(name, us)| ((*name).to_owned(), json!(us))).collect();
            let rate = u64::try_from(rate).unwrap_or(u64::MAX);
            return Ok(output::json(
                &json!({ "operations": self.operations, "operations_per_s": rate, "nodes": nodes, "took_us": us }),
            )?);
        }
        let ms = |us: u64| format!("{}.{:02} ms", us / 1000, us / 10 % 100);
        let mut rows = vec![
            ["operations/s".to_owned(), rate.to_string()],
            ["nodes asked".to_owned(), nodes.to_string()],
        ];
        rows.extend(quantiles.map(|(name, us)| [name.to_owned(), ms(us)]));
        output::table(["FIGURE", "VALUE"], rows, &[1])?;
        let (pipeline, connections, reads) = (args.pipeline, args.connections, args.reads);
        Ok(output::line(&format!(
            "times of {pipeline} at a time on {connections} connections, {reads} % reads; its keys are gone in a minute"
        ))?)
    }
}
