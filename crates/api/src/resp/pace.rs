//! How many commands come per second, for who asks now and then.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Who looks again sooner sees the same.
const FRESH: Duration = Duration::from_secs(1);

/// Compares what was counted with what it was at the look before.
pub(super) struct Pace(Mutex<Look>);

struct Look {
    at: Instant,
    count: u64,
    per_s: u64,
}

impl Pace {
    /// Nothing was counted up to now.
    pub(super) fn new(at: Instant) -> Pace {
        Pace(Mutex::new(Look { at, count: 0, per_s: 0 }))
    }

    /// What `count` has grown by per second since the last look that is a second old or older; in the first second 0.
    pub(super) fn per_s(&self, at: Instant, count: u64) -> u64 {
        let mut last = self.0.lock();
        let since = at.saturating_duration_since(last.at);
        if since >= FRESH {
            let grown = u128::from(count.saturating_sub(last.count)) * 1000 / since.as_millis();
            *last = Look { at, count, per_s: u64::try_from(grown).unwrap_or(u64::MAX) };
        }
        last.per_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_what_was_added_since_the_last_look() {
        let began = Instant::now();
        let pace = Pace::new(began);
        let looks = [(500, 90), (2_000, 100), (2_500, 900), (6_000, 2_100), (8_000, 2_100)];
        let seen = looks.map(|(ms, count)| pace.per_s(began + Duration::from_millis(ms), count));
        assert_eq!(seen, [0, 50, 50, 500, 0]);
    }
}
