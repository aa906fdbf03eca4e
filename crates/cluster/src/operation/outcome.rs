//! What comes of operations.

use bytes::Bytes;
use rkyv::with::Map;
use rkyv::{Archive, Deserialize, Serialize};

use super::slice::Shared;

/// What came of an applied operation.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Archive, Serialize, Deserialize)]
pub enum Effect {
    /// Of an action on a key.
    Key(Outcome),
    /// Keys of a slot, in byte order.
    Keys(Vec<Bytes>),
    /// A page of a slot's keys.
    Page(Page),
    /// How many keys there are, or were removed.
    Count {
        /// That many.
        keys: u64,
        /// How many more there are to be removed.
        left: u64,
    },
    /// The outcomes of a transaction's steps; `None`: a watched key had changed, nothing was applied.
    Transaction(Option<Vec<Outcome>>),
    /// The holder sees fewer live members than it needs to accept writes; nothing was written.
    TooFewMembers {
        /// How many it sees, itself included.
        members: u32,
        /// How many it needs.
        needed: u32,
    },
}

impl Effect {
    /// The outcome of an action on a key; `None`: it was something else, or refused.
    pub fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Key(outcome) => Some(outcome),
            _ => None,
        }
    }
}

impl Effect {
    /// Bytes it takes in an answer, roughly.
    pub(crate) fn bytes(&self) -> usize {
        let keys = |keys: &[Bytes]| keys.iter().map(|key| size_of::<Bytes>() + key.len()).sum();
        size_of::<Self>()
            + match self {
                Self::Key(outcome) => outcome.bytes(),
                Self::Keys(list) | Self::Page(Page { keys: list, .. }) => keys(list),
                Self::Transaction(outcomes) => outcomes.iter().flatten().map(Outcome::bytes).sum(),
                Self::Count { .. } | Self::TooFewMembers { .. } => 0,
            }
    }
}

impl Outcome {
    fn bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Value { value, content_type, .. } => value.len() + content_type.len(),
                Self::Replaced { previous, .. }
                | Self::Deleted { previous, .. }
                | Self::Refused { previous, .. } => previous.as_ref().map_or(0, Bytes::len),
                _ => 0,
            }
    }
}

/// A page of a slot's keys.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Archive, Serialize, Deserialize)]
pub struct Page {
    /// Those that match.
    pub keys: Vec<Bytes>,
    /// How many were looked at.
    pub seen: u32,
    /// Where the next page of the slot starts; `None`: this was the last.
    pub next: Option<u64>,
}

/// What came of an action on a key.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Archive, Serialize, Deserialize)]
pub enum Outcome {
    /// The key's value, or the part asked for.
    Value {
        /// The bytes stored.
        #[rkyv(with = Shared)]
        value: Bytes,
        /// The media type stored; empty: unspecified.
        #[rkyv(with = Shared)]
        content_type: Bytes,
        /// `(hlc, node)` of the write that stored it.
        version: (u64, u128),
        /// Milliseconds it still lives, if it expires.
        ttl_ms: Option<u64>,
    },
    /// There is a value.
    Found {
        /// Its length in bytes.
        length: u64,
        /// `(hlc, node)` of the write that stored it.
        version: (u64, u128),
        /// Until when it lives, in Unix milliseconds, if it expires.
        expires_at_ms: Option<u64>,
        /// What is left of that by the holder's clock, in milliseconds.
        ttl_ms: Option<u64>,
    },
    /// There is no such key.
    Missing,
    /// Stored under a new key, with this version.
    Created((u64, u128)),
    /// Stored over an older value.
    Replaced {
        /// The new version.
        version: (u64, u128),
        /// The value that was there, if asked for.
        #[rkyv(with = Map<Shared>)]
        previous: Option<Bytes>,
    },
    /// Removed.
    Deleted {
        /// The version of the tombstone.
        version: (u64, u128),
        /// The value that was there, if asked for.
        #[rkyv(with = Map<Shared>)]
        previous: Option<Bytes>,
    },
    /// The guard did not hold.
    Refused {
        /// The version that is stored, if any.
        version: Option<(u64, u128)>,
        /// The value that is stored, if any and asked for.
        #[rkyv(with = Map<Shared>)]
        previous: Option<Bytes>,
    },
    /// Whether a lifetime was changed, or a value moved or copied.
    Changed(bool),
    /// The number now, or the bit that was there.
    Integer {
        /// The number.
        value: i64,
        /// The new version.
        version: (u64, u128),
    },
    /// The number now.
    Float {
        /// The bits of a finite `f64`.
        bits: u64,
        /// The new version.
        version: (u64, u128),
    },
    /// The value's length in bytes now.
    Length(u64),
    /// The value is no whole number of 64 bits; nothing was written.
    NotAnInteger,
    /// The value is no number; nothing was written.
    NotAFloat,
    /// The sum is no number that can be stored; nothing was written.
    Overflow,
    /// The holder's memory limit is reached; nothing was written.
    Full,
    /// Key, media type, value or answer would be larger than it can be; nothing was written.
    TooLarge,
}
