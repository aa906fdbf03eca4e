//! A running node: the crates put together.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use boato_api::Backend;
use boato_cluster::quic::{BULK, CONTROL, Cluster, OPERATIONS, WeakCluster};
use boato_cluster::{self as cluster, Pid};
use boato_gossip::Gossip;
use boato_gossip::quic::Handle;
use boato_transport::{BindError, Channel, Handler, Limits, Peer, Responder, Transport};
use bytes::Bytes;
use prometheus_client::registry::Registry;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::attributes::{Announced, Attributes, VERSION};
use crate::backend::{Latest, NodeBackend};
use crate::config::{Config, Discover};
use crate::discovery::{Discovery, DiscoveryError, Plan};
use crate::doors::{self, Addresses};
use crate::handler;
use crate::journal::Journal;
use crate::listen::{self, AdvertiseError};
use crate::membership::{Listeners, Membership};
use crate::metrics::NodeMetrics;
use crate::roster::Roster;
use crate::{Identity, IdentityError, logging, moves, ready, reports};

/// What peers have to agree on: gossip's messages, the slots' frames and the placement; three decimal digits each.
const PROTOCOL: u32 =
    boato_gossip::PROTOCOL * 1_000_000 + boato_cluster::PROTOCOL * 1_000 + boato_placement::VERSION;
const _: () = assert!(boato_gossip::PROTOCOL < 1_000, "three digits");
const _: () = assert!(boato_cluster::PROTOCOL < 1_000 && boato_placement::VERSION < 1_000, "three digits");

/// How long a client's operation may take, waiting for a slot in hand-over included.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a node without anybody to join looks around before it begins a cluster: the neighbours on its machine
/// are found at once, those on its network may be heard of only by the second question.
const QUIET: Duration = Duration::from_secs(1);
const QUIET_MDNS: Duration = Duration::from_secs(3);

/// Bytes that may wait per peer and channel: several windows of chunks with the largest value in each.
const PEER_QUEUE_BYTES: usize = 32 << 20;

