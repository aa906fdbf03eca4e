//! The hash table of one slot: buckets that split and join one at a time.

mod growth;

use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};

use crate::bucket::{Bucket, Item, Span};
use crate::record::{self, Encoded};

pub(crate) use growth::Growth;

/// Records per bucket that the table grows to. What adds a record or changes the length of one copies a bucket;
/// a bucket costs about 40 bytes, the allocator's share included.
const LOAD: usize = 8;

/// Records by key.
///
/// Linear hashing (Litwin 1980): there are as many buckets as the number of records asks for, and an insert
/// splits one of them at most, so the longest pause does not grow with the table.
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub(crate) struct Table {
    /// First, so that a lookup finds them on the cache line of the slot's lock.
    buckets: Vec<Bucket>,
    /// The records too long for a bucket, without gaps.
    large: Vec<Box<[u8]>>,
    len: usize,
    /// Bytes of the buckets' allocations and of the large records.
    bytes: usize,
}

/// Where a record is; valid until the table changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    bucket: usize,
    span: Span,
}

/// The way from a hash to the records it may be of, to be gone step by step: each looks at memory that the next one needs.
#[derive(Clone, Copy)]
pub(crate) struct Path<'a> {
    bucket: &'a Bucket,
    tag: u8,
    large: &'a [Box<[u8]>],
}

impl<'a> Path<'a> {
    /// What tells the bucket's records apart.
    pub(crate) fn touch_bucket(self) {
        self.bucket.touch();
    }

    /// The records in the bucket; returns the number of one that is elsewhere.
    pub(crate) fn touch_records(self) -> Option<u32> {
        self.bucket.touch_tagged(self.tag)
    }

