//! A QUIC mesh for a cluster: one endpoint per node, identity from a shared secret, datagrams and framed streams.

mod config;
mod endpoint;
mod error;
mod frame;
mod gate;
mod handshake;
mod identity;
mod lane;
mod mesh;
mod refusal;
mod secret;
mod serve;
mod session;
mod stats;
mod transport;

pub use config::{Config, Limits};
pub use error::{BindError, Refusal, RequestError, SecretError, SendError};
pub use lane::Pending;
pub use secret::Secret;
pub use serve::Responder;
pub use stats::Stats;
pub use transport::{Channel, Handler, Peer, Transport};

/// Number of [`Channel`]s between two nodes.
pub const CHANNELS: u8 = 8;

/// Largest datagram payload in bytes: what fits every path that QUIC accepts (a UDP payload of 1200 bytes).
pub const DATAGRAM_MAX: usize = 1162;
