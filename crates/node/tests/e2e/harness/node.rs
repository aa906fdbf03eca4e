//! One node: a process with its files.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
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
    handed: Vec<(&'static str, TcpListener)>,
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
        Self { name: name.to_owned(), command, ready_file, log, handed: Vec::new() }
    }

    pub(crate) fn arg(mut self, flag: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.arg(flag).arg(value);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Hands two bound sockets over, under these names, as a service manager does.
    pub(crate) fn hand_over(mut self, sockets: [(&'static str, &TcpListener); 2]) -> Self {
        self.handed = sockets.map(|(name, socket)| (name, socket.try_clone().unwrap())).into();
        self
    }

    /// The command, run by a shell that puts the handed sockets where the node expects them.
    fn with_sockets(self) -> Command {
        let names: Vec<_> = self.handed.iter().map(|(name, _)| *name).collect();
        let mut shell = Command::new("/bin/sh");
        let script = "exec 3<&0 4<&1; LISTEN_PID=$$ LISTEN_FDS=2 exec \"$0\" \"$@\"";
        shell.env_clear().arg("-c").arg(script).arg(self.command.get_program()).args(self.command.get_args());
        shell.envs(self.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell.env("LISTEN_FDNAMES", names.join(":"));
        let mut sockets = self.handed.into_iter().map(|(_, socket)| OwnedFd::from(socket));
        shell.stdin(sockets.next().unwrap()).stdout(sockets.next().unwrap());
        shell
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
        let (name, path, ready_file) = (self.name.clone(), self.log.clone(), self.ready_file.clone());
        let mut command = if self.handed.is_empty() {
            self.command.stdin(Stdio::null()).stdout(log.try_clone().unwrap());
            self.command
        } else {
            self.with_sockets()
        };
        let child = command.stderr(log).spawn().unwrap();
        Starting { process: Process { name, child, log: path }, ready_file }
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

    /// Waits until it has ended by itself, with an error, and gives what it has said.
    pub(crate) fn failed(mut self) -> String {
        let child = &mut self.process.child;
        let status = wait("it ends", || child.try_wait().unwrap().ok_or_else(|| "it runs".to_owned()));
        assert!(!status.success());
        self.process.log()
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

    /// Asks it to read its configuration again.
    pub(crate) fn hang_up(&self) {
        self.process.signal(Signal::HUP);
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
