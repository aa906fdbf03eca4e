//! Real nodes on this machine: the binary, its processes, and clients of them.

mod http;
mod node;

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
pub(crate) use http::{Answer, CallError, Condition, Http};
pub(crate) use node::{Launch, Node};

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
