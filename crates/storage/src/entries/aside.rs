//! Memory set aside for several puts into one slot, so that none of them is refused once the first was stored.

use std::cell::Cell;
use std::sync::Arc;

use super::{Entries, PutError};
use crate::store::Shared;
use crate::table::Growth;
use crate::{EntryRef, Value, Version};

/// What puts of different keys take together at most; see [`Entries::need`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Needs(Growth);

/// Memory that puts to come may take, which the store's figures count already; what is left of it is given back when it is
/// dropped. Let go of it together with the slot's lock.
#[derive(Debug)]
pub struct Aside {
    shared: Arc<Shared>,
    /// In bytes.
    left: Cell<u64>,
}

impl Entries {
    /// Whether the store has a limit at all.
    pub fn is_limited(&self) -> bool {
        self.shared.max_memory().is_some()
    }

    /// Adds to `needs` what a put by `node` takes at most: of `value`, with `more` bytes behind it, under `key`.
    pub fn need(&self, needs: &mut Needs, key: &[u8], value: &Value<'_>, more: usize, node: u128) {
        let Value { bytes, content_type, expires_at_ms } = *value;
        let version = Version { hlc: 0, node };
        let entry = EntryRef { key, value: bytes, content_type, version, expires_at_ms, tombstone: false };
        let place = self.find(self.hash(key), key).map(|(place, _)| place);
        let len = self.record_len_max(&entry) + more;
        let old = place.map(|place| self.table.get(place).len());
        if old.is_none_or(|old| len > old) {
            needs.0.add(len, old);
        }
    }

    /// Sets memory aside for puts by [`Entries::put_from`].
    ///
    /// # Errors
    ///
    /// [`PutError::Full`]: the limit does not allow it; nothing is set aside then.
    pub fn set_aside(&self, needs: &Needs) -> Result<Aside, PutError> {
        let aside = Aside { shared: Arc::clone(&self.shared), left: Cell::new(0) };
        aside.cover(self.table.growth_of(&needs.0) as u64)?;
        Ok(aside)
    }
}

impl Aside {
    /// Sees to it that so many bytes are set aside.
    pub(super) fn cover(&self, bytes: u64) -> Result<(), PutError> {
        let missing = bytes.saturating_sub(self.left.get());
        let Some(max_memory) = self.shared.max_memory().filter(|_| missing > 0) else { return Ok(()) };
        if !self.shared.totals.reserve(missing, max_memory) {
            return Err(PutError::Full { max_memory });
        }
        self.left.set(self.left.get() + missing);
        Ok(())
    }

    /// So many bytes were taken, and are counted as what they are now.
    pub(super) fn pay(&self, bytes: u64) {
        let paid = bytes.min(self.left.get());
        self.left.set(self.left.get() - paid);
        self.shared.totals.give_back(paid);
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        self.pay(u64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;
    use crate::{Clock, Condition, Config, Store, Writer};

    fn value(len: usize) -> Value<'static> {
        Value { bytes: &[0; 2000][..len], content_type: b"", expires_at_ms: None }
    }

    fn needs(slot: &Entries, puts: &BTreeMap<u16, usize>) -> Needs {
        let mut needs = Needs::default();
        for (key, len) in puts {
            // A part of it is not there yet.
            let there = len / 2;
            slot.need(&mut needs, &key.to_be_bytes(), &value(there), len - there, 1);
        }
        needs
    }

    #[test]
    fn memory_is_set_aside_for_all_or_for_none() {
        let store: Store = Store::new(Config { slots: 2, hash_seed: 1, max_memory: Some(4000) }, |_| ());
        let writer = Writer { clock: &Clock::new(), node: 1, now_ms: 1 };
        let put = |slot: usize, key: u8, len| {
            store.lock(slot).put(&[key], value(len), &Condition::Always, &writer).is_ok()
        };
        let fits: BTreeMap<u16, usize> = (0..6).map(|key| (key, 500)).collect();
        let mut slot = store.lock(0);
        let aside = slot.set_aside(&needs(&slot, &fits)).unwrap();
        assert!(store.memory().bytes > 3000, "counted before anything is stored");
        assert!(!put(1, 1, 1000), "another slot does not get it");
        assert!(slot.set_aside(&needs(&slot, &fits)).is_err());
        for (key, len) in &fits {
            let put =
                slot.put_from(&key.to_be_bytes(), value(*len), &Condition::Always, &writer, Some(&aside));
            assert!(put.is_ok());
        }
        drop(aside);
        assert_eq!(store.memory().bytes, slot.bytes() as u64);
        assert!(slot.set_aside(&needs(&slot, &fits)).is_ok(), "what is not longer takes nothing");
        let longer = fits.keys().map(|key| (*key, 700)).collect();
        assert!(slot.set_aside(&needs(&slot, &longer)).is_err());
        assert_eq!(store.memory().bytes, slot.bytes() as u64);
    }

    proptest! {
        #[test]
        fn what_is_set_aside_suffices(
            before in vec((0u16..80, 0usize..600, 1u128..4), 0..120),
            puts in btree_map(0u16..120, prop_oneof![4 => 0usize..300, 1 => 300usize..2000], 1..80),
            spare in 0u64..60_000,
        ) {
            let store: Store = Store::new(Config { slots: 1, hash_seed: 1, max_memory: None }, |_| ());
            let mut slot = store.lock(0);
            let clock = Clock::new();
            for (key, len, node) in before {
                let writer = Writer { clock: &clock, node, now_ms: 1 };
                slot.put(&key.to_be_bytes(), value(len), &Condition::Always, &writer).unwrap();
            }
            let max = store.memory().bytes + spare;
            store.set_max_memory(Some(max));
            let writer = Writer { clock: &clock, node: 1, now_ms: 2 };
            if let Ok(aside) = slot.set_aside(&needs(&slot, &puts)) {
                for (key, len) in &puts {
                    let put = slot.put_from(
                        &key.to_be_bytes(), value(*len), &Condition::Always, &writer, Some(&aside),
                    );
                    prop_assert!(put.is_ok(), "{key} of {len} bytes");
                    prop_assert!(store.memory().bytes <= max);
                }
            }
            prop_assert_eq!(store.memory().bytes, slot.bytes() as u64);
        }
    }
}
