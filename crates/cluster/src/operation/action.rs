//! What to do with one key. Whoever holds the key checks and changes it in one step.

use boato_storage::{Condition, EntryRef, Version};
use bytes::Bytes;
use rkyv::{Archive, Deserialize, Serialize};

use super::{CONTENT_TYPE_MAX, KEY_MAX, Limit, VALUE_MAX, within};

/// What to do with a key; `B` holds its bytes, so that what comes from a client's buffer needs no copy.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Archive, Serialize, Deserialize)]
pub enum Action<B = Bytes> {
    /// Reads the value.
    Get,
    /// Reads the bytes `first` to `last` of the value, both included; negative ones count from the end.
    GetRange {
        /// The first byte.
        first: i64,
        /// The last byte.
        last: i64,
    },
    /// Reads everything but the value.
    Head,
    /// Creates or replaces the value.
    Put {
        /// The value.
        value: B,
        /// Its media type; empty: unspecified.
        content_type: B,
        /// How long it lives.
        expiry: Expiry,
        /// When the write applies.
        guard: Guard<B>,
        /// Whether the outcome brings the value that was there.
        previous: bool,
    },
    /// Removes the value, leaving a tombstone.
    Delete {
        /// When the removal applies.
        guard: Guard<B>,
        /// Whether the outcome brings the value that was there.
        previous: bool,
    },
    /// Changes how long the value lives.
    Expire {
        /// How long from now on; [`Expiry::Keep`] changes nothing.
        expiry: Expiry,
        /// When the change applies.
        when: ExpireWhen,
        /// Whether the outcome brings the value.
        value: bool,
    },
    /// Adds to the value, a decimal number of 64 bits with a sign; no value counts as 0.
    Add {
        /// What to add.
        by: i64,
        /// How long the key lives if this creates it, in milliseconds.
        ttl_ms: Option<u64>,
    },
    /// Adds to the value, a decimal number; no value counts as 0.
    AddFloat {
        /// What to add: the bits of a finite `f64`.
        by_bits: u64,
    },
    /// Puts bytes behind the value.
    Append {
        /// The bytes.
        bytes: B,
    },
    /// Overwrites a part of the value, which is filled up with zero bytes as far as needed.
    SetRange {
        /// Where the part begins.
        offset: u64,
        /// The bytes; none change nothing.
        bytes: B,
    },
    /// Sets one bit, counted from the most significant bit of the first byte.
    SetBit {
        /// Which.
        offset: u64,
        /// What it becomes.
        bit: bool,
    },
    /// Moves or copies value, media type and lifetime to another key of the slot.
    Rename {
        /// The other key.
        to: B,
        /// Whether a value there is replaced.
        replace: bool,
        /// Whether this key keeps its value.
        keep: bool,
    },
}

/// How long a value lives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Archive, Serialize, Deserialize)]
pub enum Expiry {
    /// Until it is deleted.
    Never,
    /// As long as the value that is there.
    Keep,
    /// This many milliseconds from the moment the write is applied.
    After(u64),
    /// Until a moment in Unix milliseconds.
    At(u64),
}

impl Expiry {
    /// The deadline it stands for; `kept` is that of the value that is there.
    pub(super) fn deadline(self, kept: Option<u64>, now_ms: u64) -> Option<u64> {
        match self {
            Self::Never => None,
            Self::Keep => kept,
            Self::After(ms) => Some(now_ms.saturating_add(ms)),
            Self::At(ms) => Some(ms),
        }
    }
}

/// When [`Action::Expire`] applies. A value that never expires counts as living longer than any other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Archive, Serialize, Deserialize)]
pub enum ExpireWhen {
    /// Whatever there is.
    Always,
    /// Where the value never expires.
    NoExpiry,
    /// Where it expires.
    HasExpiry,
    /// Where it expires earlier than the new time.
    Later,
    /// Where it expires later than the new time.
    Sooner,
    /// Where it expires, and later than the new time.
    OnlySooner,
}

impl ExpireWhen {
    pub(super) fn holds(self, current: Option<u64>, new: Option<u64>) -> bool {
        let at = |deadline: Option<u64>| deadline.map_or(u128::MAX, u128::from);
        match self {
            Self::Always => true,
            Self::NoExpiry => current.is_none(),
            Self::HasExpiry => current.is_some(),
            Self::Later => at(current) < at(new),
            Self::Sooner => at(current) > at(new),
            Self::OnlySooner => current.is_some() && at(current) > at(new),
        }
    }
}

