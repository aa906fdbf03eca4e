//! The hybrid logical clock that numbers writes.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bits of a reading below the Unix milliseconds: a counter of events within one millisecond.
const COUNTER_BITS: u32 = 16;

/// A hybrid logical clock: 48 bits of Unix milliseconds above 16 bits of counter, in one atomic word.
///
/// Readings strictly increase, whatever the wall clock does: while it stands still or runs backwards the
/// counter carries on, into the millisecond bits if need be. Source: Kulkarni et al., "Logical Physical
/// Clocks and Consistent Snapshots in Globally Distributed Databases", 2014, with the two parts kept in one
/// integer as in section 6.2 there.
#[derive(Debug, Default)]
pub struct Clock {
    latest: AtomicU64,
}

/// [`Clock::observe`] refused a reading that would drag this clock away from the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a peer's clock is {ahead_ms} ms ahead of this node's, more than {} allowed: check the time on both hosts",
    Clock::MAX_AHEAD_MS
)]
pub struct TooFarAhead {
    /// How far the reading is ahead of the wall clock, in milliseconds.
    pub ahead_ms: u64,
}

/// A clock that goes on from the same reading by itself.
impl Clone for Clock {
    fn clone(&self) -> Self {
        Self { latest: self.latest().into() }
    }
}

impl Clock {
    /// How far ahead of the wall clock a reading may be to be observed: one hour.
    pub const MAX_AHEAD_MS: u64 = 60 * 60 * 1000;

    /// A clock that has issued and observed nothing.
    pub const fn new() -> Self {
        Self { latest: AtomicU64::new(0) }
    }

    /// A new reading: greater than every reading issued or observed before and greater than `at_least`.
    ///
    /// `unix_ms` is the wall clock. The only exception is the end of the number space (the year 10889), where
    /// the clock stays at `u64::MAX`; [`Clock::observe`] keeps peers from pushing it there.
    pub fn tick(&self, unix_ms: u64, at_least: u64) -> u64 {
        let floor = wall(unix_ms).max(at_least.saturating_add(1));
        let next = |latest: u64| floor.max(latest.saturating_add(1));
        match self.latest.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |latest| Some(next(latest))) {
            Ok(previous) | Err(previous) => next(previous),
        }
    }

    /// Takes note of a reading of another node: later ticks exceed it.
    ///
    /// # Errors
    ///
    /// [`TooFarAhead`] when `hlc` is more than [`Clock::MAX_AHEAD_MS`] ahead of the wall clock `unix_ms`; the
    /// clock is then unchanged. One node with a wrong date must not take a whole cluster with it.
    pub fn observe(&self, hlc: u64, unix_ms: u64) -> Result<(), TooFarAhead> {
        let ahead_ms = (hlc >> COUNTER_BITS).saturating_sub(unix_ms);
        if ahead_ms > Self::MAX_AHEAD_MS {
            return Err(TooFarAhead { ahead_ms });
        }
        self.latest.fetch_max(hlc, Ordering::Relaxed);
        Ok(())
    }

    /// The highest reading issued or observed so far; 0 if there was none.
    pub fn latest(&self) -> u64 {
        self.latest.load(Ordering::Relaxed)
    }
}

/// The reading at the start of a millisecond; what does not fit in 48 bits is the last one that does.
fn wall(unix_ms: u64) -> u64 {
    unix_ms.min(u64::MAX >> COUNTER_BITS) << COUNTER_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_700_000_000_000;

    #[test]
    fn readings_increase_while_the_wall_clock_stands_still_or_runs_backwards() {
        let clock = Clock::new();
        let mut last = 0;
        for unix_ms in [NOW_MS, NOW_MS, NOW_MS - 5000, NOW_MS - 5000, 0, NOW_MS + 1] {
            let next = clock.tick(unix_ms, 0);
            assert!(next > last && next >= wall(unix_ms));
            assert_eq!(clock.latest(), next);
            last = next;
        }
    }

    #[test]
    fn a_tick_exceeds_what_it_has_to() {
        let clock = Clock::new();
        let stored = wall(NOW_MS + 9);
        let reading = clock.tick(NOW_MS, stored);
        assert_eq!(reading, stored + 1);
        assert!(clock.tick(NOW_MS, 0) > reading);
    }

    #[test]
    fn a_counter_that_overflows_runs_into_the_next_millisecond() {
        let clock = Clock::new();
        let first = clock.tick(NOW_MS, 0);
        let last = (0..1 << COUNTER_BITS).fold(first, |last, _| {
            let next = clock.tick(NOW_MS, 0);
            assert!(next > last);
            next
        });
        assert_eq!(last, wall(NOW_MS + 1));
    }

    #[test]
    fn observing_moves_the_clock_within_reason() {
        let clock = Clock::new();
        let limit = wall(NOW_MS + Clock::MAX_AHEAD_MS);
        assert_eq!(clock.observe(limit, NOW_MS), Ok(()));
        assert!(clock.tick(NOW_MS, 0) > limit);
        let latest = clock.latest();
        let ahead_ms = Clock::MAX_AHEAD_MS + 1;
        assert_eq!(clock.observe(wall(NOW_MS + ahead_ms), NOW_MS), Err(TooFarAhead { ahead_ms }));
        assert_eq!(clock.observe(1, NOW_MS), Ok(()));
        assert_eq!(clock.latest(), latest);
    }

    #[test]
    fn the_end_of_the_number_space_is_no_overflow() {
        let clock = Clock::new();
        assert_eq!(clock.tick(u64::MAX, 0), u64::MAX << COUNTER_BITS);
        assert_eq!(clock.tick(0, u64::MAX), u64::MAX);
    }

    #[test]
    fn threads_never_share_a_reading() {
        let clock = Clock::new();
        let ticks = || (0..5000).map(|_| clock.tick(NOW_MS, 0)).collect::<Vec<_>>();
        let mut all = std::thread::scope(|scope| {
            let threads = [(); 4].map(|()| scope.spawn(ticks));
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 20_000);
    }
}
