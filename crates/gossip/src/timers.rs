//! What is to happen when.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::NodeId;

/// Something that waits for its time. One that has been overtaken by events is cancelled, or finds nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// Conclude the probe of the last interval and start the next.
    Probe,
    /// The direct probe of this number has had its time.
    ProbeTimeout(u64),
    /// A probe on behalf of another has had its time: for a nack, then for good.
    Relay(u64),
    /// Send news.
    Gossip,
    /// Start the periodic push-pull.
    PushPull,
    /// The push-pull of this number has had its time.
    PushPullTimeout(u64),
    /// Perhaps contact somebody dead.
    Reconnect,
    /// The member's suspicion ends, or its record is forgotten.
    Member(NodeId),
    /// The own query of this Lamport time has had its time.
    Query(u64),
    /// The leave has had its time.
    Leave,
}

/// All that waits, in order of time.
#[derive(Debug, Default)]
pub(crate) struct Timers(BTreeSet<(Duration, Timer)>);

impl Timers {
    pub(crate) fn set(&mut self, at: Duration, timer: Timer) {
        self.0.insert((at, timer));
    }

    pub(crate) fn cancel(&mut self, at: Duration, timer: Timer) {
        self.0.remove(&(at, timer));
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The time of the first.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Takes out the first, if its time has come.
    pub(crate) fn due(&mut self, now: Duration) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        self.0.pop_first().map(|(_, timer)| timer)
    }

    /// All times of a timer.
    #[cfg(test)]
    pub(crate) fn times(&self, timer: Timer) -> Vec<Duration> {
        self.0.iter().filter(|(_, other)| *other == timer).map(|(at, _)| *at).collect()
    }

    #[cfg(test)]
    pub(crate) fn has(&self, at: Duration, timer: Timer) -> bool {
        self.0.contains(&(at, timer))
    }
}
