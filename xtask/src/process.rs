//! A server's process: its end, its CPU time, its memory.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::time::ClockId;
use nix::unistd::Pid;

/// Longest time from start to the first connection.
const START_TIME: Duration = Duration::from_secs(20);
/// Longest time from being asked to end to the end.
const END_TIME: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(20);

/// A process that ends when it is dropped.
pub(crate) struct Process(Child);

impl Process {
    /// Starts a program with its output in `log`; `None` if there is no such program.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Option<Self>> {
        let output = File::create(log).with_context(|| format!("creating {}", log.display()))?;
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("sharing the log")?)
            .stderr(output)
            // Ctrl-C reaches this program alone.
            .process_group(0);
        match command.spawn() {
            Ok(child) => Ok(Some(Self(child))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("starting {}", command.get_program().display())),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Waits until it listens at `addr`.
    pub(crate) fn listening(&mut self, addr: SocketAddr, log: &Path) -> Result<()> {
        let deadline = Instant::now() + START_TIME;
        while TcpStream::connect(addr).is_err() {
            if let Some(status) = self.0.try_wait().context("watching a server")? {
                let said = std::fs::read_to_string(log).unwrap_or_else(|error| error.to_string());
                bail!("a server ended with {status}: {}", said.trim());
            }
            ensure!(Instant::now() < deadline, "nobody listens at {addr} after {} s", START_TIME.as_secs());
            thread::sleep(LOOK);
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.pid()) {
            // It fails only if the process is gone.
            let _gone = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let deadline = Instant::now() + END_TIME;
        while let Ok(None) = self.0.try_wait() {
            if Instant::now() > deadline {
                let _killed = self.0.kill().and_then(|()| self.0.wait());
                return;
            }
            thread::sleep(LOOK);
        }
    }
}

/// A port of this machine that nobody uses at the moment.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port")?;
    Ok(listener.local_addr().context("reading the address of a socket")?.port())
}

/// User and system time of these processes, all threads.
pub(crate) fn cpu_time(pids: &[u32]) -> Result<Duration> {
    let of = |pid: &u32| -> Result<Duration> {
        let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(i32::try_from(*pid)?));
        let time =
            clock.and_then(ClockId::now).with_context(|| format!("reading the clock of process {pid}"))?;
        Ok(time.into())
    };
    pids.iter().map(of).sum()
}

/// Resident memory of these processes, in bytes.
pub(crate) fn resident_bytes(pids: &[u32]) -> Result<u64> {
    let of = |pid: &u32| -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))
            .with_context(|| format!("reading the status of process {pid}"))?;
        let words = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).map(str::split_whitespace);
        let kib: Option<u64> = words.and_then(|mut words| words.next()?.parse().ok());
        Ok(kib.context("a process without resident memory")? << 10)
    };
    pids.iter().map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_used_time_and_memory() {
        let own = [std::process::id()];
        let before = cpu_time(&own).unwrap();
        let memory = vec![1_u8; 64 << 20];
        while cpu_time(&own).unwrap() < before + Duration::from_millis(5) {}
        assert!(resident_bytes(&own).unwrap() > memory.len() as u64);
    }

    #[test]
    fn a_program_that_is_missing_is_told_from_one_that_fails() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        assert!(Process::start(&mut Command::new("no-such-program"), &log).unwrap().is_none());
        let mut failing =
            Process::start(Command::new("sh").args(["-c", "echo no; exit 3"]), &log).unwrap().unwrap();
        let unused = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port().unwrap()));
        let error = failing.listening(unused, &log).unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.ends_with("no"), "{error}");
    }
}
