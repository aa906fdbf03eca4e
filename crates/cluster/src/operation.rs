//! What a client may ask of one slot, and its effect: applied under the slot's lock, by its holder, once.

mod action;
mod apply;
mod glob;
mod number;
mod outcome;
mod page;
mod room;
mod slice;

use boato_storage::Entries;
use bytes::Bytes;
use rkyv::{Archive, Deserialize, Serialize};

pub use action::{Action, ExpireWhen, Expiry, Guard};
pub(crate) use apply::Applier;
pub use outcome::{Effect, Outcome, Page};
pub use page::POSITION_BITS;
pub(crate) use slice::Buffer;
pub use slice::Slice;

/// The most keys one [`Operation::List`] returns.
pub const LIST_LIMIT: u32 = 1000;
/// Bytes of keys after which the answer to an [`Operation::List`] ends, though there may be more keys: what has to fit a
/// frame between nodes.
pub const LIST_BYTES: usize = 4 << 20;
/// The most keys one [`Operation::Scan`] is asked to look at.
pub const SCAN_LIMIT: u32 = 1 << 16;
/// The most keys one [`Operation::Flush`] removes.
pub const FLUSH_LIMIT: usize = 4096;
/// The most watched keys of a transaction, and the most steps.
pub const TRANSACTION_LIMIT: usize = 1 << 16;
/// The most bytes that a transaction may take, values and places included: what has to fit a frame between nodes.
pub const TRANSACTION_BYTES_MAX: usize = 12 << 20;
/// The largest value, in bytes: what has to fit a frame between nodes.
pub const VALUE_MAX: usize = 8 << 20;

const KEY_MAX: usize = Entries::MAX_KEY;
const CONTENT_TYPE_MAX: usize = Entries::MAX_CONTENT_TYPE;

/// An operation on one slot; `B` holds its bytes.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Archive, Serialize, Deserialize)]
pub enum Operation<B = Bytes> {
    /// Does something with one key.
    Key(Step<B>),
    /// Lists live keys in byte order.
    List {
        /// The slot.
        slot: u16,
        /// Only keys that begin with this.
        prefix: B,
        /// Only keys after this one.
        after: Option<B>,
        /// At most this many, and no more once they have [`LIST_BYTES`].
        limit: u32,
    },
    /// Lists live keys in the order of a hash that is the same on every node.
    ///
    /// A page costs time proportional to the slot's keys, whatever it returns, so it looks at a 32nd of them at least:
    /// all pages of a slot together cost 32 times its keys at most.
    Scan {
        /// The slot.
        slot: u16,
        /// Where the page before ended, below 2^39; 0 starts.
        position: u64,
        /// About how many keys to look at.
        count: u32,
        /// Only keys that this pattern of Redis' `KEYS` matches.
        pattern: Option<B>,
    },
    /// Counts keys, those that have expired and were not swept yet included.
    Count {
        /// The slot.
        slot: u16,
    },
    /// Removes keys, at most [`FLUSH_LIMIT`], leaving tombstones.
    Flush {
        /// The slot.
        slot: u16,
    },
    /// Does several things in one step, unless a watched key has changed.
    Transaction {
        /// The slot of all its keys.
        slot: u16,
        /// Keys, each with the version `(hlc, node)` it must still have; `None`: it must be absent.
        watched: Vec<(B, Option<(u64, u128)>)>,
        /// In order, each sees what those before it did.
        steps: Vec<Step<B>>,
    },
}

/// An action on a key.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Archive, Serialize, Deserialize)]
pub struct Step<B = Bytes> {
    /// The key, at most 65535 bytes.
    pub key: B,
    /// What to do with it.
    pub action: Action<B>,
}

/// Something in an operation is larger than it may be, or belongs elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Limit;

fn within(len: usize, max: usize) -> Result<(), Limit> {
    if len <= max { Ok(()) } else { Err(Limit) }
}

