//! A few records packed into one allocation.
//!
//! Layout: the items one after another, their lengths (2 bytes each), their tags (1 byte each), how many there
//! are (4 bytes). A tag is a byte of the key's hash, so that most other records need no look. A record too long
//! to be moved around with its neighbours lives elsewhere; its number stands in for it.

use std::hint::black_box;
use std::mem;

/// What storing a record adds to buckets at most, besides its own bytes; the split it may cause included.
pub(crate) const OVERHEAD_MAX: usize = 2 * COUNT + INDEX + NUMBER;

const COUNT: usize = size_of::<u32>();
const LEN: usize = size_of::<u16>();
const INDEX: usize = LEN + 1;
const NUMBER: usize = size_of::<u32>();

/// The flag in a length that says: a number, no record.
const IS_NUMBER: u16 = 1 << 15;

/// A record, or the number of a record that lives elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item<'a> {
    pub(crate) tag: u8,
    is_number: bool,
    pub(crate) bytes: &'a [u8],
}

impl<'a> Item<'a> {
    pub(crate) fn record(tag: u8, record: &'a [u8]) -> Self {
        Self { tag, is_number: false, bytes: record }
    }

    /// `number` in little-endian order.
    pub(crate) fn elsewhere(tag: u8, number: &'a [u8; NUMBER]) -> Self {
        Self { tag, is_number: true, bytes: number }
    }

    /// The number, if this is not the record itself.
    pub(crate) fn number(self) -> Option<u32> {
        let number = || self.bytes.try_into().expect("invariant: `elsewhere` takes four bytes");
        self.is_number.then(|| u32::from_le_bytes(number()))
    }

    fn len_bytes(self) -> [u8; LEN] {
        let len = u16::try_from(self.bytes.len()).ok().filter(|len| *len < IS_NUMBER);
        let len = len.expect("invariant: long records live elsewhere");
        (if self.is_number { len | IS_NUMBER } else { len }).to_le_bytes()
    }
}

/// Where an item is in its bucket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// Which one it is.
    pub(crate) at: usize,
    tag: u8,
    len: [u8; LEN],
    start: usize,
}

/// A packed run of items; without any it has no allocation.
#[derive(Clone, Debug, Default)]
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
        items.clone().for_each(|item| bytes.extend_from_slice(&item.len_bytes()));
        items.for_each(|item| bytes.push(item.tag));
        bytes.extend_from_slice(&count_bytes(count));
        Self { bytes: bytes.into_boxed_slice() }
    }

    /// Adds an item.
    pub(crate) fn push(&mut self, item: Item<'_>) {
        let (data, lens, tags) = self.parts();
        let (count, width) = (tags.len(), item.bytes.len());
        let (lens, tags) = (data.len(), data.len() + lens.as_flattened().len());
        let mut bytes = mem::take(&mut self.bytes).into_vec();
        let len = tags + count + width + INDEX + COUNT;
        bytes.reserve_exact(len - bytes.len());
        bytes.resize(len, 0);
        bytes.copy_within(tags..tags + count, tags + width + LEN);
        bytes.copy_within(lens..tags, lens + width);
        bytes[lens..lens + width].copy_from_slice(item.bytes);
        bytes[tags + width..tags + width + LEN].copy_from_slice(&item.len_bytes());
        bytes[len - COUNT - 1] = item.tag;
        bytes[len - COUNT..].copy_from_slice(&count_bytes(count + 1));
        self.bytes = bytes.into_boxed_slice();
    }

    /// Writes over an item with as many bytes.
    pub(crate) fn overwrite(&mut self, span: Span, bytes: &[u8]) {
        self.room(span).copy_from_slice(bytes);
    }

    /// The bytes of an item, to be written over.
    pub(crate) fn room(&mut self, span: Span) -> &mut [u8] {
        &mut self.bytes[span.start..span.start + width(span.len)]
    }

    /// Bytes requested from the allocator.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn items(&self) -> impl Iterator<Item = Item<'_>> + Clone {
        self.spans().map(|span| self.item(span))
    }

    pub(crate) fn item(&self, Span { tag, len, start, .. }: Span) -> Item<'_> {
        Item { tag, is_number: is_number(len), bytes: &self.bytes[start..start + width(len)] }
    }

    pub(crate) fn spans(&self) -> impl Iterator<Item = Span> + Clone {
        let (_, lens, tags) = self.parts();
        let mut end = 0;
        tags.iter().zip(lens).enumerate().map(move |(at, (&tag, &len))| {
            let start = end;
            end += width(len);
            Span { at, tag, len, start }
        })
    }

    /// The items with a tag.
    pub(crate) fn tagged(&self, tag: u8) -> impl Iterator<Item = Span> {
        let (_, lens, tags) = self.parts();
        let places = tags.iter().enumerate().filter(move |(_, other)| **other == tag);
        places.map(move |(at, _)| {
            let start = lens[..at].iter().map(|len| width(*len)).sum();
            Span { at, tag, len: lens[at], start }
        })
    }

    /// Looks at what tells the items apart.
    pub(crate) fn touch(&self) {
        black_box(self.bytes.last().copied());
    }

    /// Looks at the items with a tag; returns the number among them, if there is one.
    pub(crate) fn touch_tagged(&self, tag: u8) -> Option<u32> {
        let mut number = None;
        for span in self.tagged(tag) {
            let item = self.item(span);
            black_box((item.bytes.first().copied(), item.bytes.last().copied()));
            number = number.or(item.number());
        }
        number
    }

    /// The items, their lengths, their tags.
    fn parts(&self) -> (&[u8], &[[u8; LEN]], &[u8]) {
        let Some((rest, count)) = self.bytes.split_last_chunk() else { return (&[], &[], &[]) };
        let count = u32::from_le_bytes(*count) as usize;
        let (rest, tags) = rest.split_at(rest.len() - count);
        let (data, lens) = rest.split_at(rest.len() - count * LEN);
        (data, lens.as_chunks().0, tags)
    }
}

fn is_number(len: [u8; LEN]) -> bool {
    u16::from_le_bytes(len) & IS_NUMBER != 0
}

fn width(len: [u8; LEN]) -> usize {
    usize::from(u16::from_le_bytes(len) & !IS_NUMBER)
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
        let spans: Vec<_> = bucket.spans().collect();
        bucket.overwrite(spans[3], b"NINE");
        bucket.overwrite(spans[1], &78_u32.to_le_bytes());
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
