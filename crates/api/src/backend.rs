//! The one trait between the front doors and the node.
//!
//! A door parses bytes into a [`Command`], hands it to [`Backend::execute`] and writes the [`Reply`] in its
//! own protocol. When this node holds the key the backend answers [`Execution::Ready`] in the same call: no
//! await, channel or task lies between parse and reply. Everything else (another node holds the key, the slot
//! is moving) is [`Execution::Pending`].

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use serde::Serialize;

/// The node behind the doors.
///
/// Every method is called from a connection's task and must not block; what takes time is a future or a
/// stream.
pub trait Backend: Send + Sync + 'static {
    /// Runs one operation on one key.
    ///
    /// The command borrows from the connection's buffers: a pending execution copies what it keeps. A door
    /// drops a pending execution when its client goes away; an operation that has been sent by then may still
    /// be applied.
    fn execute(&self, command: Command<'_>) -> Execution;

    /// Whether this node has joined and serves keys.
    fn readiness(&self) -> Readiness;

    /// This node in a few figures.
    fn status(&self) -> Status;

    /// Every member this node knows, itself included.
    fn members(&self) -> BoxFuture<'static, Vec<MemberInfo>>;

    /// Who holds which slot.
    fn slots(&self) -> BoxFuture<'static, SlotMap>;

    /// Where a key belongs, by this node's table; asks nobody.
    fn owner(&self, key: &[u8]) -> Owner;

    /// One page of the keys that start with a prefix.
    fn keys(&self, query: KeysQuery<'_>) -> BoxFuture<'static, Result<KeysPage, Failure>>;

    /// What happens from now on. The stream is bounded: a subscriber that is too slow gets an event that says
    /// how many it missed, it never holds the node up.
    fn events(&self) -> BoxStream<'static, Event>;

    /// Starts a graceful leave and returns; the process exits when it is over. Asking again changes nothing.
    ///
    /// # Errors
    /// When this node cannot leave now, with the reason.
    fn leave(&self) -> Result<(), Failure>;
}

/// The version of a stored value: a hybrid logical time and the node that issued it, ordered in that order.
///
/// Its text, `<hlc>-<node>` in lower-case hexadecimal without leading zeros, is the inside of an HTTP entity
/// tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Hybrid logical clock: 48 bits of Unix milliseconds, 16 bits of counter.
    pub hlc: u64,
    /// Id of the node that issued it.
    pub node: u128,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.hlc, self.node)
    }
}

/// A text that no [`Version`] prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a version is two lower-case hexadecimal numbers without leading zeros, joined by '-'")]
pub struct VersionError;

impl FromStr for Version {
    type Err = VersionError;

    /// Accepts exactly what `Display` prints, so that two texts are equal when their versions are.
    fn from_str(text: &str) -> Result<Self, VersionError> {
        let (hlc, node) = text.split_once('-').ok_or(VersionError)?;
        if !is_canonical_hex(hlc) || !is_canonical_hex(node) {
            return Err(VersionError);
        }
        let hlc = u64::from_str_radix(hlc, 16).map_err(|_| VersionError)?;
        let node = u128::from_str_radix(node, 16).map_err(|_| VersionError)?;
        Ok(Version { hlc, node })
    }
}

fn is_canonical_hex(digits: &str) -> bool {
    let lower_hex = digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    !digits.is_empty() && lower_hex && (digits == "0" || !digits.starts_with('0'))
}

/// What must hold of the key's current value for a write to be applied. An expired or deleted value counts as
/// absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
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
}

/// One operation on one key. Keys are any bytes, 1 to 1024 of them.
#[derive(Clone, Debug)]
pub enum Command<'a> {
    /// Read the value.
    Get {
        /// The key.
        key: &'a [u8],
    },
    /// Create or replace the value.
    Put {
        /// The key.
        key: &'a [u8],
        /// The new value; may be empty.
        value: &'a [u8],
        /// Media type to give back on reads, at most 255 bytes, valid in an HTTP header; empty means
        /// `application/octet-stream`.
        content_type: &'a [u8],
        /// Time to live from now on, at most 100 years; `None` keeps the value until it is deleted.
        ttl: Option<Duration>,
        /// Checked and applied in one step.
        condition: Condition,
    },
    /// Remove the value.
    Delete {
        /// The key.
        key: &'a [u8],
        /// Checked and applied in one step.
        condition: Condition,
    },
}

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Get: the value.
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
    /// Get and Delete: there is no value.
    Missing,
    /// Put: there was no value before.
    Created(Version),
    /// Put: there was one.
    Replaced(Version),
    /// Delete: done.
    Deleted,
    /// Put and Delete: the condition did not hold; the current version, if there is a value.
    Refused(Option<Version>),
    /// Put: not applied, because the holder's memory limit is reached.
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
    /// The cursor of a [`KeysQuery`] is none that a page gave out.
    #[error("this cursor was not handed out by a page of keys; leave it out to start from the beginning")]
    BadCursor,
}

