//! `cargo xtask reshard`: what clients at full speed see of nodes that join and leave.
//!
//! The measure is that of Redis Cluster's own test of live resharding: 50,000 keys, 200,000 operations, slots that move from
//! half-way on, and afterwards every key as the clients' model of it says.

mod client;
mod model;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use client::{Client, Phase, Phases};
use model::Model;

use super::conductor::Conductor;
use super::fleet::Fleet;
use super::stage::Stage;
use super::tally::Tally;
use crate::fault::Fault;
use crate::nodes::{self, Launch, Signals};

/// Time between two looks at the nodes: each takes some of theirs.
const PACE: Duration = Duration::from_millis(250);
/// Longest operation that the goal allows.
const LONGEST: Duration = Duration::from_millis(50);
/// How much longer than before the slowest thousandth may take during the moves.
const SLOWER_MAX: f64 = 2.0;
/// Clients stop after this many times the operations asked for, if nodes still move then.
const EXCESS: u64 = 20;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many nodes to begin with
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(2..=16))]
    nodes: u16,
    /// How many keys
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1_000..=10_000_000))]
    keys: u32,
    /// How many operations; more if the moves are not over then
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(10_000..=1_000_000_000))]
    operations: u64,
    /// Length of a value in bytes
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(20..=1_000_000))]
    value_bytes: u32,
    /// How many clients
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    clients: u8,
    /// What happens from half-way on
    #[arg(long, value_enum, default_value = "live")]
    moves: Moves,
    /// Nodes without optimisation
    #[arg(long)]
    debug: bool,
    /// Everything clients choose follows from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Start this program as nodes instead of the one built from here: to compare two
    #[arg(long)]
    program: Option<PathBuf>,
    /// Keep the nodes' logs
    #[arg(long)]
    keep: bool,
    /// Flags of every node, such as `--log info,boato_cluster=debug`, which tells of slow operations what they waited for
    #[arg(last = true)]
    flags: Vec<String>,
}

/// What happens from half-way on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Moves {
    /// Nodes join and leave in turn
    Live,
    /// Nodes of another cluster start and end in turn: what processes cost this machine, without a single slot that moves
    Elsewhere,
    /// Nothing
    None,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let signals = Signals::new()?;
    let program = args.program.clone().map_or_else(|| nodes::build(!args.debug), Ok)?;
    let dir = tempfile::Builder::new().prefix("boato-reshard-").tempdir();
    let dir = dir.context("making a temporary folder")?;
    let cluster = format!("reshard-{}", std::process::id());
    let launch = Launch { program, cluster, dir: dir.path().to_owned(), args: args.flags.clone() };
    let outcome = reshard(args, launch, &signals);
    if outcome.is_err() || args.keep {
        eprintln!("logs are kept in {}", dir.keep().display());
    }
    outcome
}

fn reshard(args: &Args, launch: Launch, signals: &Signals) -> Result<()> {
    println!(
        "nodes {}  keys {}  operations {}  value-bytes {}  clients {}  moves {}  seed {}",
        args.nodes,
        args.keys,
        args.operations,
        args.value_bytes,
        args.clients,
        format!("{:?}", args.moves).to_lowercase(),
        args.seed
    );
    let elsewhere = Launch {
        program: launch.program.clone(),
        cluster: format!("{}-elsewhere", launch.cluster),
        dir: launch.dir.join("elsewhere"),
        args: Vec::new(),
    };
    std::fs::create_dir(&elsewhere.dir).context("making a folder")?;
    let mut fleet = Fleet::new(launch, None);
    let stage = Stage::new(fleet.assemble(args.nodes.into(), signals)?);
    let models = Model::shares(usize::try_from(args.keys)?, usize::try_from(args.value_bytes)?, args.clients);
    let phases = Phases::default();
    let clients = each(models, |index, model| {
        let mut client = Client::new(&stage, &phases, model, args.seed ^ (index << 32));
        client.fill();
        client
    })?;
    let mut conductor = Conductor::new(fleet, &stage, signals, args.seed, Duration::ZERO)?;
    conductor.pace = PACE;
    let (clients, moves) = at_full_speed(args, &stage, &phases, clients, &mut conductor, elsewhere)?;
    conductor.settle()?;
    let clients = each(clients, |_, mut client| {
        client.check();
        client
    })?;
    conductor.finish();
    report(args, &clients, moves, conductor.fleet.count().lost)
}

/// Does something with each of `shares` at the same time.
fn each<T: Send, U: Send>(shares: Vec<T>, work: impl Fn(u64, T) -> U + Sync) -> Result<Vec<U>> {
    let work = &work;
    thread::scope(|scope| {
        let workers = (1..).zip(shares).map(|(index, share)| scope.spawn(move || work(index, share)));
        let workers: Vec<_> = workers.collect();
        let done = workers.into_iter().map(|worker| worker.join().ok().context("a client panicked"));
        done.collect()
    })
}

