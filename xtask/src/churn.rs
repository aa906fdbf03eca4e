//! `cargo xtask churn`: real nodes that come, go, stall and die under clients whose every answer is judged.

mod client;
mod conductor;
mod doors;
mod fate;
mod fleet;
mod key;
mod load;
mod merges;
pub(crate) mod reshard;
mod stage;
mod tally;
mod trouble;
mod verdict;
mod view;

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use client::Client;
use conductor::Conductor;
use fate::Fates;
use fleet::{Counted, Fleet};
use load::Load;
use merges::Merges;
use tally::Tally;
use trouble::Trouble;
use verdict::Verdict;

use crate::fault::Fault;
use crate::nodes::{self, Launch, Signals};
use crate::relay::{Relay, Weather};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many nodes; a few more or less at times
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(3..=16))]
    nodes: u16,
    /// How long things happen; what has begun then is seen to its end
    #[arg(long, default_value_t = 2.0)]
    minutes: f64,
    /// What happens when, to whom, and what clients do follows from it; when they get to do it does not [default: random]
    #[arg(long)]
    seed: Option<u64>,
    /// What may happen, separated by commas
    #[arg(long, value_delimiter = ',', default_values = ["join", "leave", "restart", "stop", "stall", "kill"])]
    faults: Vec<Trouble>,
    #[command(flatten)]
    network: Network,
    /// What happens
    #[arg(long, value_enum, default_value = "chance")]
    scenario: Scenario,
    /// How many keys are in use at a time
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    keys: u32,
    /// MiB of large values, written once, in 32 slots that every other key shares, so that moving these takes time
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(0..=4096))]
    ballast_mib: u16,
    /// How many clients
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u8).range(1..=64))]
    clients: u8,
    /// With `--scenario upgrade`: the program to begin with, a build of the version before [default: the same program,
    /// told to speak the previous wire version only]
    #[arg(long, value_name = "PROGRAM")]
    before: Option<PathBuf>,
    /// Build the nodes optimised
    #[arg(long)]
    release: bool,
    /// Passed to every node
    #[arg(last = true)]
    rest: Vec<String>,
}

/// The network between the nodes. Any of it, and the faults cut and partition, put a relay between them.
#[derive(clap::Args)]
struct Network {
    /// Probability that a packet between nodes is lost
    #[arg(long, default_value_t = 0.0, value_parser = probability)]
    loss: f64,
    /// Longest delay of a packet in milliseconds; each is delayed by half to all of it
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1000))]
    delay_ms: u16,
    /// Probability that a packet comes 1 to 20 ms later than it would
    #[arg(long, default_value_t = 0.0, value_parser = probability)]
    reorder: f64,
    /// Probability that a packet comes twice
    #[arg(long, default_value_t = 0.0, value_parser = probability)]
    duplicate: f64,
}

impl Network {
    fn weather(&self) -> Weather {
        let Self { loss, delay_ms, reorder, duplicate } = *self;
        Weather { loss, delay: Duration::from_millis(delay_ms.into()), reorder, duplicate }
    }
}

fn probability(text: &str) -> Result<f64> {
    let probability: f64 = text.parse().context("give a number")?;
    ensure!((0.0..1.0).contains(&probability), "give a probability below 1");
    Ok(probability)
}

/// What happens in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Scenario {
    /// Whatever --faults allows, by chance
    Chance,
    /// All nodes restart, one after the other; clients try again after 503, and must see no error
    Rolling,
    /// The same, and each speaks a newer wire version than before: see --before
    Upgrade,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let length = Duration::try_from_secs_f64(60.0 * args.minutes).ok().filter(|_| args.minutes <= 1e4);
    let length = length.with_context(|| format!("--minutes {}: give a time", args.minutes))?;
    let signals = Signals::new()?;
    let program = nodes::build(args.release)?;
    let dir = tempfile::Builder::new().prefix("boato-churn-").tempdir();
    let dir = dir.context("making a temporary folder")?;
    let cluster = format!("churn-{}", std::process::id());
    let launch = Launch { program, cluster, dir: dir.path().to_owned(), args: merges::logged(&args.rest) };
    ensure!(
        args.before.is_none() || args.scenario == Scenario::Upgrade,
        "--before is for --scenario upgrade only"
    );
    let outcome = churn(args, length, launch, &signals);
    if outcome.is_err() {
        eprintln!("logs are kept in {}", dir.keep().display());
    }
    outcome
}

