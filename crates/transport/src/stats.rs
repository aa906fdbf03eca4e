//! Counters of one transport.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A snapshot of a transport's counters, all since [`Transport::bind`](crate::Transport::bind).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections open now, handshakes and those about to close included.
    pub connections: u64,
    /// Connections that were dialled and became usable.
    pub dialled: u64,
    /// Dials that failed.
    pub dial_failures: u64,
    /// Connections that were accepted and became usable.
    pub accepted: u64,
    /// Handshakes refused by either side: another secret, cluster name or protocol version, an id that is
    /// not the peer's, or no room.
    pub refused: u64,
    /// Datagrams handed to the network.
    pub datagrams_sent: u64,
    /// Datagrams received.
    pub datagrams_received: u64,
    /// Datagrams dropped: too large, peer not reachable, or queue full while dialling.
    pub datagrams_dropped: u64,
    /// Frames (messages, requests, answers) handed to the network.
    pub frames_sent: u64,
    /// Frames received.
    pub frames_received: u64,
    /// Bytes of frames handed to the network.
    pub bytes_sent: u64,
    /// Bytes of frames received.
    pub bytes_received: u64,
    /// Receive buffer of the UDP socket that the kernel granted, in bytes.
    pub socket_receive_buffer: u64,
    /// Send buffer of the UDP socket that the kernel granted, in bytes.
    pub socket_send_buffer: u64,
}

/// The live counters behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) dialled: AtomicU64,
    pub(crate) dial_failures: AtomicU64,
    pub(crate) accepted: AtomicU64,
    pub(crate) datagrams_sent: AtomicU64,
    pub(crate) datagrams_received: AtomicU64,
    pub(crate) datagrams_dropped: AtomicU64,
    pub(crate) frames_sent: AtomicU64,
    pub(crate) frames_received: AtomicU64,
    pub(crate) bytes_sent: AtomicU64,
    pub(crate) bytes_received: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }

    /// What is counted here; the rest of [`Stats`] stays 0.
    pub(crate) fn snapshot(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            dialled: read(&self.dialled),
            dial_failures: read(&self.dial_failures),
            accepted: read(&self.accepted),
            datagrams_sent: read(&self.datagrams_sent),
            datagrams_received: read(&self.datagrams_received),
            datagrams_dropped: read(&self.datagrams_dropped),
            frames_sent: read(&self.frames_sent),
            frames_received: read(&self.frames_received),
            bytes_sent: read(&self.bytes_sent),
            bytes_received: read(&self.bytes_received),
            ..Stats::default()
        }
    }
}

/// The way to one peer, as its connection sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// The peer.
    pub to: SocketAddr,
    /// Smoothed round-trip time.
    pub rtt: Duration,
    /// Bytes that may be on the way at once, by congestion control.
    pub window: u64,
    /// Packets sent.
    pub sent: u64,
    /// Packets taken for lost.
    pub lost: u64,
    /// How often congestion control has slowed down.
    pub congestions: u64,
}