/// Clients call; from half-way on nodes move. Gives back how many moves there were.
fn at_full_speed<'a>(
    args: &Args,
    stage: &Stage,
    phases: &Phases,
    clients: Vec<Client<'a>>,
    conductor: &mut Conductor<'_>,
    elsewhere: Launch,
) -> Result<(Vec<Client<'a>>, u64)> {
    let begun_at = stage.calls();
    let done = || stage.calls() - begun_at;
    thread::scope(|scope| {
        let running = clients.into_iter().map(|mut client| {
            scope.spawn(move || {
                client.run();
                client
            })
        });
        let running: Vec<_> = running.collect();
        let curtain = stage.curtain();
        while done() < args.operations / 2 {
            conductor.pass(PACE)?;
        }
        phases.enter(Phase::During);
        let mut elsewhere = Fleet::new(elsewhere, None);
        let mut moves = 0;
        while args.moves != Moves::None && done() < args.operations {
            match args.moves {
                Moves::Live => conductor.exchange()?,
                Moves::Elsewhere => conductor.exchange_elsewhere(&mut elsewhere)?,
                Moves::None => {}
            }
            moves += 2;
            ensure!(done() < EXCESS * args.operations, "the moves do not end");
        }
        if args.moves != Moves::None {
            phases.enter(Phase::After);
        }
        while done() < args.operations {
            conductor.pass(PACE)?;
        }
        drop(curtain);
        let mut clients = Vec::new();
        for client in running {
            let Ok(client) = client.join() else { bail!("a client panicked") };
            clients.push(client);
        }
        Ok((clients, moves))
    })
}

fn report(args: &Args, clients: &[Client<'_>], moves: u64, lost: u64) -> Result<()> {
    let phase = |phase| {
        let mut all = Tally::new();
        for client in clients {
            all.add(client.tally(phase));
        }
        all
    };
    let (before, during) = (phase(Phase::Before), phase(Phase::During));
    println!("\n{}", table(&before, &during));
    let rate = |calls: u64, phase| {
        let lasted = clients.iter().map(|client| client.lasted(phase)).max().unwrap_or_default();
        u128::from(calls) * 1_000_000 / lasted.as_micros().max(1)
    };
    println!(
        "a second         {} before, {} during {moves} moves",
        rate(before.calls(), Phase::Before),
        rate(during.calls(), Phase::During)
    );
    println!(
        "tried again      {} times after 503 or a refused connection",
        during.unavailable + during.unreachable
    );
    println!("outcome unknown  {}", during.unknown + during.broken);
    let (slower, too_slow) =
        (during.quantile_ms(0.999) / before.quantile_ms(0.999), during.slower_than(LONGEST));
    let met = |met| if met { "met" } else { "not met" };
    println!("goal             p99.9 at most {SLOWER_MAX} times: {slower:.1}, {}", met(slower <= SLOWER_MAX));
    println!(
        "goal             no operation over {} ms: {too_slow}, the longest at {:.1} s, {} (before: {})",
        LONGEST.as_millis(),
        during.slowest_at().as_secs_f64(),
        met(too_slow == 0),
        before.slower_than(LONGEST)
    );
    let mut slow: Vec<_> = clients.iter().flat_map(Client::slow).collect();
    slow.sort_by_key(|slow| slow.over_at);
    for slow in slow {
        println!("                 {slow}");
    }
    let wrong: Vec<_> = clients.iter().flat_map(Client::wrong).collect();
    if let Some(first) = wrong.first() {
        return Err(Fault::violation(format!(
            "{} answers contradict the model, the first: {first}",
            wrong.len()
        )));
    }
    if during.unknown > 0 {
        let unknown = during.unknown;
        return Err(Fault::violation(format!(
            "{unknown} writes were answered 504: no leave makes an outcome unknown"
        )));
    }
    if lost > 0 {
        return Err(Fault::violation(format!("{lost} slots are counted as lost")));
    }
    println!("verdict          all {} keys are as the model says", args.keys);
    Ok(())
}

/// Times before and during the moves, side by side.
fn table(before: &Tally, during: &Tally) -> String {
    let mut table = format!("{:<16} {:>12} {:>12}\n", "", "before", "during");
    let _infallible = writeln!(table, "{:<16} {:>12} {:>12}", "operations", before.calls(), during.calls());
    for (name, quantile) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)] {
        let [before, during] = [before, during].map(|tally| tally.quantile_ms(quantile));
        let _infallible = writeln!(table, "{name:<16} {before:>9.2} ms {during:>9.2} ms");
    }
    table.trim_end().to_owned()
}
