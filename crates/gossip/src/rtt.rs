//! How long answers take, and how long to wait for one.

use std::time::Duration;

use crate::Config;

/// However short the round trips are, this part of the configured timeout is waited: a process that is scheduled late
/// is not asked through relays at once.
const SHORTEST: u32 = 5;

/// Round-trip times of direct probes, smoothed over all members (RFC 6298, section 2).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rtt(Option<Smoothed>);

#[derive(Clone, Copy, Debug)]
struct Smoothed {
    mean: Duration,
    deviation: Duration,
}

impl Rtt {
    pub(crate) fn observe(&mut self, sample: Duration) {
        self.0 = Some(match self.0 {
            None => Smoothed { mean: sample, deviation: sample / 2 },
            Some(Smoothed { mean, deviation }) => Smoothed {
                mean: (7 * mean + sample) / 8,
                deviation: (3 * deviation + sample.abs_diff(mean)) / 4,
            },
        });
    }

    /// The mean, in microseconds; 0 before the first answer.
    pub(crate) fn mean_us(self) -> u64 {
        self.0.map_or(0, |smoothed| u64::try_from(smoothed.mean.as_micros()).unwrap_or(u64::MAX))
    }

    /// How long to wait for a direct answer: from a fifth of the configured time to all of it.
    pub(crate) fn timeout(self, config: &Config) -> Duration {
        let Some(Smoothed { mean, deviation }) = self.0 else { return config.probe_timeout };
        (mean + 4 * deviation).clamp(config.probe_timeout / SHORTEST, config.probe_timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn timeout_follows_the_round_trips_within_its_bounds() {
        let config = Config::lan();
        let mut rtt = Rtt::default();
        assert_eq!((rtt.timeout(&config), rtt.mean_us()), (250 * MS, 0));
        let mut after = |sample: Duration| {
            (0..100).for_each(|_| rtt.observe(sample));
            rtt.timeout(&config)
        };
        assert_eq!(after(MS), 50 * MS);
        let slow = after(200 * MS);
        assert!(199 * MS < slow && slow < 210 * MS, "{slow:?}");
        assert_eq!(after(3000 * MS), 250 * MS);
    }

    #[test]
    fn answers_that_vary_are_waited_for_longer() {
        let mut rtt = Rtt::default();
        for n in 0..100 {
            rtt.observe(if n % 2 == 0 { 20 * MS } else { 100 * MS });
        }
        let timeout = rtt.timeout(&Config::lan());
        assert!(150 * MS < timeout && timeout < 350 * MS, "{timeout:?}");
    }
}
