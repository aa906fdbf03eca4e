//! What writes did, or why they did nothing.

use crate::{Entries, Version};

/// What a put did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// There was no live entry; there is one of this version now.
    Created(Version),
    /// A live entry was replaced by one of this version.
    Replaced(Version),
    /// The condition did not hold; nothing changed. The live entry has this version, if there is one.
    Refused(Option<Version>),
}

/// Why a put stored nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PutError {
    /// The store would exceed its limit.
    #[error("the memory limit of {max_memory} bytes is reached: delete entries or raise the limit")]
    Full {
        /// The limit in bytes.
        max_memory: u64,
    },
    /// The key is longer than [`Entries::MAX_KEY`].
    #[error("the key has {len} bytes: shorten it to {} at most", Entries::MAX_KEY)]
    KeyTooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// The content type is longer than [`Entries::MAX_CONTENT_TYPE`].
    #[error("the content type has {len} bytes: shorten it to {} at most", Entries::MAX_CONTENT_TYPE)]
    ContentTypeTooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// The value is longer than [`Entries::MAX_VALUE`].
    #[error("the value has {len} bytes: split it into parts of {} at most", Entries::MAX_VALUE)]
    ValueTooLong {
        /// Its length in bytes.
        len: usize,
    },
}

/// What a delete did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delete {
    /// The live entry is gone; its tombstone has this version.
    Deleted(Version),
    /// There was no live entry; nothing changed.
    Missing,
    /// The condition did not hold; nothing changed. The live entry has this version, if there is one.
    Refused(Option<Version>),
}
