//! Finding nodes to join: neighbours on this machine, on the local network, and those named by `--join`.
//!
//! Each source is a task that reports the addresses it knows again and again: whoever joins may be down for a
//! moment, an answer may be lost, a name may point elsewhere by now. The receiver drops what it knows
//! already.

mod dns;
mod local;
mod mdns;
mod pace;
mod silence;

use std::net::SocketAddr;
use std::time::Duration;

use boato_gossip::NodeId;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) use dns::look_up;
pub use local::LocalError;
use pace::Pace;
pub(crate) use silence::Silence;

use crate::config::{Config, Discover, Join};

/// Reports waiting for the receiver; a source that finds more waits.
const QUEUE: usize = 256;

/// Most addresses that one source reports at a time; more nodes than that are met by gossip.
const FOUND_MAX: usize = 1024;

/// Longest wait for the sources to say goodbye.
const STOP_MAX: Duration = Duration::from_secs(1);

/// What to look for, and whom to announce.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Name of the cluster: others are not reported.
    pub cluster: String,
    /// This node: never reported by `Local` and `Mdns`.
    pub node: NodeId,
    /// The address to announce.
    pub addr: SocketAddr,
    /// Where to look besides `join`.
    pub discover: Discover,
    /// Names and addresses to resolve. One of them may be this node itself.
    pub join: Vec<Join>,
}

impl Plan {
    /// The plan of a node whose endpoint others reach at `addr`.
    pub fn new(config: &Config, node: NodeId, addr: SocketAddr) -> Self {
        Self {
            cluster: config.cluster.clone(),
            node,
            addr,
            discover: config.discover,
            join: config.join.clone(),
        }
    }

    /// How other nodes are found, for people; `known` addresses are remembered from an earlier start.
    pub(crate) fn ways(&self, known: usize) -> String {
        let looks = match self.discover {
            Discover::Local => Some("those of this user on this machine".to_owned()),
            Discover::Mdns => Some("those on this network, by multicast DNS".to_owned()),
            Discover::Off => None,
        };
        let joins = self.join.iter().map(ToString::to_string);
        let remembered = (known > 0).then(|| format!("{known} known from the start before"));
        let ways: Vec<String> = looks.into_iter().chain(joins).chain(remembered).collect();
        if ways.is_empty() { "no way; others may find this node".to_owned() } else { ways.join(", ") }
    }
}

/// An address where a node of the cluster may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Found {
    /// Its QUIC address.
    pub addr: SocketAddr,
    /// Who said so.
    pub source: Source,
}

/// Where an address came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The rendezvous directory of this machine.
    Local,
    /// Multicast DNS.
    Mdns,
    /// `--join`. May be this node itself.
    Join,
}

/// Why discovery cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// The rendezvous directory is not to be trusted.
    #[error(transparent)]
    Local(#[from] LocalError),
}

/// The running sources.
#[derive(Debug)]
pub struct Discovery {
    found: mpsc::Receiver<Found>,
    joined: watch::Sender<bool>,
    tasks: JoinSet<()>,
    shutdown: CancellationToken,
}

impl Discovery {
    /// Starts every source of `plan` as a task of the current tokio runtime; they end with `shutdown`.
    ///
    /// A source that cannot work here (no directory to write, no multicast) warns in the log and is left out.
    ///
    /// # Errors
    /// The rendezvous directory belongs to somebody else.
    pub fn start(plan: Plan, shutdown: &CancellationToken) -> Result<Self, DiscoveryError> {
        // Its own: when the sources end, the rest of the node goes on.
        let shutdown = shutdown.child_token();
        let (sender, found) = mpsc::channel(QUEUE);
        let (joined, watch) = watch::channel(false);
        let sink = Sink { sender, shutdown: shutdown.clone() };
        let pace = Pace::new(watch, shutdown.clone());
        let mut tasks = JoinSet::new();
        match plan.discover {
            Discover::Local => {
                let rendezvous = local::open(&plan)?;
                tasks.spawn(local::run(rendezvous, sink.clone(), pace.clone()));
            }
            Discover::Mdns => {
                tasks.spawn(mdns::run(plan.cluster, plan.node, plan.addr, sink.clone(), pace.clone()));
            }
            Discover::Off => {}
        }
        for join in plan.join {
            tasks.spawn(dns::run(join, sink.clone(), pace.clone()));
        }
        Ok(Self { found, joined, tasks, shutdown })
    }

    /// The next address to join; `None` when there is no source or all have ended. Cancel safe.
    pub async fn found(&mut self) -> Option<Found> {
        self.found.recv().await
    }

    /// Tells the sources whether this node knows other members: until then they look more often.
    pub fn set_joined(&self, joined: bool) {
        self.joined.send_if_modified(|now| std::mem::replace(now, joined) != joined);
    }

    /// Ends the sources and waits, at most a second, until they have taken back what they announced.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        self.found.close();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_MAX, ended).await.is_err() {
            tracing::debug!("a discovery source did not end in time");
        }
    }
}

/// Where sources report.
#[derive(Clone)]
struct Sink {
    sender: mpsc::Sender<Found>,
    shutdown: CancellationToken,
}

impl Sink {
    /// Reports every address, at most [`FOUND_MAX`], waiting for the receiver. False when it is time to end.
    async fn report(&self, addrs: impl IntoIterator<Item = SocketAddr>, source: Source) -> bool {
        for addr in addrs.into_iter().take(FOUND_MAX) {
            let found = Found { addr, source };
            let sent = self.shutdown.run_until_cancelled(self.sender.send(found)).await;
            if !matches!(sent, Some(Ok(()))) {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests;
