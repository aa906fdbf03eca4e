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
