//! What a run's clients and those who direct it share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::doors::Doors;

/// One run.
pub(super) struct Stage {
    /// When the run began: all times count from here.
    origin: Instant,
    pub(super) doors: Doors,
    stop: AtomicBool,
    /// Calls that are over.
    done: AtomicU64,
}

impl Stage {
    pub(super) fn new(doors: Doors) -> Self {
        Self { origin: Instant::now(), doors, stop: AtomicBool::new(false), done: AtomicU64::new(0) }
    }

    pub(super) fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Whether clients go on.
    pub(super) fn goes_on(&self) -> bool {
        !self.stop.load(Relaxed)
    }

    /// A call is over.
    pub(super) fn count_call(&self) {
        self.done.fetch_add(1, Relaxed);
    }

    /// How many calls are over.
    pub(super) fn calls(&self) -> u64 {
        self.done.load(Relaxed)
    }

    /// Stops the clients when dropped, however that comes about.
    pub(super) fn curtain(&self) -> Curtain<'_> {
        Curtain(&self.stop)
    }
}

/// See [`Stage::curtain`].
pub(super) struct Curtain<'a>(&'a AtomicBool);

impl Drop for Curtain<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}
