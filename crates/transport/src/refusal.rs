//! Why a handshake failed, and saying so without flooding the log.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use quinn::{ConnectionError, TransportErrorCode};

use crate::Refusal;
use crate::gate::NoRoom;
use crate::session::code;

/// TLS alerts (RFC 8446, section 6) that tell the cause.
const ACCESS_DENIED: u8 = 49;
const UNRECOGNIZED_NAME: u8 = 112;
const NO_APPLICATION_PROTOCOL: u8 = 120;

/// One line per address in this time.
const LOG_PAUSE: Duration = Duration::from_secs(30);
/// Addresses remembered for that; when more are refused in one pause, the rest is only counted.
const LOG_ADDRESSES: usize = 256;

/// Who of the two refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Us,
    Peer,
}

/// Reads a refusal out of a failed handshake; `None` when it failed for another reason.
pub(crate) fn classify(error: &ConnectionError) -> Option<(By, Refusal)> {
    let (by, code) = match error {
        ConnectionError::TransportError(error) => (By::Us, error.code),
        ConnectionError::ConnectionClosed(close) => (By::Peer, close.error_code),
        // The one that follows the handshake, see `Mesh::identify`.
        ConnectionError::ApplicationClosed(close) if close.error_code == code::IDENTITY => {
            return Some((By::Peer, Refusal::Identity));
        }
        _ => return None,
    };
    if code == TransportErrorCode::CONNECTION_REFUSED {
        return Some((by, Refusal::Busy));
    }
    let alert = u8::try_from(u64::from(code).checked_sub(0x100)?).ok()?;
    let refusal = match alert {
        NO_APPLICATION_PROTOCOL => Refusal::Protocol,
        // The name asked for is not ours: see `Identity::server_name`.
        ACCESS_DENIED | UNRECOGNIZED_NAME => Refusal::Cluster,
        _ => Refusal::Secret,
    };
    Some((by, refusal))
}

/// Logs refusals, counts them all.
#[derive(Debug, Default)]
pub(crate) struct RefusalLog {
    count: AtomicU64,
    logged: Mutex<HashMap<SocketAddr, Instant>>,
    /// When it was last told that there is no room: the cause is the same for all addresses.
    full: Mutex<Option<Instant>>,
}

impl RefusalLog {
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn record(&self, addr: SocketAddr, by: By, refusal: Refusal) {
        self.count.fetch_add(1, Ordering::Relaxed);
        if !self.may_log(addr, Instant::now()) {
            return;
        }
        match by {
            By::Us => {
                tracing::warn!(peer = %addr, cause = %refusal, "refused the node at {addr}: {refusal}");
            }
            By::Peer => {
                tracing::warn!(peer = %addr, cause = %refusal, "refused by the node at {addr}: {refusal}");
            }
        }
    }

    /// A handshake was refused for want of room.
    pub(crate) fn record_full(&self, addr: SocketAddr, limit: NoRoom) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.warn_full(addr, limit);
    }

    /// There is no connection with `addr` for want of room here.
    pub(crate) fn warn_full(&self, addr: SocketAddr, limit: NoRoom) {
        if self.may_tell_full(Instant::now()) {
            tracing::warn!(
                peer = %addr,
                "no room for a connection with the node at {addr}: {limit}; members without one may be suspected, and \
                 keys on them cannot be reached from here. Run fewer nodes"
            );
        }
    }

    fn may_tell_full(&self, now: Instant) -> bool {
        let mut told = self.full.lock();
        let tells = told.is_none_or(|at| now >= at + LOG_PAUSE);
        if tells {
            *told = Some(now);
        }
        tells
    }

    fn may_log(&self, addr: SocketAddr, now: Instant) -> bool {
        let mut logged = self.logged.lock();
        if logged.len() >= LOG_ADDRESSES {
            logged.retain(|_, at| now < *at + LOG_PAUSE);
        }
        if logged.len() >= LOG_ADDRESSES || logged.get(&addr).is_some_and(|at| now < *at + LOG_PAUSE) {
            return false;
        }
        logged.insert(addr, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(n: u32) -> SocketAddr {
        SocketAddr::from((n.to_be_bytes(), 1))
    }

    #[test]
    fn one_line_per_address_and_pause() {
        let log = RefusalLog::default();
        let start = Instant::now();
        assert!(log.may_log(addr(1), start));
        assert!(!log.may_log(addr(1), start + LOG_PAUSE / 2));
        assert!(log.may_log(addr(2), start + LOG_PAUSE / 2));
        assert!(log.may_log(addr(1), start + LOG_PAUSE));
    }

    #[test]
    fn want_of_room_is_told_once_in_a_pause_whomever_it_meets() {
        let log = RefusalLog::default();
        let start = Instant::now();
        assert!(log.may_tell_full(start));
        assert!(!log.may_tell_full(start + LOG_PAUSE / 2));
        assert!(log.may_tell_full(start + LOG_PAUSE));
        assert!(!log.may_tell_full(start + LOG_PAUSE * 3 / 2));
    }

    #[test]
    fn many_addresses_are_bounded_until_the_pause_is_over() {
        let log = RefusalLog::default();
        let start = Instant::now();
        let lines = (0..10_000).filter(|n| log.may_log(addr(*n), start)).count();
        assert_eq!(lines, LOG_ADDRESSES);
        assert!(log.may_log(addr(20_000), start + LOG_PAUSE));
    }
}
