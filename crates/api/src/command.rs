//! What a door asks of the backend.

use std::time::Duration;

use crate::version::Version;

/// One operation on one key.
#[derive(Clone, Debug, PartialEq)]
pub struct Command<'a> {
    /// The key: any bytes, 1 to 1024 of them over HTTP, up to 65535 over RESP.
    pub key: &'a [u8],
    /// What to do with it.
    pub action: Action<'a>,
}

/// What to do with a key. Whatever is checked and changed is checked and changed in one step, by the node that holds
/// the key, at most once.
#[derive(Clone, Debug, PartialEq)]
pub enum Action<'a> {
    /// Read the value: [`Outcome::Value`](crate::Outcome::Value) or `Missing`.
    Get,
    /// Read a part of the value: the bytes from `first` to `last`, both included, counted from 0; negative ones count
    /// from the end (-1 is the last byte); what lies outside is left out. `Value` or `Missing`.
    GetRange {
        /// The first byte.
        first: i64,
        /// The last byte.
        last: i64,
    },
    /// Read everything but the value: [`Outcome::Found`](crate::Outcome::Found) or `Missing`.
    Head,
    /// Create or replace the value: `Created`, `Replaced`, `Refused` or `Full`.
    Put {
        /// The new value; may be empty.
        value: &'a [u8],
        /// Media type to give back on reads, at most 255 bytes, valid in an HTTP header; empty means
        /// `application/octet-stream`.
        content_type: &'a [u8],
        /// How long it lives.
        expiry: Expiry,
        /// When it applies.
        condition: Condition<'a>,
        /// Whether the answer brings the value that was there.
        previous: bool,
    },
    /// Remove the value: `Deleted`, `Missing` or `Refused`.
    Delete {
        /// When it applies.
        condition: Condition<'a>,
        /// Whether the answer brings the value that was there.
        previous: bool,
    },
    /// Change how long the value lives: `Changed`, or, with `value`, `Value`; `Missing`. The version grows.
    /// [`Expiry::Keep`] changes nothing; [`Expiry::Never`] changes something only if it would expire.
    Expire {
        /// How long it lives from now on.
        expiry: Expiry,
        /// When it applies.
        when: ExpireWhen,
        /// Whether the answer brings the value.
        value: bool,
    },
    /// Add to the value, a decimal number in 64 bits with a sign; a missing key counts as 0. Lifetime and media type are
    /// kept: `Integer`, `NotAnInteger`, `Overflow` or `Full`.
    Add {
        /// What to add.
        by: i64,
        /// How long the key lives if this creates it; `None`: until it is deleted.
        ttl: Option<Duration>,
    },
    /// Add to the value, a decimal number; a missing key counts as 0: `Float`, `NotAFloat`, `Overflow` (the result is no
    /// finite number) or `Full`.
    AddFloat {
        /// What to add; finite.
        by: f64,
    },
    /// Put bytes behind the value; a missing key counts as empty: `Length`, `Full` or [`Failure::TooLarge`](crate::Failure::TooLarge).
    Append {
        /// The bytes.
        bytes: &'a [u8],
    },
    /// Overwrite a part of the value, which is filled up with zero bytes as far as needed; no `bytes` change nothing:
    /// `Length`, `Full` or `TooLarge`.
    SetRange {
        /// Where they begin.
        offset: u64,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// Set one bit, counted from the most significant bit of the first byte; the value is filled up with zero bytes as
    /// far as needed: `Integer` with the bit that was there (0 or 1), `Full` or `TooLarge`.
    SetBit {
        /// Which.
        offset: u64,
        /// What it becomes.
        bit: bool,
    },
    /// Move or copy the value, its media type and its lifetime to another key of the same slot: `Changed(true)`;
    /// `Changed(false)` if the other key has a value and `replace` is not set; `Missing`; `Full`.
    Rename {
        /// The other key. [`Failure::CrossSlot`](crate::Failure::CrossSlot) if it belongs to another slot.
        to: &'a [u8],
        /// Whether a value there is replaced.
        replace: bool,
        /// Whether this key keeps its value: a copy.
        keep: bool,
    },
}

impl<'a> Action<'a> {
    /// A removal without conditions.
    pub fn delete() -> Self {
        Self::Delete { condition: Condition::Always, previous: false }
    }

    /// A put without conditions of a value that lives until it is deleted.
    pub fn put(value: &'a [u8]) -> Self {
        let (expiry, condition) = (Expiry::Never, Condition::Always);
        Self::Put { value, content_type: b"", expiry, condition, previous: false }
    }
}

/// What must hold of the key's current value for a write to be applied. An expired or deleted value counts as
/// absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition<'a> {
    /// Nothing.
    #[default]
    Always,
    /// There is no value.
    Absent,
    /// There is a value, of any version.
    Present,
    /// There is a value and its version is one of these; an empty list never holds.
    Is(Vec<Version>),
    /// There is no value, or its version is none of these.
    IsNot(Vec<Version>),
    /// There is a value and its bytes are these.
    ValueIs(&'a [u8]),
}

/// How long a value lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expiry {
    /// Until it is deleted.
    #[default]
    Never,
    /// As long as the value that is there; a new one until it is deleted.
    Keep,
    /// This long from the moment it is applied; at most 100 years.
    After(Duration),
    /// Until a moment in Unix milliseconds; one that has passed removes the value.
    At(u64),
}

/// What must hold of a value's lifetime for [`Action::Expire`]. A value that never expires counts as living longer than
/// any other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExpireWhen {
    /// Nothing.
    #[default]
    Always,
    /// It never expires.
    NoExpiry,
    /// It expires.
    HasExpiry,
    /// It expires earlier than the new time.
    Later,
    /// It expires later than the new time.
    Sooner,
    /// It expires, and later than the new time.
    OnlySooner,
}

/// Commands on keys of one slot, applied in one step if no watched key has changed.
#[derive(Clone, Copy, Debug)]
pub struct Transaction<'a> {
    /// Keys, each with the version it must still have; `None`: it must still be absent.
    pub watched: &'a [(&'a [u8], Option<Version>)],
    /// Applied in this order, each seeing what those before it did.
    pub commands: &'a [Command<'a>],
}
