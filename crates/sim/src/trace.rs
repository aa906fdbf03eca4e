//! A fingerprint of a run: two runs with the same one did the same things in the same order.

use std::fmt;
use std::time::Duration;

use rapidhash::v3::rapidhash_v3;

use crate::Host;

/// Hash over everything that happened, in order. Stable across machines and builds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceHash(u64);

/// Told apart in the hash.
#[derive(Clone, Copy)]
pub(crate) enum Happened<'a> {
    Started,
    Stopped,
    Woke,
    Received { from: Host, bytes: &'a [u8] },
}

impl TraceHash {
    pub(crate) fn add(&mut self, now: Duration, host: Host, what: Happened<'_>) {
        let (kind, from, content) = match what {
            Happened::Started => (0, 0, 0),
            Happened::Stopped => (1, 0, 0),
            Happened::Woke => (2, 0, 0),
            Happened::Received { from, bytes } => (3, from.0, rapidhash_v3(bytes)),
        };
        self.mix(now.as_secs());
        self.mix(u64::from(now.subsec_nanos()) << 32 | kind);
        self.mix(u64::from(host.0) << 32 | u64::from(from));
        self.mix(content);
    }

    /// One round of the finalizer of `SplitMix64` (Steele, Lea, Flood 2014, `mix64variant13`), chained.
    fn mix(&mut self, word: u64) {
        let mut z = (self.0 ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.0 = z ^ (z >> 31);
    }
}

/// 16 hexadecimal digits.
impl fmt::Display for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(events: &[(u64, u32, Happened<'_>)]) -> String {
        let mut trace = TraceHash::default();
        for (at, host, what) in events {
            trace.add(Duration::from_nanos(*at), Host(*host), *what);
        }
        trace.to_string()
    }

    #[test]
    fn time_place_kind_content_and_order_all_count() {
        let received = |bytes| Happened::Received { from: Host(2), bytes };
        let all = [
            hash(&[]),
            hash(&[(1, 0, Happened::Woke)]),
            hash(&[(2, 0, Happened::Woke)]),
            hash(&[(1, 1, Happened::Woke)]),
            hash(&[(1, 0, Happened::Stopped)]),
            hash(&[(1, 0, received(b"a"))]),
            hash(&[(1, 0, received(b"b"))]),
            hash(&[(1, 0, received(b"a")), (1, 0, received(b"b"))]),
            hash(&[(1, 0, received(b"b")), (1, 0, received(b"a"))]),
        ];
        for (i, one) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|other| other != one), "{i}");
        }
    }

    /// A hash printed last year must still be comparable.
    #[test]
    fn the_hash_is_frozen() {
        let received = Happened::Received { from: Host(7), bytes: b"rumour" };
        assert_eq!(
            hash(&[(1_500_000_000, 3, Happened::Started), (1_500_000_001, 3, received)]),
            "2a43481a9ee0a66a"
        );
    }
}
