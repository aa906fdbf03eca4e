//! The compact form of an entry: one run of bytes.
//!
//! Layout: flags (1 byte), clock reading (8), node (index of 1 byte, or 16 bytes), key length (1 or 2 bytes),
//! deadline (8, if there is one), length of the content type (1, if there is one), key, content type, value.

use crate::nodes::Nodes;
use crate::{EntryRef, Version};

const TOMBSTONE: u8 = 1;
const DEADLINE: u8 = 2;
const CONTENT_TYPE: u8 = 4;
const LONG_KEY: u8 = 8;
const WHOLE_NODE: u8 = 16;

/// Encodes an entry; `node` is the index of its node id, if that is interned.
pub(crate) fn encode(entry: &EntryRef<'_>, node: Option<u8>) -> Box<[u8]> {
    let mut bytes = Vec::with_capacity(encoded_len(entry, node.is_some()));
    bytes.push(flags(entry, node));
    bytes.extend_from_slice(&entry.version.hlc.to_le_bytes());
    match node {
        Some(index) => bytes.push(index),
        None => bytes.extend_from_slice(&entry.version.node.to_le_bytes()),
    }
    let key_len = entry.key.len().to_le_bytes();
    bytes.extend_from_slice(&key_len[..key_len_width(entry.key)]);
    if let Some(at) = entry.expires_at_ms {
        bytes.extend_from_slice(&at.to_le_bytes());
    }
    if !entry.content_type.is_empty() {
        bytes.push(entry.content_type.len().to_le_bytes()[0]);
    }
    bytes.extend_from_slice(entry.key);
    bytes.extend_from_slice(entry.content_type);
    bytes.extend_from_slice(entry.value);
    bytes.into_boxed_slice()
}

/// The length of the encoded entry.
pub(crate) fn encoded_len(entry: &EntryRef<'_>, interned: bool) -> usize {
    1 + 8
        + if interned { 1 } else { 16 }
        + key_len_width(entry.key)
        + entry.expires_at_ms.map_or(0, |_| 8)
        + usize::from(!entry.content_type.is_empty())
        + entry.key.len()
        + entry.content_type.len()
        + entry.value.len()
}

/// Reads an encoded entry.
pub(crate) fn decode<'a>(bytes: &'a [u8], nodes: &Nodes) -> EntryRef<'a> {
    let mut reader = Reader { bytes };
    let [flags] = reader.array();
    let hlc = u64::from_le_bytes(reader.array());
    let node = if flags & WHOLE_NODE != 0 {
        u128::from_le_bytes(reader.array())
    } else {
        nodes.get(reader.array::<1>()[0])
    };
    let key_len = if flags & LONG_KEY != 0 {
        usize::from(u16::from_le_bytes(reader.array()))
    } else {
        usize::from(reader.array::<1>()[0])
    };
    let expires_at_ms = (flags & DEADLINE != 0).then(|| u64::from_le_bytes(reader.array()));
    let type_len = if flags & CONTENT_TYPE != 0 { usize::from(reader.array::<1>()[0]) } else { 0 };
    EntryRef {
        key: reader.slice(key_len),
        content_type: reader.slice(type_len),
        value: reader.bytes,
        version: Version { hlc, node },
        expires_at_ms,
        tombstone: flags & TOMBSTONE != 0,
    }
}

/// The key of an encoded entry.
pub(crate) fn key(bytes: &[u8]) -> &[u8] {
    let flags = bytes[0];
    let len_at = if flags & WHOLE_NODE != 0 { 25 } else { 10 };
    let (len, after) = if flags & LONG_KEY != 0 {
        (usize::from(u16::from_le_bytes([bytes[len_at], bytes[len_at + 1]])), len_at + 2)
    } else {
        (usize::from(bytes[len_at]), len_at + 1)
    };
    let start = after + if flags & DEADLINE != 0 { 8 } else { 0 } + usize::from(flags & CONTENT_TYPE != 0);
    &bytes[start..start + len]
}

/// The index of an encoded entry's node id, if that is interned.
pub(crate) fn node_index(bytes: &[u8]) -> Option<u8> {
    (bytes[0] & WHOLE_NODE == 0).then(|| bytes[9])
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

/// Takes fields off the front of an encoded entry.
struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.bytes.split_first_chunk().expect("invariant: only `encode` makes records");
        self.bytes = rest;
        *head
    }

    fn slice(&mut self, len: usize) -> &'a [u8] {
        let (head, rest) = self.bytes.split_at(len);
        self.bytes = rest;
        head
    }
}
