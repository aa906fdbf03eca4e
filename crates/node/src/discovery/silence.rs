//! Nobody answers where `--join` says: said aloud, as a firewall that drops UDP tells neither side.

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::{Found, Source};

/// How long nobody answers until that is said, and until it is said again.
const FIRST: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_mins(1);

/// Most addresses that a warning names.
const NAMED_MAX: usize = 8;

/// Addresses of `--join` that were tried while no other member is known.
pub(crate) struct Silence {
    /// Where this node is reached, which may be named, too: nobody else answers there.
    own: SocketAddr,
    tried: BTreeSet<SocketAddr>,
    due: Option<Instant>,
}

impl Silence {
    pub(crate) fn new(own: SocketAddr) -> Self {
        Self { own, tried: BTreeSet::new(), due: None }
    }

    /// Another member is known: whatever comes later is another silence.
    pub(crate) fn end(&mut self) {
        (self.tried, self.due) = (BTreeSet::new(), None);
    }

    /// An address was tried, and no other member is known.
    pub(crate) fn tried(&mut self, found: Found, now: Instant) {
        if let Some(addrs) = self.due(found, now) {
            tracing::warn!(
                "nobody answers at {addrs}: does a node of this cluster run there, with the same secret? If so, a firewall may \
                 drop UDP: let it pass to that port and to this node's ({}, --quic), both ways; that TCP passes says nothing. \
                 Trying again until somebody answers",
                self.own.port()
            );
        }
    }

    /// The addresses to warn of, when it is time.
    fn due(&mut self, found: Found, now: Instant) -> Option<String> {
        if found.source != Source::Join {
            return None;
        }
        if self.tried.len() < NAMED_MAX {
            self.tried.insert(found.addr);
        }
        if now < *self.due.get_or_insert(now + FIRST) {
            return None;
        }
        self.due = Some(now + AGAIN);
        let tried = std::mem::take(&mut self.tried);
        let others: Vec<String> =
            tried.iter().filter(|addr| !self.is_own(**addr)).map(ToString::to_string).collect();
        (!others.is_empty()).then(|| others.join(", "))
    }

    /// Whether it is this node under whatever name: its port, at an address that this machine has.
    fn is_own(&self, addr: SocketAddr) -> bool {
        addr == self.own || (addr.port() == self.own.port() && UdpSocket::bind((addr.ip(), 0)).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of documentation: no machine has it.
    const PEER: &str = "192.0.2.1:7400";

    fn found(addr: &str, source: Source) -> Found {
        Found { addr: addr.parse().unwrap(), source }
    }

    fn silence() -> Silence {
        Silence::new("192.0.2.2:7400".parse().unwrap())
    }

    #[test]
    fn silence_is_told_after_seconds_and_then_once_a_minute() {
        let (mut silence, start) = (silence(), Instant::now());
        let told: Vec<u64> = (0..130)
            .filter(|second| {
                silence.due(found(PEER, Source::Join), start + Duration::from_secs(*second)).is_some()
            })
            .collect();
        assert_eq!(told, [5, 65, 125]);
    }

    #[test]
    fn an_answer_ends_it() {
        let (mut silence, start) = (silence(), Instant::now());
        assert_eq!(silence.due(found(PEER, Source::Join), start), None);
        silence.end();
        assert_eq!(silence.due(found(PEER, Source::Join), start + FIRST), None);
        assert!(silence.due(found(PEER, Source::Join), start + 2 * FIRST).is_some_and(|addrs| addrs == PEER));
    }

    #[test]
    fn neither_the_node_itself_nor_neighbours_that_are_gone_are_worth_a_word() {
        let (mut silence, start) = (silence(), Instant::now());
        for (addr, source) in [
            ("192.0.2.2:7400", Source::Join),
            ("127.0.0.1:7400", Source::Join),
            ("192.0.2.3:7400", Source::Local),
            ("192.0.2.4:7400", Source::Mdns),
        ] {
            assert_eq!(silence.due(found(addr, source), start), None, "{addr}");
            assert_eq!(silence.due(found(addr, source), start + FIRST), None, "{addr}");
            silence.end();
        }
    }
}
