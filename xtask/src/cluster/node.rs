//! One node: a process with its files.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// What a node writes to its ready file once its ports are bound.
#[derive(serde::Deserialize)]
pub(super) struct Ready {
    pub(super) quic: String,
    pub(super) http: String,
}

/// A running node; it is killed when dropped before it has stopped.
pub(super) struct Node {
    pub(super) name: String,
    /// Known once the node has bound its ports.
    pub(super) ready: Option<Ready>,
    program: PathBuf,
    process: Child,
    ready_file: PathBuf,
    log: PathBuf,
}

impl Node {
    pub(super) fn start(
        program: &Path,
        name: &str,
        cluster: &str,
        dir: &Path,
        args: &[String],
    ) -> Result<Self> {
        let ready_file = dir.join(format!("{name}.json"));
        let log = dir.join(format!("{name}.log"));
        let output = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let process = Command::new(program)
            .args(["run", "--name", name, "--cluster", cluster])
            .args(["--quic", "127.0.0.1:0", "--http", "127.0.0.1:0", "--ready-file"])
            .arg(&ready_file)
            .args(args)
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("sharing the log")?)
            .stderr(output)
            // A group of its own: Ctrl-C reaches this program alone, which then stops the nodes, once.
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let program = program.to_owned();
        Ok(Self { name: name.to_owned(), ready: None, program, process, ready_file, log })
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// How the process ended, if it has.
    pub(super) fn exited(&mut self) -> Result<Option<ExitStatus>> {
        self.process.try_wait().with_context(|| format!("watching {}", self.name))
    }

    /// How many living members the node lists, once it answers.
    pub(super) fn members(&mut self) -> Option<usize> {
        if self.ready.is_none() {
            let text = std::fs::read_to_string(&self.ready_file).ok()?;
            self.ready = serde_json::from_str(&text).ok();
        }
        let http = &self.ready.as_ref()?.http;
        let output = Command::new(&self.program).args(["members", "--json", "--http", http]).output().ok()?;
        let members: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).ok()?;
        Some(members.iter().filter(|member| member["state"] == "alive").count())
    }

    /// Asks the process to leave the cluster and exit; the second time, to exit at once.
    pub(super) fn terminate(&self) {
        if let Ok(pid) = i32::try_from(self.pid()) {
            // It fails only if the process is gone, which is what was wanted.
            let _gone = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }

    /// The end of what the node printed.
    pub(super) fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Ok(None) = self.process.try_wait() {
            let _killed = self.process.kill().and_then(|()| self.process.wait());
        }
    }
}
