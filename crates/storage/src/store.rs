//! All slots of a node.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

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
    /// Bytes; [`UNLIMITED`]: no limit.
    max_memory: AtomicU64,
    pub(crate) totals: Totals,
}

/// More than any machine has.
const UNLIMITED: u64 = u64::MAX;

impl Shared {
    fn fork(&self) -> Self {
        let max_memory = AtomicU64::new(self.max_memory.load(Relaxed));
        Self { seed: self.seed, max_memory, totals: self.totals.clone() }
    }

    pub(crate) fn max_memory(&self) -> Option<u64> {
        Some(self.max_memory.load(Relaxed)).filter(|&limit| limit != UNLIMITED)
    }
}

/// A map cut into slots, each under its own lock, each with a header of type `H` beside its entries.
#[derive(Debug)]
pub struct Store<H = ()> {
    slots: Box<[Cell<H>]>,
    shared: Arc<Shared>,
}

/// Begins a cache line: that with the lock also has what leads to a bucket.
#[derive(Debug)]
#[repr(align(64))]
struct Cell<H>(Mutex<Slot<H>>);

/// Lock and entries take two cache lines of 64 bytes, the header begins on the third.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Slot<H> {
    pub(crate) entries: Entries,
    pub(crate) header: H,
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
            max_memory: AtomicU64::new(config.max_memory.unwrap_or(UNLIMITED)),
            totals: Totals::default(),
        });
        let slot = |index| Slot { header: header(index), entries: Entries::new(Arc::clone(&shared)) };
        let slots = (0..config.slots).map(slot).map(|slot| Cell(Mutex::new(slot))).collect();
        Self { slots, shared }
    }

    /// How many slots there are.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The limit of [`Config::max_memory`], as last changed.
    pub fn max_memory(&self) -> Option<u64> {
        self.shared.max_memory()
    }

    /// Changes the limit of [`Config::max_memory`]. What is stored stays, also beyond a smaller limit.
    pub fn set_max_memory(&self, limit: Option<u64>) {
        self.shared.max_memory.store(limit.unwrap_or(UNLIMITED), Relaxed);
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
        SlotGuard { slot: self.cell(slot).lock() }
    }

    pub(crate) fn cell(&self, slot: usize) -> &Mutex<Slot<H>> {
        &self.slots[slot].0
    }
}

const _: () = assert!(size_of::<Entries>() <= 128 - 16, "the header has to begin on the third cache line");

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

/// A copy of everything, which shares nothing with the original.
impl<H: Clone> Clone for Store<H> {
    fn clone(&self) -> Self {
        let shared = Arc::new(self.shared.fork());
        let copy = |Cell(slot): &Cell<H>| {
            let Slot { header, entries } = &*slot.lock();
            let entries = entries.copy_to(Arc::clone(&shared));
            Cell(Mutex::new(Slot { header: header.clone(), entries }))
        };
        Self { slots: self.slots.iter().map(copy).collect(), shared }
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
    use crate::{Clock, Condition, EntryRef, Put, PutError, Value, Version, Writer};

    const ALWAYS: &Condition = &Condition::Always;

    fn store(max_memory: Option<u64>) -> Store<usize> {
        Store::new(Config { slots: 64, hash_seed: 1, max_memory }, |index| index)
    }

    fn value(bytes: &[u8]) -> Value<'_> {
        Value { bytes, ..Value::default() }
    }

    #[test]
    fn every_slot_has_its_header_and_its_entries() {
        let store = store(None);
        let writer = Writer { clock: &Clock::new(), node: 7, now_ms: 1000 };
        *store.lock(63).header_mut() += 1;
        let mut slot = store.lock(63);
        let (header, entries) = slot.split();
        assert_eq!(*header, 64);
        let put = entries.put(b"key", value(b"value"), ALWAYS, &writer);
        assert_eq!(put, Ok(Put::Created(slot.get(b"key", 1000).unwrap().version)));
        assert!(store.lock(62).is_empty());
        assert_eq!(*store.lock(62).header(), 62);
    }

    #[test]
    fn a_copy_shares_nothing_with_the_original() {
        let store = store(None);
        let writer = Writer { clock: &Clock::new(), node: 7, now_ms: 1000 };
        store.lock(3).put(b"key", value(b"value"), ALWAYS, &writer).unwrap();
        let copy = store.clone();
        assert_eq!((copy.memory(), *copy.lock(3).header()), (store.memory(), 3));
        copy.lock(3).clear();
        *copy.lock(3).header_mut() = 0;
        assert_eq!(store.lock(3).get(b"key", 1000).unwrap().value, b"value");
        assert_eq!(*store.lock(3).header(), 3);
        assert_eq!((store.memory().entries, copy.memory().entries), (1, 0));
    }

