//! A QUIC mesh for a cluster: one endpoint per node, identity from a shared secret, datagrams and framed streams.
//!
//! A [`Transport`] is one UDP socket that dials and accepts. Whoever knows the cluster's name and [`Secret`] is a
//! member, everybody else is refused in the handshake; peers learn each other's node id from the certificate,
//! and nobody else can show it: it follows from the [`NodeKey`]. To a peer go datagrams (unordered, may be lost), messages and requests (ordered per peer and [`Channel`], coalesced into
//! few writes). Connections are made in the background when something is to be sent, and there is one per pair of
//! nodes whoever dialled it.
//!
//! # Contract
//!
//! - Nothing here waits for a peer: what cannot be queued is refused or dropped at once. A peer that does not answer
//!   the handshake is left alone for a moment that doubles up to 5 s, during which frames for it fail at once.
//! - A request is sent at most once. [`RequestError::NotSent`] is certain: the frame never left this node, or the peer
//!   did not take it up. [`RequestError::Lost`] and [`RequestError::NoAnswer`] mean that the outcome is unknown.
//! - A node that closes leaves no outcome unknown: it answers what it has taken up, makes sure that the answers arrived,
//!   and says that this was all. Only [`Limits::drain`] and a peer that does not acknowledge cut that short.
//! - A connection is evidence of nothing: that one is up or down does not say whether the peer is alive, and is
//!   therefore not reported.
//! - Everything is bounded, see [`Limits`]. Beside them a peer can have 4 MiB per stream under way that this node has
//!   not read, and this node 8 MiB per connection that the peer has not acknowledged.
//! - Channels do not hold each other up, and answers are never held up by requests. Within a channel a peer whose
//!   requests in service reach [`Limits::serving_bytes`] waits: what such a request needs in order to be answered must
//!   arrive on another channel.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//!
//! use boato_transport::{Channel, Config, Handler, NodeKey, Peer, Responder, Transport};
//! use bytes::Bytes;
//!
//! struct Shout;
//!
//! impl Handler for Shout {
//!     fn datagram(&self, _from: Peer, _payload: Bytes) {}
//!     fn message(&self, _from: Peer, _channel: Channel, _payload: Bytes) {}
//!     fn request(&self, _from: Peer, _channel: Channel, payload: Bytes, reply: Responder) {
//!         reply.send(payload.to_ascii_uppercase().into());
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let bind = "127.0.0.1:0".parse()?;
//! let node = || Transport::bind(Config::new("demo", NodeKey::generate(), bind, 1));
//! let (a, b) = (node()?, node()?);
//! for node in [&a, &b] {
//!     node.serve(Arc::new(Shout));
//! }
//! let answer = a.request(b.local_addr(), Channel(0), "hello".into()).await?;
//! assert_eq!(answer, "HELLO");
//! a.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Map
//!
//! | module | what |
//! |---|---|
//! | `transport` | the handle, and the handler that receives |
//! | `config`, `stats`, `error` | what goes in, what is counted, what goes wrong |
//! | `secret`, `keyring`, `identity` | derivations (HKDF); the secrets accepted; certificate authorities, TLS on both ends |
//! | `node_key` | a node's key, its id, and what it signs |
//! | `endpoint` | the UDP socket and the tuning of QUIC |
//! | `mesh` | which connection is used for which peer: every decision about connections |
//! | `handshake`, `gate`, `refusal` | dialling and accepting, bounds on strangers, why a peer was refused |
//! | `session` | one connection to a peer, from the wish to have it to its end |
//! | `lane`, `serve` | the two ends of a channel: sending requests, answering them |
//! | `frame` | the frames on a stream, without I/O |

mod config;
mod endpoint;
mod error;
mod frame;
mod gate;
mod handshake;
mod identity;
mod keyring;
mod lane;
mod mesh;
mod node_key;
mod refusal;
mod secret;
mod serve;
mod session;
mod stats;
mod transport;

pub use config::{Config, Limits};
pub use error::{BindError, Refusal, RequestError, SecretError, SendError};
pub use keyring::{KEYS_MAX, KeyId, Keyring, KeyringError};
pub use lane::Pending;
pub use node_key::{NodeKey, PROOF_BYTES, is_key_id, proves};
pub use secret::Secret;
pub use serve::Responder;
pub use stats::{Path, Stats};
pub use transport::{Channel, Handler, Peer, Transport};

/// Number of [`Channel`]s between two nodes.
pub const CHANNELS: u8 = 8;

/// Largest datagram payload in bytes: what fits every path that QUIC accepts (a UDP payload of 1200 bytes).
pub const DATAGRAM_MAX: usize = 1162;
