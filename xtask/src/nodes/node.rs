//! One node: a process with its files.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Http;

/// What nodes of one cluster have in common.
#[derive(Clone)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    /// Name of the cluster.
    pub(crate) cluster: String,
    /// Where logs and ready files go.
    pub(crate) dir: PathBuf,
    /// Flags of every node.
    pub(crate) args: Vec<String>,
}

/// What a node writes to its ready file once its ports are bound.
#[derive(Clone, Copy, serde::Deserialize)]
pub(crate) struct Ready {
    /// Where peers reach it.
    pub(crate) quic: SocketAddr,
    pub(crate) http: SocketAddr,
    /// Where any key can be asked for in RESP.
    pub(crate) resp: Option<SocketAddr>,
    /// Where clients of a Redis Cluster are pointed to the holder.
    pub(crate) resp_cluster: Option<SocketAddr>,
}

/// A running node; it is killed when dropped before it has stopped.
pub(crate) struct Node {
    pub(crate) name: String,
    ready: Option<Ready>,
    process: Child,
    ready_file: PathBuf,
    log: PathBuf,
    /// Where its part of the log begins, which nodes of the same name share.
    log_start: usize,
}

impl Launch {
    /// Starts a node with flags of its own. Without `--quic` among them it takes a free port.
    pub(crate) fn start(&self, name: &str, own: &[String]) -> Result<Node> {
        let ready_file = self.dir.join(format!("{name}.json"));
        // Left behind by the node of this name before.
        let _none = std::fs::remove_file(&ready_file);
        let log = self.dir.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log);
        let output = output.with_context(|| format!("opening {}", log.display()))?;
        let log_start = output.metadata().context("measuring the log")?.len();
        let log_start = usize::try_from(log_start).context("a log that large")?;
        let mut command = Command::new(&self.program);
        command
            .args(["run", "--name", name, "--cluster", &self.cluster])
            .args(["--http", "--resp", "--resp-cluster"].map(|door| format!("{door}=127.0.0.1:0")))
            .arg("--ready-file")
            .arg(&ready_file)
            .args(&self.args)
            .args(own);
        if !own.iter().any(|arg| arg == "--quic") {
            command.args(["--quic", "127.0.0.1:0"]);
        }
        let process = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("sharing the log")?)
            .stderr(output)
            // A group of its own: Ctrl-C reaches this program alone, which then stops the nodes, once.
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {}", self.program.display()))?;
        Ok(Node { name: name.to_owned(), ready: None, process, ready_file, log, log_start })
    }
}

impl Node {
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// How the process ended, if it has.
    pub(crate) fn exited(&mut self) -> Result<Option<ExitStatus>> {
        self.process.try_wait().with_context(|| format!("watching {}", self.name))
    }

    /// Where it listens, once it does.
    pub(crate) fn ready(&mut self) -> Option<Ready> {
        if self.ready.is_none() {
            let text = std::fs::read_to_string(&self.ready_file).ok()?;
            self.ready = serde_json::from_str(&text).ok();
        }
        self.ready
    }

    /// How many living members the node lists, once it answers.
    pub(crate) fn members(&mut self, http: &Http) -> Option<usize> {
        let members: Vec<serde_json::Value> = http.json(self.ready()?.http, "/_/members").ok()?;
        Some(members.iter().filter(|member| member["state"] == "alive").count())
    }

    /// Asks the process to leave the cluster and exit; the second time, to exit at once.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Stops its threads where they are.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets them go on.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Ends it without a chance to do anything about it.
    pub(crate) fn kill(&mut self) -> Result<()> {
        let killed = self.process.kill().and_then(|()| self.process.wait());
        killed.map(|_| ()).with_context(|| format!("killing {}", self.name))
    }

    fn signal(&self, signal: Signal) {
        if let Ok(pid) = i32::try_from(self.pid()) {
            // It fails only if the process is gone, which whoever waits for it finds out.
            let _gone = kill(Pid::from_raw(pid), signal);
        }
    }

    /// Everything it has printed.
    pub(crate) fn log(&self) -> String {
        let mut log = std::fs::read(&self.log).unwrap_or_default();
        log.drain(..self.log_start.min(log.len()));
        String::from_utf8_lossy(&log).into_owned()
    }

    /// The end of what it has printed.
    pub(crate) fn log_tail(&self) -> String {
        let text = self.log();
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
