//! Counters of one transport.

/// A snapshot of a transport's counters, all since [`Transport::bind`](crate::Transport::bind).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections up now.
    pub connections: u64,
    /// Connections that were dialled and became usable.
    pub dialled: u64,
    /// Dials that failed.
    pub dial_failures: u64,
    /// Connections that were accepted and became usable.
    pub accepted: u64,
    /// Handshakes refused because of secret, cluster name or protocol version, on either side.
    pub refused: u64,
    /// Handshakes turned away because of a connection limit.
    pub turned_away: u64,
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
