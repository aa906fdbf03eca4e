//! A QUIC mesh for a cluster: one endpoint per node, identity from a shared secret, datagrams and framed streams.

mod config;
mod error;
mod secret;
mod stats;
mod transport;

pub use config::{Config, Limits};
pub use error::{BindError, Refusal, RequestError, SecretError, SendError};
pub use secret::Secret;
pub use stats::Stats;
pub use transport::{Channel, Handler, Peer, Pending, Responder, Transport};

/// Number of [`Channel`]s between two nodes.
pub const CHANNELS: usize = 8;

/// Largest datagram payload in bytes that fits every path QUIC itself accepts (a 1200 byte UDP payload).
pub const DATAGRAM_MAX: usize = 1162;
