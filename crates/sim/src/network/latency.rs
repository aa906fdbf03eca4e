//! How long a packet takes.

use std::time::Duration;

use fastrand::Rng;

/// Longest sample of the tail, in units of [`Latency::tail`].
const TAIL_MAX: f64 = 50.0;

/// One-way delay: a floor and a heavy tail.
///
/// The tail is a Pareto distribution with exponent 2 (its only irrational operation is a square root, which is exact
/// on every machine): median 0.41, mean 0.98, p99 9 and at most 50 times `tail`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// The least delay.
    pub floor: Duration,
    /// Scale of what comes on top.
    pub tail: Duration,
}

impl Latency {
    /// A delay of `mean` on average, half of which is the floor: p50 0.7, p99 5 times the mean.
    pub fn around(mean: Duration) -> Self {
        Self::with_tail(mean, 0.5)
    }

    /// A delay of `mean` on average, of which this share, 0 to 1, is the tail: 0 is always the same delay.
    pub fn with_tail(mean: Duration, share: f64) -> Self {
        let tail = mean.mul_f64(share.clamp(0.0, 1.0));
        Self { floor: mean.saturating_sub(tail), tail }
    }

    pub(super) fn sample(self, rng: &mut Rng) -> Duration {
        // In (0, 1].
        let uniform = 1.0 - rng.f64();
        self.floor + self.tail.mul_f64((1.0 / uniform.sqrt() - 1.0).min(TAIL_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_have_the_documented_shape() {
        let latency = Latency::around(Duration::from_millis(10));
        let mut rng = Rng::with_seed(3);
        let mut samples: Vec<_> =
            (0..100_000).map(|_| latency.sample(&mut rng).as_secs_f64() * 1e3).collect();
        samples.sort_by(f64::total_cmp);
        let mean = samples.iter().sum::<f64>() / 1e5;
        assert!((9.7..10.3).contains(&mean), "{mean}");
        assert!((6.9..7.3).contains(&samples[50_000]), "{}", samples[50_000]);
        assert!((47.0..53.0).contains(&samples[99_000]), "{}", samples[99_000]);
        assert!(samples[0] >= 5.0 && samples[99_999] <= 255.0);
    }
}
