//! `cargo xtask cluster-sim`: a cluster in virtual time, of gossip cores or of whole nodes with clients.

mod registers;
mod table;

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use boato_sim::membership::{self, Progress, Report, Scenario};
use indicatif::{ProgressBar, ProgressStyle};
use table::Table;

/// What is simulated.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Workload {
    /// Gossip cores that assemble, run calm and lose members
    Membership,
    /// Whole nodes with clients that read and write, and everything that can go wrong
    Registers,
}

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What is simulated
    #[arg(long, default_value = "membership")]
    workload: Workload,
    /// How many nodes [default: 100; registers: drawn from the seed]
    #[arg(long)]
    nodes: Option<u32>,
    /// Everything random follows from it [default: random]
    #[arg(long)]
    seed: Option<u64>,
    /// Membership: probability that a packet gets lost [default: 0]
    #[arg(long)]
    loss: Option<f64>,
    /// Membership: mean one-way delay of a packet [default: 1ms]
    #[arg(long, value_parser = duration)]
    latency: Option<Duration>,
    /// Membership: virtual time of the whole run [default: 5]. Registers: of its part with faults [default: drawn]
    #[arg(long)]
    minutes: Option<f64>,
    /// Membership: how many nodes crash [default: 1]
    #[arg(long)]
    crashes: Option<u32>,
    /// Membership: so many minutes of the run, the cluster is cut in half [default: 0]
    #[arg(long)]
    partition: Option<f64>,
    /// Membership: so many nodes stand still again and again [default: 0]
    #[arg(long)]
    stalls: Option<u32>,
    /// Membership: how long they stand still, and run in between, at most [default: 5s]
    #[arg(long, value_parser = duration)]
    stall: Option<Duration>,
    /// Registers: "all": a few kinds, drawn from the seed; "none"; or the kinds, separated by commas [default: all]
    #[arg(long)]
    faults: Option<String>,
    /// Registers: the deliberate bug in force
    #[arg(long)]
    canary: Option<String>,
    /// Registers: print what happens
    #[arg(long)]
    trace: bool,
    /// Print the figures as one JSON object, and no table
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match args.workload {
        Workload::Membership => run_membership(args),
        Workload::Registers => registers::run(args),
    }
}

fn run_membership(args: &Args) -> Result<()> {
    Args::refuse(&[
        ("--faults", args.faults.is_some()),
        ("--canary", args.canary.is_some()),
        ("--trace", args.trace),
    ])?;
    let minutes = args.minutes.unwrap_or(5.0);
    let scenario = args.scenario(minutes)?;
    let options = options(&scenario, minutes);
    if args.json {
        eprintln!("{options}");
    } else {
        println!("{options}\n");
    }
    let bar = progress_bar(&scenario)?;
    let started = Instant::now();
    let report = membership::run(&scenario, &mut |progress| show(&bar, progress))?;
    bar.finish_and_clear();
    if args.json {
        println!("{}", serde_json::to_string(&report.figures).context("writing the figures")?);
    } else {
        println!("{}", Table { report: &report, length: scenario.length, took: started.elapsed() });
    }
    verdict(&report)
}

impl Args {
    fn scenario(&self, minutes: f64) -> Result<Scenario> {
        let default = Scenario::new(self.nodes.unwrap_or(100), self.seed.unwrap_or_else(made_up));
        Ok(Scenario {
            length: length(minutes)?,
            loss: self.loss.unwrap_or(default.loss),
            latency: self.latency.unwrap_or(default.latency),
            crashes: self.crashes.unwrap_or(default.crashes),
            partition: self.partition.map_or(Ok(Duration::ZERO), span)?,
            stalls: self.stalls.unwrap_or(default.stalls),
            stall: self.stall.unwrap_or(default.stall),
            ..default
        })
    }

    /// Refuses options that were given and mean nothing to this workload.
    fn refuse(given: &[(&str, bool)]) -> Result<()> {
        match given.iter().find(|(_, given)| *given) {
            Some((flag, _)) => bail!("{flag} means nothing to this --workload"),
            None => Ok(()),
        }
    }
}

fn length(minutes: f64) -> Result<Duration> {
    ensure!(minutes > 0.0, "--minutes {minutes}: give a time above 0");
    span(minutes)
}

fn span(minutes: f64) -> Result<Duration> {
    let span = Duration::try_from_secs_f64(60.0 * minutes).ok().filter(|_| minutes <= 1e6);
    span.with_context(|| format!("{minutes} minutes: give 0 to a million"))
}

fn made_up() -> u64 {
    u64::from(SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().subsec_nanos())
}

/// All options by the names of their flags, so that anybody can do the same run again.
fn options(scenario: &Scenario, minutes: f64) -> String {
    let Scenario { nodes, seed, loss, latency, crashes, partition, stalls, stall, .. } = scenario;
    let partition = partition.as_secs_f64() / 60.0;
    format!(
        "seed {seed}  nodes {nodes}  loss {loss}  latency {latency:?}  minutes {minutes}  crashes {crashes}  \
         partition {partition}  stalls {stalls}  stall {stall:?}"
    )
}

/// Drawn on standard error, and only on a terminal.
fn progress_bar(scenario: &Scenario) -> Result<ProgressBar> {
    let style =
        ProgressStyle::with_template("{bar:40} {pos:>4}/{len} s  {msg}").context("the style of the bar")?;
    Ok(ProgressBar::new(scenario.length.as_secs()).with_style(style))
}

fn show(bar: &ProgressBar, progress: Progress) {
    bar.set_position(progress.now.as_secs());
    bar.set_message(format!("lists {:.1} % complete", 100.0 * progress.completeness));
}

fn verdict(report: &Report) -> Result<()> {
    if report.shortfalls.is_empty() {
        return Ok(());
    }
    let reasons: Vec<_> = report.shortfalls.iter().map(ToString::to_string).collect();
    bail!("the cluster fell short:\n  {}", reasons.join("\n  "))
}

/// A number and its unit: `500us`, `1ms`, `0.2s`.
fn duration(text: &str) -> Result<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_alphabetic());
    let unit = match &text[digits.len()..] {
        "ns" => 1e-9,
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        _ => bail!("give a number and its unit: ns, us, ms or s"),
    };
    let seconds = digits.parse::<f64>().context("give a number and its unit")? * unit;
    ensure!((0.0..=60.0).contains(&seconds), "give 0 to 60 s");
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        for (text, micros) in [("500us", 500), ("1ms", 1_000), ("0.2s", 200_000), ("1.5ms", 1_500), ("0s", 0)]
        {
            let parsed = duration(text).unwrap();
            assert_eq!(parsed, Duration::from_micros(micros), "{text}");
            assert_eq!(
                duration(&format!("{parsed:?}")).unwrap(),
                parsed,
                "what is printed can be given again"
            );
        }
        for bad in ["", "1", "ms", "-1ms", "1h", "61s", "nans", "infs"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
