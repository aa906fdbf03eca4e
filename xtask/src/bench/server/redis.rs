//! Redis without persistence: one process, or three masters of a Redis Cluster.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::Result;

use super::{Name, Peer, Running, Server, Yard, log, loopback, owners};
use crate::ask::{Ask, Topology};
use crate::bench::load::Target;
use crate::bench::protocol::Protocol;
use crate::bench::workload::{Shape, Stage};
use crate::process::{Process, free_port};

pub(super) fn start(stage: Stage, yard: &Yard) -> Result<Option<Server>> {
    let (mut processes, mut addrs) = (Vec::new(), Vec::new());
    for index in 0..stage.nodes() {
        let Some((process, addr)) = start_one(index, stage, yard)? else { return Ok(None) };
        processes.push(Running::Peer(process));
        addrs.push(addr);
    }
    let target = if stage.shape == Shape::One {
        Target { protocol: Protocol::Resp, addrs, owners: Vec::new() }
    } else {
        let topology = join(&addrs)?;
        let owners = owners(&topology, stage.keys);
        Target { protocol: Protocol::Resp, addrs: topology.nodes, owners }
    };
    Ok(Some(Server::new(Name::Peer(Peer::Redis), target, processes)))
}

fn start_one(index: usize, stage: Stage, yard: &Yard) -> Result<Option<(Process, SocketAddr)>> {
    let (port, bus) = (free_port()?, free_port()?);
    let mut command = Command::new("redis-server");
    command.current_dir(&yard.dir).args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command.args(["--port", &port.to_string()]);
    if stage.shape != Shape::One {
        let nodes = format!("redis-{port}-nodes.conf");
        command.args(["--cluster-enabled", "yes", "--cluster-config-file", &nodes]);
        command.args(["--cluster-port", &bus.to_string()]);
    }
    let log = log(&yard.dir, &format!("redis-{index}"));
    let Some(mut process) = Process::start(&mut command, &log)? else { return Ok(None) };
    process.listening(loopback(port), &log)?;
    Ok(Some((process, loopback(port))))
}

/// Makes a cluster of these nodes, each with an equal share of the slots.
fn join(addrs: &[SocketAddr]) -> Result<Topology> {
    let share = 16384_usize.div_ceil(addrs.len());
    for (index, addr) in addrs.iter().enumerate() {
        let mut node = Ask::connect(*addr)?;
        let (first, last) = (index * share, ((index + 1) * share).min(16384) - 1);
        node.call(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()])?;
        for other in addrs.iter().filter(|other| *other != addr) {
            let bus = Ask::connect(*other)?.bus_port()?.to_string();
            node.call(&["CLUSTER", "MEET", "127.0.0.1", &other.port().to_string(), &bus])?;
        }
    }
    Topology::complete(addrs)
}
