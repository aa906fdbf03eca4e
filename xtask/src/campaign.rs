//! `cargo xtask campaign`: seed after seed of the simulated workload, on all cores, until something is found or the
//! time is up; or, with `--canaries`, until every deliberate bug has been found.

mod canaries;
mod tally;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use boato_sim::registers::{self, Report, Scenario};
use indicatif::{ProgressBar, ProgressStyle};
use tally::Tally;

use crate::fault::Fault;

/// Violations after which a campaign ends: more of them say no more.
const ENOUGH: usize = 10;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long to go on [default: 1, or until the last of --seeds]
    #[arg(long)]
    minutes: Option<f64>,
    /// How many seeds to run
    #[arg(long)]
    seeds: Option<u64>,
    /// The first seed; the others follow it. `commit`: made from the id of the commit that is checked out, so that they are
    /// others with every commit and the same for everybody who has it [default: random]
    #[arg(long, value_name = "SEED|commit", value_parser = first_seed)]
    from: Option<u64>,
    /// How many seeds to run at the same time [default: one per core]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Also write the report to this file
    #[arg(long)]
    report: Option<PathBuf>,
    /// Show that each deliberate bug is found, within this many seeds
    #[arg(long, value_name = "SEEDS", num_args = 0..=1, default_missing_value = "2000")]
    canaries: Option<u64>,
}

pub(crate) fn first_seed(text: &str) -> Result<u64> {
    if text != "commit" {
        return text.parse().context("give a number or `commit`");
    }
    let output = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(crate::root()).output()?;
    let id = String::from_utf8_lossy(&output.stdout);
    let digits = id.get(..8).context("no commit is checked out here: give a number")?;
    Ok(u32::from_str_radix(digits, 16).context("git names no commit")?.into())
}

/// What came of one seed.
type Outcome = std::result::Result<Report, String>;

pub(crate) fn run(args: &Args) -> Result<()> {
    let stop = stop_on_signal()?;
    let threads = args.threads.map_or_else(cores, usize::from);
    if let Some(seeds_max) = args.canaries {
        return canaries::run(seeds_max, args.from.unwrap_or(1), threads, stop);
    }
    let minutes = args.minutes.unwrap_or(if args.seeds.is_some() { f64::MAX } else { 1.0 });
    let length = Duration::try_from_secs_f64((60.0 * minutes).min(1e9));
    let length = length.ok().with_context(|| format!("--minutes {minutes}: give a time"))?;
    let first = args.from.unwrap_or_else(made_up);
    let seeds = args.seeds.unwrap_or(u64::MAX);
    println!("seeds from {first}, {threads} at a time\n");
    let bar = progress_bar(args.seeds, length)?;
    let started = Instant::now();
    let mut tally = Tally::default();
    let next = AtomicU64::new(0);
    let draw = || {
        let index = next.fetch_add(1, Ordering::Relaxed);
        let more = index < seeds && started.elapsed() < length && !stop.load(Ordering::Relaxed);
        more.then(|| Scenario::from_seed(first.wrapping_add(index)))
    };
    thread::scope(|scope| {
        for (seed, outcome) in workers(scope, threads, &draw) {
            tally.add(seed, outcome);
            show(&bar, &tally, started.elapsed(), args.seeds.is_some());
            if tally.violations.len() >= ENOUGH {
                stop.store(true, Ordering::Relaxed);
            }
        }
    });
    bar.finish_and_clear();
    ensure!(tally.seeds > 0, "no seed was run: give more --minutes, or --seeds of at least 1");
    let report = tally.report(first, started.elapsed());
    println!("{report}");
    if let Some(path) = &args.report {
        fs::write(path, report).with_context(|| format!("writing {}", path.display()))?;
    }
    tally.verdict()
}

/// Runs what `draw` gives on so many threads; the results in the order in which they come.
fn workers<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    threads: usize,
    draw: &'scope (impl Fn() -> Option<Scenario> + Sync),
) -> Receiver<(u64, Outcome)> {
    let (sender, receiver) = mpsc::channel();
    for _ in 0..threads {
        let sender = sender.clone();
        scope.spawn(move || {
            while let Some(scenario) = draw() {
                // Whoever listens has heard enough when this fails.
                if sender.send((scenario.seed, play(&scenario))).is_err() {
                    return;
                }
            }
        });
    }
    receiver
}

/// Plays one scenario. A panic of what is simulated is a finding.
fn play(scenario: &Scenario) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| registers::run(scenario))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a text").to_owned()
    })
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn made_up() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs()
}

/// True from the first Ctrl-C on, so that a campaign that is cut short still reports.
fn stop_on_signal() -> Result<&'static AtomicBool> {
    static STOP: AtomicBool = AtomicBool::new(false);
    ctrlc::set_handler(|| STOP.store(true, Ordering::Relaxed)).context("handling Ctrl-C")?;
    Ok(&STOP)
}

/// Drawn on standard error, and only on a terminal: seeds where their number is given, else seconds.
fn progress_bar(seeds: Option<u64>, length: Duration) -> Result<ProgressBar> {
    let style =
        ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}").context("the style of the bar")?;
    Ok(ProgressBar::new(seeds.unwrap_or(length.as_secs())).with_style(style))
}

fn show(bar: &ProgressBar, tally: &Tally, elapsed: Duration, by_seeds: bool) {
    bar.set_position(if by_seeds { tally.seeds } else { elapsed.as_secs() });
    let found = tally.violations.len();
    bar.set_message(format!(
        "{} seeds, {:.1} node-hours, {found} violations",
        tally.seeds,
        tally.node_hours()
    ));
}

/// The command that plays a seed again.
fn replay(seed: u64) -> String {
    format!("cargo xtask cluster-sim --workload registers --seed {seed}")
}

/// A violation as the error that sets the exit code: 2 for safety, 3 for liveness.
fn fault(text: String, safety: bool) -> anyhow::Error {
    if safety { Fault::violation(text) } else { Fault::stuck(text) }
}
