//! The clients as processes: how each is started, and what it says.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// Longest time until a client is ready, and until it has ended.
const PATIENCE: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(20);

/// A client that others wrote.
pub(super) struct Client {
    pub(super) name: &'static str,
    kind: Kind,
}

enum Kind {
    /// A script in `xtask/clients`, and the programs that it calls.
    Shell(&'static str, &'static str),
    /// For the interpreter that `.ci/run` gives what the script imports.
    Python(&'static str),
    Node(&'static str),
    /// [`EXAMPLE`].
    Example,
}

/// The example of the node that is a client.
pub(super) const EXAMPLE: &str = "redis_rs";

/// Every client.
pub(super) const CLIENTS: [Client; 5] = [
    Client { name: "redis-cli", kind: Kind::Shell("redis_cli.sh", "redis-cli") },
    Client { name: "redis-benchmark", kind: Kind::Shell("redis_benchmark.sh", "redis-benchmark") },
    Client { name: "redis-py", kind: Kind::Python("redis_py.py") },
    Client { name: "ioredis", kind: Kind::Node("ioredis.mjs") },
    Client { name: "redis-rs", kind: Kind::Example },
];

/// A client at work.
pub(super) struct Running {
    pub(super) name: &'static str,
    process: Child,
    /// What it says, line by line.
    lines: Receiver<String>,
    /// What it complained of.
    errors: PathBuf,
}

impl Client {
    /// The program with what comes before the addresses.
    ///
    /// # Errors
    /// The client is not installed.
    pub(super) fn command(&self, example: &Path) -> Result<Command> {
        let installed = installed()?;
        let script = |name: &str| crate::root().join("xtask").join("clients").join(name);
        let there = |program: &str| {
            let found = Command::new(program).arg("--version").stdin(Stdio::null()).output();
            found.is_ok_and(|output| output.status.success())
        };
        let command = match self.kind {
            Kind::Shell(name, program) => {
                ensure!(there(program), "{}", self.missing());
                Command::new(script(name))
            }
            Kind::Python(name) => {
                let python = installed.join("python").join("bin").join("python");
                let mut command = Command::new(&python);
                let imports = Command::new(&python).args(["-c", "import redis"]).output();
                ensure!(imports.is_ok_and(|output| output.status.success()), "{}", self.missing());
                command.arg(script(name));
                command
            }
            Kind::Node(name) => {
                ensure!(
                    there("node") && installed.join("node_modules").join("ioredis").exists(),
                    "{}",
                    self.missing()
                );
                // Modules are looked for beside the script.
                let copy = installed.join(name);
                std::fs::copy(script(name), &copy).with_context(|| format!("copying {name}"))?;
                let mut command = Command::new("node");
                command.arg(copy);
                command
            }
            Kind::Example => Command::new(example),
        };
        Ok(command)
    }

    fn missing(&self) -> String {
        format!(
            "the client {} is missing: .ci/run installs it, and `cargo xtask clients NAME ...` runs others",
            self.name
        )
    }

    pub(super) fn start(&self, mut command: Command, addresses: &[String], dir: &Path) -> Result<Running> {
        let errors = dir.join(format!("{}.log", self.name));
        let log = File::create(&errors).with_context(|| format!("creating {}", errors.display()))?;
        command.args(addresses).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        // Ctrl-C reaches this program alone.
        let mut process =
            command.process_group(0).spawn().with_context(|| format!("starting {}", self.name))?;
        let output = process.stdout.take().context("a client without output")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            let said = BufReader::new(output).lines().map_while(Result::ok);
            // Nobody listens any more when it has failed.
            said.map(|line| sender.send(line)).take_while(Result::is_ok).count()
        });
        Ok(Running { name: self.name, process, lines, errors })
    }
}

impl Running {
    /// Waits until everyday commands have been tried.
    pub(super) fn ready(&mut self) -> Result<()> {
        let said = self.lines.recv_timeout(PATIENCE);
        ensure!(
            said == Ok("ready".to_owned()),
            "{} failed at everyday commands: {}",
            self.name,
            self.complaints()
        );
        Ok(())
    }

    /// It stops at the first error.
    pub(super) fn still_runs(&mut self) -> Result<()> {
        if let Some(status) = self.process.try_wait().with_context(|| format!("watching {}", self.name))? {
            bail!("{} ended with {status}: {}", self.name, self.complaints());
        }
        Ok(())
    }

    /// Tells it to end, and says what it has done.
    pub(super) fn finish(mut self) -> Result<String> {
        drop(self.process.stdin.take());
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) =
                self.process.try_wait().with_context(|| format!("watching {}", self.name))?
            {
                break status;
            }
            ensure!(Instant::now() < deadline, "{} does not end: {}", self.name, self.complaints());
            thread::sleep(LOOK);
        };
        ensure!(status.success(), "{} ended with {status}: {}", self.name, self.complaints());
        Ok(self.lines.iter().collect::<Vec<_>>().join(", "))
    }

    fn complaints(&self) -> String {
        std::fs::read_to_string(&self.errors).unwrap_or_else(|error| error.to_string())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.process.try_wait() {
            let _killed = self.process.kill().and_then(|()| self.process.wait());
        }
    }
}

/// Where `.ci/run` puts what scripts need.
pub(crate) fn installed() -> Result<PathBuf> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| crate::root().join("target"), PathBuf::from);
    std::path::absolute(target.join("clients")).context("finding the folder of what is built")
}
