//! How long things took, counted by bounds.

use std::time::Duration;

/// The bounds in milliseconds; what took longer than the last is counted beside them.
pub const BOUNDS_MS: [u64; 11] = [1, 2, 5, 10, 20, 50, 100, 500, 1_000, 10_000, 60_000];

/// A histogram of times.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Times {
    /// All of them together.
    pub sum: Duration,
    /// How many took at most each of [`BOUNDS_MS`] and more than the one before; the last: longer than all.
    pub counts: [u64; BOUNDS_MS.len() + 1],
}

impl Times {
    pub(super) fn add(&mut self, time: Duration) {
        self.sum += time;
        let bound = BOUNDS_MS.iter().position(|ms| time <= Duration::from_millis(*ms));
        self.counts[bound.unwrap_or(BOUNDS_MS.len())] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_counts_under_the_first_bound_that_it_keeps() {
        let mut times = Times::default();
        for ms in [0, 1, 2, 60_000, 60_001] {
            times.add(Duration::from_millis(ms));
        }
        assert_eq!(times.counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(times.sum, Duration::from_millis(120_004));
    }
}
