//! The limit on the rate at which entries are sent to other nodes.

use std::time::Duration;

/// How far ahead of the rate a burst may get.
const BURST: Duration = Duration::from_millis(100);

/// Spaces out what is sent (the generic cell rate algorithm of ITU-T I.371, in bytes). What is sent in spite of it,
/// to keep a pause short, counts and delays what follows.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    /// Bytes per second; `None`: no limit.
    rate: Option<u64>,
    /// When all that was sent would have been sent at the rate.
    due_at: Duration,
    /// Whoever was turned away may come again then.
    closed_until: Option<Duration>,
}

impl Pace {
    pub(super) fn new(rate: Option<u64>) -> Self {
        Self { rate: rate.map(|rate| rate.max(1)), due_at: Duration::ZERO, closed_until: None }
    }

    /// Changes the rate for what is sent from now on.
    pub(super) fn set_rate(&mut self, rate: Option<u64>, now: Duration) {
        // What was sent at a slower rate may be due for very long; whoever was turned away may come again.
        let closed_until = self.closed_until.map(|at| at.min(now));
        *self = Self { due_at: self.due_at.min(now), closed_until, ..Self::new(rate) };
    }

    /// Whether something may be sent now.
    pub(super) fn is_open(&mut self, now: Duration) -> bool {
        let opens_at = self.due_at.saturating_sub(BURST);
        if self.rate.is_some() && opens_at > now {
            self.closed_until = Some(opens_at);
        }
        self.closed_until.is_none_or(|at| at <= now)
    }

    /// How many slots may be copied at a time: so few that each sends a chunk every four seconds on average. The
    /// target of one that sends nothing for long drops what it has.
    pub(super) fn copies(&self, chunk_bytes: usize) -> usize {
        let copies = self.rate.map_or(u64::MAX, |rate| rate.saturating_mul(4) / chunk_bytes.max(1) as u64);
        usize::try_from(copies).unwrap_or(usize::MAX).max(1)
    }

    /// Counts what was sent.
    pub(super) fn spend(&mut self, bytes: usize, now: Duration) {
        if let Some(rate) = self.rate {
            let nanos = (bytes as u128 * 1_000_000_000).div_ceil(u128::from(rate));
            let time = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
            self.due_at = self.due_at.max(now).saturating_add(time);
        }
    }

    /// Forgets a refusal whose time is over.
    pub(super) fn advance(&mut self, now: Duration) {
        self.closed_until.take_if(|at| *at <= now);
    }

    /// When those who were turned away may come again.
    pub(super) fn next(&self) -> Option<Duration> {
        self.closed_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_keeps_to_the_rate_and_bursts_are_bounded() {
        let mut pace = Pace::new(Some(1_000_000));
        let mut sent = 0_u64;
        for ms in 0..10_000 {
            let now = Duration::from_millis(ms);
            pace.advance(now);
            while pace.is_open(now) {
                pace.spend(64_000, now);
                sent += 64_000;
            }
            assert!(pace.next().is_some_and(|at| at > now), "whoever waits is called");
        }
        assert!((9_900_000..=10_300_000).contains(&sent), "{sent} bytes in 10 s");
    }

    #[test]
    fn the_slower_the_fewer_copies_but_always_one() {
        let copies = |rate| Pace::new(rate).copies(1000);
        assert_eq!((copies(Some(1)), copies(Some(5000)), copies(None)), (1, 20, usize::MAX));
    }

    #[test]
    fn a_new_rate_holds_at_once_and_calls_whoever_waits() {
        let (mut pace, now) = (Pace::new(Some(1)), Duration::from_secs(1));
        pace.spend(1_000_000, now);
        assert!(!pace.is_open(now));
        pace.set_rate(Some(1_000_000), now);
        assert_eq!(pace.next(), Some(now));
        pace.advance(now);
        assert!(pace.is_open(now));
        pace.spend(1_000_000, now);
        assert!(!pace.is_open(now), "the new rate holds");
        pace.set_rate(None, now);
        pace.advance(now);
        assert!(pace.is_open(now) && pace.next().is_none());
    }

    #[test]
    fn without_a_limit_it_is_always_open() {
        let mut pace = Pace::new(None);
        pace.spend(usize::MAX, Duration::ZERO);
        assert!(pace.is_open(Duration::ZERO) && pace.next().is_none());
    }
}
