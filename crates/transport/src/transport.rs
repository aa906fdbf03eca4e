//! The endpoint of one node.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use crate::identity::Identity;
use crate::lane::{Outgoing, Pending};
use crate::mesh::{Credentials, Mesh};
use crate::serve::Responder;
use crate::session::{Shared, code};
use crate::stats::{Counters, Path};
use crate::{BindError, CHANNELS, Config, DATAGRAM_MAX, Keyring, SendError, Stats, endpoint};

/// How long a closing endpoint waits for its peers to hear the goodbye.
const GOODBYE: Duration = Duration::from_millis(500);

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Peer {
    /// The address it sends from and can be reached at.
    pub addr: SocketAddr,
    /// Its node id, from the certificate it proved: that of its key, unless it speaks a version before
    /// [`Config::bound_since`].
    pub node: u128,
    /// The protocol version that both ends agreed on: [`Config::protocol`], or [`Config::previous`].
    pub protocol: u32,
}

/// One of [`CHANNELS`](crate::CHANNELS) independent ordered streams to a peer: a full channel does not hold up another.
/// What waits on a lower channel goes first; datagrams go before all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Channel(pub u8);

impl Channel {
    /// The priority of its streams: higher goes first.
    pub(crate) fn priority(self) -> i32 {
        -i32::from(self.0)
    }
}

/// Receives what peers send. Called from the tasks that read the network: must not block.
///
/// A payload may share its allocation with its neighbours (up to 64 KiB): copy what is kept for long.
pub trait Handler: Send + Sync + 'static {
    /// A datagram: unordered, may be lost.
    fn datagram(&self, from: Peer, payload: Bytes);
    /// A one-way message, in the order sent per peer and channel.
    fn message(&self, from: Peer, channel: Channel, payload: Bytes);
    /// A request, in the order sent among requests and messages; answers may be given in any order.
    fn request(&self, from: Peer, channel: Channel, payload: Bytes, reply: Responder);
}

/// The QUIC endpoint of one node with its connections. A cheap handle: clones share the endpoint, and when the last one
/// is dropped every connection is closed at once. See [`close`](Self::close) for the polite way.
#[derive(Clone)]
pub struct Transport(Arc<Owner>);

/// Closes the endpoint when the last handle is gone; the tasks hold only the mesh.
struct Owner {
    mesh: Arc<Mesh>,
    local: SocketAddr,
    socket_buffers: (usize, usize),
}

impl Transport {
    /// Opens the UDP socket and makes this node's certificate. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`BindError`] says what to change.
    pub fn bind(config: Config) -> Result<Self, BindError> {
        config.validate()?;
        let identity = Identity::new(&config, None)?;
        let opened = endpoint::open(&config, &identity)?;
        let shared = Arc::new(Shared::new(config.limits.clone()));
        let mesh = Mesh::new(shared, opened.endpoint, config, credentials(identity));
        tokio::spawn(Arc::clone(&mesh).sweep());
        let socket_buffers = (opened.receive_buffer, opened.send_buffer);
        Ok(Self(Arc::new(Owner { mesh, local: opened.local, socket_buffers })))
    }

    /// Accepts peers that know any of these secrets from now on, and shows the one in use where the peer knows it. What
    /// is open with a peer that showed none of them is closed within five seconds, if it can be when nothing is said on it; a
    /// request under way then is reported as one whose connection is lost.
    ///
    /// # Errors
    /// [`BindError::Identity`]; nothing has changed.
    pub fn set_keys(&self, keys: &Keyring) -> Result<(), BindError> {
        let identity = Identity::new(&self.0.mesh.config, Some(keys))?;
        self.0.mesh.credentials.send_modify(|current| {
            self.0.mesh.endpoint.set_server_config(Some(endpoint::server(&identity)));
            *current = credentials(identity);
        });
        Ok(())
    }

    /// Starts accepting connections and hands what arrives, on dialled connections too, to `handler`. Must be called
    /// within a tokio runtime. Until then nothing that arrives is read.
    ///
    /// # Panics
    /// When called a second time.
    pub fn serve(&self, handler: Arc<dyn Handler>) {
        let mesh = &self.0.mesh;
        assert!(mesh.handler.set(handler).is_ok(), "a transport has one handler: call `serve` once");
        tokio::spawn(Arc::clone(mesh).accept());
    }

