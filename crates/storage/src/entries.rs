//! The entries of one slot and the operations on them.

use std::collections::BinaryHeap;
use std::sync::Arc;

use crate::nodes::Nodes;
use crate::record;
use crate::store::Shared;
use crate::table::{self, Table};
use crate::{Clock, Condition, EntryRef, Memory, Value, Version};

/// Who writes, and when.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// The node's clock.
    pub clock: &'a Clock,
    /// The node's id.
    pub node: u128,
    /// The wall clock in Unix milliseconds.
    pub now_ms: u64,
}

/// What a put did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// There was no live entry; there is one of this version now.
    Created(Version),
    /// A live entry was replaced by one of this version.
    Replaced(Version),
    /// The condition did not hold; nothing changed. The live entry has this version, if there is one.
    Refused(Option<Version>),
}

/// Why a put stored nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PutError {
    /// The store would exceed its limit.
    #[error("the memory limit of {max_memory} bytes is reached: delete entries or raise the limit")]
    Full {
        /// The limit in bytes.
        max_memory: u64,
    },
    /// The key is longer than [`Entries::MAX_KEY`].
    #[error("the key has {len} bytes: shorten it to {} at most", Entries::MAX_KEY)]
    KeyTooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// The content type is longer than [`Entries::MAX_CONTENT_TYPE`].
    #[error("the content type has {len} bytes: shorten it to {} at most", Entries::MAX_CONTENT_TYPE)]
    ContentTypeTooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// The value is longer than [`Entries::MAX_VALUE`].
    #[error("the value has {len} bytes: split it into parts of {} at most", Entries::MAX_VALUE)]
    ValueTooLong {
        /// Its length in bytes.
        len: usize,
    },
}

/// What a delete did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delete {
    /// The live entry is gone; its tombstone has this version.
    Deleted(Version),
    /// There was no live entry; nothing changed.
    Missing,
    /// The condition did not hold; nothing changed. The live entry has this version, if there is one.
    Refused(Option<Version>),
}

/// The entries and tombstones of one slot.
#[derive(Debug)]
pub struct Entries {
    table: Table,
    nodes: Nodes,
    tombstones: usize,
    /// No entry or tombstone is due before this time (Unix milliseconds).
    earliest_ms: u64,
    shared: Arc<Shared>,
}

