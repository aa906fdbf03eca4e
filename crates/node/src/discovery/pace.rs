//! How long a source rests between two looks.

use std::ops::Range;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Rests of a source: a different length each time, so that many nodes do not look in step.
#[derive(Clone)]
pub(super) struct Pace {
    joined: watch::Receiver<bool>,
    shutdown: CancellationToken,
}

impl Pace {
    pub(super) fn new(joined: watch::Receiver<bool>, shutdown: CancellationToken) -> Self {
        Self { joined, shutdown }
    }

    /// Rests for a time in `ms`. False when it is time to end.
    pub(super) async fn rest(&self, ms: Range<u64>) -> bool {
        let rest = tokio::time::sleep(Duration::from_millis(fastrand::u64(ms)));
        self.shutdown.run_until_cancelled(rest).await.is_some()
    }

    /// Rests for a time in `alone_ms` until this node has joined and in `joined_ms` from then on; losing all
    /// others ends a long rest. False when it is time to end.
    pub(super) async fn rest_by_membership(&mut self, alone_ms: Range<u64>, joined_ms: Range<u64>) -> bool {
        if !*self.joined.borrow_and_update() {
            return self.rest(alone_ms).await;
        }
        let rest = tokio::time::sleep(Duration::from_millis(fastrand::u64(joined_ms)));
        tokio::select! {
            () = self.shutdown.cancelled() => false,
            () = rest => true,
            alone = self.joined.wait_for(|joined| !joined) => alone.is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn losing_all_members_ends_a_long_rest() {
        let (joined, receiver) = watch::channel(true);
        let mut pace = Pace::new(receiver, CancellationToken::new());
        let mut rest = std::pin::pin!(pace.rest_by_membership(1..2, 3_600_000..3_600_001));
        assert!(timeout(Duration::from_millis(10), &mut rest).await.is_err(), "it rests for an hour");
        joined.send_replace(false);
        assert_eq!(timeout(Duration::from_mins(1), rest).await, Ok(true));
    }
}
