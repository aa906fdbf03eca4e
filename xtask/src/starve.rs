//! `cargo xtask starve`: real nodes, one of which gets only a part of its time; nobody may be declared dead.

use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use boato_sim::membership::Config;
use fastrand::Rng;

use crate::fault::Fault;
use crate::nodes::{self, Http, Launch, Node, Signals};

/// The shortest time that it stands still.
const SHORTEST: Duration = Duration::from_millis(20);
/// Longest wait for an answer about the cluster.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// What a node says in its log when it declares another dead.
const DECLARED: &str = "a member failed";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many nodes
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(3..=16))]
    nodes: u16,
    /// For how long one of them is stopped (SIGSTOP) and let go (SIGCONT) again and again
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Which percentage of its time is stolen
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u8).range(1..=95))]
    percent: u8,
    /// The longest time that it stands still, in milliseconds; the lengths are drawn evenly
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u16).range(50..=10_000))]
    longest_ms: u16,
    /// The lengths follow from it [default: random]
    #[arg(long)]
    seed: Option<u64>,
    /// Build the nodes optimised
    #[arg(long)]
    release: bool,
    /// Passed to every node; the bound follows from --profile among them
    #[arg(last = true)]
    rest: Vec<String>,
}

/// How often the node stood still.
#[derive(Default)]
struct Stops {
    count: u32,
    sum: Duration,
    longest: Duration,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let length = Duration::try_from_secs_f64(60.0 * args.minutes).ok().filter(|_| args.minutes <= 1e4);
    let length = length.with_context(|| format!("--minutes {}: give a time", args.minutes))?;
    let bound = bound(&args.rest, args.nodes)?;
    let signals = Signals::new()?;
    let program = nodes::build(args.release)?;
    let dir = tempfile::Builder::new().prefix("boato-starve-").tempdir();
    let dir = dir.context("making a temporary folder")?;
    let cluster = format!("starve-{}", std::process::id());
    let launch = Launch { program, cluster, dir: dir.path().to_owned(), args: args.rest.clone() };
    let outcome = starve(args, (length, bound), &launch, &signals);
    if outcome.is_err() {
        eprintln!("logs are kept in {}", dir.keep().display());
    }
    outcome
}

/// A member is declared dead only if it stands still for longer than this, the shortest suspicion (docs/membership.md).
fn bound(rest: &[String], nodes: u16) -> Result<Duration> {
    ensure!(
        !rest.iter().any(|arg| arg.starts_with("--secret")),
        "nodes with a secret cannot be asked here; for their bound give -- --profile lan"
    );
    let mut profile = None;
    for (at, arg) in rest.iter().enumerate() {
        match arg.strip_prefix("--profile") {
            Some("") => profile = rest.get(at + 1).map(String::as_str),
            Some(value) => profile = value.strip_prefix('='),
            None => {}
        }
    }
    let config = match profile.unwrap_or("local") {
        "local" => Config::local(),
        "lan" => Config::lan(),
        "wan" => Config::wan(),
        other => bail!("--profile {other}: give local, lan or wan"),
    };
    let scaled = f64::from(config.suspicion_multiplier) * f64::from(nodes).log10();
    Ok(config.probe_interval.mul_f64(scaled.max(config.suspicion_floor.into())))
}

fn starve(
    args: &Args,
    (length, bound): (Duration, Duration),
    launch: &Launch,
    signals: &Signals,
) -> Result<()> {
    let made_up = || u64::from(SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().subsec_nanos());
    let seed = args.seed.unwrap_or_else(made_up);
    let Args { nodes: count, percent, longest_ms, .. } = args;
    println!(
        "seed {seed}  nodes {count}  minutes {}  percent {percent}  longest-ms {longest_ms}  bound {bound:.1?}",
        args.minutes
    );
    let started: Result<Vec<Node>> =
        (1..=*count).map(|index| launch.start(&format!("n{index}"), &[])).collect();
    let mut all = started?;
    nodes::assemble(&mut all)?;
    let stops = steal(args, seed, length, &all[0], signals);
    // Whoever is suspected now is not dead before this ends, unless it has not said by then that it lives.
    nodes::assemble(&mut all)?;
    thread::sleep(bound);
    nodes::assemble(&mut all)?;
    verdict(&mut all, &stops, bound)
}

/// Stops the node and lets it go on, until the time is over or a signal comes.
fn steal(args: &Args, seed: u64, length: Duration, node: &Node, signals: &Signals) -> Stops {
    let mut rng = Rng::with_seed(seed);
    let (end, mut stops) = (Instant::now() + length, Stops::default());
    let share = f64::from(args.percent) / 100.0;
    let span = Duration::from_millis(args.longest_ms.into()).saturating_sub(SHORTEST);
    while Instant::now() < end {
        let stop = SHORTEST + span.mul_f64(rng.f64());
        let begin = Instant::now();
        node.freeze();
        thread::sleep(stop);
        node.thaw();
        let took = begin.elapsed();
        stops.count += 1;
        stops.sum += took;
        stops.longest = stops.longest.max(took);
        if signals.wait(took.mul_f64((1.0 - share) / share)) {
            break;
        }
    }
    stops
}

/// What each node has said of the others.
fn verdict(all: &mut [Node], stops: &Stops, bound: Duration) -> Result<()> {
    let Stops { count, sum, longest } = stops;
    println!("n1 stood still {count} times, {sum:.1?} in all, {longest:.2?} at most\n");
    println!(
        "{:<6} {:>12} {:>12} {:>8} {:>14}",
        "node", "suspicions", "refutations", "stalls", "declared dead"
    );
    let (http, mut deaths) = (Http::new(ANSWER_MAX), 0);
    for node in all {
        let door = node.ready().context("a node that was ready")?.http;
        let figure = |name: &str| http.metric(door, &format!("boato_gossip_{name}_total"));
        let [suspicions, refutations, stalls] =
            [figure("suspicions")?, figure("refutations")?, figure("stalls")?];
        let declared = node.log().matches(DECLARED).count();
        deaths += declared;
        println!("{:<6} {suspicions:>12} {refutations:>12} {stalls:>8} {declared:>14}", node.name);
    }
    ensure!(*count > 0, "n1 never stood still");
    if deaths > 0 && *longest <= bound {
        return Err(Fault::violation(format!("{deaths} times a member was declared dead that was not")));
    }
    let beyond = if *longest > bound {
        format!("; it stood still for longer than {bound:.1?}")
    } else {
        String::new()
    };
    println!("\n{deaths} times a member was declared dead{beyond}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_the_shortest_suspicion_of_the_profile() {
        let bound = |rest: &[&str], nodes| {
            let rest: Vec<String> = rest.iter().map(ToString::to_string).collect();
            bound(&rest, nodes).map(|bound| bound.as_millis())
        };
        assert_eq!(bound(&[], 5).unwrap(), 3000);
        assert_eq!(bound(&["--max-memory", "1MiB"], 16).unwrap(), 3612);
        assert_eq!(bound(&["--profile", "lan"], 5).unwrap(), 4000);
        assert_eq!(bound(&["--profile=lan"], 16).unwrap(), 4214);
        assert_eq!(bound(&["--profile=wan"], 5).unwrap(), 30_000);
        assert!(bound(&["--profile", "x"], 5).is_err());
        assert!(bound(&["--secret-file", "f"], 5).is_err());
    }
}
