//! One connection to a peer, from the wish to have it to its end.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use quinn::{Connection, SendStream, VarInt};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::error::StreamError;
use crate::frame::Batch;
use crate::lane::{Lane, Outgoing, Pushed};
use crate::stats::{Counters, Path};
use crate::{CHANNELS, Channel, Limits, Peer, SendError};

/// Datagrams that wait while the peer is dialled.
const WAITING_DATAGRAMS: usize = 64;

/// Application error codes with which a connection is closed.
pub(crate) mod code {
    use quinn::{ConnectionError, VarInt};

    /// The transport closes, whatever is under way.
    pub(crate) const CLOSED: VarInt = VarInt::from_u32(0);
    /// Another connection between the same two nodes is in use.
    pub(crate) const DUPLICATE: VarInt = VarInt::from_u32(1);
    /// The peer dialled anew.
    pub(crate) const REPLACED: VarInt = VarInt::from_u32(2);
    /// Nothing was said for long, and nobody asked to keep it.
    pub(crate) const IDLE: VarInt = VarInt::from_u32(3);
    /// The peer broke the rules of the frames.
    pub(crate) const PROTOCOL: VarInt = VarInt::from_u32(4);
    /// The handler of what the peer sent panicked.
    pub(crate) const PANICKED: VarInt = VarInt::from_u32(5);
    /// The transport closes, and everything that it took up has been answered.
    pub(crate) const DRAINED: VarInt = VarInt::from_u32(6);
    /// The connection was made with a secret that is no longer accepted.
    pub(crate) const REMOVED: VarInt = VarInt::from_u32(7);
    /// The peer's id is not that of its key.
    pub(crate) const IDENTITY: VarInt = VarInt::from_u32(8);

    /// Whether the peer ended the connection because its transport closes.
    pub(crate) fn is_goodbye(error: &ConnectionError) -> bool {
        matches!(error, ConnectionError::ApplicationClosed(close) if [CLOSED, DRAINED].contains(&close.error_code))
    }
}

/// What all sessions of a transport share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) counters: Counters,
    /// Cancelled when the transport closes.
    pub(crate) closing: CancellationToken,
    started: Instant,
}

impl Shared {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            counters: Counters::default(),
            closing: CancellationToken::new(),
            started: Instant::now(),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A connection that both ends agreed on, and who is at the other one.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) connection: Connection,
    pub(crate) peer: Peer,
}

/// The frames for one peer and, once it is there, the connection that carries them. A session that ended is not
/// revived: the next frame begins another.
#[derive(Debug)]
pub(crate) struct Session {
    shared: Arc<Shared>,
    /// Canonical address of the peer.
    pub(crate) addr: SocketAddr,
    pub(crate) created: Instant,
    /// Dials that failed in a row before this session.
    pub(crate) failures: u32,
    /// Tells the dial to end, because a connection that the peer dialled goes first.
    pub(crate) give_way: Notify,
    link: OnceLock<(Link, Instant)>,
    lanes: [Lane; CHANNELS as usize],
    /// `None` once the connection is there.
    datagrams: Mutex<Option<Vec<Bytes>>>,
    used_ms: AtomicU64,
}

impl Session {
    pub(crate) fn new(shared: Arc<Shared>, addr: SocketAddr, failures: u32) -> Arc<Self> {
        let used_ms = AtomicU64::new(shared.now_ms());
        Arc::new(Self {
            shared,
            addr,
            created: Instant::now(),
            failures,
            give_way: Notify::new(),
            link: OnceLock::new(),
            lanes: Default::default(),
            datagrams: Mutex::new(Some(Vec::new())),
            used_ms,
        })
    }

    /// Queues a frame; `Pushed::Start` asks the caller to run the channel's lane.
    pub(crate) fn push(&self, channel: Channel, frame: Outgoing) -> Result<Pushed, (SendError, Outgoing)> {
        self.lane(channel).push(frame, self.shared.limits.queue_bytes)
    }

    /// Sends a datagram, or keeps it for a moment while the peer is dialled.
    pub(crate) fn datagram(&self, payload: Bytes) {
        if !self.is_connected()
            && let Some(waiting) = &mut *self.datagrams.lock()
            && waiting.len() < WAITING_DATAGRAMS
        {
            waiting.push(payload);
            return;
        }
        self.touch();
        let counters = &self.shared.counters;
        let sent = self.link.get().is_some_and(|(link, _)| link.connection.send_datagram(payload).is_ok());
        Counters::add(if sent { &counters.datagrams_sent } else { &counters.datagrams_dropped }, 1);
    }

