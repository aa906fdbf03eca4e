//! The hash table of one slot, over encoded entries.

use hashbrown::HashTable;
use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};

use crate::record;

/// Encoded entries by key.
#[derive(Debug, Default)]
pub(crate) struct Table {
    records: HashTable<Box<[u8]>>,
    /// Sum of the records' lengths.
    record_bytes: usize,
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Bytes requested from the allocator.
    pub(crate) fn bytes(&self) -> usize {
        self.record_bytes + self.records.allocation_size()
    }

    pub(crate) fn get(&self, hash: u64, key: &[u8]) -> Option<&[u8]> {
        self.records.find(hash, |record| record::key(record) == key).map(|record| &**record)
    }

    /// Makes room for one more record, so that the next `insert` does not change the size of the table itself.
    pub(crate) fn reserve(&mut self, seed: &RapidSecrets) {
        self.records.reserve(1, |record| self::hash(record::key(record), seed));
    }

    /// Gives back room that is not needed.
    pub(crate) fn shrink(&mut self, seed: &RapidSecrets) {
        self.records.shrink_to_fit(|record| self::hash(record::key(record), seed));
    }

    /// Stores a record in place of the one with its key, which is returned.
    pub(crate) fn insert(&mut self, record: Box<[u8]>, seed: &RapidSecrets) -> Option<Box<[u8]>> {
        self.record_bytes += record.len();
        let key = record::key(&record);
        let hash = hash(key, seed);
        if let Some(old) = self.records.find_mut(hash, |old| record::key(old) == key) {
            self.record_bytes -= old.len();
            return Some(std::mem::replace(old, record));
        }
        self.reserve(seed);
        self.records.insert_unique(hash, record, |_| unreachable!("room was reserved"));
        None
    }

    /// Keeps the records that `keep` holds for.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&[u8]) -> bool) {
        self.records.retain(|record| {
            let keep = keep(record);
            if !keep {
                self.record_bytes -= record.len();
            }
            keep
        });
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.records.iter().map(|record| &**record)
    }
}

/// The hash of a key.
pub(crate) fn hash(key: &[u8], seed: &RapidSecrets) -> u64 {
    rapidhash_v3_seeded(key, seed)
}
