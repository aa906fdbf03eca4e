//! What a node says about itself, and the bounds it keeps.

use std::net::SocketAddr;
use std::time::Duration;

use crate::{BindError, NodeKey, Secret};

/// Upper end of [`Limits::max_frame`].
const MAX_FRAME: usize = 256 << 20;

/// Everything a [`Transport`](crate::Transport) needs to start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Name of the cluster. Nodes of another name are refused in the handshake.
    pub cluster: String,
    /// The cluster's secret. `None` uses a key that everybody knows, and only a loopback address may be bound.
    pub secret: Option<Secret>,
    /// This node's key. Its id follows from it: peers read the id from the certificate, and the certificate is for the key.
    pub key: NodeKey,
    /// Address of the one UDP socket; port 0 takes a free one.
    pub bind: SocketAddr,
    /// Version of what is spoken over this transport. A node that has none in common with this one is refused in the
    /// handshake.
    pub protocol: u32,
    /// A version that is spoken, too, with peers that do not know `protocol`.
    pub previous: Option<u32>,
    /// The first version whose nodes all have the ids of their keys. Peers that speak an older one may have other ids,
    /// but not the id of a key that they do not hold.
    pub bound_since: u32,
    /// Bounds and patience.
    pub limits: Limits,
}

impl Config {
    /// A configuration without a secret, for one version whose nodes have the ids of their keys, with default [`Limits`].
    pub fn new(cluster: impl Into<String>, key: NodeKey, bind: SocketAddr, protocol: u32) -> Self {
        let (cluster, limits) = (cluster.into(), Limits::default());
        Self { cluster, secret: None, key, bind, protocol, previous: None, bound_since: protocol, limits }
    }

    /// The versions that it speaks, the one it would rather speak first.
    pub(crate) fn protocols(&self) -> impl Iterator<Item = u32> {
        [Some(self.protocol), self.previous].into_iter().flatten()
    }

    pub(crate) fn validate(&self) -> Result<(), BindError> {
        if self.secret.is_none() && !self.bind.ip().to_canonical().is_loopback() {
            return Err(BindError::SecretNeeded(self.bind));
        }
        if self.limits.max_frame > MAX_FRAME {
            return Err(BindError::MaxFrame(self.limits.max_frame));
        }
        Ok(())
    }
}

/// Bounds on what peers can make this node hold, and how long it is patient.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest frame (message, request or answer) in bytes. Default 16 MiB, at most 256 MiB.
    pub max_frame: usize,
    /// Bytes that may wait per peer and channel before [`SendError::Full`](crate::SendError::Full); a larger frame may
    /// wait alone. Default 8 MiB.
    pub queue_bytes: usize,
    /// Bytes of requests of one peer and channel that may be in service; above it their stream is not read. Default
    /// 16 MiB.
    pub serving_bytes: usize,
    /// Connections in total, handshakes included; peers whose dials rest count as one each. A node keeps one to every
    /// live member, so this bounds how large a cluster it can be part of. Default 131,072: twice the 65,536 members that gossip
    /// lists, as a connection may be replaced while the former one ends. Strangers are bounded sooner: only handshakes
    /// are open to them, 1024 at once.
    pub max_connections: usize,
    /// Connections accepted from one IP address, handshakes included. Default as many as in total, as a whole cluster may live on one
    /// machine or behind one address; those who pass the handshake are members.
    pub max_connections_per_ip: usize,
    /// Patience with a handshake, dialled or accepted. Default 3 s.
    pub handshake_timeout: Duration,
    /// A peer that is not named to [`Transport::retain`](crate::Transport::retain) is disconnected after this long
    /// without a frame or datagram. Default 30 s.
    pub idle_grace: Duration,
    /// How long [`Transport::close`](crate::Transport::close) waits for queued frames and running requests. Default
    /// 1 s.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_frame: 16 << 20,
            queue_bytes: 8 << 20,
            serving_bytes: 16 << 20,
            max_connections: 1 << 17,
            max_connections_per_ip: 1 << 17,
            handshake_timeout: Duration::from_secs(3),
            idle_grace: Duration::from_secs(30),
            drain: Duration::from_secs(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(bind: &str) -> Config {
        Config::new("test", NodeKey::generate(), bind.parse().unwrap(), 1)
    }

    #[test]
    fn without_a_secret_only_loopback_is_bound() {
        for bind in ["127.0.0.1:0", "[::1]:0", "[::ffff:127.0.0.1]:0"] {
            assert!(config(bind).validate().is_ok(), "{bind}");
        }
        for bind in ["0.0.0.0:0", "[::]:0", "10.0.0.1:7400"] {
            let error = config(bind).validate().unwrap_err();
            assert!(error.to_string().contains("boato keygen"), "{error}");
            let secret = Secret::parse(&Secret::generate()).ok();
            assert!(Config { secret, ..config(bind) }.validate().is_ok(), "{bind}");
        }
    }

    #[test]
    fn frames_have_an_upper_end() {
        let mut config = config("127.0.0.1:0");
        config.limits.max_frame = MAX_FRAME + 1;
        assert!(matches!(config.validate(), Err(BindError::MaxFrame(_))));
    }
}