    /// Takes the connection into use. Returns the channels whose lanes have to be run.
    pub(crate) fn connect(&self, link: Link) -> Vec<Channel> {
        self.touch();
        self.link.set((link, Instant::now())).expect("invariant: a session is connected once");
        let waiting = self.datagrams.lock().take();
        waiting.into_iter().flatten().for_each(|payload| self.datagram(payload));
        (0..)
            .map(Channel)
            .zip(&self.lanes)
            .filter(|(_, lane)| lane.connected())
            .map(|(channel, _)| channel)
            .collect()
    }

    /// Ends every frame that has no answer yet. The connection itself is closed by who decided so.
    pub(crate) fn end(&self, reason: SendError) {
        let waiting = self.datagrams.lock().take().map_or(0, |datagrams| datagrams.len());
        Counters::add(&self.shared.counters.datagrams_dropped, waiting as u64);
        for lane in &self.lanes {
            lane.end(reason);
        }
    }

    /// Closes the connection, if there is one, and ends the session.
    pub(crate) fn close(&self, code: VarInt, reason: &str) {
        if let Some((link, _)) = self.link.get() {
            link.connection.close(code, reason.as_bytes());
        }
        self.end(SendError::Disconnected);
    }

    /// A stream cannot go on: the connection ends with it, for order and certainty depend on it.
    pub(crate) fn broken(&self, error: &StreamError) {
        let link = self.link();
        if link.connection.close_reason().is_none() && !self.is_closing() {
            tracing::warn!(peer = %self.addr, "closing the connection to {}, to begin anew: {error}; if it happens again, see with boato members whether its \
                 version is near this one's",
                self.addr);
            link.connection.close(code::PROTOCOL, error.to_string().as_bytes());
        }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.link.get().is_some()
    }

    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.link.get().map(|(link, _)| link.connection.rtt())
    }

    /// The way to the peer at `to`, once there is one.
    pub(crate) fn path(&self, to: SocketAddr) -> Option<Path> {
        let stats = self.link.get()?.0.connection.stats().path;
        Some(Path {
            to,
            rtt: stats.rtt,
            window: stats.cwnd,
            sent: stats.sent_packets,
            lost: stats.lost_packets,
            congestions: stats.congestion_events,
        })
    }

    /// Time since the last frame or datagram in either direction.
    pub(crate) fn idle(&self) -> Duration {
        Duration::from_millis(self.shared.now_ms().saturating_sub(self.used_ms.load(Ordering::Relaxed)))
    }

    pub(crate) fn touch(&self) {
        self.used_ms.store(self.shared.now_ms(), Ordering::Relaxed);
    }

    pub(crate) fn lane(&self, channel: Channel) -> &Lane {
        &self.lanes[usize::from(channel.0)]
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.link().connection
    }

    pub(crate) fn peer(&self) -> Peer {
        self.link().peer
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.shared.closing.is_cancelled()
    }

    pub(crate) async fn closing(&self) {
        self.shared.closing.cancelled().await;
    }

    /// Writes frames to a stream of this connection.
    pub(crate) async fn write(&self, send: &mut SendStream, batch: Batch) -> Result<(), StreamError> {
        let (frames, bytes) = (batch.frames() as u64, batch.bytes() as u64);
        send.write_all_chunks(&mut batch.into_chunks()).await?;
        self.touch();
        Counters::add(&self.shared.counters.frames_sent, frames);
        Counters::add(&self.shared.counters.bytes_sent, bytes);
        Ok(())
    }

    /// Counts what was read from a stream of this connection.
    pub(crate) fn received(&self, frames: usize, bytes: usize) {
        self.touch();
        Counters::add(&self.shared.counters.frames_received, frames as u64);
        Counters::add(&self.shared.counters.bytes_received, bytes as u64);
    }

    pub(crate) fn connected_at(&self) -> Instant {
        self.connected().1
    }

    fn link(&self) -> &Link {
        &self.connected().0
    }

    fn connected(&self) -> &(Link, Instant) {
        self.link.get().expect("invariant: asked for only once the session is connected")
    }
}
