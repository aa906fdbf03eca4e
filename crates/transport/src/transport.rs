//! The endpoint of one node.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use crate::{BindError, Config, RequestError, SendError, Stats};

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Peer {
    /// The address it sends from and can be reached at.
    pub addr: SocketAddr,
    /// Its node id, from the certificate it proved.
    pub node: u128,
}

/// One of [`CHANNELS`](crate::CHANNELS) independent ordered streams to a peer: a full channel does not hold up another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Channel(pub u8);

/// Receives what peers send. Called from the tasks that read the network: must not block.
///
/// A payload may share its allocation with its neighbours (up to 64 KiB): copy what is kept for long.
pub trait Handler: Send + Sync + 'static {
    /// A datagram: unordered, may be lost, at most [`DATAGRAM_MAX`](crate::DATAGRAM_MAX) bytes from a peer of this crate.
    fn datagram(&self, from: Peer, payload: Bytes);
    /// A one-way message, in the order sent per peer and channel.
    fn message(&self, from: Peer, channel: Channel, payload: Bytes);
    /// A request, in the order sent among requests and messages; answers may be given in any order.
    fn request(&self, from: Peer, channel: Channel, payload: Bytes, reply: Responder);
}

/// The duty to answer one request. Dropped without an answer, the caller gets [`RequestError::NoAnswer`].
#[derive(Debug)]
pub struct Responder {}

impl Responder {
    /// Answers. Never blocks. An answer larger than [`Limits::max_frame`](crate::Limits::max_frame) becomes "no answer".
    pub fn send(self, payload: Bytes) {
        let _ = payload;
        unimplemented!()
    }
}

/// A request on its way; resolves to the answer. Dropping it forgets the answer (and the request, if it is still queued).
#[derive(Debug)]
#[must_use = "dropping it forgets the request"]
pub struct Pending {}

impl Future for Pending {
    type Output = Result<Bytes, RequestError>;

    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Self::Output> {
        unimplemented!()
    }
}

/// The QUIC endpoint of one node with its connections. A cheap handle: clones share the endpoint.
#[derive(Debug, Clone)]
pub struct Transport {}

impl Transport {
    /// Opens the UDP socket and makes this node's certificate. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`BindError`] says what to change.
    pub fn bind(config: Config) -> Result<Self, BindError> {
        let _ = config;
        unimplemented!()
    }

    /// Starts accepting connections and handing what arrives, on dialled connections too, to `handler`.
    ///
    /// # Panics
    /// When called a second time.
    pub fn serve(&self, handler: Arc<dyn Handler>) {
        let _ = handler;
        unimplemented!()
    }

    /// The bound address, with the port the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        unimplemented!()
    }

    /// Sends a datagram, dialling in the background if need be. Never blocks and never reports: a datagram that is too
    /// large, or whose peer does not answer, is dropped and counted.
    pub fn datagram(&self, to: SocketAddr, payload: Bytes) {
        let _ = (to, payload);
        unimplemented!()
    }

    /// Queues a one-way message, dialling in the background if need be. `Ok` means queued: the message is lost if the
    /// connection is.
    ///
    /// # Errors
    /// [`SendError`]: the message was not queued.
    ///
    /// # Panics
    /// When `channel` is not below [`CHANNELS`](crate::CHANNELS).
    pub fn send(&self, to: SocketAddr, channel: Channel, payload: Bytes) -> Result<(), SendError> {
        let _ = (to, channel, payload);
        unimplemented!()
    }

    /// Queues a request at once (not at the first poll). The caller bounds the wait by dropping the future.
    ///
    /// # Panics
    /// When `channel` is not below [`CHANNELS`](crate::CHANNELS).
    pub fn request(&self, to: SocketAddr, channel: Channel, payload: Bytes) -> Pending {
        let _ = (to, channel, payload);
        unimplemented!()
    }

    /// Names the peers whose connections stay when idle; others are closed after
    /// [`Limits::idle_grace`](crate::Limits::idle_grace) without a frame. Replaces the previous list.
    pub fn retain(&self, live: &[SocketAddr]) {
        let _ = live;
        unimplemented!()
    }

    /// Smoothed round-trip time of the connection to `to`, if there is one.
    pub fn rtt(&self, to: SocketAddr) -> Option<Duration> {
        let _ = to;
        unimplemented!()
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        unimplemented!()
    }

    /// Takes no new work, lets queued frames and running requests finish for at most
    /// [`Limits::drain`](crate::Limits::drain), then closes every connection and the socket.
    pub async fn close(&self) {
        std::future::pending().await
    }
}