    /// The record of such a number.
    pub(crate) fn elsewhere(self, number: u32) -> &'a [u8] {
        &self.large[number as usize]
    }
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes requested from the allocator.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
            + self.buckets.capacity() * size_of::<Bucket>()
            + self.large.capacity() * size_of::<Box<[u8]>>()
    }

    /// The first record among those with this hash for which `test` returns something.
    pub(crate) fn find<'a, T>(
        &'a self,
        hash: u64,
        test: impl Fn(&'a [u8]) -> Option<T>,
    ) -> Option<(Place, T)> {
        let bucket = address(hash, self.buckets.len());
        self.buckets.get(bucket)?.tagged(tag(hash)).find_map(|span| {
            let place = Place { bucket, span };
            test(self.get(place)).map(|found| (place, found))
        })
    }

    /// The way to the record of a key with this hash.
    pub(crate) fn path(&self, hash: u64) -> Option<Path<'_>> {
        let bucket = self.buckets.get(address(hash, self.buckets.len()))?;
        Some(Path { bucket, tag: tag(hash), large: &self.large })
    }

    pub(crate) fn get(&self, place: Place) -> &[u8] {
        self.record(self.buckets[place.bucket].item(place.span))
    }

    /// Where a record is, to be written over by one of its length; `None`: the new one has another.
    pub(crate) fn room(&mut self, place: Place, len: usize) -> Option<&mut [u8]> {
        let number = self.buckets[place.bucket].item(place.span).number();
        let room = match number {
            None => self.buckets[place.bucket].room(place.span),
            Some(number) => &mut self.large[number as usize],
        };
        (room.len() == len).then_some(room)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.buckets.iter().flat_map(Bucket::items).map(|item| self.record(item))
    }

    /// The records of one bucket, and where to go on; after the last bucket nowhere.
    ///
    /// A position is a hash with its bits reversed, so that a bucket is an interval of positions, whatever
    /// number of buckets there is now: a split or a join in mid-walk makes records come twice, never not at all.
    pub(crate) fn page(&self, position: u64) -> (impl Iterator<Item = &[u8]>, Option<u64>) {
        let index = address(position.reverse_bits(), self.buckets.len());
        let bucket = self.buckets.get(index);
        let next = match depth(index, self.buckets.len()) {
            0 => None,
            depth => (position | u64::MAX >> depth).checked_add(1),
        };
        (bucket.into_iter().flat_map(Bucket::items).map(|item| self.record(item)), next)
    }

    /// Adds a record whose key the table does not have.
    pub(crate) fn insert(&mut self, hash: u64, record: Encoded, seed: &RapidSecrets) {
        if self.buckets.is_empty() {
            push(&mut self.buckets, Bucket::default());
        }
        let bucket = address(hash, self.buckets.len());
        let before = self.buckets[bucket].bytes();
        match record {
            Encoded::Short { bytes, len } => {
                self.buckets[bucket].push(Item::record(tag(hash), &bytes[..len]));
            }
            Encoded::Long(record) => {
                let number = self.add_large(record).to_le_bytes();
                self.buckets[bucket].push(Item::elsewhere(tag(hash), &number));
            }
        }
        self.bytes = self.bytes - before + self.buckets[bucket].bytes();
        self.len += 1;
        if self.len > self.buckets.len() * LOAD {
            self.split(seed);
        }
    }

    /// Puts a record in the place of another with the same key, unless it has [`room`](Table::room) there.
    pub(crate) fn replace(&mut self, place: Place, record: Encoded, seed: &RapidSecrets) {
        let old = self.buckets[place.bucket].item(place.span);
        let (tag, old_number) = (old.tag, old.number());
        match (record, old_number) {
            (Encoded::Short { bytes, len }, _) => {
                self.swap(place, Item::record(tag, &bytes[..len]));
                if let Some(number) = old_number {
                    self.remove_large(number, seed);
                }
            }
            (Encoded::Long(record), None) => {
                let number = self.add_large(record).to_le_bytes();
                self.swap(place, Item::elsewhere(tag, &number));
            }
            (Encoded::Long(record), Some(number)) => {
                let old = &mut self.large[number as usize];
                self.bytes = self.bytes - old.len() + record.len();
                *old = record;
            }
        }
    }

    /// Keeps the records that `keep` holds for; asks once for each.
    pub(crate) fn retain(&mut self, seed: &RapidSecrets, mut keep: impl FnMut(&[u8]) -> bool) {
        let mut numbers = Vec::new();
        for index in 0..self.buckets.len() {
            let marked = self.mark(index, |record| keep(record));
            let dropped = select(&marked, false);
            let count = dropped.clone().count();
            if count > 0 {
                numbers.extend(dropped.filter_map(Item::number));
                let packed = Bucket::pack(select(&marked, true));
                self.set(index, packed);
                self.len -= count;
            }
        }
        // From the highest down: what moves into a gap is never one that has to go.
        numbers.sort_unstable();
        for number in numbers.into_iter().rev() {
            self.remove_large(number, seed);
        }
        self.shrink();
    }

    /// The record that an item stands for.
    fn record<'a>(&'a self, item: Item<'a>) -> &'a [u8] {
        item.number().map_or(item.bytes, |number| &self.large[number as usize])
    }

    /// Puts a bucket in the place of another.
    fn set(&mut self, index: usize, bucket: Bucket) {
        self.bytes = self.bytes - self.buckets[index].bytes() + bucket.bytes();
        self.buckets[index] = bucket;
    }

    /// Puts an item in the place of another of a different length.
    fn swap(&mut self, place: Place, new: Item<'_>) {
        let items = self.buckets[place.bucket].items().enumerate();
        let packed = Bucket::pack(items.map(|(at, old)| if at == place.span.at { new } else { old }));
        self.set(place.bucket, packed);
    }

    /// Stores a long record; returns its number.
    fn add_large(&mut self, record: Box<[u8]>) -> u32 {
        self.bytes += record.len();
        push(&mut self.large, record);
        number(self.large.len() - 1)
    }

    /// Removes a long record; the last one takes over its number.
    fn remove_large(&mut self, gap: u32, seed: &RapidSecrets) {
        self.bytes -= self.large.swap_remove(gap as usize).len();
        let last = number(self.large.len());
        if let Some(moved) = self.large.get(gap as usize) {
            let bucket = address(hash(record::key(moved), seed), self.buckets.len());
            let bucket = &mut self.buckets[bucket];
            let span = bucket.spans().find(|span| bucket.item(*span).number() == Some(last));
            bucket.overwrite(span.expect("invariant: a bucket has its number"), &gap.to_le_bytes());
        }
    }

    /// Adds a bucket, which takes its share of the records of one other.
    fn split(&mut self, seed: &RapidSecrets) {
        let new = self.buckets.len();
        let old = partner(new);
        let marked = self.mark(old, |record| address(hash(record::key(record), seed), new + 1) == old);
        let [stay, go] = [true, false].map(|mark| Bucket::pack(select(&marked, mark)));
        push(&mut self.buckets, Bucket::default());
        self.set(old, stay);
        self.set(new, go);
    }

    /// The items of a bucket, each with what `test` says of its record.
    fn mark(&self, bucket: usize, mut test: impl FnMut(&[u8]) -> bool) -> Vec<(Item<'_>, bool)> {
        self.buckets[bucket].items().map(|item| (item, test(self.record(item)))).collect()
    }

    /// Gives back buckets and room that the number of records no longer asks for.
    fn shrink(&mut self) {
        if self.len == 0 {
            *self = Self::default();
        }
        while self.len + LOAD / 2 < self.buckets.len() * LOAD / 2 {
            let last = self.buckets.pop().expect("invariant: fewer records than buckets ask for");
            self.bytes -= last.bytes();
            let old = partner(self.buckets.len());
            self.set(old, Bucket::pack(self.buckets[old].items().chain(last.items())));
        }
        trim(&mut self.buckets);
        trim(&mut self.large);
    }
}

