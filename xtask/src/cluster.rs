//! `cargo xtask cluster`: real nodes on this machine, to play with.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::nodes::{self, Http, Launch, Node, Signals};

/// How long the nodes may take to become one cluster, and to stop.
const PATIENCE: Duration = Duration::from_mins(1);
/// Slots of a cluster.
const SLOTS: u64 = 16_384;
/// Between two looks at the nodes.
const LOOK: Duration = Duration::from_millis(100);
/// Longest wait for an answer of a node.
const ANSWER_MAX: Duration = Duration::from_secs(5);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many nodes
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=64))]
    nodes: u16,
    /// Build the nodes optimised
    #[arg(long)]
    release: bool,
    /// Passed to every node: `cargo xtask cluster -- --max-memory 1GiB`
    #[arg(last = true)]
    rest: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let signals = Signals::new()?;
    let program = nodes::build(args.release)?;
    let dir =
        tempfile::Builder::new().prefix("boato-cluster-").tempdir().context("making a temporary folder")?;
    let played = play(args, program, dir.path(), &signals);
    if played.is_err() {
        eprintln!("logs are kept in {}", dir.keep().display());
    }
    played
}

fn play(args: &Args, program: PathBuf, dir: &Path, signals: &Signals) -> Result<()> {
    let cluster = format!("play-{}", std::process::id());
    let launch = Launch { program, cluster, dir: dir.to_owned(), args: args.rest.clone() };
    let mut nodes = Vec::new();
    for index in 1..=args.nodes {
        nodes.push(launch.start(&format!("n{index}"), &[])?);
    }
    println!("cluster {}: {} nodes, logs in {}", launch.cluster, args.nodes, dir.display());
    let (http, started) = (Http::new(ANSWER_MAX), Instant::now());
    if !wait(signals, || assembled(&mut nodes, &http))? {
        return stop(nodes, signals);
    }
    println!("each node lists {} members after {:.1} s", args.nodes, started.elapsed().as_secs_f64());
    if !wait(signals, || settled(&mut nodes, &http))? {
        return stop(nodes, signals);
    }
    println!("every slot is where it belongs after {:.1} s\n", started.elapsed().as_secs_f64());
    introduce(&mut nodes);
    watch(&mut nodes, signals);
    stop(nodes, signals)
}

/// Waits until `done` is true; false when a signal came first.
fn wait(signals: &Signals, mut done: impl FnMut() -> Result<bool>) -> Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    while !done()? {
        ensure!(Instant::now() < deadline, "gave up after {} s", PATIENCE.as_secs());
        if signals.wait(LOOK) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether each node lists as many living members as there are nodes.
fn assembled(nodes: &mut [Node], http: &Http) -> Result<bool> {
    let count = nodes.len();
    for node in nodes {
        if let Some(status) = node.exited()? {
            bail!("{} stopped early ({status}):\n{}", node.name, node.log_tail());
        }
        if node.members(http) != Some(count) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the nodes hold all slots between them and nothing is on the move.
fn settled(nodes: &mut [Node], http: &Http) -> Result<bool> {
    let mut slots = 0;
    for node in nodes {
        let Some(ready) = node.ready() else { return Ok(false) };
        let status: serde_json::Value = http.json(ready.http, "/_/status")?;
        if !status["moving"].is_null() {
            return Ok(false);
        }
        slots += status["slots"].as_u64().unwrap_or_default();
    }
    Ok(slots == SLOTS)
}

fn introduce(nodes: &mut [Node]) {
    println!("  {:<6} {:<24} {:<24} pid", "name", "http", "quic");
    let mut doors = Vec::new();
    for node in nodes {
        let Some(ready) = node.ready() else { continue };
        println!(
            "  {:<6} {:<24} {:<24} {}",
            node.name,
            ready.http.to_string(),
            ready.quic.to_string(),
            node.pid()
        );
        doors.push(ready.http);
    }
    if let (Some(first), Some(last)) = (doors.first(), doors.last()) {
        println!("\ntry   curl -d hello http://{first}/greeting\n      curl -i http://{last}/greeting");
    }
    println!("Ctrl-C stops all of them\n");
}

/// Returns on a signal or when no node is left; says so when one stops by itself.
fn watch(nodes: &mut Vec<Node>, signals: &Signals) {
    while !nodes.is_empty() && !signals.wait(LOOK) {
        nodes::reap(nodes, |node, status| println!("{} stopped ({status})", node.name));
    }
}

/// Asks all nodes to leave and waits for them; after a second signal they are killed as they drop.
fn stop(mut nodes: Vec<Node>, signals: &Signals) -> Result<()> {
    println!("\nstopping {} nodes", nodes.len());
    nodes.iter().for_each(Node::terminate);
    let mut failed = Vec::new();
    let gone = || {
        nodes::reap(&mut nodes, |node, status| {
            println!("{} left ({status})", node.name);
            if !status.success() {
                failed.push(format!("{} ended with {status}:\n{}", node.name, node.log_tail()));
            }
        });
        Ok(nodes.is_empty())
    };
    let all_gone = wait(signals, gone)?;
    ensure!(failed.is_empty() || !all_gone, "{}", failed.join("\n"));
    Ok(())
}
