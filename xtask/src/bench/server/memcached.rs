//! memcached with a thread per core.

use std::process::Command;
use std::thread;

use anyhow::{Context, Result};

use super::{Name, Peer, Running, Server, Yard, log, loopback};
use crate::bench::load::Target;
use crate::bench::protocol::Protocol;
use crate::bench::workload::Stage;
use crate::process::{Process, free_port};

/// Memory that it may use, in MiB: enough for every key.
const MEMORY_MIB: &str = "4096";

pub(super) fn start(_stage: Stage, yard: &Yard) -> Result<Option<Server>> {
    let port = free_port()?;
    let threads = thread::available_parallelism().context("counting cores")?;
    let mut command = Command::new("memcached");
    command.args(["-l", "127.0.0.1", "-U", "0", "-m", MEMORY_MIB, "-c", "1024"]);
    command.args(["-p", &port.to_string(), "-t", &threads.to_string()]);
    if nix::unistd::geteuid().is_root() {
        command.args(["-u", "root"]);
    }
    let log = log(&yard.dir, "memcached");
    let Some(mut process) = Process::start(&mut command, &log)? else { return Ok(None) };
    process.listening(loopback(port), &log)?;
    let target = Target { protocol: Protocol::Memcached, addrs: vec![loopback(port)], owners: Vec::new() };
    Ok(Some(Server::new(Name::Peer(Peer::Memcached), target, vec![Running::Peer(process)])))
}