impl<B> Operation<B> {
    /// An action on a key.
    pub fn on(key: impl Into<B>, action: Action<B>) -> Self {
        Self::Key(Step { key: key.into(), action })
    }

    /// A read of a key's value.
    pub fn get(key: impl Into<B>) -> Self {
        Self::on(key, Action::Get)
    }

    /// Whether it may change anything: such an operation is never sent twice.
    pub fn is_write(&self) -> bool {
        match self {
            Self::Key(step) => step.action.is_write(),
            Self::Transaction { steps, .. } => steps.iter().any(|step| step.action.is_write()),
            Self::Flush { .. } => true,
            Self::List { .. } | Self::Scan { .. } | Self::Count { .. } => false,
        }
    }
}

impl<B: AsRef<[u8]>> Operation<B> {
    /// The key, if it is about one.
    pub(crate) fn key(&self) -> Option<&[u8]> {
        match self {
            Self::Key(step) => Some(step.key.as_ref()),
            _ => None,
        }
    }

    /// The slot it works on.
    #[inline]
    pub fn slot(&self) -> u16 {
        match self {
            Self::Key(step) => boato_placement::slot(step.key.as_ref()),
            Self::List { slot, .. }
            | Self::Scan { slot, .. }
            | Self::Count { slot }
            | Self::Flush { slot }
            | Self::Transaction { slot, .. } => *slot,
        }
    }

    /// Calls `each` with every key that it may change in `entries`.
    pub(crate) fn written_keys(&self, entries: &Entries, now_ms: u64, mut each: impl FnMut(&[u8])) {
        match self {
            Self::Key(step) => step.written_keys(&mut each),
            Self::Transaction { steps, .. } => steps.iter().for_each(|step| step.written_keys(&mut each)),
            Self::Flush { .. } => apply::flushed(entries, now_ms).for_each(|entry| each(entry.key)),
            Self::List { .. } | Self::Scan { .. } | Self::Count { .. } => {}
        }
    }

    /// Bytes that a copy of the slot has to send after this was applied to `entries`, at most.
    pub(crate) fn dirties(&self, entries: &Entries) -> usize {
        match self {
            Self::Key(step) => step.dirties(entries),
            Self::Transaction { steps, .. } => steps.iter().map(|step| step.dirties(entries)).sum(),
            Self::Flush { .. } => entries.len().min(FLUSH_LIMIT) * size_of::<Step>(),
            Self::List { .. } | Self::Scan { .. } | Self::Count { .. } => 0,
        }
    }

    /// Whether it looks at all entries of its slot.
    pub(crate) fn walks(&self) -> bool {
        matches!(self, Self::List { .. } | Self::Scan { .. } | Self::Flush { .. })
    }

    /// Bytes it keeps alive while it waits in a queue.
    pub fn bytes(&self) -> usize {
        let len = |bytes: &B| bytes.as_ref().len();
        size_of::<Self>()
            + match self {
                Self::Key(step) => step.bytes(),
                Self::List { prefix, after, .. } => len(prefix) + after.as_ref().map_or(0, len),
                Self::Scan { pattern, .. } => pattern.as_ref().map_or(0, len),
                Self::Count { .. } | Self::Flush { .. } => 0,
                Self::Transaction { watched, steps, .. } => {
                    let keys: usize = watched.iter().map(|(key, _)| len(key)).sum();
                    let steps_bytes: usize = steps.iter().map(Step::bytes).sum();
                    size_of_val(&**watched) + size_of_val(&**steps) + keys + steps_bytes
                }
            }
    }

    /// Whether everything in it is within its limits, and all its keys are of its slot. What is not is refused by peers.
    pub fn fits(&self) -> bool {
        self.check().is_ok()
    }

