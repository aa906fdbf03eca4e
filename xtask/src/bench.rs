//! `cargo xtask bench`: the criterion benchmarks, or the comparison of real servers under load.

mod chart;
mod compare;
mod goals;
mod load;
mod protocol;
mod report;
mod server;
mod space;
mod workload;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use compare::{Findings, Method};
use server::{Name, Peer, Yard};

use crate::nodes::{self, Signals};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Compare boato under load with these servers, separated by commas; a missing one is skipped. Without it, the criterion
    /// benchmarks run
    #[arg(long, value_delimiter = ',', num_args = 0..=1, default_missing_value = "redis,memcached,nginx")]
    against: Option<Vec<Peer>>,
    /// Only workloads with these words in their names, separated by commas: `get-64-p16,http`; `resp,http` are all [default:
    /// some with every mix, size, depth, spread and shape]
    #[arg(long, value_delimiter = ',', requires = "against")]
    workloads: Vec<String>,
    /// A first impression: one short run of each, 64 B, uniform keys, one node unless --workloads says otherwise
    #[arg(long, requires = "against")]
    quick: bool,
    /// Measure this boato instead of building one, for instance that of another commit
    #[arg(long, value_name = "FILE", requires = "against")]
    program: Option<PathBuf>,
    /// Measure this boato, too, in the same runs: what a change has brought
    #[arg(long, value_name = "FILE", requires = "against")]
    before: Option<PathBuf>,
    /// How many connections
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    connections: u16,
    /// How many keys; fewer where their values would take more than 1 GiB
    #[arg(long, default_value_t = workload::KEYS, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    keys: u32,
    /// Seconds that each run is measured [default: 1, with --quick 0.3]
    #[arg(long, value_parser = seconds)]
    seconds: Option<f64>,
    /// Runs of each server and workload [default: 3, with --quick 1]
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=100))]
    repeats: Option<u8>,
    /// Write everything to this file
    #[arg(long, value_name = "FILE", requires = "against")]
    json: Option<PathBuf>,
    /// Draw a chart into this file
    #[arg(long, value_name = "FILE", requires = "against")]
    svg: Option<PathBuf>,
    /// Write tables to this file
    #[arg(long, value_name = "FILE", requires = "against")]
    markdown: Option<PathBuf>,
    /// Passed to criterion, for instance a filter: `cargo xtask bench owner -- --quick`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// What --quick measures.
const QUICK: [&str; 2] = ["64-get-uniform-one", "64-set-uniform-one"];

fn seconds(text: &str) -> Result<f64> {
    let seconds: f64 = text.parse().context("give a number")?;
    ensure!((0.1..=60.0).contains(&seconds), "give 0.1 to 60 seconds");
    Ok(seconds)
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.against {
        Some(peers) => {
            ensure!(args.rest.is_empty(), "criterion's arguments do not go with --against");
            against(peers, args)
        }
        None => criterion(&args.rest),
    }
}

fn criterion(rest: &[String]) -> Result<()> {
    let status = crate::cargo().args(["bench", "--package", "boato-benches"]).args(rest).status();
    let status = status.context("starting cargo bench")?;
    ensure!(status.success(), "cargo bench failed: {status}");
    Ok(())
}

fn against(peers: &[Peer], args: &Args) -> Result<()> {
    let patterns = match &args.workloads[..] {
        [] if args.quick => QUICK.map(str::to_owned).to_vec(),
        given => given.to_vec(),
    };
    let workloads = workload::choose(&patterns, args.keys)?;
    let signals = Signals::new()?;
    let program = args.program.clone().map_or_else(|| nodes::build(true), Ok)?;
    let dir =
        tempfile::Builder::new().prefix("boato-bench-").tempdir().context("making a temporary folder")?;
    let bare = peers.iter().any(|peer| peer.is_bare()).then(nodes::build_bare).transpose()?;
    let yard = Yard { program, before: args.before.clone(), bare, dir: dir.path().to_owned() };
    let before = args.before.as_ref().map(|_| Name::Before);
    let peers = peers.iter().copied().map(Name::Peer);
    let method = Method {
        servers: std::iter::once(Name::Boato).chain(before).chain(peers).collect(),
        connections: args.connections.into(),
        length: Duration::from_secs_f64(args.seconds.unwrap_or(if args.quick { 0.3 } else { 1.0 })),
        repeats: args.repeats.map_or(if args.quick { 1 } else { 3 }, usize::from),
    };
    println!("{}", report::HEADING);
    let done = compare::run(&method, &workloads, &yard, &signals, |line| println!("{}", report::rows(line)));
    if done.is_err() {
        eprintln!("logs are kept in {}", dir.keep().display());
    }
    let findings = done?;
    print!("{}", report::notes(&findings));
    write(&findings, args)
}

fn write(findings: &Findings, args: &Args) -> Result<()> {
    if let Some(file) = &args.json {
        let text = serde_json::to_string_pretty(findings).context("writing JSON")?;
        std::fs::write(file, text + "\n").with_context(|| format!("writing {}", file.display()))?;
    }
    if let Some(file) = &args.markdown {
        std::fs::write(file, goals::markdown(findings) + "\n" + &report::markdown(findings))
            .with_context(|| format!("writing {}", file.display()))?;
    }
    if let Some(file) = &args.svg {
        chart::draw(&findings.lines, file)?;
    }
    Ok(())
}