/// Whole seconds for `Retry-After`, rounded up, at least one.
pub(crate) fn retry_after_s(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// Whether a node serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Joined and serving.
    Ready,
    /// Not yet, or not any more.
    Unready {
        /// Why, for people and scripts: `joining`, `leaving`, ...
        reason: Cow<'static, str>,
    },
}

/// A node in a few figures, as JSON under `/_/status`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Status {
    /// Node id, hexadecimal.
    pub id: String,
    /// Node name.
    pub name: String,
    /// Cluster name.
    pub cluster: String,
    /// Version of the software.
    pub version: String,
    /// Whether it serves keys.
    pub ready: bool,
    /// Why not, when it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// Address peers reach it at.
    pub quic: String,
    /// Address of its HTTP door.
    pub http: String,
    /// Members alive, itself included.
    pub members: usize,
    /// Slots it holds.
    pub slots: usize,
    /// Live entries it holds.
    pub entries: u64,
    /// Bytes of memory its entries take.
    pub bytes: u64,
    /// Its memory limit in bytes, if it has one.
    pub max_memory: Option<u64>,
    /// What is on the move from and to this node; `None`: nothing.
    pub moving: Option<Moving>,
}

/// Slots on the move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Moving {
    /// Slots this node has and others are to have.
    pub slots_to_give: usize,
    /// Bytes of their entries.
    pub bytes_to_give: u64,
    /// Slots this node is to have and has not yet.
    pub slots_to_take: usize,
    /// Bytes sent per second, over the last few seconds.
    pub bytes_per_s: u64,
    /// Seconds until all is given at this rate; `None` where nothing has been sent or nothing is to be given.
    pub seconds_left: Option<u64>,
}

/// A member, as JSON in the array of `/_/members`.
#[derive(Clone, Debug, Serialize)]
pub struct MemberInfo {
    /// Node id, hexadecimal.
    pub id: String,
    /// Node name.
    pub name: String,
    /// `alive`, `suspect`, `dead` or `left`.
    pub state: &'static str,
    /// Address peers reach it at.
    pub quic: String,
    /// Address of its HTTP door, if it announces one.
    pub http: Option<String>,
    /// Share of the keys it asks for, relative to the others.
    pub weight: u32,
    /// Version of its software.
    pub version: String,
    /// What it holds, as it last said; `None` when it has not said.
    pub load: Option<Load>,
}

/// What a member holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Load {
    /// Slots.
    pub slots: u32,
    /// Bytes of memory its entries take.
    pub bytes: u64,
}

/// All slots, as JSON under `/_/slots`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SlotMap {
    /// Slots whose keys were lost in crashes, as the members alive have counted since they started.
    pub lost: u64,
    /// Runs of equal holder and state, ascending and without gaps.
    pub runs: Vec<SlotRun>,
}

/// A run of slots of one holder and one state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SlotRun {
    /// First slot.
    pub from: u16,
    /// Last slot, inclusive.
    pub to: u16,
    /// Name of the holder, if this node knows one.
    pub holder: Option<String>,
    /// State of these slots as this node sees them.
    pub state: &'static str,
}

/// Where a key belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The key's slot.
    pub slot: u16,
    /// Name of the node the slot is assigned to; `None` before this node has a table.
    pub owner: Option<String>,
}

/// A page of keys to be read.
#[derive(Clone, Copy, Debug)]
pub struct KeysQuery<'a> {
    /// Only keys that start with these bytes; empty means all.
    pub prefix: &'a [u8],
    /// Where the page before ended, as that page said; `None` starts.
    pub cursor: Option<&'a str>,
    /// At most this many keys, 1 to 1000.
    pub limit: usize,
}

/// A page of keys.
///
/// A key that is there from the first page to the last is listed at least once; there is no order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeysPage {
    /// The keys; a page may be empty and not be the last.
    pub keys: Vec<Bytes>,
    /// Where the next page starts, in characters that need no escape in a URL; `None` after the last.
    pub cursor: Option<String>,
}

/// Something that happened, as a server-sent event under `/_/events`.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// Ascending per node.
    pub id: u64,
    /// What: `joined`, `failed`, `slots_lost`, ... without line breaks.
    pub kind: Cow<'static, str>,
    /// The particulars.
    pub data: serde_json::Value,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn version_text_is_canonical() {
        let version = Version { hlc: 0x1a, node: 0 };
        assert_eq!(version.to_string(), "1a-0");
        for other in ["", "-", "1a", "1a-", "-0", "01a-0", "1a-00", "1A-0", "+1-0", "1a-0-0", "1a-0 "] {
            assert_eq!(other.parse::<Version>(), Err(VersionError), "{other:?}");
        }
    }

    #[test]
    fn retry_after_rounds_up_and_is_never_zero() {
        assert_eq!(retry_after_s(Duration::ZERO), 1);
        assert_eq!(retry_after_s(Duration::from_millis(1001)), 2);
        assert_eq!(retry_after_s(Duration::MAX), u64::MAX);
    }

    proptest! {
        #[test]
        fn version_text_round_trips(hlc: u64, node: u128) {
            let version = Version { hlc, node };
            prop_assert_eq!(version.to_string().parse(), Ok(version));
        }
    }
}