/// The hash of a key.
pub(crate) fn hash(key: &[u8], seed: &RapidSecrets) -> u64 {
    rapidhash_v3_seeded(key, seed)
}

fn tag(hash: u64) -> u8 {
    hash.to_be_bytes()[0]
}

/// The bucket of a hash among so many: its low bits, one bit less where that bucket is not split yet.
#[expect(clippy::cast_possible_truncation, reason = "only low bits count")]
fn address(hash: u64, buckets: usize) -> usize {
    let mask = buckets.next_power_of_two() - 1;
    let index = hash as usize & mask;
    if index < buckets { index } else { index & (mask >> 1) }
}

/// How many low bits of a hash decide that it belongs to bucket `index` of so many.
fn depth(index: usize, buckets: usize) -> u32 {
    let bits = buckets.next_power_of_two().ilog2();
    let half = (1 << bits) >> 1;
    if (index | half) < buckets { bits } else { bits.saturating_sub(1) }
}

/// The bucket that bucket `index` was split from: the number without its highest bit.
fn partner(index: usize) -> usize {
    index - (1 << index.ilog2())
}

/// The items with this mark.
fn select<'a>(marked: &'a [(Item<'a>, bool)], mark: bool) -> impl Iterator<Item = Item<'a>> + Clone {
    marked.iter().filter(move |(_, is)| *is == mark).map(|(item, _)| *item)
}

fn number(index: usize) -> u32 {
    u32::try_from(index).expect("invariant: 2^32 large records exceed any memory")
}

/// By how many elements the next `push` enlarges a vector: by half, so that little room is idle.
fn step<T>(vec: &Vec<T>) -> usize {
    if vec.len() < vec.capacity() { 0 } else { (vec.capacity() / 2).max(4) }
}

fn push<T>(vec: &mut Vec<T>, element: T) {
    vec.reserve_exact(step(vec));
    vec.push(element);
}

fn trim<T>(vec: &mut Vec<T>) {
    if vec.len() < vec.capacity() / 2 {
        vec.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::{EntryRef, Version};

    const SEED: RapidSecrets = RapidSecrets::seed(3);

    /// A record whose key is a number, one in ten too long for a bucket.
    fn encoded(number: u32) -> (u64, Encoded) {
        let key = number.to_le_bytes();
        let value = [0; 2 * record::SHORT_MAX];
        let value = if number.is_multiple_of(10) { &value[..] } else { &value[..8] };
        let version = Version { hlc: 1, node: 1 };
        let entry =
            EntryRef { key: &key, value, content_type: b"", version, expires_at_ms: None, tombstone: false };
        (hash(&key, &SEED), Encoded::new(&entry, Some(0)))
    }

    fn number_of(record: &[u8]) -> u32 {
        u32::from_le_bytes(record::key(record).try_into().unwrap())
    }

    fn fill(table: &mut Table, numbers: impl IntoIterator<Item = u32>) {
        for number in numbers {
            let (hash, record) = encoded(number);
            table.insert(hash, record, &SEED);
        }
    }

    fn contains(table: &Table, number: u32) -> bool {
        let hash = hash(&number.to_le_bytes(), &SEED);
        table.find(hash, |record| (number_of(record) == number).then_some(())).is_some()
    }

    #[test]
    fn buckets_come_and_go_with_the_records() {
        let mut table = Table::default();
        fill(&mut table, 0..5000);
        assert_eq!((table.len(), table.buckets.len()), (5000, 5000 / LOAD));
        assert!((0..5000).all(|number| contains(&table, number)));
        table.retain(&SEED, |record| number_of(record) % 50 < 20);
        assert_eq!(table.len(), 2000);
        assert!((0..5000).all(|number| contains(&table, number) == (number % 50 < 20)));
        assert_eq!((table.large.len(), table.large.capacity()), (200, 200));
        assert!(table.buckets.len() * LOAD <= 2 * 2000 + LOAD, "{} buckets", table.buckets.len());
        table.retain(&SEED, |_| false);
        assert_eq!((table.len(), table.bytes()), (0, 0));
    }

    #[test]
    fn records_are_spread_over_the_buckets() {
        let mut table = Table::default();
        fill(&mut table, 0..5000);
        let fullest = table.buckets.iter().map(|bucket| bucket.items().count()).max();
        assert!(fullest < Some(5 * LOAD), "{fullest:?} in one bucket");
        assert_eq!(Table::default().iter().count(), 0);
    }

    proptest! {
        /// Whatever happens between the pages of a walk, what was there all the time was seen.
        #[test]
        fn a_walk_misses_nothing(changes in prop::collection::vec((any::<bool>(), 0u32..400), 0..60)) {
            let mut table = Table::default();
            fill(&mut table, 0..300);
            let mut added = 1000;
            let (mut changes, mut next, mut seen) = (changes.into_iter(), Some(0), BTreeSet::new());
            let mut lasting: BTreeSet<u32> = (0..300).collect();
            while let Some(position) = next {
                let (page, after) = table.page(position);
                seen.extend(page.map(number_of));
                prop_assert!(after.is_none_or(|after| after > position));
                next = after;
                match changes.next() {
                    Some((true, count)) => {
                        fill(&mut table, added..added + count);
                        added += count;
                    }
                    Some((false, rest)) => {
                        table.retain(&SEED, |record| number_of(record) % 400 >= rest);
                        lasting.retain(|number| number % 400 >= rest);
                    }
                    None => {}
                }
            }
            prop_assert!(seen.is_superset(&lasting));
        }

        #[test]
        fn a_walk_in_peace_sees_everything_once(count in 0u32..500) {
            let mut table = Table::default();
            fill(&mut table, 0..count);
            let (mut next, mut seen) = (Some(0), vec![]);
            while let Some(position) = next {
                let (page, after) = table.page(position);
                seen.extend(page.map(number_of));
                next = after;
            }
            seen.sort_unstable();
            prop_assert!(seen.into_iter().eq(0..count));
        }
    }
}
