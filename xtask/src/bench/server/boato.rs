//! boato: one real node, or three.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};

use super::{Name, Running, Server, Yard, owners};
use crate::ask::Topology;
use crate::bench::load::Target;
use crate::bench::protocol::Protocol;
use crate::bench::workload::{Door, Shape, Stage};
use crate::nodes::{self, Launch, Node, Ready};

pub(super) fn start(name: Name, program: &Path, stage: Stage, yard: &Yard) -> Result<Server> {
    let launch = Launch {
        program: program.to_owned(),
        cluster: format!("bench-{}-{}", name.text(), std::process::id()),
        dir: yard.dir.clone(),
        args: Vec::new(),
    };
    let nodes = (1..=stage.nodes()).map(|index| launch.start(&format!("{}-{index}", name.text()), &[]));
    let mut nodes: Vec<Node> = nodes.collect::<Result<_>>()?;
    nodes::assemble(&mut nodes)?;
    let target = target(stage, &mut nodes)?;
    Ok(Server::new(name, target, nodes.into_iter().map(|node| Running::Node(Box::new(node))).collect()))
}

fn target(stage: Stage, nodes: &mut [Node]) -> Result<Target> {
    let mut addrs = |door: fn(&Ready) -> Option<SocketAddr>| {
        let addr = |node: &mut Node| node.ready().as_ref().and_then(door).context("a node without that door");
        nodes.iter_mut().map(addr).collect::<Result<Vec<_>>>()
    };
    // All slots are where they are to be before anything is asked.
    let topology = Topology::complete(&addrs(|ready| ready.resp_cluster)?)?;
    let any = |protocol, addrs| Target { protocol, addrs, owners: Vec::new() };
    Ok(match (stage.door, stage.shape) {
        (Door::Http, _) => any(Protocol::Http, addrs(|ready| Some(ready.http))?),
        (Door::Resp, Shape::One | Shape::Proxy) => any(Protocol::Resp, addrs(|ready| ready.resp)?),
        (Door::Resp, Shape::Cluster) => {
            let owners = owners(&topology, stage.keys);
            Target { protocol: Protocol::Resp, addrs: topology.nodes, owners }
        }
    })
}
