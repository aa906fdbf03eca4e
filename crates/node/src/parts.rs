//! What a node is made of: its addresses, taken, and its protocol cores, running.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use boato_api::http::AccessLog;
use boato_cluster::quic::{BULK, CONTROL, Cluster, OPERATIONS, TRACED, WeakCluster};
use boato_cluster::{self as cluster, Pid, Trace};
use boato_gossip::Gossip;
use boato_gossip::quic::Handle;
use boato_transport::{BindError, Channel, Handler, Limits, Peer, Responder, Transport};
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::Identity;
use crate::attributes::{Announced, Attributes, VERSION};
use crate::config::{Config, Profile};
use crate::doors::{self, Addresses, Secrets};
use crate::figures::{self, Told};
use crate::inherited::Inherited;
use crate::journal::Journal;
use crate::keyring::{self, Keys, WeakKeys};
use crate::listen;
use crate::membership::{Listeners, Membership, Name};
use crate::roster::Roster;
use crate::start_error::StartError;
use crate::wire;

/// How long a client's operation may take, waiting for a slot in hand-over included.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes that may wait per peer and channel: several windows of chunks with the largest value in each.
const PEER_QUEUE_BYTES: usize = 32 << 20;

/// A node's name and addresses, taken.
pub(crate) struct Bound {
    pub(crate) identity: Identity,
    pub(crate) me: Pid,
    pub(crate) name: Arc<str>,
    /// The name as it is shown from now on.
    pub(crate) shown: Name,
    pub(crate) transport: Transport,
    /// The cluster's secrets, if it has any.
    pub(crate) keys: Option<Keys>,
    pub(crate) doors: doors::Closed,
    /// Where peers reach it.
    pub(crate) quic: SocketAddr,
    /// Where clients reach it.
    pub(crate) at: Addresses,
}

impl Bound {
    pub(crate) async fn new(
        config: &Config,
        inherited: Inherited,
        secrets: &Secrets,
    ) -> Result<Self, StartError> {
        let identity = Identity::open(config.data_dir.as_deref())?;
        let me = Pid { node: identity.key.node(), boot: identity.boot };
        let transport = listen::bind(
            config.quic,
            "QUIC",
            |addr| Transport::bind(transport_config(config, &identity, addr)),
            |error| matches!(error, BindError::Socket { source, .. } if source.kind() == io::ErrorKind::AddrInUse),
        )?;
        let keys = config.secret.as_ref().map(|secret| {
            let (dir, transport) = (config.data_dir.as_deref(), transport.clone());
            Keys::open(secret, dir, transport, &config.cluster, secrets.clone(), identity.id())
        });
        let keys = keys.transpose()?;
        let doors = doors::Closed::bind(config, inherited)?;
        // May look a name up.
        let (local, advertise) = (transport.local_addr(), config.advertise.clone());
        let looked_up = tokio::task::spawn_blocking(move || listen::advertised(local, advertise.as_ref()));
        let quic = looked_up.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
        let name: Arc<str> = config.name.clone().unwrap_or_else(|| identity.default_name()).into();
        let shown = Arc::new(ArcSwap::from_pointee(Arc::clone(&name)));
        let at = doors.bound().advertised(quic);
        Ok(Self { identity, me, name, shown, transport, keys, doors, quic, at })
    }
}

/// The protocol cores, running.
pub(crate) struct Parts {
    pub(crate) cluster: Cluster,
    pub(crate) membership: Membership,
    pub(crate) listeners: Listeners,
    /// What peers are told of this node's load.
    pub(crate) told: Arc<Told>,
}