fn churn(args: &Args, length: Duration, launch: Launch, signals: &Signals) -> Result<()> {
    let made_up = || u64::from(SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().subsec_nanos());
    let seed = args.seed.unwrap_or_else(made_up);
    println!("{}", options(args, seed));
    let mut fleet = Fleet::new(before(args, &launch), relay(args, seed)?);
    let doors = fleet.assemble(args.nodes.into(), signals)?;
    fleet.launch = launch;
    let patient = args.scenario != Scenario::Chance;
    let (keys, ballast_bytes) = (usize::try_from(args.keys)?, usize::from(args.ballast_mib) << 20);
    let load = Load::new(keys, ballast_bytes, doors, patient, &fleet.http)?;
    let filled = Client::new(&load, seed).fill();
    let mut conductor = Conductor::new(fleet, &load.stage, signals, seed, length)?;
    conductor.load = Some(&load);
    let mut tally = with_clients(&load, args.clients, seed, || {
        let done = match args.scenario {
            Scenario::Chance => conductor.trouble(&args.faults, length),
            Scenario::Rolling | Scenario::Upgrade => conductor.roll(),
        };
        // Clients wait for stopped nodes, not for dead ones.
        done.inspect_err(|_| conductor.fleet.end())
    })?;
    tally.add(&filled);
    tally.add(&read_all(&load)?);
    let events = conductor.finish();
    judge(&load, &mut conductor, &tally, events, patient)
}

/// How the first nodes are started.
fn before(args: &Args, launch: &Launch) -> Launch {
    let mut launch = launch.clone();
    match (args.scenario, &args.before) {
        (Scenario::Upgrade, Some(program)) => launch.program.clone_from(program),
        (Scenario::Upgrade, None) => launch.args.push("--previous-wire".to_owned()),
        (Scenario::Chance | Scenario::Rolling, _) => {}
    }
    launch
}

/// Between the nodes, if they want a bad network.
fn relay(args: &Args, seed: u64) -> Result<Option<Relay>> {
    let weather = args.network.weather();
    let cuts = args.faults.iter().any(|fault| matches!(fault, Trouble::Cut | Trouble::Partition));
    (cuts || weather.is_bad()).then(|| Relay::start(seed, weather)).transpose()
}

/// All options by the names of their flags, so that anybody can do the same run again.
fn options(args: &Args, seed: u64) -> String {
    let faults: Vec<_> = args.faults.iter().map(|fault| format!("{fault:?}").to_lowercase()).collect();
    format!(
        "seed {seed}  nodes {}  minutes {}  scenario {}  faults {}  loss {}  delay-ms {}  reorder {}  duplicate {}  keys {}  ballast-mib {}  clients {}",
        args.nodes,
        args.minutes,
        format!("{:?}", args.scenario).to_lowercase(),
        faults.join(","),
        args.network.loss,
        args.network.delay_ms,
        args.network.reorder,
        args.network.duplicate,
        args.keys,
        args.ballast_mib,
        args.clients
    )
}

/// Does `what` while clients call, and gives back what they counted.
fn with_clients(load: &Load, clients: u8, seed: u64, what: impl FnOnce() -> Result<()>) -> Result<Tally> {
    thread::scope(|scope| {
        let clients = (1..=clients).map(|index| {
            let client = Client::new(load, seed ^ (u64::from(index) << 32));
            scope.spawn(|| client.run())
        });
        let clients: Vec<_> = clients.collect();
        let curtain = load.stage.curtain();
        let done = what();
        drop(curtain);
        let mut tally = Tally::new();
        for client in clients {
            let Ok(counted) = client.join() else { bail!("a client panicked") };
            tally.add(&counted);
        }
        done.map(|()| tally)
    })
}