    pub(crate) fn check(&self) -> Result<(), Limit> {
        let key_fits = |key: &B| within(key.as_ref().len(), KEY_MAX);
        match self {
            Self::Key(step) => step.check(),
            Self::List { prefix, after, .. } => {
                key_fits(prefix)?;
                after.as_ref().map_or(Ok(()), key_fits)
            }
            Self::Scan { position, pattern, .. } => {
                if position >> POSITION_BITS > 0 {
                    return Err(Limit);
                }
                pattern.as_ref().map_or(Ok(()), key_fits)
            }
            Self::Count { .. } | Self::Flush { .. } => Ok(()),
            Self::Transaction { slot, watched, steps } => {
                within(watched.len().max(steps.len()), TRANSACTION_LIMIT)?;
                within(self.bytes(), TRANSACTION_BYTES_MAX)?;
                watched.iter().try_for_each(|(key, _)| {
                    key_fits(key)?;
                    belongs(key.as_ref(), *slot)
                })?;
                steps.iter().try_for_each(|step| {
                    belongs(step.key.as_ref(), *slot)?;
                    step.check()
                })
            }
        }
    }

    /// A copy that borrows nothing.
    pub fn to_bytes(&self) -> Operation {
        self.map(|bytes| Bytes::copy_from_slice(bytes.as_ref()))
    }

    /// The same, borrowing its bytes.
    pub fn as_slices(&self) -> Operation<Slice<'_>> {
        self.map(|bytes| Slice(bytes.as_ref()))
    }
}

impl<B> Operation<B> {
    /// The same with other bytes.
    fn map<'a, C>(&'a self, copy: impl Fn(&'a B) -> C) -> Operation<C> {
        let copy = &copy;
        match self {
            Self::Key(step) => Operation::Key(step.map(copy)),
            Self::List { slot, prefix, after, limit } => Operation::List {
                slot: *slot,
                prefix: copy(prefix),
                after: after.as_ref().map(copy),
                limit: *limit,
            },
            Self::Scan { slot, position, count, pattern } => Operation::Scan {
                slot: *slot,
                position: *position,
                count: *count,
                pattern: pattern.as_ref().map(copy),
            },
            Self::Count { slot } => Operation::Count { slot: *slot },
            Self::Flush { slot } => Operation::Flush { slot: *slot },
            Self::Transaction { slot, watched, steps } => Operation::Transaction {
                slot: *slot,
                watched: watched.iter().map(|(key, version)| (copy(key), *version)).collect(),
                steps: steps.iter().map(|step| step.map(copy)).collect(),
            },
        }
    }
}

impl<B> Step<B> {
    fn map<'a, C>(&'a self, copy: impl Fn(&'a B) -> C) -> Step<C> {
        Step { key: copy(&self.key), action: self.action.map(copy) }
    }
}

impl<B: AsRef<[u8]>> Step<B> {
    fn written_keys(&self, each: &mut impl FnMut(&[u8])) {
        if let Action::Rename { to, keep, .. } = &self.action {
            each(to.as_ref());
            if *keep {
                return;
            }
        }
        if self.action.is_write() {
            each(self.key.as_ref());
        }
    }

    fn dirties(&self, entries: &Entries) -> usize {
        if !self.action.is_write() {
            return 0;
        }
        let stored = entries.peek(self.key.as_ref()).map_or(0, |entry| entry.value.len());
        self.key.as_ref().len() + self.action.bytes() + self.action.leaves(stored)
    }

    fn bytes(&self) -> usize {
        self.key.as_ref().len() + self.action.bytes()
    }

    /// Whether everything in it is within its limits, see [`Operation::fits`].
    pub fn fits(&self) -> bool {
        self.check().is_ok()
    }

    fn check(&self) -> Result<(), Limit> {
        within(self.key.as_ref().len(), KEY_MAX)?;
        if let Action::Rename { to, .. } = &self.action {
            belongs(to.as_ref(), boato_placement::slot(self.key.as_ref()))?;
        }
        self.action.check()
    }
}

fn belongs(key: &[u8], slot: u16) -> Result<(), Limit> {
    if boato_placement::slot(key) == slot { Ok(()) } else { Err(Limit) }
}
