//! What the backend answers.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::version::Version;

/// How an operation is answered.
pub enum Execution {
    /// Already done: the local path.
    Ready(Result<Reply, Failure>),
    /// On its way. The backend bounds how long this takes and how many wait.
    Pending(BoxFuture<'static, Result<Reply, Failure>>),
}

/// The holder's answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Whether the asked node held the slot itself.
    pub source: Source,
    /// Name of the node that held the slot.
    pub holder: Arc<str>,
    /// What came of the operation.
    pub outcome: Outcome,
}

/// Who answered, seen from the asked node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The asked node itself.
    Local,
    /// Another node of the cluster.
    Cluster,
}

/// What came of an operation.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The value, or the part asked for.
    Value {
        /// The bytes as stored.
        value: Bytes,
        /// As stored; empty means `application/octet-stream`.
        content_type: Bytes,
        /// The value's version.
        version: Version,
        /// What is left of its time to live, if it has one.
        ttl_left: Option<Duration>,
    },
    /// Head: there is a value.
    Found {
        /// Its length in bytes.
        length: u64,
        /// Its version.
        version: Version,
        /// Until when it lives, in Unix milliseconds, if it expires.
        expires_at_ms: Option<u64>,
        /// What is left of that, by the holder's clock.
        ttl_left: Option<Duration>,
    },
    /// There is no value.
    Missing,
    /// Put: there was no value before.
    Created(Version),
    /// Put: there was one.
    Replaced {
        /// The new value's version.
        version: Version,
        /// The value that was there, if asked for.
        previous: Option<Bytes>,
    },
    /// Delete: done.
    Deleted {
        /// The version that keeps older ones from coming back.
        version: Version,
        /// The value that was there, if asked for.
        previous: Option<Bytes>,
    },
    /// The condition did not hold.
    Refused {
        /// The current version, if there is a value.
        version: Option<Version>,
        /// The value that is there, if there is one and it was asked for.
        previous: Option<Bytes>,
    },
    /// Expire and Rename: whether anything was changed.
    Changed(bool),
    /// Add: the new number. `SetBit`: the bit that was there.
    Integer {
        /// The number.
        value: i64,
        /// The new version.
        version: Version,
    },
    /// `AddFloat`: the new number.
    Float {
        /// The number.
        value: f64,
        /// The new version.
        version: Version,
    },
    /// Append and `SetRange`: the value's length in bytes now.
    Length(u64),
    /// Add: what is there is no whole number of 64 bits; nothing was changed.
    NotAnInteger,
    /// `AddFloat`: what is there is no number; nothing was changed.
    NotAFloat,
    /// Add and `AddFloat`: the result would be none that can be stored; nothing was changed.
    Overflow,
    /// A write: not applied, because the holder's memory limit is reached.
    Full,
}

/// Why an operation has no answer. Unless it says otherwise it was certainly not applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Not now: joining, slot in dispute, queue full, holder out of reach.
    #[error("{reason}; try again in {} s", retry_after_s(*retry_after))]
    Unavailable {
        /// One sentence part for people, without a full stop.
        reason: Cow<'static, str>,
        /// When trying again makes sense.
        retry_after: Duration,
    },
    /// The operation was sent to the holder and no answer came: it may have been applied. Never sent again by
    /// the node.
    #[error(
        "the holder did not answer in time: the operation may have been applied; read the key to find out"
    )]
    OutcomeUnknown,
    /// The value is larger than the holder accepts.
    #[error("the value is larger than the {limit} bytes that the node that holds this key accepts")]
    TooLarge {
        /// The holder's limit in bytes.
        limit: u64,
    },
    /// What is to be done in one step is more than that may be; nothing of it was.
    #[error("too many keys or bytes for one step: at most {keys} keys and {} MiB", bytes >> 20)]
    StepTooLarge {
        /// The most keys, or commands.
        keys: usize,
        /// The most bytes, places of keys included.
        bytes: u64,
    },
    /// The two keys of [`Action::Rename`](crate::Action::Rename), or those of a transaction, are not of one slot.
    #[error("the keys are not of one slot; give them a common {{tag}} in braces")]
    CrossSlot,
    /// The cursor of a [`KeysQuery`](crate::KeysQuery) is none that a page gave out.
    #[error("this cursor was not handed out by a page of keys; leave it out to start from the beginning")]
    BadCursor,
}

/// Whole seconds for `Retry-After`, rounded up, at least one.
pub(crate) fn retry_after_s(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_rounds_up_and_is_never_zero() {
        assert_eq!(retry_after_s(Duration::ZERO), 1);
        assert_eq!(retry_after_s(Duration::from_millis(1001)), 2);
        assert_eq!(retry_after_s(Duration::MAX), u64::MAX);
    }
}
