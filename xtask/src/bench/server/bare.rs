//! The servers of `benches/bare`, which do the least.

use std::process::Command;

use anyhow::{Context, Result};

use super::{Name, Peer, Running, Server, Yard, log, loopback};
use crate::bench::load::Target;
use crate::bench::protocol::Protocol;
use crate::bench::workload::{Door, Stage};
use crate::process::{Process, free_port};

pub(super) fn start(peer: Peer, stage: Stage, yard: &Yard) -> Result<Option<Server>> {
    let (port, name) = (free_port()?, peer.text());
    let program = yard.bare.as_ref().context("the bare servers are built when they are asked for")?;
    let mut command = Command::new(program);
    command.args([name, &port.to_string(), &stage.bytes.to_string()]);
    let log = log(&yard.dir, name);
    let Some(mut process) = Process::start(&mut command, &log)? else { return Ok(None) };
    process.listening(loopback(port), &log)?;
    let protocol = if stage.door == Door::Resp { Protocol::Resp } else { Protocol::HttpBody };
    let target = Target { protocol, addrs: vec![loopback(port)], owners: Vec::new() };
    Ok(Some(Server::new(Name::Peer(peer), target, vec![Running::Peer(process)])))
}
