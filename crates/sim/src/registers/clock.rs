//! The two clocks of a simulated machine, which need not agree with anybody's.

use std::time::Duration;

use boato_cluster::Now;

/// The time of day at the start of every run, in Unix milliseconds.
const EPOCH_MS: u64 = 1_700_000_000_000;

const MILLION: u64 = 1_000_000;

/// A monotonic clock that runs too fast or too slow, and a time of day that is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Clock {
    /// How much too fast the monotonic clock runs, in millionths; negative: too slow. Within ±500,000.
    pub(super) drift_ppm: i32,
    /// By how much the time of day is ahead, in milliseconds.
    pub(super) ahead_ms: i64,
}

impl Clock {
    /// What this machine reads at a moment of the run.
    pub(super) fn read(self, at: Duration) -> Now {
        let unix_ms = EPOCH_MS.saturating_add(u64::try_from(at.as_millis()).unwrap_or(u64::MAX));
        Now { at: self.local(at), unix_ms: unix_ms.saturating_add_signed(self.ahead_ms) }
    }

    /// What the monotonic clock reads at a moment of the run.
    pub(super) fn local(self, at: Duration) -> Duration {
        self.scale(at, self.speed(), MILLION)
    }

    /// The first moment of the run at which the monotonic clock reads `local`, or a nanosecond later.
    pub(super) fn moment(self, local: Duration) -> Duration {
        let moment = self.scale(local, MILLION, self.speed());
        if self.drift_ppm == 0 { moment } else { moment + Duration::from_nanos(1) }
    }

    /// Local millionths of a second in a second.
    fn speed(self) -> u64 {
        MILLION.saturating_add_signed(self.drift_ppm.into())
    }

    fn scale(self, time: Duration, up: u64, down: u64) -> Duration {
        if self.drift_ppm == 0 {
            return time;
        }
        let nanos = time.as_nanos() * u128::from(up) / u128::from(down);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_never_goes_off_before_its_local_time() {
        for drift_ppm in [-500_000, -137, 0, 1, 99_999] {
            let clock = Clock { drift_ppm, ahead_ms: 0 };
            for nanos in [0, 1, 999, 1_000_000_007, 86_400_000_000_001] {
                let local = Duration::from_nanos(nanos);
                let read = clock.local(clock.moment(local));
                assert!(
                    read >= local && read <= local + Duration::from_nanos(4),
                    "{drift_ppm} {local:?} {read:?}"
                );
            }
        }
    }

    #[test]
    fn a_time_of_day_may_be_ahead_or_behind() {
        let read = |ahead_ms| Clock { drift_ppm: 100_000, ahead_ms }.read(Duration::from_secs(10));
        assert_eq!(read(-5), Now { at: Duration::from_secs(11), unix_ms: EPOCH_MS + 9_995 });
        assert_eq!(read(7).unix_ms, EPOCH_MS + 10_007);
    }
}
