//! Local health: how much this member trusts its own sense of time.
//!
//! Lifeguard (Dadgar, Phillips, Currey 2018), section IV.A: the score rises when probes fail in ways that a healthy
//! member would not see, falls with each success, and stretches the own probe interval and timeout.

use std::time::Duration;

/// The highest score: at 8, everything takes nine times as long.
pub(crate) const SCORE_MAX: u32 = 8;

/// The local health score, 0 (healthy) to 8.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Awareness(u32);

impl Awareness {
    pub(crate) fn score(self) -> u32 {
        self.0
    }

    pub(crate) fn improve(&mut self) {
        self.0 = self.0.saturating_sub(1);
    }

    pub(crate) fn worsen(&mut self, by: u32) {
        self.0 = self.0.saturating_add(by).min(SCORE_MAX);
    }

    /// The time a member in this health needs for what a healthy one does in `base`.
    pub(crate) fn scale(self, base: Duration) -> Duration {
        base * (self.0 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn score_stays_within_its_bounds() {
        let mut awareness = Awareness::default();
        awareness.improve();
        assert_eq!(awareness.scale(Duration::from_secs(1)), Duration::from_secs(1));
        awareness.worsen(20);
        assert_eq!(awareness.scale(Duration::from_secs(1)), Duration::from_secs(9));
        awareness.improve();
        assert_eq!(awareness.score(), 7);
    }
}
