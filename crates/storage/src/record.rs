//! The compact form of an entry: one run of bytes.
//!
//! Layout: flags (1 byte), clock reading (8), node (index of 1 byte, or 16 bytes), key length (1 or 2 bytes),
//! deadline (8, if there is one), length of the content type (1, if there is one), key, content type, value.

use crate::nodes::Nodes;
use crate::{EntryRef, Value, Version};

/// The longest record that is kept together with others, and encoded without an allocation of its own.
pub(crate) const SHORT_MAX: usize = 256;

const TOMBSTONE: u8 = 1;
const DEADLINE: u8 = 2;
const CONTENT_TYPE: u8 = 4;
const LONG_KEY: u8 = 8;
const WHOLE_NODE: u8 = 16;

/// An entry encoded.
#[expect(clippy::large_enum_variant, reason = "lives on the stack for one write")]
pub(crate) enum Encoded {
    Short { bytes: [u8; SHORT_MAX], len: usize },
    Long(Box<[u8]>),
}

impl Encoded {
    /// Encodes an entry; `node` is the index of its node id, if that is interned.
    pub(crate) fn new(entry: &EntryRef<'_>, node: Option<u8>) -> Self {
        let len = encoded_len(entry, node.is_some());
        if len > SHORT_MAX {
            let mut bytes = Vec::with_capacity(len);
            put_fields(entry, node, |field| bytes.extend_from_slice(field));
            return Self::Long(bytes.into_boxed_slice());
        }
        let mut bytes = [0; SHORT_MAX];
        encode(entry, node, &mut bytes[..len]);
        Self::Short { bytes, len }
    }
}

/// The length of an entry's record, with its node id `interned` or in full.
pub(crate) fn encoded_len(entry: &EntryRef<'_>, interned: bool) -> usize {
    let node_len = if interned { 1 } else { 16 };
    let deadline_len = if entry.expires_at_ms.is_some() { 8 } else { 0 };
    let type_len = usize::from(!entry.content_type.is_empty()) + entry.content_type.len();
    1 + 8
        + node_len
        + key_len_width(entry.key)
        + deadline_len
        + type_len
        + entry.key.len()
        + entry.value.len()
}

/// Encodes an entry, with the index of its node id if that is interned, into as many bytes as its record has.
pub(crate) fn encode(entry: &EntryRef<'_>, node: Option<u8>, mut out: &mut [u8]) {
    put_fields(entry, node, |field| {
        let (head, rest) = std::mem::take(&mut out).split_at_mut(field.len());
        head.copy_from_slice(field);
        out = rest;
    });
}

#[inline]
fn put_fields(entry: &EntryRef<'_>, node: Option<u8>, mut put: impl FnMut(&[u8])) {
    put(&[flags(entry, node)]);
    put(&entry.version.hlc.to_le_bytes());
    match node {
        Some(index) => put(&[index]),
        None => put(&entry.version.node.to_le_bytes()),
    }
    put(&entry.key.len().to_le_bytes()[..key_len_width(entry.key)]);
    if let Some(at) = entry.expires_at_ms {
        put(&at.to_le_bytes());
    }
    if !entry.content_type.is_empty() {
        put(&entry.content_type.len().to_le_bytes()[..1]);
    }
    put(entry.key);
    put(entry.content_type);
    put(entry.value);
}

fn flags(entry: &EntryRef<'_>, node: Option<u8>) -> u8 {
    let when = |holds: bool, flag: u8| if holds { flag } else { 0 };
    when(entry.tombstone, TOMBSTONE)
        | when(entry.expires_at_ms.is_some(), DEADLINE)
        | when(!entry.content_type.is_empty(), CONTENT_TYPE)
        | when(key_len_width(entry.key) == 2, LONG_KEY)
        | when(node.is_none(), WHOLE_NODE)
}

fn key_len_width(key: &[u8]) -> usize {
    if key.len() > usize::from(u8::MAX) { 2 } else { 1 }
}

