//! All slots of a node.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use rapidhash::v3::RapidSecrets;

use crate::totals::Totals;
use crate::{Entries, Memory};

/// The shape of a [`Store`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// How many slots there are; at least 1.
    pub slots: usize,
    /// Seed of the hash of keys. Let it be random and secret: who knows it can choose keys that collide.
    pub hash_seed: u64,
    /// The most bytes that entries and tables may take before puts are refused; none: no limit.
    pub max_memory: Option<u64>,
}

/// What all slots of a store have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) seed: RapidSecrets,
    pub(crate) max_memory: Option<u64>,
    pub(crate) totals: Totals,
}

/// A map cut into slots, each under its own lock, each with a header of type `H` beside its entries.
#[derive(Debug)]
pub struct Store<H = ()> {
    slots: Box<[Mutex<Slot<H>>]>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Slot<H> {
    header: H,
    entries: Entries,
}

impl<H> Store<H> {
    /// A store of empty slots; `header` makes the header of each slot, in index order.
    ///
    /// # Panics
    ///
    /// When `config.slots` is 0.
    pub fn new(config: Config, mut header: impl FnMut(usize) -> H) -> Self {
        assert!(config.slots > 0, "a store needs at least one slot");
        let shared = Arc::new(Shared {
            seed: RapidSecrets::seed(config.hash_seed),
            max_memory: config.max_memory,
            totals: Totals::default(),
        });
        let slot = |index| Slot { header: header(index), entries: Entries::new(Arc::clone(&shared)) };
        let slots = (0..config.slots).map(slot).map(Mutex::new).collect();
        Self { slots, shared }
    }

    /// How many slots there are.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// What all slots hold together. Reads three counters, takes no lock.
    pub fn memory(&self) -> Memory {
        self.shared.totals.get()
    }

    /// Locks a slot, waiting for whoever holds it.
    ///
    /// # Panics
    ///
    /// When `slot` is not below [`Store::slots`].
    pub fn lock(&self, slot: usize) -> SlotGuard<'_, H> {
        SlotGuard { slot: self.slots[slot].lock() }
    }
}

/// A locked slot: its header, and through `Deref` its [`Entries`].
#[derive(Debug)]
pub struct SlotGuard<'a, H> {
    slot: MutexGuard<'a, Slot<H>>,
}

impl<H> SlotGuard<'_, H> {
    /// The slot's header.
    pub fn header(&self) -> &H {
        &self.slot.header
    }

    /// The slot's header, to change it.
    pub fn header_mut(&mut self) -> &mut H {
        &mut self.slot.header
    }

    /// The header and the entries, both to change.
    pub fn split(&mut self) -> (&mut H, &mut Entries) {
        let Slot { header, entries } = &mut *self.slot;
        (header, entries)
    }
}

impl<H> Deref for SlotGuard<'_, H> {
    type Target = Entries;

    fn deref(&self) -> &Entries {
        &self.slot.entries
    }
}

impl<H> DerefMut for SlotGuard<'_, H> {
    fn deref_mut(&mut self) -> &mut Entries {
        &mut self.slot.entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Clock, Condition, Delete, Put, Value, Writer};

    #[test]
    fn a_put_is_read_back_and_a_delete_leaves_a_tombstone() {
        let store = Store::new(Config { slots: 4, hash_seed: 1, max_memory: None }, |index| index);
        let clock = Clock::new();
        let writer = Writer { clock: &clock, node: 7, now_ms: 1000 };
        let mut slot = store.lock(3);
        assert_eq!(*slot.header(), 3);
        let value = Value { bytes: b"hello", content_type: b"text/plain", expires_at_ms: Some(2000) };
        let put = slot.put(b"greeting", value, &Condition::Always, &writer).unwrap();
        let entry = slot.get(b"greeting", 1999).unwrap();
        assert_eq!(put, Put::Created(entry.version));
        assert_eq!((entry.value, entry.content_type), (&b"hello"[..], &b"text/plain"[..]));
        assert_eq!(slot.get(b"greeting", 2000), None);
        assert!(matches!(slot.delete(b"greeting", &Condition::Always, &writer, 9000), Delete::Deleted(_)));
        assert!(slot.peek(b"greeting").unwrap().tombstone);
        assert_eq!(slot.sweep(9000), 1);
        drop(slot);
        assert_eq!(store.memory().entries, 0);
    }
}
