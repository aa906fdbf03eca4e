//! Which incoming handshakes are taken up: bounds on what strangers can make a node do.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Limits;

/// Handshakes under way above which a source has to prove its address first (Retry, RFC 9000, section 8.1.2).
const RETRY_ABOVE: usize = 64;
/// Handshakes under way above which further ones are not even answered.
const HANDSHAKES_MAX: usize = 1024;

/// Counts connections per source address and handshakes under way.
#[derive(Debug)]
pub(crate) struct Gate {
    max_connections: usize,
    max_per_ip: usize,
    per_ip: Mutex<HashMap<IpAddr, usize>>,
    handshakes: Arc<Semaphore>,
}

/// What to do with an incoming handshake.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Take it up. The permit is held for the handshake, the place for the connection.
    Admit(OwnedSemaphorePermit, Place),
    /// Let it prove its address.
    Retry,
    /// Tell it that there is no room.
    Refuse(NoRoom),
    /// Too much to do: it will try again.
    Ignore,
}

/// Which limit a connection has met, and how high that is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum NoRoom {
    /// [`Limits::max_connections`].
    Total(usize),
    /// [`Limits::max_connections_per_ip`].
    Source(IpAddr, usize),
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Total(limit) => {
                write!(f, "this node may have {limit} connections, and has them (max_connections)")
            }
            Self::Source(ip, limit) => {
                write!(
                    f,
                    "{ip} may have {limit} connections to this node, and has them (max_connections_per_ip)"
                )
            }
        }
    }
}

impl Gate {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            max_connections: limits.max_connections,
            max_per_ip: limits.max_connections_per_ip,
            per_ip: Mutex::default(),
            handshakes: Arc::new(Semaphore::new(HANDSHAKES_MAX)),
        })
    }

    /// `validated`: the source has proved its address. `open`: connections the endpoint has, handshakes included.
    pub(crate) fn judge(self: &Arc<Self>, ip: IpAddr, validated: bool, open: usize) -> Verdict {
        if !validated && HANDSHAKES_MAX - self.handshakes.available_permits() >= RETRY_ABOVE {
            return Verdict::Retry;
        }
        let Ok(permit) = Arc::clone(&self.handshakes).try_acquire_owned() else { return Verdict::Ignore };
        if open >= self.max_connections {
            return Verdict::Refuse(NoRoom::Total(self.max_connections));
        }
        match self.place(ip) {
            Some(place) => Verdict::Admit(permit, place),
            None => Verdict::Refuse(NoRoom::Source(ip, self.max_per_ip)),
        }
    }

    fn place(self: &Arc<Self>, ip: IpAddr) -> Option<Place> {
        let mut per_ip = self.per_ip.lock();
        let count = per_ip.entry(ip).or_default();
        if *count >= self.max_per_ip {
            return None;
        }
        *count += 1;
        Some(Place { gate: Arc::clone(self), ip })
    }
}

/// A connection's place among those of its source address; free again when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    gate: Arc<Gate>,
    ip: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut per_ip = self.gate.per_ip.lock();
        if let Some(count) = per_ip.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                per_ip.remove(&self.ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn gate() -> Arc<Gate> {
        Gate::new(&Limits { max_connections: 500, max_connections_per_ip: 2, ..Limits::default() })
    }

    #[test]
    fn a_source_has_so_many_places_and_gets_them_back() {
        let gate = gate();
        let first = gate.judge(IP, false, 0);
        let second = gate.judge(IP, false, 0);
        assert!(matches!((&first, &second), (Verdict::Admit(..), Verdict::Admit(..))));
        let refused = gate.judge(IP, false, 0);
        assert!(matches!(refused, Verdict::Refuse(NoRoom::Source(IP, 2))), "{refused:?}");
        assert!(matches!(gate.judge("10.0.0.1".parse().unwrap(), false, 0), Verdict::Admit(..)));
        drop(first);
        assert!(matches!(gate.judge(IP, false, 0), Verdict::Admit(..)));
        drop(second);
        assert!(gate.per_ip.lock().is_empty(), "a source without connections is forgotten");
    }

    #[test]
    fn connections_are_bounded_in_total() {
        assert!(matches!(gate().judge(IP, true, 499), Verdict::Admit(..)));
        assert!(matches!(gate().judge(IP, true, 500), Verdict::Refuse(NoRoom::Total(500))));
    }

    #[test]
    fn many_handshakes_make_sources_prove_themselves_and_too_many_are_ignored() {
        let gate = Gate::new(&Limits { max_connections_per_ip: usize::MAX, ..Limits::default() });
        let mut admitted: Vec<_> = (0..RETRY_ABOVE).map(|_| gate.judge(IP, false, 0)).collect();
        assert!(admitted.iter().all(|verdict| matches!(verdict, Verdict::Admit(..))));
        assert!(matches!(gate.judge(IP, false, 0), Verdict::Retry));
        admitted.extend((RETRY_ABOVE..HANDSHAKES_MAX).map(|_| gate.judge(IP, true, 0)));
        assert!(admitted.iter().all(|verdict| matches!(verdict, Verdict::Admit(..))));
        assert!(matches!(gate.judge(IP, true, 0), Verdict::Ignore));
    }
}