/// When a write applies.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Archive, Serialize, Deserialize)]
pub enum Guard<B = Bytes> {
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
    /// Only where the stored value is these bytes.
    ValueIs(B),
}

impl<B: AsRef<[u8]>> Guard<B> {
    /// The same for the store, where it can look itself.
    pub(super) fn condition(&self) -> Option<Condition> {
        match self {
            Self::Always => Some(Condition::Always),
            Self::Absent => Some(Condition::Absent),
            Self::Present => Some(Condition::Present),
            Self::Is(_) | Self::IsNot(_) | Self::ValueIs(_) => None,
        }
    }

    pub(super) fn holds(&self, stored: Option<&EntryRef<'_>>) -> bool {
        let among = |list: &[(u64, u128)], version: Version| list.contains(&(version.hlc, version.node));
        match (self, stored) {
            (Self::Always, _) | (Self::Absent | Self::IsNot(_), None) | (Self::Present, Some(_)) => true,
            (Self::Absent, Some(_)) | (Self::Present | Self::Is(_) | Self::ValueIs(_), None) => false,
            (Self::Is(versions), Some(entry)) => among(versions, entry.version),
            (Self::IsNot(versions), Some(entry)) => !among(versions, entry.version),
            (Self::ValueIs(bytes), Some(entry)) => bytes.as_ref() == entry.value,
        }
    }

    /// Bytes it refers to.
    fn bytes(&self) -> usize {
        match self {
            Self::Is(versions) | Self::IsNot(versions) => size_of_val(versions.as_slice()),
            Self::ValueIs(bytes) => bytes.as_ref().len(),
            Self::Always | Self::Absent | Self::Present => 0,
        }
    }
}

impl<B> Guard<B> {
    fn map<'a, C>(&'a self, copy: impl Fn(&'a B) -> C) -> Guard<C> {
        match self {
            Self::Always => Guard::Always,
            Self::Absent => Guard::Absent,
            Self::Present => Guard::Present,
            Self::Is(versions) => Guard::Is(versions.clone()),
            Self::IsNot(versions) => Guard::IsNot(versions.clone()),
            Self::ValueIs(bytes) => Guard::ValueIs(copy(bytes)),
        }
    }
}

impl<B> Action<B> {
    /// A put without conditions of a value that lives until it is deleted.
    pub fn put(value: impl Into<B>) -> Self
    where
        B: From<&'static [u8]>,
    {
        let (value, content_type) = (value.into(), B::from(&[][..]));
        Self::Put { value, content_type, expiry: Expiry::Never, guard: Guard::Always, previous: false }
    }

    /// A removal without conditions.
    pub const DELETE: Self = Self::Delete { guard: Guard::Always, previous: false };

    /// Whether it may change anything.
    pub fn is_write(&self) -> bool {
        !matches!(self, Self::Get | Self::GetRange { .. } | Self::Head)
    }

    /// Whether the outcome brings a value that was stored.
    pub(super) fn returns_value(&self) -> bool {
        matches!(
            self,
            Self::Get
                | Self::GetRange { .. }
                | Self::Put { previous: true, .. }
                | Self::Delete { previous: true, .. }
                | Self::Expire { value: true, .. }
        )
    }

    /// The same with other bytes.
    pub(super) fn map<'a, C>(&'a self, copy: impl Fn(&'a B) -> C) -> Action<C> {
        match self {
            Self::Get => Action::Get,
            Self::GetRange { first, last } => Action::GetRange { first: *first, last: *last },
            Self::Head => Action::Head,
            Self::Put { value, content_type, expiry, guard, previous } => Action::Put {
                value: copy(value),
                content_type: copy(content_type),
                expiry: *expiry,
                guard: guard.map(copy),
                previous: *previous,
            },
            Self::Delete { guard, previous } => {
                Action::Delete { guard: guard.map(copy), previous: *previous }
            }
            Self::Expire { expiry, when, value } => {
                Action::Expire { expiry: *expiry, when: *when, value: *value }
            }
            Self::Add { by, ttl_ms } => Action::Add { by: *by, ttl_ms: *ttl_ms },
            Self::AddFloat { by_bits } => Action::AddFloat { by_bits: *by_bits },
            Self::Append { bytes } => Action::Append { bytes: copy(bytes) },
            Self::SetRange { offset, bytes } => Action::SetRange { offset: *offset, bytes: copy(bytes) },
            Self::SetBit { offset, bit } => Action::SetBit { offset: *offset, bit: *bit },
            Self::Rename { to, replace, keep } => {
                Action::Rename { to: copy(to), replace: *replace, keep: *keep }
            }
        }
    }
}

