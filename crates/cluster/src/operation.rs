//! What a client may ask of one slot, and its effect: applied under the slot's lock, by its holder, once.

use boato_storage::{Condition, Delete, Entries, Put, PutError, Value, Version, Writer};
use bytes::Bytes;
use rkyv::{Archive, Deserialize, Serialize};

/// When a write applies; the wire form of [`boato_storage::Condition`].
#[derive(Clone, PartialEq, Eq, Hash, Debug, Archive, Serialize, Deserialize)]
pub enum Guard {
    /// Whatever is stored.
    Always,
    /// Only where the key does not exist.
    Absent,
    /// Only where the key exists.
    Present,
    /// Only where the stored version `(hlc, node)` is one of these.
    Is(Vec<(u64, u128)>),
    /// Only where the stored version is none of these, or nothing is stored.
    IsNot(Vec<(u64, u128)>),
}

impl From<&Guard> for Condition {
    fn from(guard: &Guard) -> Self {
        let versions = |list: &[(u64, u128)]| list.iter().map(|&(hlc, node)| Version { hlc, node }).collect();
        match guard {
            Guard::Always => Self::Always,
            Guard::Absent => Self::Absent,
            Guard::Present => Self::Present,
            Guard::Is(list) => Self::Is(versions(list)),
            Guard::IsNot(list) => Self::IsNot(versions(list)),
        }
    }
}

/// An operation on one slot.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Archive, Serialize, Deserialize)]
pub enum Operation {
    /// Reads a key.
    Get {
        /// The key.
        key: Bytes,
    },
    /// Writes a key.
    Put {
        /// The key.
        key: Bytes,
        /// The value.
        value: Bytes,
        /// Its media type; empty: unspecified.
        content_type: Bytes,
        /// Milliseconds the entry lives from the moment it is applied.
        ttl_ms: Option<u64>,
        /// When the write applies.
        guard: Guard,
    },
    /// Removes a key, leaving a tombstone.
    Delete {
        /// The key.
        key: Bytes,
        /// When the removal applies.
        guard: Guard,
    },
    /// Lists live keys of one slot, in byte order.
    List {
        /// The slot.
        slot: u16,
        /// Only keys that begin with this.
        prefix: Bytes,
        /// Only keys after this one.
        after: Option<Bytes>,
        /// At most this many.
        limit: u32,
    },
}

/// The most keys one [`Operation::List`] returns.
pub const LIST_LIMIT: u32 = 1000;

impl Operation {
    /// The slot it works on.
    pub fn slot(&self) -> u16 {
        match self {
            Self::Get { key } | Self::Put { key, .. } | Self::Delete { key, .. } => {
                boato_placement::slot(key)
            }
            Self::List { slot, .. } => *slot,
        }
    }

    /// Whether it may change anything: such an operation is never sent twice.
    pub fn is_write(&self) -> bool {
        matches!(self, Self::Put { .. } | Self::Delete { .. })
    }

    /// The key it may change.
    pub fn written_key(&self) -> Option<&Bytes> {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } => Some(key),
            Self::Get { .. } | Self::List { .. } => None,
        }
    }

    /// Bytes it keeps alive while it waits in a queue.
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Get { key } | Self::Delete { key, .. } => key.len(),
                Self::Put { key, value, content_type, .. } => key.len() + value.len() + content_type.len(),
                Self::List { prefix, after, .. } => prefix.len() + after.as_ref().map_or(0, Bytes::len),
            }
    }
}

/// The effect of an applied operation.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Archive, Serialize, Deserialize)]
pub enum Outcome {
    /// The key's value.
    Value {
        /// The bytes stored.
        value: Bytes,
        /// The media type stored; empty: unspecified.
        content_type: Bytes,
        /// `(hlc, node)` of the write that stored it.
        version: (u64, u128),
        /// Milliseconds it still lives, if it expires.
        ttl_ms: Option<u64>,
    },
    /// There is no such key.
    Missing,
    /// Stored under a new key, with this version.
    Created((u64, u128)),
    /// Stored over an older value, with this version.
    Replaced((u64, u128)),
    /// Removed; the version of the tombstone.
    Deleted((u64, u128)),
    /// The guard did not hold; the version that is stored, if any.
    Refused(Option<(u64, u128)>),
    /// Keys of a slot, in byte order.
    Keys(Vec<Bytes>),
    /// The holder's memory limit is reached; nothing was written.
    Full,
    /// The holder sees fewer live members than it needs to accept writes; nothing was written.
    TooFewMembers {
        /// How many it sees, itself included.
        members: u32,
        /// How many it needs.
        needed: u32,
    },
    /// Key, media type or value is larger than an entry can be; nothing was written.
    TooLarge,
}

/// What applying needs beside the entries.
#[derive(Clone, Copy)]
pub struct Applier<'a> {
    /// Stamps writes; carries the wall clock.
    pub writer: Writer<'a>,
    /// How long a tombstone is kept, in milliseconds.
    pub healing_ms: u64,
}

impl Applier<'_> {
    /// Applies `operation` to the entries of its slot.
    pub fn apply(&self, operation: &Operation, entries: &mut Entries) -> Outcome {
        let now_ms = self.writer.now_ms;
        match operation {
            Operation::Get { key } => get(entries, key, now_ms),
            Operation::Put { key, value, content_type, ttl_ms, guard } => {
                let expires_at_ms = ttl_ms.map(|ttl| now_ms.saturating_add(ttl));
                let value = Value { bytes: value, content_type, expires_at_ms };
                match entries.put(key, value, &guard.into(), &self.writer) {
                    Ok(Put::Created(version)) => Outcome::Created(pair(version)),
                    Ok(Put::Replaced(version)) => Outcome::Replaced(pair(version)),
                    Ok(Put::Refused(current)) => Outcome::Refused(current.map(pair)),
                    Err(PutError::Full { .. }) => Outcome::Full,
                    Err(_) => Outcome::TooLarge,
                }
            }
            Operation::Delete { key, guard } => {
                let until = now_ms.saturating_add(self.healing_ms);
                match entries.delete(key, &guard.into(), &self.writer, until) {
                    Delete::Deleted(version) => Outcome::Deleted(pair(version)),
                    Delete::Missing => Outcome::Missing,
                    Delete::Refused(current) => Outcome::Refused(current.map(pair)),
                }
            }
            Operation::List { prefix, after, limit, .. } => {
                let limit = (*limit).min(LIST_LIMIT) as usize;
                let keys = entries.list(prefix, after.as_deref(), limit, now_ms);
                Outcome::Keys(keys.into_iter().map(Bytes::from).collect())
            }
        }
    }
}

/// The outcome of [`Operation::Get`].
#[inline]
pub(crate) fn get(entries: &Entries, key: &[u8], now_ms: u64) -> Outcome {
    entries.get(key, now_ms).map_or(Outcome::Missing, |entry| Outcome::Value {
        value: Bytes::copy_from_slice(entry.value),
        content_type: Bytes::copy_from_slice(entry.content_type),
        version: pair(entry.version),
        ttl_ms: entry.expires_at_ms.map(|at| at.saturating_sub(now_ms)),
    })
}

fn pair(version: Version) -> (u64, u128) {
    (version.hlc, version.node)
}