    /// The bound address, with the port the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.0.local
    }

    /// Sends a datagram, dialling in the background if need be. Never blocks and never reports: a datagram larger than
    /// [`DATAGRAM_MAX`], or whose peer does not answer, is dropped and counted.
    pub fn datagram(&self, to: SocketAddr, payload: Bytes) {
        let mesh = &self.0.mesh;
        match mesh.session(to) {
            Ok(session) if payload.len() <= DATAGRAM_MAX => session.datagram(payload),
            _ => Counters::add(&mesh.shared.counters.datagrams_dropped, 1),
        }
    }

    /// Queues a one-way message, dialling in the background if need be. `Ok` means queued: the message is lost if the
    /// connection is. Messages and requests to one peer on one channel arrive in the order of the calls.
    ///
    /// # Errors
    /// [`SendError`]: the message was not queued.
    ///
    /// # Panics
    /// When `channel` is not below [`CHANNELS`].
    pub fn send(&self, to: SocketAddr, channel: Channel, payload: Bytes) -> Result<(), SendError> {
        self.submit(to, channel, Outgoing::message(payload)).map_err(|(reason, _)| reason)
    }

    /// Queues a request at once (not at the first poll), dialling in the background if need be. It is sent at most
    /// once. The caller bounds the wait by dropping the future.
    ///
    /// # Panics
    /// When `channel` is not below [`CHANNELS`].
    pub fn request(&self, to: SocketAddr, channel: Channel, payload: Bytes) -> Pending {
        let (frame, pending) = Outgoing::request(payload);
        if let Err((reason, frame)) = self.submit(to, channel, frame) {
            frame.not_sent(reason);
        }
        pending
    }

    fn submit(&self, to: SocketAddr, channel: Channel, frame: Outgoing) -> Result<(), (SendError, Outgoing)> {
        assert!(channel.0 < CHANNELS, "there are {CHANNELS} channels, numbered from 0");
        if frame.len() > self.0.mesh.shared.limits.max_frame {
            return Err((SendError::TooLarge, frame));
        }
        self.0.mesh.submit(to, channel, frame)
    }

    /// Names the peers whose connections stay when idle; others are closed after [`Limits::idle_grace`] without a
    /// frame. Replaces the previous list, which is empty at first. No connection is made by it.
    ///
    /// [`Limits::idle_grace`]: crate::Limits::idle_grace
    pub fn retain(&self, live: &[SocketAddr]) {
        self.0.mesh.retain(live);
    }

    /// Smoothed round-trip time of the connection to `to`, if there is one.
    pub fn rtt(&self, to: SocketAddr) -> Option<Duration> {
        self.0.mesh.rtt(to)
    }

    /// The protocol version spoken with the peer at `to`, once it is connected.
    pub fn protocol(&self, to: SocketAddr) -> Option<u32> {
        self.0.mesh.protocol(to)
    }

    /// The way to each peer that is connected, in no particular order.
    pub fn paths(&self) -> Vec<Path> {
        self.0.mesh.paths()
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        let mesh = &self.0.mesh;
        Stats {
            connections: mesh.endpoint.open_connections() as u64,
            refused: mesh.refusals.count(),
            socket_receive_buffer: self.0.socket_buffers.0 as u64,
            socket_send_buffer: self.0.socket_buffers.1 as u64,
            ..mesh.shared.counters.snapshot()
        }
    }

    /// Takes no new work, lets queued frames and running requests finish for at most [`Limits::drain`], then closes
    /// every connection. Peers learn that requests which were not answered were not taken up either. The socket is
    /// released with the last handle.
    ///
    /// [`Limits::drain`]: crate::Limits::drain
    pub async fn close(&self) {
        let mesh = &self.0.mesh;
        mesh.shared.closing.cancel();
        mesh.tasks.close();
        // What is not done by then is reported to its callers as the connections end.
        let drained = timeout(mesh.shared.limits.drain, mesh.tasks.wait()).await.is_ok();
        mesh.endpoint.close(if drained { code::DRAINED } else { code::CLOSED }, b"closed");
        // Peers that do not hear the goodbye notice by themselves.
        let _ = timeout(GOODBYE, mesh.endpoint.wait_idle()).await;
    }
}

fn credentials(identity: Identity) -> Credentials {
    let client = endpoint::client(&identity);
    Credentials { client, server_name: identity.server_name, authorities: identity.authorities }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("local", &self.0.local).finish_non_exhaustive()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.mesh.shared.closing.cancel();
        self.mesh.endpoint.close(code::CLOSED, b"closed");
    }
}