impl<B: AsRef<[u8]>> Action<B> {
    /// Bytes it refers to.
    pub(super) fn bytes(&self) -> usize {
        let len = |bytes: &B| bytes.as_ref().len();
        match self {
            Self::Put { value, content_type, guard, .. } => len(value) + len(content_type) + guard.bytes(),
            Self::Delete { guard, .. } => guard.bytes(),
            Self::Append { bytes } | Self::SetRange { bytes, .. } => len(bytes),
            Self::Rename { to, .. } => len(to),
            Self::Get
            | Self::GetRange { .. }
            | Self::Head
            | Self::Expire { .. }
            | Self::Add { .. }
            | Self::AddFloat { .. }
            | Self::SetBit { .. } => 0,
        }
    }

    /// Bytes of the value it leaves, at most, where a value of `stored` bytes is.
    pub(super) fn leaves(&self, stored: usize) -> usize {
        let upto = |offset: u64, len: usize| {
            usize::try_from(offset).unwrap_or(VALUE_MAX).saturating_add(len).min(VALUE_MAX)
        };
        match self {
            Self::Delete { .. } => 0,
            Self::Put { value, .. } => value.as_ref().len(),
            Self::Append { bytes } => stored + bytes.as_ref().len(),
            Self::SetRange { offset, bytes } => stored.max(upto(*offset, bytes.as_ref().len())),
            Self::SetBit { offset, .. } => stored.max(upto(offset / 8, 1)),
            _ => stored,
        }
    }

    /// Whether everything in it is within its limits.
    pub(super) fn check(&self) -> Result<(), Limit> {
        match self {
            Self::Put { value, content_type, .. } => {
                within(value.as_ref().len(), VALUE_MAX)?;
                within(content_type.as_ref().len(), CONTENT_TYPE_MAX)
            }
            Self::Append { bytes } => within(bytes.as_ref().len(), VALUE_MAX),
            Self::SetRange { offset, bytes } if !bytes.as_ref().is_empty() => {
                let offset = usize::try_from(*offset).unwrap_or(usize::MAX);
                within(offset.saturating_add(bytes.as_ref().len()), VALUE_MAX)
            }
            Self::SetBit { offset, .. } => {
                within(usize::try_from(offset / 8).unwrap_or(usize::MAX), VALUE_MAX - 1)
            }
            Self::Rename { to, .. } => within(to.as_ref().len(), KEY_MAX),
            Self::AddFloat { by_bits } if !f64::from_bits(*by_bits).is_finite() => Err(Limit),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_compared_as_redis_does() {
        let holds = |when: ExpireWhen, current, new| when.holds(current, new);
        assert!(!holds(ExpireWhen::Later, None, Some(5)), "nothing lives longer than for ever");
        assert!(holds(ExpireWhen::Sooner, None, Some(5)));
        assert!(holds(ExpireWhen::Later, Some(5), Some(6)) && !holds(ExpireWhen::Later, Some(6), Some(6)));
        assert!(holds(ExpireWhen::Sooner, Some(7), Some(6)) && !holds(ExpireWhen::Sooner, Some(6), Some(6)));
        assert!(
            holds(ExpireWhen::OnlySooner, Some(7), Some(6)) && !holds(ExpireWhen::OnlySooner, None, Some(6))
        );
        assert!(holds(ExpireWhen::NoExpiry, None, Some(1)) && !holds(ExpireWhen::NoExpiry, Some(1), Some(1)));
        assert!(holds(ExpireWhen::HasExpiry, Some(1), None) && !holds(ExpireWhen::HasExpiry, None, Some(1)));
    }
}