    #[test]
    fn what_is_too_long_is_refused_and_changes_nothing() {
        let store = store(None);
        let writer = Writer { clock: &Clock::new(), node: 7, now_ms: 1000 };
        let mut slot = store.lock(0);
        let long = vec![0; Entries::MAX_KEY + 1];
        let put = slot.put(&long, value(b""), ALWAYS, &writer);
        assert_eq!(put, Err(PutError::KeyTooLong { len: 65536 }));
        let typed = Value { content_type: &long[..256], ..Value::default() };
        let put = slot.put(b"key", typed, ALWAYS, &writer);
        assert_eq!(put, Err(PutError::ContentTypeTooLong { len: 256 }));
        let version = Version { hlc: 1, node: 1 };
        let entry = EntryRef {
            key: &long,
            value: b"",
            content_type: b"",
            version,
            expires_at_ms: None,
            tombstone: false,
        };
        assert!(!slot.merge(entry));
        assert!(slot.is_empty());
        assert!(slot.put(&long[1..], Value { content_type: &long[..255], ..typed }, ALWAYS, &writer).is_ok());
    }

    #[test]
    fn merging_the_same_again_changes_nothing() {
        let store = store(None);
        let writer = Writer { clock: &Clock::new(), node: 7, now_ms: 1000 };
        store.lock(0).put(b"key", value(b"value"), ALWAYS, &writer).unwrap();
        let mut copy = store.lock(1);
        let original = store.lock(0);
        let entry = original.peek(b"key").unwrap();
        assert!(copy.merge(entry));
        assert!(!copy.merge(entry));
        assert_eq!(copy.peek(b"key"), Some(entry));
    }

    #[test]
    fn a_full_store_takes_what_is_not_longer() {
        let store = store(Some(5000));
        let writer = Writer { clock: &Clock::new(), node: 7, now_ms: 1000 };
        let mut slot = store.lock(0);
        let stored = (0..=u8::MAX)
            .take_while(|key| slot.put(&[*key], value(&[1; 100]), ALWAYS, &writer).is_ok())
            .count();
        assert!((20..50).contains(&stored), "{stored} entries");
        let longer = [0; 400];
        let version = Version { hlc: 1, node: 7 };
        let merged = EntryRef {
            key: b"more",
            value: &longer,
            content_type: b"",
            version,
            expires_at_ms: None,
            tombstone: false,
        };
        assert!(slot.merge(merged), "a merge knows no limit");
        assert!(store.memory().bytes > 5000);
        for len in [100, 99, 0] {
            assert!(matches!(slot.put(&[0], value(&longer[..len]), ALWAYS, &writer), Ok(Put::Replaced(_))));
        }
        let put = slot.put(&[1], value(&longer), ALWAYS, &writer);
        assert_eq!(put, Err(PutError::Full { max_memory: 5000 }));
        assert_eq!(slot.get(&[1], 1000).map(|entry| entry.value), Some(&[1; 100][..]));
        store.set_max_memory(None);
        assert!(matches!(slot.put(&[1], value(&longer), ALWAYS, &writer), Ok(Put::Replaced(_))));
        store.set_max_memory(Some(5000));
        assert_eq!(
            slot.put(b"new", value(&longer), ALWAYS, &writer),
            Err(PutError::Full { max_memory: 5000 })
        );
    }

    #[test]
    fn threads_together_keep_the_limit() {
        const MAX: u64 = 100_000;
        let store = store(Some(MAX));
        let clock = Clock::new();
        let fill = |node: u8| {
            let writer = Writer { clock: &clock, node: node.into(), now_ms: 1000 };
            for number in 0..2000u16 {
                let key = [&[node][..], &number.to_be_bytes()].concat();
                let put = store.lock(usize::from(number) % 64).put(&key, value(&key), ALWAYS, &writer);
                assert!(put.is_ok() || put == Err(PutError::Full { max_memory: MAX }));
                assert!(store.memory().bytes <= MAX);
            }
        };
        std::thread::scope(|scope| {
            for node in 0..4 {
                scope.spawn(move || fill(node));
            }
        });
        let slots: u64 = (0..64).map(|slot| store.lock(slot).memory().bytes).sum();
        assert_eq!(store.memory().bytes, slots);
        assert!(slots > MAX - 1000, "only {slots} bytes were used");
        (0..64).for_each(|slot| store.lock(slot).clear());
        assert_eq!(store.memory(), Memory::default());
    }
}
