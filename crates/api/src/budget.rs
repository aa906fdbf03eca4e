//! A bound on the bytes that many connections hold together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that may be held at once; what is taken comes back when its [`Share`] is dropped.
#[derive(Debug)]
pub(crate) struct Budget {
    free: AtomicUsize,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Arc<Budget> {
        Arc::new(Budget { free: AtomicUsize::new(bytes) })
    }

    /// Whether this many bytes are free right now; reserves nothing.
    pub(crate) fn has(&self, bytes: usize) -> bool {
        self.free.load(Ordering::Relaxed) >= bytes
    }

    /// A share of nothing, to be grown.
    pub(crate) fn share(self: &Arc<Self>) -> Share {
        Share { budget: Arc::clone(self), bytes: 0 }
    }
}

/// Bytes taken from a [`Budget`].
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Share {
    /// Takes this many bytes more; on `false` nothing has changed. Never waits: a client is told to come
    /// again.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let free = &self.budget.free;
        let taken =
            free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| free.checked_sub(bytes)).is_ok();
        self.bytes += if taken { bytes } else { 0 };
        taken
    }

    /// Takes until at least this many bytes are held; on `false` nothing has changed.
    pub(crate) fn cover(&mut self, bytes: usize) -> bool {
        bytes <= self.bytes || self.grow(bytes - self.bytes)
    }

    /// Takes or gives back until this many bytes are held; on `false` nothing has changed.
    pub(crate) fn hold(&mut self, bytes: usize) -> bool {
        if bytes > self.bytes {
            return self.grow(bytes - self.bytes);
        }
        self.budget.free.fetch_add(self.bytes - bytes, Ordering::Relaxed);
        self.bytes = bytes;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.free.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_takes_what_is_free_and_gives_all_back() {
        let budget = Budget::new(10);
        let mut share = budget.share();
        assert!(share.grow(7));
        assert!(!share.grow(4));
        assert!(share.grow(3));
        assert!(!budget.has(1));
        assert!(!share.hold(11) && share.hold(4));
        assert!(budget.has(6) && !budget.has(7));
        drop(share);
        assert!(budget.has(10) && !budget.has(11));
    }
}
