//! What goes into a store and what comes out.

/// The version of an entry: which write made it.
///
/// Versions are ordered by clock reading, then by node, so two writes never tie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The reading of the writer's [`Clock`](crate::Clock).
    pub hlc: u64,
    /// The id of the node that wrote.
    pub node: u128,
}

/// What a put stores under a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Value<'a> {
    /// The value itself.
    pub bytes: &'a [u8],
    /// Its media type as the client gave it, empty for none.
    pub content_type: &'a [u8],
    /// The Unix time in milliseconds from which the entry no longer exists.
    pub expires_at_ms: Option<u64>,
}

/// An entry or a tombstone, borrowed from the slot that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EntryRef<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The value; empty for a tombstone.
    pub value: &'a [u8],
    /// The media type, empty for none.
    pub content_type: &'a [u8],
    /// The write that made it.
    pub version: Version,
    /// The Unix time in milliseconds from which the entry no longer exists; of a tombstone, the time until
    /// which it is kept.
    pub expires_at_ms: Option<u64>,
    /// Whether this is the mark of a delete, kept so that older values do not return.
    pub tombstone: bool,
}

impl EntryRef<'_> {
    /// Whether a reader sees this entry at `now_ms`: it is no tombstone and has not expired.
    pub fn is_live(&self, now_ms: u64) -> bool {
        !self.tombstone && !self.is_due(now_ms)
    }

    /// Whether a sweep at `now_ms` removes it: an expired entry, or a tombstone past its time.
    pub(crate) fn is_due(&self, now_ms: u64) -> bool {
        self.expires_at_ms.is_some_and(|at| at <= now_ms)
    }
}
