//! What a whole store holds, and its limit.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a slot or a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Entries, among them those that have expired and were not swept yet.
    pub entries: u64,
    /// Tombstones.
    pub tombstones: u64,
    /// Bytes requested from the allocator for entries, tombstones and tables.
    pub bytes: u64,
}

/// The sums over all slots, kept current by every operation.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    entries: AtomicU64,
    tombstones: AtomicU64,
    bytes: AtomicU64,
}

impl Clone for Totals {
    fn clone(&self) -> Self {
        let Memory { entries, tombstones, bytes } = self.get();
        Self { entries: entries.into(), tombstones: tombstones.into(), bytes: bytes.into() }
    }
}

impl Totals {
    /// Replaces what one slot contributed by what it contributes now.
    pub(crate) fn update(&self, old: Memory, new: Memory) {
        shift(&self.entries, old.entries, new.entries);
        shift(&self.tombstones, old.tombstones, new.tombstones);
        shift(&self.bytes, old.bytes, new.bytes);
    }

    /// Adds to the bytes unless that exceeds `max`.
    pub(crate) fn reserve(&self, growth: u64, max: u64) -> bool {
        let grown = |bytes: u64| bytes.checked_add(growth).filter(|grown| *grown <= max);
        self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown).is_ok()
    }

    /// Takes back of what was reserved.
    pub(crate) fn give_back(&self, bytes: u64) {
        if bytes > 0 {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    pub(crate) fn get(&self) -> Memory {
        Memory {
            entries: self.entries.load(Ordering::Relaxed),
            tombstones: self.tombstones.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}

/// Adds `new - old`; an unchanged figure costs no shared write.
fn shift(total: &AtomicU64, old: u64, new: u64) {
    if old != new {
        total.fetch_add(new.wrapping_sub(old), Ordering::Relaxed);
    }
}
