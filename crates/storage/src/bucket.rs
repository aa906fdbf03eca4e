//! A few records packed into one allocation.
//!
//! Layout: the items one after another, an index of 3 bytes for each, how many there are (4 bytes). The index
//! has a tag (a byte of the key's hash, so that most other records need no look) and a length. A record too
//! long to be moved around with its neighbours lives elsewhere; its number stands in for it.

use std::mem;

/// What storing a record adds to buckets at most, besides its own bytes; the split it may cause included.
pub(crate) const OVERHEAD_MAX: usize = 2 * COUNT + INDEX + NUMBER;

const COUNT: usize = size_of::<u32>();
const INDEX: usize = 3;
const NUMBER: usize = size_of::<u32>();

/// The length in the index that says: a number, no record.
const IS_NUMBER: u16 = u16::MAX;

/// A record, or the number of a record that lives elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item<'a> {
    pub(crate) tag: u8,
    len: u16,
    pub(crate) bytes: &'a [u8],
}

impl<'a> Item<'a> {
    pub(crate) fn record(tag: u8, record: &'a [u8]) -> Self {
        let len = u16::try_from(record.len()).expect("invariant: long records live elsewhere");
        Self { tag, len, bytes: record }
    }

    /// `number` in little-endian order.
    pub(crate) fn elsewhere(tag: u8, number: &'a [u8; NUMBER]) -> Self {
        Self { tag, len: IS_NUMBER, bytes: number }
    }

    /// The number, if this is not the record itself.
    pub(crate) fn number(self) -> Option<u32> {
        let number = || self.bytes.try_into().expect("invariant: `elsewhere` takes four bytes");
        (self.len == IS_NUMBER).then(|| u32::from_le_bytes(number()))
    }

    fn index(self) -> [u8; INDEX] {
        let [low, high] = self.len.to_le_bytes();
        [self.tag, low, high]
    }
}

/// A packed run of items; without any it has no allocation.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    bytes: Box<[u8]>,
}

impl Bucket {
    pub(crate) fn pack<'a>(items: impl Iterator<Item = Item<'a>> + Clone) -> Self {
        let (count, width) = items.clone().fold((0, 0), |(n, width), item| (n + 1, width + item.bytes.len()));
        if count == 0 {
            return Self::default();
        }
        let mut bytes = Vec::with_capacity(width + count * INDEX + COUNT);
        items.clone().for_each(|item| bytes.extend_from_slice(item.bytes));
        items.for_each(|item| bytes.extend_from_slice(&item.index()));
        bytes.extend_from_slice(&count_bytes(count));
        Self { bytes: bytes.into_boxed_slice() }
    }

    /// Adds an item.
    pub(crate) fn push(&mut self, item: Item<'_>) {
        let (data, index) = self.parts();
        let (index_start, count, width) = (data.len(), index.len(), item.bytes.len());
        let index_end = index_start + count * INDEX;
        let mut bytes = mem::take(&mut self.bytes).into_vec();
        bytes.reserve_exact(index_end + width + INDEX + COUNT - bytes.len());
        bytes.resize(index_end + width, 0);
        bytes.copy_within(index_start..index_end, index_start + width);
        bytes[index_start..index_start + width].copy_from_slice(item.bytes);
        bytes.extend_from_slice(&item.index());
        bytes.extend_from_slice(&count_bytes(count + 1));
        self.bytes = bytes.into_boxed_slice();
    }

    /// Writes over an item with bytes of the same number.
    pub(crate) fn overwrite(&mut self, at: usize, bytes: &[u8]) {
        let start = self.items().take(at).map(|item| item.bytes.len()).sum::<usize>();
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
    }

    /// Bytes requested from the allocator.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn items(&self) -> impl Iterator<Item = Item<'_>> + Clone {
        let (data, index) = self.parts();
        let mut end = 0;
        index.iter().map(move |&[tag, low, high]| {
            let len = u16::from_le_bytes([low, high]);
            let start = end;
            end += if len == IS_NUMBER { NUMBER } else { usize::from(len) };
            Item { tag, len, bytes: &data[start..end] }
        })
    }

    /// The items and their index.
    fn parts(&self) -> (&[u8], &[[u8; INDEX]]) {
        let Some((rest, count)) = self.bytes.split_last_chunk() else { return (&[], &[]) };
        let (data, index) = rest.split_at(rest.len() - u32::from_le_bytes(*count) as usize * INDEX);
        (data, index.as_chunks().0)
    }
}

fn count_bytes(count: usize) -> [u8; COUNT] {
    u32::try_from(count).expect("invariant: 2^32 items exceed any memory").to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBERED: &[u8; NUMBER] = &77_u32.to_le_bytes();

    fn sample() -> [Item<'static>; 4] {
        let item = |tag, record: &'static str| Item::record(tag, record.as_bytes());
        [item(1, "one"), Item::elsewhere(2, NUMBERED), item(1, ""), item(9, "nine")]
    }

    #[test]
    fn pushing_gives_what_packing_gives() {
        let mut bucket = Bucket::default();
        assert_eq!((bucket.items().count(), bucket.bytes()), (0, 0));
        for item in sample() {
            bucket.push(item);
        }
        assert!(bucket.items().eq(sample()));
        assert_eq!(bucket.bytes, Bucket::pack(sample().into_iter()).bytes);
        assert_eq!(bucket.bytes(), 3 + NUMBER + 4 + 4 * INDEX + COUNT);
    }

    #[test]
    fn overwriting_leaves_the_neighbours() {
        let mut bucket = Bucket::pack(sample().into_iter());
        bucket.overwrite(3, b"NINE");
        bucket.overwrite(1, &78_u32.to_le_bytes());
        let items: Vec<_> = bucket.items().collect();
        assert_eq!((items[0], items[2]), (sample()[0], sample()[2]));
        assert_eq!((items[1].number(), items[3].bytes), (Some(78), &b"NINE"[..]));
        assert_eq!(items[3].number(), None);
    }

    #[test]
    fn an_empty_bucket_has_no_allocation() {
        assert_eq!(Bucket::pack(sample().into_iter().filter(|item| item.tag == 8)).bytes(), 0);
    }
}
