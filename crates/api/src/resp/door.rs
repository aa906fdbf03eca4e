//! What the connections of one door share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::clients::Clients;
use super::commands::TopologyCache;
use super::config::{Config, Kind, Limits};
use super::metrics::Metrics;
use super::pace::Pace;
use super::slow_log::SlowLog;
use crate::budget::Budget;
use crate::{Backend, Tokens};

pub(super) struct Door {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) kind: Kind,
    pub(super) limits: Limits,
    pub(super) metrics: Metrics,
    pub(super) slow_log: SlowLog,
    /// Of its commands, for `INFO`.
    pub(super) pace: Pace,
    /// Where it is bound.
    pub(super) addr: SocketAddr,
    /// What connections hold beyond what each has of its own.
    pub(super) memory: Arc<Budget>,
    /// Cancelled when the door starts to shut down.
    pub(super) closing: CancellationToken,
    /// Who is connected.
    pub(super) clients: Clients,
    /// What cluster clients are told, encoded.
    pub(super) topology: TopologyCache,
    passwords: Tokens,
}

impl Door {
    pub(super) fn new(backend: Arc<dyn Backend>, addr: SocketAddr, config: Config) -> Door {
        let Config { kind, passwords, limits, metrics, slow_log } = config;
        let limits = limits.within_reason();
        Door {
            backend,
            kind,
            limits,
            metrics,
            slow_log,
            pace: Pace::new(Instant::now()),
            addr,
            memory: Budget::new(limits.memory_bytes),
            closing: CancellationToken::new(),
            clients: Clients::default(),
            topology: TopologyCache::default(),
            passwords,
        }
    }

    /// Whether clients have to show a password.
    pub(super) fn asks_for_password(&self) -> bool {
        !self.passwords.is_empty()
    }

    /// Whether this is one of the passwords.
    pub(super) fn admits(&self, password: &[u8]) -> bool {
        self.passwords.admit(password)
    }
}
