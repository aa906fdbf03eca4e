//! Three nodes in this process.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use boato_api::Readiness;
use node::config::Discover;
use node::{Config, Node, Settings};
use tokio::runtime::Runtime;

const NODES: usize = 3;

/// How long the nodes may take to become a cluster.
const START_MAX: Duration = Duration::from_mins(1);

/// Nodes and the threads that they run on.
pub(crate) struct Cluster {
    runtime: Runtime,
    nodes: Vec<Node>,
}

impl Cluster {
    /// Starts the nodes, at any free ports, and waits until all of them serve.
    pub(crate) fn start() -> Result<Self> {
        let runtime = Runtime::new()?;
        let mut nodes: Vec<Node> = Vec::new();
        for i in 0..NODES {
            let settings = Settings {
                name: Some(format!("edge-{i}")),
                cluster: Some("edge-config".to_owned()),
                quic: Some("127.0.0.1:0".parse()?),
                http: Some("127.0.0.1:0".parse()?),
                // The others are told whom to join, so that no other cluster on this machine is met.
                discover: Some(Discover::Off),
                join: nodes
                    .first()
                    .map(|first| first.quic().to_string().parse())
                    .transpose()?
                    .into_iter()
                    .collect(),
                ..Settings::default()
            };
            nodes.push(runtime.block_on(Node::start(Config::new(&settings)?))?);
        }
        let start = Instant::now();
        while !nodes.iter().all(serves) {
            ensure!(start.elapsed() < START_MAX, "the nodes did not become a cluster");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(Self { runtime, nodes })
    }

    /// The HTTP door of the node beside the `i`th proxy.
    pub(crate) fn door(&self, i: usize) -> SocketAddr {
        self.nodes[i % self.nodes.len()].http()
    }

    /// Ends the nodes, one by one: each hands its keys to those left.
    pub(crate) fn stop(self) {
        for node in self.nodes {
            self.runtime.block_on(node.leave());
        }
    }
}

/// Whether it is ready and has its share of the slots.
fn serves(node: &Node) -> bool {
    node.backend().readiness() == Readiness::Ready && node.backend().status().slots > 0
}
