//! The nodes that clients ask.

use std::net::SocketAddr;
use std::sync::{PoisonError, RwLock};

use fastrand::Rng;

/// HTTP addresses of nodes that come and go.
#[derive(Default)]
pub(super) struct Doors(RwLock<Vec<SocketAddr>>);

impl Doors {
    pub(super) fn open(&self, node: SocketAddr) {
        let mut doors = self.0.write().unwrap_or_else(PoisonError::into_inner);
        doors.push(node);
    }

    /// Clients do not ask this node any more; what they have asked already goes on.
    pub(super) fn close(&self, node: SocketAddr) {
        let mut doors = self.0.write().unwrap_or_else(PoisonError::into_inner);
        doors.retain(|door| *door != node);
    }

    /// One by chance, if there is any.
    pub(super) fn pick(&self, rng: &mut Rng) -> Option<SocketAddr> {
        let doors = self.0.read().unwrap_or_else(PoisonError::into_inner);
        rng.choice(doors.iter()).copied()
    }

    pub(super) fn all(&self) -> Vec<SocketAddr> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
