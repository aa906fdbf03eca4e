//! `cargo xtask cluster`: real nodes on this machine, to play with.

mod node;

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use node::Node;

/// How long the nodes may take to become one cluster, and to stop.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks at the nodes.
const LOOK: Duration = Duration::from_millis(100);

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
    let signals = signals()?;
    let program = build(args.release)?;
    let dir =
        tempfile::Builder::new().prefix("boato-cluster-").tempdir().context("making a temporary folder")?;
    let played = play(args, &program, dir.path(), &signals);
    if played.is_err() {
        eprintln!("logs are kept in {}", dir.keep().display());
    }
    played
}

fn play(args: &Args, program: &Path, dir: &Path, signals: &Receiver<()>) -> Result<()> {
    let name = format!("play-{}", std::process::id());
    let mut nodes = Vec::new();
    for index in 1..=args.nodes {
        nodes.push(Node::start(program, &format!("n{index}"), &name, dir, &args.rest)?);
    }
    println!("cluster {name}: {} nodes, logs in {}", args.nodes, dir.display());
    let started = Instant::now();
    if !wait(signals, || assembled(&mut nodes))? {
        return stop(nodes, signals);
    }
    println!("each node lists {} members after {:.1} s\n", args.nodes, started.elapsed().as_secs_f64());
    introduce(&nodes);
    watch(&mut nodes, signals);
    stop(nodes, signals)
}

/// A message for every Ctrl-C, SIGTERM and SIGHUP that this program receives.
fn signals() -> Result<Receiver<()>> {
    let (sender, receiver) = channel();
    let tell = move || {
        // It fails only when this program has ended.
        let _told = sender.send(());
    };
    ctrlc::set_handler(tell).context("handling Ctrl-C")?;
    Ok(receiver)
}

/// Builds the binary and says where it is.
fn build(release: bool) -> Result<PathBuf> {
    let mut cargo = crate::cargo();
    cargo.args([
        "build",
        "--package",
        "node",
        "--bin",
        "boato",
        "--message-format",
        "json-render-diagnostics",
    ]);
    if release {
        cargo.arg("--release");
    }
    let output = cargo.stderr(Stdio::inherit()).output().context("starting cargo build")?;
    ensure!(output.status.success(), "building the node failed: {}", output.status);
    let messages = String::from_utf8(output.stdout).context("reading what cargo built")?;
    let mut executables = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message.get("executable")?.as_str().map(PathBuf::from)
    });
    executables.next_back().context("cargo named no executable")
}

/// Waits until `done` is true; false when a signal came first.
fn wait(signals: &Receiver<()>, mut done: impl FnMut() -> Result<bool>) -> Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    while !done()? {
        ensure!(Instant::now() < deadline, "gave up after {} s", PATIENCE.as_secs());
        if signalled(signals) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Waits for a signal, one look long.
fn signalled(signals: &Receiver<()>) -> bool {
    signals.recv_timeout(LOOK) != Err(RecvTimeoutError::Timeout)
}

/// Whether each node lists as many living members as there are nodes.
fn assembled(nodes: &mut [Node]) -> Result<bool> {
    let count = nodes.len();
    for node in nodes {
        if let Some(status) = node.exited()? {
            bail!("{} stopped early ({status}):\n{}", node.name, node.log_tail());
        }
        if node.members() != Some(count) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn introduce(nodes: &[Node]) {
    println!("  {:<6} {:<24} {:<24} pid", "name", "http", "quic");
    for node in nodes {
        let (http, quic) =
            node.ready.as_ref().map_or(("", ""), |ready| (ready.http.as_str(), ready.quic.as_str()));
        println!("  {:<6} {http:<24} {quic:<24} {}", node.name, node.pid());
    }
    let (first, last) = (http(nodes.first()), http(nodes.last()));
    println!("\ntry   curl -d hello http://{first}/greeting\n      curl -i http://{last}/greeting");
    println!("Ctrl-C stops all of them\n");
}

fn http(node: Option<&Node>) -> &str {
    node.and_then(|node| node.ready.as_ref()).map_or("", |ready| &ready.http)
}

/// Returns on a signal or when no node is left; says so when one stops by itself.
fn watch(nodes: &mut Vec<Node>, signals: &Receiver<()>) {
    while !nodes.is_empty() && !signalled(signals) {
        reap(nodes, |node, status| println!("{} stopped ({status})", node.name));
    }
}

/// Asks all nodes to leave and waits for them; after a second signal they are killed as they drop.
fn stop(mut nodes: Vec<Node>, signals: &Receiver<()>) -> Result<()> {
    println!("\nstopping {} nodes", nodes.len());
    nodes.iter().for_each(Node::terminate);
    let mut failed = Vec::new();
    let gone = || {
        reap(&mut nodes, |node, status| {
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

/// Takes the nodes that have stopped off the list, and tells `report`.
fn reap(nodes: &mut Vec<Node>, mut report: impl FnMut(&Node, ExitStatus)) {
    nodes.retain_mut(|node| match node.exited() {
        Ok(Some(status)) => {
            report(node, status);
            false
        }
        _ => true,
    });
}
