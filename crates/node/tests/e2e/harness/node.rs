//! One node: a process with its files.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Http, View, wait};

/// Lines of its log that a failed test shows of a node.
const LOG_LINES: usize = 200;

/// How to start a node.
pub(crate) struct Launch {
    name: String,
    command: Command,
    ready_file: PathBuf,
    log: PathBuf,
}

impl Launch {
    /// A node of `cluster` with its files in `dir`, at free ports, that inherits no variable.
    pub(crate) fn new(name: &str, cluster: &str, dir: &Path) -> Self {
        let (ready_file, log) = (dir.join(format!("{name}.json")), dir.join(format!("{name}.log")));
        let mut command = Command::new(env!("CARGO_BIN_EXE_boato"));
        command
            .env_clear()
            // Where neighbours find each other: clusters of several tests never meet.
            .env("TMPDIR", dir)
            .args(["run", "--name", name, "--cluster", cluster, "--http", "127.0.0.1:0", "--ready-file"])
            .arg(&ready_file);
        Self { name: name.to_owned(), command, ready_file, log }
    }

    pub(crate) fn arg(mut self, flag: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.arg(flag).arg(value);
        self
    }

    /// Starts the process.
    pub(crate) fn spawn(mut self) -> Starting {
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        // Left behind by the node of this name before.
        let _ = fs::remove_file(&self.ready_file);
        for flag in ["--quic", "--resp", "--resp-cluster"] {
            if !self.command.get_args().any(|arg| arg == flag) {
                self.command.args([flag, "127.0.0.1:0"]);
            }
        }
        self.command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = self.command.spawn().unwrap();
        Starting { process: Process { name: self.name, child, log: self.log }, ready_file: self.ready_file }
    }

    /// Starts the process and waits until it listens.
    pub(crate) fn start(self) -> Node {
        self.spawn().listening()
    }
}

/// A process that may not listen yet.
pub(crate) struct Starting {
    process: Process,
    ready_file: PathBuf,
}

#[derive(Deserialize)]
struct Ready {
    id: String,
    name: String,
    quic: SocketAddr,
    http: SocketAddr,
    resp: SocketAddr,
    resp_cluster: SocketAddr,
}

impl Starting {
    /// Waits for the ready file.
    pub(crate) fn listening(mut self) -> Node {
        let ready: Ready = self.read_ready();
        let name = self.process.name.clone();
        assert_eq!(ready.name, name);
        let id = u128::from_str_radix(&ready.id, 16).unwrap();
        let Ready { quic, http, resp, resp_cluster, .. } = ready;
        Node { name, id, quic, http, resp, resp_cluster, process: self.process }
    }

    /// Waits for the ready file and gives it as it is.
    pub(crate) fn ready(mut self) -> serde_json::Value {
        self.read_ready()
    }

    fn read_ready<T: DeserializeOwned>(&mut self) -> T {
        let name = self.process.name.clone();
        wait(&format!("{name} listens"), || {
            if let Some(status) = self.process.child.try_wait().unwrap() {
                panic!("{name} ended with {status}");
            }
            let text = fs::read(&self.ready_file).map_err(|error| error.to_string())?;
            serde_json::from_slice(&text).map_err(|error| error.to_string())
        })
    }
}

/// A node that listens. Killed when dropped.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) id: u128,
    pub(crate) quic: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) resp: SocketAddr,
    pub(crate) resp_cluster: SocketAddr,
    process: Process,
}

impl Node {
    /// A client of its own connection.
    pub(crate) fn client(&self) -> Http {
        Http::new(self.http)
    }

    /// What it says of itself and of the others.
    pub(crate) fn view(&self) -> View {
        View::new(self.client())
    }

    /// Everything it has written.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// Asks it to leave; the second time, to end at once.
    pub(crate) fn terminate(&self) {
        self.process.signal(Signal::TERM);
    }

    /// Stops its threads where they are.
    pub(crate) fn freeze(&self) {
        self.process.signal(Signal::STOP);
    }

    /// Lets them go on.
    pub(crate) fn thaw(&self) {
        self.process.signal(Signal::CONT);
    }

    /// Waits until it has ended by itself and gives its exit code.
    pub(crate) fn ended(&mut self) -> i32 {
        let child = &mut self.process.child;
        let status = wait(&format!("{} ends", self.name), || {
            child.try_wait().unwrap().ok_or_else(|| "it still runs".to_owned())
        });
        status.code().unwrap_or_else(|| panic!("{} was ended by {status}", self.name))
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.process.child.try_wait().unwrap().is_none()
    }

    /// Ends it without a chance to do anything about it.
    pub(crate) fn kill(&mut self) {
        self.process.child.kill().unwrap();
        self.process.child.wait().unwrap();
    }
}

struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(LOG_LINES)..];
            eprintln!("--- the end of the log of {}\n{}\n---", self.name, tail.join("\n"));
        }
    }
}