/// Reads every key that there ever was through every node.
fn read_all(load: &Load) -> Result<Tally> {
    let (keys, mut tally) = (load.all(), Tally::new());
    let tallies = thread::scope(|scope| {
        let readers = load.stage.doors.all().into_iter().map(|node| {
            let keys = &keys;
            scope.spawn(move || {
                let mut client = Client::new(load, 0);
                let unread = keys.iter().find(|key| !client.read_at_last(key, node));
                (client.tally(), unread.map(|key| format!("{} cannot be read through {node}", key.path)))
            })
        });
        let readers: Vec<_> = readers.collect();
        readers.into_iter().map(thread::ScopedJoinHandle::join).collect::<Vec<_>>()
    });
    for read in tallies {
        let Ok((counted, unread)) = read else { bail!("a client panicked") };
        if let Some(unread) = unread {
            return Err(Fault::stuck(unread));
        }
        tally.add(&counted);
    }
    Ok(tally)
}

fn judge(
    load: &Load,
    conductor: &mut Conductor<'_>,
    tally: &Tally,
    events: u64,
    patient: bool,
) -> Result<()> {
    let mut verdict = Verdict::default();
    // First the counters, then the logs, which may tell of more.
    let counted = conductor.fleet.count();
    let merges = Merges::read(conductor.fleet.dir())?;
    let fates = &conductor.fates;
    load.all().iter().for_each(|key| verdict.judge(key, fates, &merges));
    fates.miscounts.iter().for_each(|miscount| verdict.violate(miscount.clone()));
    tally.strangers().iter().for_each(|strange| verdict.violate(strange.clone()));
    if patient && tally.errors() > 0 {
        verdict.violate(format!("clients that try again after 503 saw {} errors", tally.errors()));
    }
    for unexplained in unexplained(fates, counted, merges.counted()) {
        verdict.violate(unexplained);
    }
    println!();
    if let Some(packets) = conductor.fleet.packets() {
        println!("packets          {packets}");
    }
    println!("{tally}\nevents           {events}\n{}\n{verdict}", losses(fates, counted));
    verdict.write_histories(conductor.fleet.dir())?;
    if let Some(violations) = verdict.violations() {
        return Err(Fault::violation(violations));
    }
    ensure!(verdict.undecided().is_none(), "{}", verdict.undecided().unwrap_or_default());
    println!("verdict          nothing acknowledged was lost");
    if !fates.accidents.is_empty() {
        println!(
            "                 (of a false death that nobody arranged it is not known which keys it concerns:"
        );
        println!(
            "                 all keys were judged by their highest version only, and not by what merges told)"
        );
    }
    Ok(())
}

/// Slots lost without a crash or a false death, and values given up without two holders, or counted but not told of.
fn unexplained(fates: &Fates, counted: Counted, told: u64) -> Vec<String> {
    let mut violations = Vec::new();
    if !fates.accidents.is_empty() {
        return violations;
    }
    let Counted { lost, superseded } = counted;
    let explained: usize = fates.crashes.iter().chain(&fates.forks).map(|fate| fate.slots.len()).sum();
    if lost > explained as u64 {
        violations.push(format!(
            "{lost} slots are counted as lost, and only {explained} were held by nodes that died"
        ));
    }
    if fates.forks.is_empty() && superseded > 0 {
        violations.push(format!(
            "{superseded} values were given up in merges, and nobody was falsely taken for dead"
        ));
    }
    if superseded > told {
        violations.push(format!(
            "{superseded} values are counted as given up in merges, and the logs tell of {told}"
        ));
    }
    violations
}

fn losses(fates: &Fates, counted: Counted) -> String {
    let names = |fates: &[fate::Fate]| {
        let names: Vec<_> =
            fates.iter().map(|fate| format!("{} ({} slots)", fate.node, fate.slots.len())).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    format!(
        "killed           {}\nfalsely dead     {}, {} by accident\nslots lost       {}\nsuperseded       {}",
        names(&fates.crashes),
        names(&fates.forks),
        fates.accidents.len(),
        counted.lost,
        counted.superseded
    )
}