impl Parts {
    pub(crate) fn start(
        config: &Config,
        bound: &Bound,
        access_log: AccessLog,
        stop: &CancellationToken,
    ) -> Result<Self, StartError> {
        let attributes = Attributes {
            http: Some(bound.at.http),
            resp: bound.at.resp,
            resp_cluster: bound.at.resp_cluster,
            leaving: false,
            on_demand: config.exit_on_idle.is_some(),
            version: VERSION.to_owned(),
            weight: config.weight,
        };
        let announced = Announced { attributes, custom: config.tags.clone() };
        let identity = boato_gossip::Identity {
            id: bound.identity.id(),
            boot: bound.identity.boot,
            addr: bound.quic,
            name: bound.name.to_string(),
            tags: announced.tags(),
        };
        let settings = match config.profile {
            Profile::Local => boato_gossip::Config::local(),
            Profile::Lan => boato_gossip::Config::lan(),
            Profile::Wan => boato_gossip::Config::wan(),
        };
        let key = Arc::new(bound.identity.key.clone());
        let journal = Arc::new(Journal::new(settings.events_max()));
        let gossip = Gossip::new(settings, identity, fastrand::u64(..), Duration::ZERO)?.with_signer(key);
        let handle = boato_gossip::quic::spawn(gossip, bound.transport.clone());
        let machine = cluster::Config {
            weight: config.weight,
            max_memory: config.max_memory,
            handoff_rate: config.handoff_rate,
            min_members: config.min_members.into(),
            ..cluster::Config::new(bound.me, fastrand::u64(..))
        };
        let cluster = Cluster::spawn(machine, bound.transport.clone(), PATIENCE, stop.clone());
        let told = Arc::new(Told::new(bound.identity.id()));
        bound.transport.serve(Arc::new(Dispatch {
            gossip: handle.clone(),
            cluster: cluster.downgrade(),
            keys: bound.keys.as_ref().map(Keys::downgrade),
            access_log,
            told: Arc::clone(&told),
        }));
        let listeners = Listeners {
            cluster: cluster.clone(),
            roster: Arc::new(Roster::default()),
            journal,
            replaced: CancellationToken::new(),
        };
        Ok(Self {
            cluster,
            membership: Membership::new(
                handle,
                bound.identity.id(),
                bound.quic,
                announced,
                bound.keys.clone(),
                Arc::clone(&bound.shown),
            ),
            listeners,
            told,
        })
    }
}

/// Passes on what the transport receives. Does not keep the cluster alive, which keeps the transport.
struct Dispatch {
    gossip: Handle,
    cluster: WeakCluster,
    keys: Option<WeakKeys>,
    access_log: AccessLog,
    told: Arc<Told>,
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
            boato_gossip::quic::CHANNEL | boato_gossip::quic::BULK => self.gossip.message(from, payload),
            _ => tracing::debug!(peer = %from.addr, channel = channel.0, "a message on an unknown channel"),
        }
    }

    fn request(&self, from: Peer, channel: Channel, payload: Bytes, reply: Responder) {
        if channel == OPERATIONS
            && let Some(cluster) = self.cluster.upgrade()
        {
            cluster.request(from, &payload, reply);
        } else if channel == TRACED
            && let Some(cluster) = self.cluster.upgrade()
        {
            cluster.traced(from, &payload, reply, |Trace { id, parent, flags }| {
                let held = self.access_log.held(boato_api::Trace { id, parent, flags })?;
                Some(Box::new(held))
            });
        } else if channel == keyring::CHANNEL
            && let Some(keys) = self.keys.as_ref().and_then(WeakKeys::upgrade)
        {
            keys.answer(&payload, reply);
        } else if channel == figures::CHANNEL {
            self.told.answer(&payload, reply);
        }
    }
}

fn transport_config(config: &Config, identity: &Identity, addr: SocketAddr) -> boato_transport::Config {
    let (protocol, previous) =
        if config.previous_wire { (wire::PREVIOUS, None) } else { (wire::NEWEST, Some(wire::PREVIOUS)) };
    boato_transport::Config {
        secret: config.secret.clone(),
        previous,
        bound_since: wire::SINCE_9,
        limits: Limits { queue_bytes: PEER_QUEUE_BYTES, ..Limits::default() },
        ..boato_transport::Config::new(config.cluster.clone(), identity.key.clone(), addr, protocol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_a_connection_with_every_member_that_gossip_lists_and_for_its_successor() {
        let Limits { max_connections, max_connections_per_ip, .. } = Limits::default();
        for gossip in
            [boato_gossip::Config::local(), boato_gossip::Config::lan(), boato_gossip::Config::wan()]
        {
            let needed = 2 * gossip.members_max;
            assert!(needed <= max_connections.min(max_connections_per_ip), "{needed} connections");
        }
    }
}
