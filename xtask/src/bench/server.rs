//! The servers that are compared, each started on loopback with settings that suit a cache in memory.

mod bare;
mod boato;
mod memcached;
mod nginx;
mod redis;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use boato_placement::slot;

use super::load::Target;
use super::space::Space;
use super::workload::{Door, Shape, Stage};
use crate::ask::Topology;
use crate::nodes::Node;
use crate::process::{self, Process};

/// Who is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Boato,
    /// The boato of `--before`.
    Before,
    Peer(Peer),
}

/// Whom boato is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Peer {
    Redis,
    Memcached,
    Nginx,
    /// GET and SET of RESP on tokio over a map, nothing else (`benches/bare`, like the next three)
    Bare,
    /// HTTP by axum, the same body for every path
    Axum,
    /// HTTP by hyper, the same body for every path
    Hyper,
    /// HTTP by hand, the same body for every path
    Lean,
}

impl Peer {
    /// Whether it is one of the repository's own, which do the least.
    pub(super) fn is_bare(self) -> bool {
        matches!(self, Self::Bare | Self::Axum | Self::Hyper | Self::Lean)
    }

    fn text(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Memcached => "memcached",
            Self::Nginx => "nginx",
            Self::Bare => "bare",
            Self::Axum => "axum",
            Self::Hyper => "hyper",
            Self::Lean => "lean",
        }
    }
}

/// A running server, of one or several processes.
pub(super) struct Server {
    pub(super) name: Name,
    pub(super) target: Target,
    pids: Vec<u32>,
    /// Ended with the server.
    _processes: Vec<Running>,
}

enum Running {
    Node(Box<Node>),
    Peer(Process),
}

/// What servers are started with.
pub(super) struct Yard {
    /// The boato binary.
    pub(super) program: PathBuf,
    /// Another one, if there is to be one.
    pub(super) before: Option<PathBuf>,
    /// The binary of the servers that do the least, if they are asked for.
    pub(super) bare: Option<PathBuf>,
    /// For logs and files.
    pub(super) dir: PathBuf,
}

impl Name {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Boato => "boato",
            Self::Before => "before",
            Self::Peer(peer) => peer.text(),
        }
    }

    /// Whether the server can do what workloads of this stage ask for.
    pub(super) fn plays(self, stage: Stage) -> bool {
        let (door, shape) = (stage.door, stage.shape);
        match self {
            Self::Boato | Self::Before => true,
            Self::Peer(Peer::Redis) => door == Door::Resp && shape != Shape::Proxy,
            Self::Peer(Peer::Memcached | Peer::Bare) => door == Door::Resp && shape == Shape::One,
            Self::Peer(Peer::Nginx | Peer::Axum | Peer::Hyper | Peer::Lean) => door == Door::Http,
        }
    }

    /// Starts it; `None` if its program is missing.
    pub(super) fn start(self, stage: Stage, yard: &Yard) -> Result<Option<Server>> {
        match self {
            Self::Boato => boato::start(self, &yard.program, stage, yard).map(Some),
            Self::Before => match &yard.before {
                Some(program) => boato::start(self, program, stage, yard).map(Some),
                None => Ok(None),
            },
            Self::Peer(Peer::Redis) => redis::start(stage, yard),
            Self::Peer(Peer::Memcached) => memcached::start(stage, yard),
            Self::Peer(Peer::Nginx) => nginx::start(stage, yard),
            Self::Peer(peer) => bare::start(peer, stage, yard),
        }
    }
}

impl Server {
    fn new(name: Name, target: Target, processes: Vec<Running>) -> Self {
        let pid = |running: &Running| match running {
            Running::Node(node) => node.pid(),
            Running::Peer(process) => process.pid(),
        };
        Self { name, target, pids: processes.iter().map(pid).collect(), _processes: processes }
    }

    /// CPU time used so far.
    pub(super) fn cpu_time(&self) -> Result<Duration> {
        process::cpu_time(&self.pids)
    }

    /// Resident memory in bytes.
    pub(super) fn resident_bytes(&self) -> Result<u64> {
        process::resident_bytes(&self.pids)
    }

    /// Whether keys have to be written before they can be read.
    pub(super) fn wants_keys(&self) -> bool {
        !matches!(self.name, Name::Peer(Peer::Nginx | Peer::Axum | Peer::Hyper | Peer::Lean))
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// For each key, the place of its slot's holder among the nodes of the topology.
fn owners(topology: &Topology, keys: u32) -> Vec<u8> {
    let owner = |key| topology.holders[usize::from(slot(&Space::key(key)))];
    (0..keys).map(owner).collect()
}

/// Where the output of a server goes.
fn log(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.log"))
}
