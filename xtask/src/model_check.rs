//! `cargo xtask model-check`: every order of events of small clusters, on the machines that run in production.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use boato_sim::model::{self, Bounds, Canary, End, Progress, Report, Script};
use indicatif::{ProgressBar, ProgressStyle};

use crate::fault::Fault;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which script; several with commas between them
    #[arg(long, default_value = "all", value_delimiter = ',')]
    script: Vec<String>,
    /// Time for all scripts together; a script gets an equal share of what is left
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
    /// States per script
    #[arg(long, default_value_t = 2_000_000)]
    states: usize,
    /// Steps from the beginning
    #[arg(long, default_value_t = 1000)]
    depth: usize,
    /// Run a fair schedule to its end from one state in so many; 0: from none
    #[arg(long, default_value_t = 256)]
    sample: u64,
    /// Everything in its turn but for so many times: fewer states, longer ways [default: there are no turns]
    #[arg(long)]
    detours: Option<u8>,
    /// Frames last: what was sent may arrive at any later time, as often as it likes
    #[arg(long, conflicts_with_all = ["detours", "canaries"])]
    lasting: bool,
    /// Threads [default: one per core]
    #[arg(long)]
    threads: Option<usize>,
    /// With this deliberate bug in force
    #[arg(long, conflicts_with = "canaries")]
    canary: Option<String>,
    /// Look for every deliberate bug
    #[arg(long)]
    canaries: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let length = Duration::try_from_secs_f64(60.0 * args.minutes).ok().filter(|length| !length.is_zero());
    let length = length.with_context(|| format!("--minutes {}: give a time above 0", args.minutes))?;
    let scripts = chosen(&args.script)?;
    if args.canaries {
        return hunt_all(args, &scripts, length);
    }
    let canary = args.canary.as_deref().map(named).transpose()?;
    println!("{}", head());
    let started = Instant::now();
    let mut violated = 0_u32;
    for (done, script) in scripts.iter().enumerate() {
        let left = scripts.len() - done;
        let share = length.saturating_sub(started.elapsed()) / u32::try_from(left).unwrap_or(u32::MAX);
        let (report, took) = explore(args, script, canary, (args.states, args.detours), share)?;
        println!("{}", row(script, &report, took));
        if let Some((what, lines)) = &report.violation {
            violated += 1;
            println!("\n{what}\n{}\n", lines.join("\n"));
        }
    }
    if violated > 0 {
        return Err(Fault::violation(format!(
            "{violated} scripts break an invariant; their traces are above"
        )));
    }
    Ok(())
}

fn chosen(names: &[String]) -> Result<Vec<Script>> {
    let all = model::scripts();
    if names == ["all"] {
        return Ok(all);
    }
    let known = || all.iter().map(|script| script.name).collect::<Vec<_>>().join(", ");
    let find = |name: &String| {
        let found = all.iter().find(|script| script.name == name).cloned();
        found.with_context(|| format!("--script {name}: give all, or some of {}", known()))
    };
    names.iter().map(find).collect()
}

fn named(name: &str) -> Result<Canary> {
    let known = || Canary::ALL.iter().map(|canary| canary.name()).collect::<Vec<_>>().join(", ");
    let found = Canary::ALL.iter().copied().find(|canary| canary.name() == name);
    found.with_context(|| format!("--canary {name}: give one of {}", known()))
}

fn explore(
    args: &Args,
    script: &Script,
    canary: Option<Canary>,
    (states, detours): (usize, Option<u8>),
    share: Duration,
) -> Result<(Report, Duration)> {
    let cores = || thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = args.threads.unwrap_or_else(cores);
    ensure!((1..=1024).contains(&threads), "--threads {threads}: give 1 to 1024");
    ensure!(u32::try_from(args.states).is_ok(), "--states {}: give fewer than 2^32", args.states);
    let bounds =
        Bounds { states, depth: args.depth, sample: args.sample, threads, detours, lasting: args.lasting };
    let style = ProgressStyle::with_template("{spinner} {prefix}  {msg}").context("the style of the line")?;
    let line = ProgressBar::new_spinner().with_style(style).with_prefix(script.name);
    let started = Instant::now();
    let report = model::check(script, canary, bounds, &mut |progress| {
        let Progress { states, depth, frontier, .. } = progress;
        line.set_message(format!("{states} states, depth {depth}, {frontier} to go on from"));
        line.tick();
        started.elapsed() < share
    });
    line.finish_and_clear();
    Ok((report, started.elapsed()))
}

fn head() -> String {
    format!(
        "{:<18}{:>10}{:>12}{:>7}{:>10}{:>9}{:>8}  {}",
        "script", "states", "steps", "depth", "steps/s", "fair", "time", "result"
    )
}

fn row(script: &Script, report: &Report, took: Duration) -> String {
    let Progress { states, transitions, depth, fair_runs, .. } = report.progress;
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = transitions as f64 / took.as_secs_f64().max(0.001);
    let result = match report.end {
        End::Exhausted => "exhausted".to_owned(),
        End::Within(beyond) => format!("exhausted but for {beyond} states beyond its bounds"),
        End::States => "cut by --states".to_owned(),
        End::Depth => "cut by --depth".to_owned(),
        End::Stopped => "cut by --minutes".to_owned(),
        End::Violated => "VIOLATED".to_owned(),
    };
    let seconds = format!("{:.1}s", took.as_secs_f64());
    let name = script.name;
    format!(
        "{name:<18}{states:>10}{transitions:>12}{depth:>7}{rate:>10.0}{fair_runs:>9}{seconds:>8}  {result}"
    )
}

/// States per script, and detours, in the first passes over all scripts: most bugs are found with few.
const PASSES: [(usize, Option<u8>); 5] =
    [(2000, None), (5000, Some(1)), (20_000, None), (30_000, Some(3)), (200_000, Some(3))];

/// Every deliberate bug in every script, until one finds it.
fn hunt_all(args: &Args, scripts: &[Script], length: Duration) -> Result<()> {
    let started = Instant::now();
    let mut missed = 0;
    println!("{:<28}{:<18}{:>7}{:>10}  violation", "canary", "script", "steps", "states");
    for (done, &canary) in Canary::ALL.iter().enumerate() {
        let left = Canary::ALL.len() - done;
        let share = length.saturating_sub(started.elapsed()) / u32::try_from(left).unwrap_or(u32::MAX);
        if !hunt(args, scripts, canary, share)? {
            missed += 1;
            println!("{:<28}not found", canary.name());
        }
    }
    if missed > 0 {
        bail!("{missed} of {} deliberate bugs were not found", Canary::ALL.len());
    }
    Ok(())
}

fn hunt(args: &Args, scripts: &[Script], canary: Canary, share: Duration) -> Result<bool> {
    let started = Instant::now();
    let passes = PASSES.into_iter().filter(|(states, _)| *states < args.states);
    let passes = passes.chain([(args.states, args.detours)]);
    for (pass, script) in passes.flat_map(|pass| scripts.iter().map(move |script| (pass, script))) {
        let left = share.saturating_sub(started.elapsed());
        if left.is_zero() {
            break;
        }
        let (report, _) = explore(args, script, Some(canary), pass, left)?;
        if let Some((what, _)) = report.violation {
            let Progress { depth, states, .. } = report.progress;
            let steps = depth + 1;
            let what: String = what.chars().take(90).collect();
            println!("{:<28}{:<18}{steps:>7}{states:>10}  {what}", canary.name(), script.name);
            return Ok(true);
        }
    }
    Ok(false)
}