/// Why a node did not start. Nothing is left running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The node id cannot be kept or read.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The QUIC endpoint cannot be bound.
    #[error(transparent)]
    Quic(#[from] BindError),
    /// A door cannot be bound.
    #[error("cannot bind the {what} door to {addr}: {source}; choose another {flag}, or end what uses it")]
    Door {
        /// Which.
        what: &'static str,
        /// Its setting.
        flag: &'static str,
        /// The address.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// No address to tell other nodes.
    #[error(transparent)]
    Advertise(#[from] AdvertiseError),
    /// Name and addresses do not fit an announcement.
    #[error("the node's name and addresses cannot be announced: {0}")]
    Gossip(#[from] boato_gossip::NewError),
    /// No way to find other nodes.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// The ready file cannot be written.
    #[error("cannot write the ready file {}: {source}", path.display())]
    ReadyFile {
        /// Its path.
        path: std::path::PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A node that runs until [`Node::leave`].
pub struct Node {
    backend: Arc<NodeBackend>,
    transport: Transport,
    discovery: JoinHandle<()>,
    doors: doors::Open,
    leave_timeout: Duration,
    handoff_rate: Option<u64>,
    /// Where peers reach it.
    quic: SocketAddr,
    /// Where clients reach it.
    at: Addresses,
    /// Ends everything but the doors.
    stop: CancellationToken,
    replaced: CancellationToken,
    /// Keeps the data directory locked.
    _identity: Identity,
}

impl Node {
    /// Binds everything, starts everything. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let bound = Bound::new(&config).await?;
        let stop = CancellationToken::new();
        // Ends what has been started, should something after it fail.
        let guard = stop.clone().drop_guard();
        let Parts { cluster, membership, listeners } = Parts::start(&config, &bound, &stop)?;
        let (roster, journal) = (Arc::clone(&listeners.roster), Arc::clone(&listeners.journal));
        let replaced = listeners.replaced.clone();
        tokio::spawn(membership.clone().run(listeners, stop.clone()));
        let writing = reports::write(cluster.clone(), Arc::clone(&journal), Arc::clone(&roster));
        tokio::spawn(stop.clone().run_until_cancelled_owned(writing));
        let id = bound.identity.id.to_string();
        let handler = |command: &String| handler::Handler::new(command, &bound.name, &id);
        handler::on_events(config.on_event.iter().map(handler).collect(), &journal, &stop);
        if config.join.is_empty() {
            cluster.eligible(if config.discover == Discover::Mdns { QUIET_MDNS } else { QUIET });
        }
        let discovery = Discovery::start(Plan::new(&config, bound.identity.id, bound.quic), &stop)?;
        let discovery = tokio::spawn(join_found(discovery, membership.clone(), stop.clone()));

        let (looking, moving) = moves::watch(cluster.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(looking));

        let backend = Arc::new(NodeBackend {
            me: bound.me,
            name: Arc::clone(&bound.name),
            cluster_name: config.cluster.clone(),
            quic: bound.quic.to_string(),
            doors: bound.at,
            max_memory: config.max_memory,
            started: Instant::now(),
            cluster: cluster.clone(),
            membership,
            roster: Arc::clone(&roster),
            journal,
            moving: moving.clone(),
            topology: Latest::default(),
            leave: CancellationToken::new(),
            leaving: AtomicBool::new(false),
        });
        let mut registry = Registry::with_prefix("boato");
        let transport = bound.transport;
        let node_metrics = NodeMetrics { cluster, roster, transport: transport.clone(), moving };
        registry.register_collector(Box::new(node_metrics));
        let doors_backend = Arc::clone(&backend) as Arc<dyn Backend>;
        let doors_bound = bound.doors.bound();
        let doors = bound.doors.open(&config, &doors_backend, registry, stop.child_token());
        if let Some(path) = &config.ready_file {
            ready::write(path, bound.identity.id, &bound.name, bound.quic, &bound.at)
                .map_err(|source| StartError::ReadyFile { path: path.clone(), source })?;
        }
        let asks_for_secret = config.client_secret.is_some();
        logging::greet(&bound.name, &config.cluster, bound.quic, &doors_bound, asks_for_secret);
        guard.disarm();
        Ok(Self {
            backend,
            transport,
            discovery,
            doors,
            leave_timeout: config.leave_timeout,
            handoff_rate: config.handoff_rate,
            quic: bound.quic,
            at: bound.at,
            stop,
            replaced,
            _identity: bound.identity,
        })
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        &self.backend.name
    }

    /// Where peers reach it.
    pub fn quic(&self) -> SocketAddr {
        self.quic
    }

    /// Where its HTTP door is.
    pub fn http(&self) -> SocketAddr {
        self.at.http
    }

    /// Where its RESP door for clients that know one address is, if it has one.
    pub fn resp(&self) -> Option<SocketAddr> {
        self.at.resp
    }

    /// Where its RESP door for cluster clients is, if it has one.
    pub fn resp_cluster(&self) -> Option<SocketAddr> {
        self.at.resp_cluster
    }

    /// The node as its doors see it: reads and writes without a socket.
    pub fn backend(&self) -> Arc<dyn Backend> {
        Arc::clone(&self.backend) as Arc<dyn Backend>
    }

    /// Completes when a client asked this node to leave, or another process took over its id.
    pub async fn leave_requested(&self) {
        tokio::select! {
            () = self.backend.leave.cancelled() => {}
            () = self.replaced.cancelled() => {}
        }
    }

    /// Hands everything off, says goodbye and ends. Returns the number of slots that other nodes did not take over
    /// in time: their keys are lost. The last node of a cluster takes its keys with it, and returns 0.
    pub async fn leave(self) -> usize {
        let backend = &self.backend;
        let last = backend.roster.len() <= 1;
        backend.leaving.store(true, Ordering::Relaxed);
        backend.membership.announce_leaving().await;
        tracing::info!(slots = backend.cluster.stats().custody, "leaving: handing all slots to the others");
        if !last {
            self.warn_if_too_slow();
        }
        let handed_off = timeout(self.leave_timeout, backend.cluster.leave()).await;
        let slots_left = handed_off.unwrap_or_else(|_| backend.cluster.stats().custody);
        let entries = backend.cluster.slots().memory().entries;
        if last && entries > 0 {
            tracing::warn!(entries, "the last node leaves: the cluster's keys are gone");
        } else if !last && slots_left > 0 {
            tracing::warn!(
                slots_left,
                entries,
                "leaving with slots that nobody took over: their keys are lost"
            );
        }
        // Whoever hears the goodbye begins these slots anew: two must not serve them.
        backend.cluster.abandon();
        backend.membership.leave().await;
        self.doors.close().await;
        self.stop.cancel();
        let _ = self.discovery.await;
        self.transport.close().await;
        if last { 0 } else { slots_left }
    }

    /// Says so where the limit on the rate leaves too little time to hand everything off.
    fn warn_if_too_slow(&self) {
        let bytes = self.backend.cluster.slots().memory().bytes;
        if let Some(rate) = self.handoff_rate
            && bytes / rate.max(1) > self.leave_timeout.as_secs()
        {
            tracing::warn!(
                bytes,
                handoff_rate = rate,
                leave_timeout_s = self.leave_timeout.as_secs(),
                "--handoff-rate lets less than this node's entries through within --leave-timeout: \
                 what has not gone out by then is lost"
            );
        }
    }
}

/// A node's name and addresses, taken.
struct Bound {
    identity: Identity,
    me: Pid,
    name: Arc<str>,
    transport: Transport,
    doors: doors::Closed,
    /// Where peers reach it.
    quic: SocketAddr,
    /// Where clients reach it.
    at: Addresses,
}

impl Bound {
    async fn new(config: &Config) -> Result<Self, StartError> {
        let identity = Identity::open(config.data_dir.as_deref())?;
        let me = Pid { node: identity.id.0, boot: identity.boot };
        let transport = listen::bind(
            config.quic,
            "QUIC",
            |addr| Transport::bind(transport_config(config, me, addr)),
            |error| matches!(error, BindError::Socket { source, .. } if source.kind() == io::ErrorKind::AddrInUse),
        )?;
        let doors = doors::Closed::bind(config)?;
        // May look a name up.
        let (local, advertise) = (transport.local_addr(), config.advertise.clone());
        let looked_up = tokio::task::spawn_blocking(move || listen::advertised(local, advertise.as_ref()));
        let quic = looked_up.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
        let name = config.name.clone().unwrap_or_else(|| identity.default_name()).into();
        let at = doors.bound().advertised(quic);
        Ok(Self { identity, me, name, transport, doors, quic, at })
    }
}

/// The protocol cores, running.
struct Parts {
    cluster: Cluster,
    membership: Membership,
    listeners: Listeners,
}

impl Parts {
    fn start(config: &Config, bound: &Bound, stop: &CancellationToken) -> Result<Self, StartError> {
        let attributes = Attributes {
            http: Some(bound.at.http),
            resp: bound.at.resp,
            resp_cluster: bound.at.resp_cluster,
            leaving: false,
            version: VERSION.to_owned(),
            weight: config.weight,
        };
        let announced = Announced { attributes, custom: config.tags.clone() };
        let identity = boato_gossip::Identity {
            id: bound.identity.id,
            boot: bound.identity.boot,
            addr: bound.quic,
            name: bound.name.to_string(),
            tags: announced.tags(),
        };
        let lan = config.secret.is_some();
        let settings = if lan { boato_gossip::Config::lan() } else { boato_gossip::Config::local() };
        let gossip = Gossip::new(settings, identity, fastrand::u64(..), Duration::ZERO)?;
        let handle = boato_gossip::quic::spawn(gossip, bound.transport.clone());
        let machine = cluster::Config {
            weight: config.weight,
            max_memory: config.max_memory,
            handoff_rate: config.handoff_rate,
            min_members: config.min_members.into(),
            ..cluster::Config::new(bound.me, fastrand::u64(..))
        };
        let cluster = Cluster::spawn(machine, bound.transport.clone(), PATIENCE, stop.clone());
        bound.transport.serve(Arc::new(Dispatch { gossip: handle.clone(), cluster: cluster.downgrade() }));
        let listeners = Listeners {
            cluster: cluster.clone(),
            roster: Arc::new(Roster::default()),
            journal: Arc::new(Journal::new()),
            replaced: CancellationToken::new(),
        };
        Ok(Self { cluster, membership: Membership::new(handle, bound.identity.id, announced), listeners })
    }
}

/// Passes on what the transport receives. Does not keep the cluster alive, which keeps the transport.
struct Dispatch {
    gossip: Handle,
    cluster: WeakCluster,
}

impl Handler for Dispatch {
    fn datagram(&self, from: Peer, payload: Bytes) {
        self.gossip.datagram(from, payload);
    }

    fn message(&self, from: Peer, channel: Channel, payload: Bytes) {
        match channel {
            CONTROL | BULK => {
                if let Some(cluster) = self.cluster.upgrade() {
                    cluster.message(from, &payload);
                }
            }
            boato_gossip::quic::CHANNEL => self.gossip.message(from, payload),
            _ => tracing::debug!(peer = %from.addr, channel = channel.0, "a message on an unknown channel"),
        }
    }

    fn request(&self, from: Peer, channel: Channel, payload: Bytes, reply: Responder) {
        if channel == OPERATIONS
            && let Some(cluster) = self.cluster.upgrade()
        {
            cluster.request(from, &payload, reply);
        }
    }
}

fn transport_config(config: &Config, me: Pid, addr: SocketAddr) -> boato_transport::Config {
    boato_transport::Config {
        secret: config.secret.clone(),
        limits: Limits { queue_bytes: PEER_QUEUE_BYTES, ..Limits::default() },
        ..boato_transport::Config::new(config.cluster.clone(), me.node, addr, PROTOCOL)
    }
}

/// Joins whatever discovery finds.
async fn join_found(mut discovery: Discovery, membership: Membership, stop: CancellationToken) {
    let mut changes = membership.subscribe();
    loop {
        tokio::select! {
            found = discovery.found() => match found {
                Some(found) => membership.join(found.addr),
                None => break,
            },
            // Whatever changed, and however much of it was missed, the members are read anew.
            change = changes.recv() => if matches!(change, Err(RecvError::Closed)) { break },
            () = stop.cancelled() => break,
        }
        discovery.set_joined(membership.members().iter().filter(|member| member.is_live()).count() > 1);
    }
    discovery.stop().await;
}
