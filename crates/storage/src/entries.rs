//! The entries of one slot and the operations on them.

mod aside;
mod outcome;

use std::collections::BinaryHeap;
use std::hint::black_box;
use std::sync::Arc;

use crate::nodes::Nodes;
use crate::record::{self, Encoded};
use crate::store::Shared;
use crate::table::{self, Path, Place, Table};
use crate::{Clock, Condition, EntryRef, Memory, Value, Version};

pub use aside::{Aside, Needs};
pub use outcome::{Delete, Put, PutError};

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

/// The entries and tombstones of one slot.
#[derive(Debug)]
#[repr(C)]
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

    pub(crate) fn copy_to(&self, shared: Arc<Shared>) -> Self {
        let Self { table, nodes, tombstones, earliest_ms, shared: _ } = self;
        Self {
            table: table.clone(),
            nodes: nodes.clone(),
            tombstones: *tombstones,
            earliest_ms: *earliest_ms,
            shared,
        }
    }

    /// The live entry under `key`.
    pub fn get(&self, key: &[u8], now_ms: u64) -> Option<EntryRef<'_>> {
        self.peek(key).filter(|entry| entry.is_live(now_ms))
    }

    /// The value of the live entry under `key`: [`Entries::get`] without the version, which costs another look into memory.
    pub fn value(&self, key: &[u8], now_ms: u64) -> Option<Value<'_>> {
        let same = |record| (record::key(record) == key).then_some(record);
        let (_, record) = self.table.find(self.hash(key), same)?;
        record::value(record).filter(|value| value.expires_at_ms.is_none_or(|at| at > now_ms))
    }

    /// Whatever is stored under `key`: also a tombstone or an expired entry.
    pub fn peek(&self, key: &[u8]) -> Option<EntryRef<'_>> {
        self.find(self.hash(key), key).map(|(_, entry)| entry)
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
        self.put_from(key, value, condition, writer, None)
    }

    /// [`Entries::put`] that takes what was set aside before it takes other memory.
    ///
    /// # Errors
    ///
    /// As [`Entries::put`].
    #[inline]
    pub fn put_from(
        &mut self,
        key: &[u8],
        value: Value<'_>,
        condition: &Condition,
        writer: &Writer<'_>,
        aside: Option<&Aside>,
    ) -> Result<Put, PutError> {
        check_lengths(key, &value)?;
        let hash = self.hash(key);
        let stored = self.find(hash, key);
        let live = stored.filter(|(_, entry)| entry.is_live(writer.now_ms)).map(|(_, entry)| entry.version);
        if !condition.holds(live) {
            return Ok(Put::Refused(live));
        }
        let at_least = stored.map_or(0, |(_, entry)| entry.version.hlc);
        let version = Version { hlc: writer.clock.tick(writer.now_ms, at_least), node: writer.node };
        let Value { bytes, content_type, expires_at_ms } = value;
        let entry = EntryRef { key, value: bytes, content_type, version, expires_at_ms, tombstone: false };
        let place = stored.map(|(place, _)| place);
        let done = if live.is_some() { Put::Replaced(version) } else { Put::Created(version) };
        let Some(aside) = aside else {
            let reserved = self.reserve(place, &entry)?;
            self.store(hash, place, &entry, reserved);
            return Ok(done);
        };
        aside.cover(self.growth(place, &entry) as u64)?;
        let before = self.bytes();
        self.store(hash, place, &entry, 0);
        aside.pay(self.bytes().saturating_sub(before) as u64);
        Ok(done)
    }

    /// Deletes the live entry under `key` if `condition` holds, leaving a tombstone until `tombstone_until_ms`
    /// (Unix milliseconds).
    ///
    /// The memory limit does not apply, though a tombstone may need some bytes more than the entry it is of.
    pub fn delete(
        &mut self,
        key: &[u8],
        condition: &Condition,
        writer: &Writer<'_>,
        tombstone_until_ms: u64,
    ) -> Delete {
        let hash = self.hash(key);
        let live = self.find(hash, key).filter(|(_, entry)| entry.is_live(writer.now_ms));
        let current = live.map(|(_, entry)| entry.version);
        if !condition.holds(current) {
            return Delete::Refused(current);
        }
        let Some((place, entry)) = live else { return Delete::Missing };
        let version = Version { hlc: writer.clock.tick(writer.now_ms, entry.version.hlc), node: writer.node };
        let expires_at_ms = Some(tombstone_until_ms);
        let tombstone =
            EntryRef { key, value: &[], content_type: &[], version, expires_at_ms, tombstone: true };
        self.store(hash, Some(place), &tombstone, 0);
        Delete::Deleted(version)
    }

    /// Changes until when the live entry under `key` lives; none: until it is deleted. Returns the new version.
    ///
    /// The memory limit does not apply, though a deadline takes 8 bytes.
    pub fn set_deadline(
        &mut self,
        key: &[u8],
        expires_at_ms: Option<u64>,
        writer: &Writer<'_>,
    ) -> Option<Version> {
        let before = self.memory();
        let hash = self.hash(key);
        let nodes = &self.nodes;
        let (place, stored) = self.table.find(hash, |record| {
            let entry = record::decode(record, nodes);
            (entry.key == key).then_some(entry)
        })?;
        if !stored.is_live(writer.now_ms) {
            return None;
        }
        let version =
            Version { hlc: writer.clock.tick(writer.now_ms, stored.version.hlc), node: writer.node };
        let entry = EntryRef { version, expires_at_ms, ..stored };
        let record = Encoded::new(&entry, self.nodes.acquire(version.node));
        self.discount(Some(place));
        self.put_record(hash, Some(place), record);
        self.earliest_ms = self.earliest_ms.min(expires_at_ms.unwrap_or(u64::MAX));
        self.shared.totals.update(before, self.memory());
        Some(version)
    }

    /// Takes over an entry or a tombstone of another copy of this slot, if its version is higher than what is
    /// stored. Returns whether it was taken.
    ///
    /// The memory limit does not apply: a hand-off must not lose data. An entry longer than a put allows is
    /// not taken: no store can have held it.
    pub fn merge(&mut self, entry: EntryRef<'_>) -> bool {
        let value = Value { bytes: entry.value, content_type: entry.content_type, expires_at_ms: None };
        let hash = self.hash(entry.key);
        let stored = self.find(hash, entry.key);
        let newer = stored.is_none_or(|(_, stored)| stored.version < entry.version)
            && check_lengths(entry.key, &value).is_ok();
        if newer {
            self.store(hash, stored.map(|(place, _)| place), &entry, 0);
        }
        newer
    }

    /// All entries and tombstones, expired ones too, in no particular order.
    pub fn entries(&self) -> impl Iterator<Item = EntryRef<'_>> {
        self.table.iter().map(|record| record::decode(record, &self.nodes))
    }

    /// A part of [`Entries::entries`], and where the next part begins; none after the last part. The first part
    /// begins at 0.
    ///
    /// Lets go of the lock between parts of a large slot: a part is about ten entries, and the whole walk
    /// yields each entry that is there all the time at least once, whatever else changes meanwhile.
    pub fn scan(&self, from: u64) -> (impl Iterator<Item = EntryRef<'_>>, Option<u64>) {
        let (records, next) = self.table.page(from);
        (records.map(|record| record::decode(record, &self.nodes)), next)
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

    /// Removes the entries that expired and the tombstones whose time is over at `now_ms`; returns how many
    /// entries expired.
    ///
    /// Costs one comparison when none of them can be due yet. An entry that is swept leaves no tombstone, so do
    /// not sweep a slot while it is being copied: the copy may have an older version of it, which would last.
    pub fn sweep(&mut self, now_ms: u64) -> usize {
        if now_ms < self.earliest_ms {
            return 0;
        }
        let before = self.memory();
        self.earliest_ms = u64::MAX;
        let Self { table, nodes, tombstones, earliest_ms, shared } = self;
        let (mut released, mut expired) = (Vec::new(), 0);
        table.retain(&shared.seed, |record| {
            let entry = record::decode(record, nodes);
            let due = entry.is_due(now_ms);
            if due {
                *tombstones -= usize::from(entry.tombstone);
                expired += usize::from(!entry.tombstone);
                released.extend(record::node_index(record));
            } else {
                *earliest_ms = entry.expires_at_ms.unwrap_or(u64::MAX).min(*earliest_ms);
            }
            !due
        });
        for index in released {
            nodes.release(index);
        }
        nodes.trim();
        self.shared.totals.update(before, self.memory());
        expired
    }

    /// Counts in the totals what storing an entry takes at most, if the limit allows; returns how much that is.
    fn reserve(&self, place: Option<Place>, entry: &EntryRef<'_>) -> Result<u64, PutError> {
        let Some(max_memory) = self.shared.max_memory() else { return Ok(0) };
        let growth = self.growth(place, entry) as u64;
        if growth == 0 || self.shared.totals.reserve(growth, max_memory) {
            Ok(growth)
        } else {
            Err(PutError::Full { max_memory })
        }
    }

    /// The most bytes that storing an entry adds; 0 where it takes no more than the one it replaces.
    fn growth(&self, place: Option<Place>, entry: &EntryRef<'_>) -> usize {
        let needed = self.record_len_max(entry);
        let old = place.map(|place| self.table.get(place).len());
        if old.is_some_and(|old| needed <= old) { 0 } else { self.table.growth(needed, old) }
    }

    /// The length of an entry's record, and what its node id takes beside.
    fn record_len_max(&self, entry: &EntryRef<'_>) -> usize {
        let known = self.nodes.knows(entry.version.node);
        record::encoded_len(entry, known) + if known { 0 } else { Nodes::GROWTH_MAX }
    }

    /// What is stored under a key: where, and what.
    fn find(&self, hash: u64, key: &[u8]) -> Option<(Place, EntryRef<'_>)> {
        let same = |record| (record::key(record) == key).then_some(record);
        let (place, record) = self.table.find(hash, same)?;
        Some((place, record::decode(record, &self.nodes)))
    }

    /// Looks at what a write will change of this slot.
    pub(crate) fn touch(&self) {
        black_box((self.table.len(), self.nodes.knows(0), self.tombstones));
    }

    /// The way to the record of `key` if there is one.
    pub(crate) fn path(&self, key: &[u8]) -> Option<Path<'_>> {
        self.table.path(self.hash(key))
    }

    fn hash(&self, key: &[u8]) -> u64 {
        table::hash(key, &self.shared.seed)
    }

    /// Stores an entry, in place of the one with its key if there is one. The totals count `reserved` bytes for
    /// it already.
    fn store(&mut self, hash: u64, place: Option<Place>, entry: &EntryRef<'_>, reserved: u64) {
        let mut before = self.memory();
        before.bytes += reserved;
        let node = self.nodes.acquire(entry.version.node);
        let len = record::encoded_len(entry, node.is_some());
        self.discount(place);
        match place.and_then(|place| self.table.room(place, len)) {
            Some(room) => record::encode(entry, node, room),
            None => self.put_record(hash, place, Encoded::new(entry, node)),
        }
        self.tombstones += usize::from(entry.tombstone);
        self.earliest_ms = self.earliest_ms.min(entry.expires_at_ms.unwrap_or(u64::MAX));
        let after = self.memory();
        debug_assert!(
            reserved == 0 || after.bytes <= before.bytes,
            "more than was reserved: {after:?}, {before:?}"
        );
        self.shared.totals.update(before, after);
    }

    /// A record that is to be replaced no longer counts.
    fn discount(&mut self, place: Option<Place>) {
        let Some(place) = place else { return };
        let old = self.table.get(place);
        self.tombstones -= usize::from(record::is_tombstone(old));
        if let Some(index) = record::node_index(old) {
            self.nodes.release(index);
        }
    }

    fn put_record(&mut self, hash: u64, place: Option<Place>, record: Encoded) {
        match place {
            Some(place) => self.table.replace(place, record, &self.shared.seed),
            None => self.table.insert(hash, record, &self.shared.seed),
        }
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
