//! What can go wrong, one enum per operation.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use crate::frame::{FrameError, Kind};

/// Why [`Secret::parse`](crate::Secret::parse) refused a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// Not base64.
    #[error("the cluster secret is not base64; make one with `boato keygen`")]
    NotBase64,
    /// Fewer than 16 bytes.
    #[error("the cluster secret has {0} bytes, at least 16 are needed; make one with `boato keygen`")]
    TooShort(usize),
}

/// Why [`Transport::bind`](crate::Transport::bind) failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Without a secret only loopback may be bound.
    #[error(
        "{0} is reachable from the network, which needs a cluster secret: make one with `boato keygen` and give it to \
         every node, or bind a loopback address"
    )]
    SecretNeeded(SocketAddr),
    /// [`Limits::max_frame`](crate::Limits::max_frame) is out of its range.
    #[error("frames of up to {0} bytes are too large, choose at most 256 MiB")]
    MaxFrame(usize),
    /// The socket could not be opened or bound.
    #[error("cannot bind UDP {addr}: {source}")]
    Socket {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Key or certificate generation failed.
    #[error("cannot make this node's certificate: {0}")]
    Identity(String),
}

/// Why two nodes do not talk: judged in the handshake, before any state is allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The other node belongs to a cluster of another name.
    Cluster,
    /// The other node has another cluster secret.
    Secret,
    /// The other node names itself by an id that its key does not give.
    Identity,
    /// The other node speaks another protocol version.
    Protocol,
    /// The other node has no room for more connections, or it is closing.
    Busy,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cluster => "other cluster name; give both the same --cluster if they belong together",
            Self::Secret => "other cluster secret; give both the same if they belong together, else find out whose it is",
            Self::Identity => {
                "its id is not that of its key: it knows the cluster secret and pretends to be another node; find out whose \
                 it is, and if it is not yours, take the secret for leaked"
            }
            Self::Protocol => {
                "no protocol version in common; run versions of this software that follow each other: an upgrade goes \
                 from one to the next"
            }
            Self::Busy => "no room for more connections, or closing; it is tried again",
        })
    }
}

/// Why a frame certainly never left this node, or was not taken up by a peer that closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The queue to this peer and channel holds [`Limits::queue_bytes`](crate::Limits::queue_bytes), or 65,536 frames
    /// are queued or not answered yet; try again later.
    #[error("the queue to the peer is full")]
    Full,
    /// The payload is larger than [`Limits::max_frame`](crate::Limits::max_frame).
    #[error("the frame is larger than the limit")]
    TooLarge,
    /// The peer does not answer; dialling it rests for a moment.
    #[error("the peer cannot be reached")]
    Unreachable,
    /// The handshake failed for good until a configuration changes.
    #[error("not the same cluster: {0}")]
    Refused(Refusal),
    /// This node has [`Limits::max_connections`](crate::Limits::max_connections).
    #[error("too many connections on this node")]
    TooManyConnections,
    /// The connection ended before the frame was written, or the peer closed and said that it did not take it up.
    #[error("the connection ended before the frame was taken up")]
    Disconnected,
    /// [`Transport::close`](crate::Transport::close) was called.
    #[error("this transport is closed")]
    Closed,
}

/// How a request ended without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The request certainly never left this node, or the peer did not take it up: it may be tried again, here or
    /// elsewhere.
    #[error("not sent: {0}")]
    NotSent(#[from] SendError),
    /// The connection ended after the request may have been received: the outcome is unknown.
    #[error("the connection was lost before the answer: the outcome is unknown")]
    Lost,
    /// The peer received the request and gave up on it without an answer: the outcome is unknown.
    #[error("the peer dropped the request without an answer: the outcome is unknown")]
    NoAnswer,
}

/// Why a stream ended before its time; the connection ends with it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StreamError {
    #[error(transparent)]
    Connection(#[from] quinn::ConnectionError),
    #[error(transparent)]
    Read(#[from] quinn::ReadError),
    #[error(transparent)]
    Write(#[from] quinn::WriteError),
    #[error(transparent)]
    Finish(#[from] quinn::ClosedStream),
    #[error(transparent)]
    Stopped(#[from] quinn::StoppedError),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("a frame of kind {0:?} has no place here")]
    OutOfPlace(Kind),
    #[error("an answer to request {0}, which nobody asked")]
    UnknownRequest(u32),
    #[error("there is no channel {0}")]
    UnknownChannel(u32),
}