impl Entries {
    /// The longest key, in bytes.
    pub const MAX_KEY: usize = u16::MAX as usize;
    /// The longest content type, in bytes.
    pub const MAX_CONTENT_TYPE: usize = u8::MAX as usize;
    /// The longest value, in bytes.
    pub const MAX_VALUE: usize = u32::MAX as usize;

    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            table: Table::default(),
            nodes: Nodes::default(),
            tombstones: 0,
            earliest_ms: u64::MAX,
            shared,
        }
    }

    /// The live entry under `key`.
    pub fn get(&self, key: &[u8], now_ms: u64) -> Option<EntryRef<'_>> {
        self.peek(key).filter(|entry| entry.is_live(now_ms))
    }

    /// Whatever is stored under `key`: also a tombstone or an expired entry.
    pub fn peek(&self, key: &[u8]) -> Option<EntryRef<'_>> {
        let record = self.table.get(table::hash(key, &self.shared.seed), key)?;
        Some(record::decode(record, &self.nodes))
    }

    /// Stores `value` under `key` if `condition` holds.
    ///
    /// The new version exceeds whatever is stored, also a tombstone. A deadline that has passed already is
    /// legal: the entry is never seen.
    ///
    /// # Errors
    ///
    /// A limit that is exceeded, see [`PutError`]; nothing changed then. A condition that does not hold comes
    /// before [`PutError::Full`]. An entry that needs no more bytes than the one it replaces is never refused.
    pub fn put(
        &mut self,
        key: &[u8],
        value: Value<'_>,
        condition: &Condition,
        writer: &Writer<'_>,
    ) -> Result<Put, PutError> {
        check_lengths(key, &value)?;
        let stored = self.peek(key);
        let live = stored.filter(|entry| entry.is_live(writer.now_ms)).map(|entry| entry.version);
        if !condition.holds(live) {
            return Ok(Put::Refused(live));
        }
        let at_least = stored.map_or(0, |entry| entry.version.hlc);
        let stored_len = stored.map_or(0, |entry| record::encoded_len(&entry, true));
        let mut entry = EntryRef {
            key,
            value: value.bytes,
            content_type: value.content_type,
            version: Version { hlc: 0, node: writer.node },
            expires_at_ms: value.expires_at_ms,
            tombstone: false,
        };
        self.make_room(record::encoded_len(&entry, true), stored_len)?;
        entry.version.hlc = writer.clock.tick(writer.now_ms, at_least);
        self.store(&entry);
        Ok(if live.is_some() { Put::Replaced(entry.version) } else { Put::Created(entry.version) })
    }

    /// Deletes the live entry under `key` if `condition` holds, leaving a tombstone until `tombstone_until_ms`
    /// (Unix milliseconds).
    pub fn delete(
        &mut self,
        key: &[u8],
        condition: &Condition,
        writer: &Writer<'_>,
        tombstone_until_ms: u64,
    ) -> Delete {
        let live = self.get(key, writer.now_ms).map(|entry| entry.version);
        if !condition.holds(live) {
            return Delete::Refused(live);
        }
        let Some(current) = live else { return Delete::Missing };
        let version = Version { hlc: writer.clock.tick(writer.now_ms, current.hlc), node: writer.node };
        self.store(&EntryRef {
            key,
            value: &[],
            content_type: &[],
            version,
            expires_at_ms: Some(tombstone_until_ms),
            tombstone: true,
        });
        Delete::Deleted(version)
    }

    /// Takes over an entry or a tombstone of another copy of this slot, if its version is higher than what is
    /// stored. Returns whether it was taken.
    ///
    /// The memory limit does not apply: a hand-off must not lose data. An entry longer than a put allows is
    /// not taken: no store can have held it.
    pub fn merge(&mut self, entry: EntryRef<'_>) -> bool {
        let value = Value { bytes: entry.value, content_type: entry.content_type, expires_at_ms: None };
        if check_lengths(entry.key, &value).is_err() {
            return false;
        }
        let newer = self.peek(entry.key).is_none_or(|stored| stored.version < entry.version);
        if newer {
            self.store(&entry);
        }
        newer
    }

    /// All entries and tombstones, expired ones too, in no particular order.
    pub fn entries(&self) -> impl Iterator<Item = EntryRef<'_>> {
        self.table.iter().map(|record| record::decode(record, &self.nodes))
    }

    /// The first `limit` live keys in byte order that start with `prefix` and come after `after`.
    ///
    /// Takes time proportional to the slot's entries and the logarithm of `limit`, and room for `limit` keys.
    pub fn list(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize, now_ms: u64) -> Vec<Box<[u8]>> {
        let mut first = BinaryHeap::new();
        for entry in self.entries() {
            let key = entry.key;
            if key.starts_with(prefix) && after.is_none_or(|after| key > after) && entry.is_live(now_ms) {
                first.push(key);
                if first.len() > limit {
                    first.pop();
                }
            }
        }
        first.into_sorted_vec().into_iter().map(Box::from).collect()
    }

    /// How many entries and tombstones are stored.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether nothing is stored, not even a tombstone.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes requested from the allocator for this slot's entries, tombstones and tables.
    pub fn bytes(&self) -> usize {
        self.table.bytes() + self.nodes.bytes()
    }

    /// What this slot holds.
    pub fn memory(&self) -> Memory {
        Memory {
            entries: (self.len() - self.tombstones) as u64,
            tombstones: self.tombstones as u64,
            bytes: self.bytes() as u64,
        }
    }

    /// Removes everything, tombstones too, and gives the memory back.
    pub fn clear(&mut self) {
        let before = self.memory();
        *self = Self::new(Arc::clone(&self.shared));
        self.shared.totals.update(before, self.memory());
    }

    /// Removes the entries that expired and the tombstones whose time is over at `now_ms`; returns how many.
    ///
    /// Costs one comparison when none of them can be due yet.
    pub fn sweep(&mut self, now_ms: u64) -> usize {
        if now_ms < self.earliest_ms {
            return 0;
        }
        let (len, before) = (self.len(), self.memory());
        self.earliest_ms = u64::MAX;
        let Self { table, nodes, tombstones, earliest_ms, .. } = self;
        let mut released = Vec::new();
        table.retain(|record| {
            let entry = record::decode(record, nodes);
            if entry.is_due(now_ms) {
                *tombstones -= usize::from(entry.tombstone);
                released.extend(record::node_index(record));
            } else if let Some(at) = entry.expires_at_ms {
                *earliest_ms = at.min(*earliest_ms);
            }
            !entry.is_due(now_ms)
        });
        for index in released {
            nodes.release(index);
        }
        self.table.shrink(&self.shared.seed);
        self.shared.totals.update(before, self.memory());
        len - self.len()
    }

    /// Checks the limit for a record of `needed` bytes in place of one of `stored` bytes (0: of none).
    fn make_room(&mut self, needed: usize, stored: usize) -> Result<(), PutError> {
        let Some(max_memory) = self.shared.max_memory else { return Ok(()) };
        let before = self.memory();
        if stored == 0 {
            self.table.reserve(&self.shared.seed);
        }
        let grown = self.bytes() as u64 - before.bytes + needed as u64;
        if needed > stored && self.shared.totals.bytes() + grown - stored as u64 > max_memory {
            self.table.shrink(&self.shared.seed);
            self.shared.totals.update(before, self.memory());
            return Err(PutError::Full { max_memory });
        }
        self.shared.totals.update(before, self.memory());
        Ok(())
    }

    /// Stores an entry in place of whatever has its key.
    fn store(&mut self, entry: &EntryRef<'_>) {
        let before = self.memory();
        let node = self.nodes.acquire(entry.version.node);
        let old = self.table.insert(record::encode(entry, node), &self.shared.seed);
        if let Some(old) = old {
            self.tombstones -= usize::from(record::decode(&old, &self.nodes).tombstone);
            if let Some(index) = record::node_index(&old) {
                self.nodes.release(index);
            }
        }
        self.tombstones += usize::from(entry.tombstone);
        self.earliest_ms = self.earliest_ms.min(entry.expires_at_ms.unwrap_or(u64::MAX));
        self.shared.totals.update(before, self.memory());
    }
}

fn check_lengths(key: &[u8], value: &Value<'_>) -> Result<(), PutError> {
    if key.len() > Entries::MAX_KEY {
        return Err(PutError::KeyTooLong { len: key.len() });
    }
    if value.content_type.len() > Entries::MAX_CONTENT_TYPE {
        return Err(PutError::ContentTypeTooLong { len: value.content_type.len() });
    }
    if value.bytes.len() > Entries::MAX_VALUE {
        return Err(PutError::ValueTooLong { len: value.bytes.len() });
    }
    Ok(())
}
