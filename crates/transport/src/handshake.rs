//! Handshakes, dialled and accepted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use quinn::{Connection, ConnectionError, Incoming};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::endpoint::canonical;
use crate::gate::{Place, Verdict};
use crate::identity::Named;
use crate::mesh::{Accepted, Credentials, Mesh};
use crate::refusal::{By, classify};
use crate::session::{Link, Session, code};
use crate::{Peer, Refusal, identity, is_key_id};

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error(transparent)]
    Connect(#[from] quinn::ConnectError),
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error("the peer's certificate names no node, or it agreed on no protocol")]
    Nameless,
    #[error("the peer's id is not that of its key")]
    Pretender,
    #[error("no answer in time")]
    TimedOut,
    #[error("the peer's dial goes first")]
    GaveWay,
}

impl HandshakeError {
    /// The refusal behind it, if it is one, and whose it is.
    pub(crate) fn refusal(&self) -> Option<(By, Refusal)> {
        match self {
            Self::Connection(error) => classify(error),
            Self::Pretender => Some((By::Us, Refusal::Identity)),
            Self::Connect(_) | Self::Nameless | Self::TimedOut | Self::GaveWay => None,
        }
    }
}

impl Mesh {
    /// Dials for a session, within the patience for handshakes.
    pub(crate) async fn dial(self: Arc<Self>, session: Arc<Session>) {
        let handshake = timeout(self.shared.limits.handshake_timeout, self.reach(session.addr));
        let outcome = tokio::select! {
            biased;
            () = session.give_way.notified() => Err(HandshakeError::GaveWay),
            outcome = handshake => outcome.unwrap_or(Err(HandshakeError::TimedOut)),
        };
        self.dialled(&session, outcome);
    }

    async fn reach(&self, addr: SocketAddr) -> Result<Link, HandshakeError> {
        let Credentials { client, server_name, .. } = self.credentials.borrow().clone();
        let link = self.identify(self.endpoint.connect_with(client, addr, &server_name)?.await?)?;
        // The welcome. Until then the peer may still refuse our certificate, or prefer another connection.
        link.connection.accept_uni().await?;
        Ok(link)
    }

    /// Takes up handshakes until the endpoint closes.
    pub(crate) async fn accept(self: Arc<Self>) {
        while let Some(incoming) = self.endpoint.accept().await {
            let addr = canonical(incoming.remote_address());
            let open = self.endpoint.open_connections();
            match self.gate.judge(addr.ip(), incoming.remote_address_validated(), open) {
                Verdict::Admit(permit, place) => {
                    tokio::spawn(Arc::clone(&self).admit(incoming, permit, place));
                }
                // Cannot fail for a source that is not validated.
                Verdict::Retry => drop(incoming.retry()),
                Verdict::Refuse(limit) => {
                    self.refusals.record_full(addr, limit);
                    incoming.refuse();
                }
                Verdict::Ignore => incoming.ignore(),
            }
        }
    }

    async fn admit(self: Arc<Self>, incoming: Incoming, permit: OwnedSemaphorePermit, place: Place) {
        let (addr, begun) = (canonical(incoming.remote_address()), Instant::now());
        let handshake = timeout(self.shared.limits.handshake_timeout, self.receive(incoming));
        match handshake.await.unwrap_or(Err(HandshakeError::TimedOut)) {
            Ok(link) => self.accepted(Accepted { link, place, begun }),
            Err(error) => {
                tracing::debug!(peer = %addr, %error, "an incoming handshake failed");
                if let Some((by, refusal)) = error.refusal() {
                    self.refusals.record(addr, by, refusal);
                }
            }
        }
        drop(permit);
    }

    async fn receive(&self, incoming: Incoming) -> Result<Link, HandshakeError> {
        self.identify(incoming.accept()?.await?)
    }

    /// Who is at the other end of a connection. Nothing of it has been read by then, and nothing written.
    fn identify(&self, connection: Connection) -> Result<Link, HandshakeError> {
        let Named { node, by_key } = identity::peer_node(&connection).ok_or(HandshakeError::Nameless)?;
        let protocol = identity::protocol(&connection, &self.config).ok_or(HandshakeError::Nameless)?;
        let may_be_keyless = protocol < self.config.bound_since && !is_key_id(node);
        if !by_key && !may_be_keyless {
            connection.close(code::IDENTITY, b"not its id");
            return Err(HandshakeError::Pretender);
        }
        let addr = canonical(connection.remote_address());
        Ok(Link { connection, peer: Peer { addr, node, protocol } })
    }
}

#[cfg(test)]
mod tests;