/// Reads a record.
pub(crate) fn decode<'a>(record: &'a [u8], nodes: &Nodes) -> EntryRef<'a> {
    let mut fields = Fields { bytes: record };
    let flags = fields.byte();
    let hlc = u64::from_le_bytes(fields.array());
    let node = match flags & WHOLE_NODE {
        0 => nodes.get(fields.byte()),
        _ => u128::from_le_bytes(fields.array()),
    };
    let (key_len, expires_at_ms, type_len) = fields.lengths(flags);
    EntryRef {
        key: fields.slice(key_len),
        content_type: fields.slice(type_len),
        value: fields.bytes,
        version: Version { hlc, node },
        expires_at_ms,
        tombstone: flags & TOMBSTONE != 0,
    }
}

/// The key of a record.
pub(crate) fn key(record: &[u8]) -> &[u8] {
    let mut fields = Fields { bytes: record };
    let flags = fields.byte();
    fields.skip_version(flags);
    let (key_len, ..) = fields.lengths(flags);
    fields.slice(key_len)
}

/// What a record stores under its key, without a look at the node ids; none of a tombstone.
pub(crate) fn value(record: &[u8]) -> Option<Value<'_>> {
    let mut fields = Fields { bytes: record };
    let flags = fields.byte();
    fields.skip_version(flags);
    let (key_len, expires_at_ms, type_len) = fields.lengths(flags);
    fields.slice(key_len);
    let content_type = fields.slice(type_len);
    (flags & TOMBSTONE == 0).then_some(Value { bytes: fields.bytes, content_type, expires_at_ms })
}

pub(crate) fn is_tombstone(record: &[u8]) -> bool {
    record[0] & TOMBSTONE != 0
}

/// The index of a record's node id, if that is interned.
pub(crate) fn node_index(record: &[u8]) -> Option<u8> {
    (record[0] & WHOLE_NODE == 0).then(|| record[1 + 8])
}

/// Takes fields off the front of a record.
struct Fields<'a> {
    bytes: &'a [u8],
}

impl<'a> Fields<'a> {
    fn skip_version(&mut self, flags: u8) {
        self.slice(if flags & WHOLE_NODE == 0 { 8 + 1 } else { 8 + 16 });
    }

    /// The fields between the version and the key: key length, deadline, length of the content type.
    fn lengths(&mut self, flags: u8) -> (usize, Option<u64>, usize) {
        let key_len = match flags & LONG_KEY {
            0 => usize::from(self.byte()),
            _ => usize::from(u16::from_le_bytes(self.array())),
        };
        let deadline = (flags & DEADLINE != 0).then(|| u64::from_le_bytes(self.array()));
        let type_len = if flags & CONTENT_TYPE == 0 { 0 } else { usize::from(self.byte()) };
        (key_len, deadline, type_len)
    }

    fn byte(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self.bytes.split_first_chunk().expect("invariant: a record comes from `encode`");
        self.bytes = rest;
        *field
    }

    fn slice(&mut self, len: usize) -> &'a [u8] {
        let (field, rest) = self.bytes.split_at(len);
        self.bytes = rest;
        field
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(
            key in prop_oneof![vec(any::<u8>(), 0..300), Just(vec![1; usize::from(u16::MAX)])],
            value in vec(any::<u8>(), 0..400),
            content_type in vec(any::<u8>(), 0..=255),
            (hlc, node, expires_at_ms) in any::<(u64, u128, Option<u64>)>(),
            (tombstone, interned) in any::<(bool, bool)>(),
        ) {
            let version = Version { hlc, node };
            let entry = EntryRef {
                key: &key, value: &value, content_type: &content_type, version, expires_at_ms, tombstone,
            };
            let mut nodes = Nodes::default();
            nodes.acquire(1);
            let index = nodes.acquire(node).filter(|_| interned);
            let record = match Encoded::new(&entry, index) {
                Encoded::Short { bytes, len } => bytes[..len].to_vec(),
                Encoded::Long(bytes) => bytes.into_vec(),
            };
            prop_assert_eq!(record.len(), encoded_len(&entry, interned));
            prop_assert_eq!(super::key(&record), &*key);
            prop_assert_eq!((node_index(&record), is_tombstone(&record)), (index, tombstone));
            prop_assert_eq!(decode(&record, &nodes), entry);
            let stored = Value { bytes: &value, content_type: &content_type, expires_at_ms };
            prop_assert_eq!(super::value(&record), Some(stored).filter(|_| !tombstone));
        }
    }
}
