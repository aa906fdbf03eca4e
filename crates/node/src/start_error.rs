//! Why a node does not start.

use std::io;
use std::net::SocketAddr;

use boato_transport::BindError;

use crate::IdentityError;
use crate::config::ConfigError;
use crate::discovery::DiscoveryError;
use crate::inherited::InheritError;
use crate::listen::AdvertiseError;

/// Why a node did not start. Nothing is left running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The node id cannot be kept or read.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The QUIC endpoint cannot be bound.
    #[error("{0}{note}", note = quic_note(.0))]
    Quic(#[from] BindError),
    /// A door cannot be bound.
    #[error("cannot bind the {what} door to {addr}: {source}; choose another {flag}, or end what uses it")]
    Door {
        /// Which.
        what: &'static str,
        /// Its setting.
        flag: &'static str,
        /// The address.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// No address to tell other nodes.
    #[error(transparent)]
    Advertise(#[from] AdvertiseError),
    /// Sockets were handed over that cannot be used.
    #[error(transparent)]
    Inherit(#[from] InheritError),
    /// What the node was told cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Name and addresses do not fit an announcement.
    #[error("the node's name and addresses cannot be announced: {0}")]
    Gossip(#[from] boato_gossip::NewError),
    /// No way to find other nodes.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// The ready file cannot be written.
    #[error("cannot write the ready file {}: {source}", path.display())]
    ReadyFile {
        /// Its path.
        path: std::path::PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What to do about an address that cannot be had.
fn quic_note(error: &BindError) -> &'static str {
    match error {
        BindError::Socket { .. } => "; choose another --quic, or end what uses it",
        _ => "",
    }
}
