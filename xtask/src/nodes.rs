//! Real nodes on this machine: the binary, its processes, and clients of them.

mod http;
mod node;

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
pub(crate) use http::{Answer, CallError, Condition, Http};
pub(crate) use node::{Launch, Node, Ready};

/// Longest time until nodes are one cluster.
const ASSEMBLY_TIME: Duration = Duration::from_secs(30);
/// Longest wait for an answer about the cluster.
const ANSWER_TIME: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(50);

/// Ctrl-C, SIGTERM and SIGHUP, which end a run instead of this program.
pub(crate) struct Signals(Receiver<()>);

impl Signals {
    /// Takes them over; once per process.
    pub(crate) fn new() -> Result<Self> {
        let (sender, receiver) = channel();
        let tell = move || {
            // It fails only when this program has ended.
            let _told = sender.send(());
        };
        ctrlc::set_handler(tell).context("handling Ctrl-C")?;
        Ok(Self(receiver))
    }

    /// Waits for a signal, at most so long; whether one came.
    pub(crate) fn wait(&self, time: Duration) -> bool {
        self.0.recv_timeout(time) != Err(RecvTimeoutError::Timeout)
    }
}

/// Builds the binary and says where it is.
pub(crate) fn build(release: bool) -> Result<PathBuf> {
    let [node] = build_these(&["--package", "node"], release, [("--bin", "boato")])?;
    Ok(node)
}

/// Builds the servers that do the least, optimised.
pub(crate) fn build_bare() -> Result<PathBuf> {
    let [bare] = build_these(&["--package", "boato-bare"], true, [("--bin", "bare")])?;
    Ok(bare)
}

/// Builds the binary and an example of the node, with what `cargo test --workspace` has built of them.
pub(crate) fn build_with_example(name: &str, release: bool) -> Result<[PathBuf; 2]> {
    build_these(&["--workspace"], release, [("--bin", "boato"), ("--example", name)])
}

fn build_these<const N: usize>(
    of: &[&str],
    release: bool,
    targets: [(&str, &str); N],
) -> Result<[PathBuf; N]> {
    let mut cargo = crate::cargo();
    cargo.arg("build").args(of).args(["--message-format", "json-render-diagnostics"]);
    cargo.args(targets.iter().flat_map(|(kind, name)| [*kind, *name]));
    if release {
        cargo.arg("--release");
    }
    let output = cargo.stderr(Stdio::inherit()).output().context("starting cargo build")?;
    ensure!(output.status.success(), "building the node failed: {}", output.status);
    let messages = String::from_utf8(output.stdout).context("reading what cargo built")?;
    let executables = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message.get("executable")?.as_str().map(PathBuf::from)
    });
    let executables: Vec<_> = executables.collect();
    let mut paths = targets.map(|_| PathBuf::new());
    for ((_, name), path) in targets.iter().zip(&mut paths) {
        let found = executables.iter().find(|path| path.file_stem().is_some_and(|stem| stem == *name));
        path.clone_from(found.with_context(|| format!("cargo named no executable {name}"))?);
    }
    Ok(paths)
}

/// Waits until every node lists all of them.
pub(crate) fn assemble(nodes: &mut [Node]) -> Result<()> {
    let (http, count) = (Http::new(ANSWER_TIME), nodes.len());
    let deadline = Instant::now() + ASSEMBLY_TIME;
    for node in nodes {
        while node.members(&http) != Some(count) {
            if let Some(status) = node.exited()? {
                bail!("{} ended with {status}: {}", node.name, node.log_tail());
            }
            ensure!(Instant::now() < deadline, "{} did not find {count} members", node.name);
            thread::sleep(LOOK);
        }
    }
    Ok(())
}

/// Takes the nodes that have stopped off the list, and tells `report`.
pub(crate) fn reap(nodes: &mut Vec<Node>, mut report: impl FnMut(&Node, ExitStatus)) {
    nodes.retain_mut(|node| match node.exited() {
        Ok(Some(status)) => {
            report(node, status);
            false
        }
        _ => true,
    });
}
