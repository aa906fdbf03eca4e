//! Why a configuration cannot be used.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use boato_transport::SecretError;

use super::NameError;
use crate::logging::FilterError;

/// Why a configuration cannot be used, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The configuration file cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    FileRead {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The configuration file is no TOML, has an unknown key, or a value cannot be read.
    #[error("cannot use the configuration file {}", path.display())]
    FileParse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A path has bytes that are not UTF-8.
    #[error("a path in the settings is not UTF-8")]
    Text {
        /// Which.
        source: toml::ser::Error,
    },
    /// A secret file cannot be read.
    #[error("cannot read the secret file {} (boato keygen prints a secret for one)", path.display())]
    SecretRead {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The cluster's secret is not one.
    #[error("{whence} does not hold a cluster secret (boato keygen makes one)")]
    Secret {
        /// The file or the variable.
        whence: String,
        /// Why.
        source: SecretError,
    },
    /// Both variables are set.
    #[error("BOATO_SECRET and BOATO_SECRET_FILE are both set: unset one")]
    TwoSecrets,
    /// The clients' secret is not one.
    #[error("{} does not hold client secrets: 1 to 8 lines of 1 to 1024 visible ASCII characters", path.display())]
    ClientSecret {
        /// The file.
        path: PathBuf,
    },
    /// A name has characters that names cannot have.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The log filter cannot be read.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// A host name to listen on has no address.
    #[error("{whence}: cannot resolve {address}")]
    Unresolved {
        /// The setting.
        whence: String,
        /// Its value.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// Peers beyond this machine without a secret.
    #[error(
        "{whence}: without a secret a node talks to nodes on this machine only, and {addr} is no loopback address; \
         make a secret with `boato keygen > secret` and start every node with --secret-file secret"
    )]
    NeedsSecret {
        /// The setting.
        whence: String,
        /// Its value.
        addr: SocketAddr,
    },
    /// Multicast DNS without a secret.
    #[error(
        "{whence}: discovery by mdns reaches other machines and needs a secret; \
         make one with `boato keygen > secret` and start every node with --secret-file secret"
    )]
    MdnsNeedsSecret {
        /// The setting.
        whence: String,
    },
    /// A hand-off that would never end.
    #[error(
        "{whence}: at 0 bytes per second no key ever moves; give at least 1, or leave it out for no limit"
    )]
    NoRate {
        /// The setting.
        whence: String,
    },
    /// A setting that a node inside a program cannot follow.
    #[error("{key} is for `boato run`: {why}")]
    Embedded {
        /// The setting.
        key: &'static str,
        /// What to do instead.
        why: &'static str,
    },
    /// Clients beyond this machine without a client secret.
    #[error(
        "{whence}: {addr} is reachable from other machines; give clients a secret with --client-secret-file FILE, \
         or say --open to serve everybody"
    )]
    NeedsClientSecret {
        /// The setting.
        whence: String,
        /// Its value.
        addr: SocketAddr,
    },
}
