//! What processes say to each other about slots. Section 4 of `docs/protocol.md` lists who answers what.

use boato_storage::{EntryRef, Version};
use bytes::Bytes;
use rkyv::{Archive, Deserialize, Serialize};

use crate::operation::{Effect, Operation};
use crate::pid::{Epoch, Hint, Pid};

/// One entry or tombstone on its way to another node.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Archive, Serialize, Deserialize)]
pub struct Item {
    /// The key.
    pub key: Bytes,
    /// The value; empty for a tombstone.
    pub value: Bytes,
    /// The media type; empty: unspecified.
    pub content_type: Bytes,
    /// `(hlc, node)` of the write.
    pub version: (u64, u128),
    /// Unix milliseconds: when an entry expires, or until when a tombstone is kept.
    pub expires_at_ms: Option<u64>,
    /// Whether this says that the key was deleted.
    pub tombstone: bool,
}

impl Item {
    /// What it adds to a frame beside the bytes of key, value and media type.
    const OVERHEAD: usize = 64;

    /// Bytes it takes in a frame, roughly.
    pub fn bytes(entry: &EntryRef<'_>) -> usize {
        Self::OVERHEAD + entry.key.len() + entry.value.len() + entry.content_type.len()
    }

    /// The entry as storage takes it.
    pub fn as_entry(&self) -> EntryRef<'_> {
        EntryRef {
            key: &self.key,
            value: &self.value,
            content_type: &self.content_type,
            version: Version { hlc: self.version.0, node: self.version.1 },
            expires_at_ms: self.expires_at_ms,
            tombstone: self.tombstone,
        }
    }
}

impl From<EntryRef<'_>> for Item {
    fn from(entry: EntryRef<'_>) -> Self {
        Self {
            key: Bytes::copy_from_slice(entry.key),
            value: Bytes::copy_from_slice(entry.value),
            content_type: Bytes::copy_from_slice(entry.content_type),
            version: (entry.version.hlc, entry.version.node),
            expires_at_ms: entry.expires_at_ms,
            tombstone: entry.tombstone,
        }
    }
}

/// A message about one slot. `xfer` numbers a transfer, `nonce` a claim; both are counted by their maker and
/// strictly increase per slot within its boot.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Archive, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are named after docs/protocol.md, which defines them once")]
pub enum Message {
    /// Asks the holder for the slot.
    Acquire,
    /// Held, but not to be had now.
    Later,
    /// Not held here.
    NotHolder { hint: Option<Hint>, floor: Epoch },
    /// Entries of a transfer.
    Chunk { xfer: u64, seq: u32, items: Vec<Item> },
    /// That chunk is staged.
    ChunkAck { xfer: u64, seq: u32 },
    /// The transfer is over, without result.
    Abort { xfer: u64 },
    /// The source froze the slot for its target; `chunks` make up the whole.
    Commit { xfer: u64, epoch: Epoch, chunks: u32, hlc: u64 },
    /// These chunks are missing for the commit.
    Need { xfer: u64, epoch: Epoch, missing: Vec<u32> },
    /// The target has everything.
    Taken { epoch: Epoch },
    /// The target will never take that commit.
    Refuse { epoch: Epoch, floor: Epoch },
    /// The source has freed its copy: serve.
    Released { epoch: Epoch, floor: Epoch },
    /// The source went on serving: drop the copy.
    Void { epoch: Epoch, floor: Epoch },
    /// The source no longer knows: keep the copy as a fork.
    Forgotten { epoch: Epoch, floor: Epoch },
    /// A claimant asks everybody before it mints.
    WhoHas { nonce: u64 },
    /// Not here, and a promise to take no other way to the slot until the claim ends.
    NotHere { nonce: u64, floor: Epoch, hint: Option<Hint> },
    /// Here, under this epoch.
    Has { nonce: u64, epoch: Epoch },
    /// The claim is over: the promise is released. The floor tells that the slot exists, if it was minted.
    ClaimEnd { nonce: u64, floor: Epoch },
    /// A holder offers the slot to the node that should have it.
    Offer { epoch: Epoch },
    /// A holder says so: to an offer, and for all its slots to a process it meets.
    Holding { epoch: Epoch },
    /// Entries of the lower of two holders, for the higher.
    Merge { xfer: u64, epoch: Epoch, seq: u32, hlc: u64, items: Vec<Item> },
    /// That merge chunk is applied.
    Merged { xfer: u64, seq: u32 },
    /// No holder here to merge into.
    MergeNo { epoch: Epoch, hint: Option<Hint> },
    /// Everything has been merged: the lower holder has let go.
    MergeEnd { epoch: Epoch },
}

impl Message {
    /// Whether it travels with the data, in order, or ahead of it.
    pub fn lane(&self) -> Lane {
        match self {
            Self::Chunk { .. } | Self::Commit { .. } | Self::Merge { .. } => Lane::Bulk,
            _ => Lane::Control,
        }
    }
}

/// Two ordered ways to a peer, so that control never waits behind data.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Lane {
    /// Small messages.
    Control,
    /// Chunks, and the commits that end them.
    Bulk,
}

/// One message for a run of neighbouring slots.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Archive, Serialize, Deserialize)]
pub struct Run {
    /// The first slot.
    pub start: u16,
    /// How many slots, at least 1.
    pub len: u16,
    /// The message, the same for each.
    pub message: Message,
}

/// How far a node is on its way into a cluster. Ordered: a later standing never goes back within a boot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Archive, Serialize, Deserialize)]
pub enum Standing {
    /// Has no cluster and may not begin one.
    Waiting,
    /// Has no cluster; may begin one if nobody else does.
    Eligible,
    /// Belongs to a cluster.
    Claimed,
}

/// Whom a node knows: carried by `WhoHas` (its dead are those the claim excuses), by `NotHere` (its live ones close the
/// circle of those to be asked), and by the answer to [`Greeting::Members`].
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug, Archive, Serialize, Deserialize)]
pub struct Digest {
    /// Not dead.
    pub live: Vec<Pid>,
    /// Dead.
    pub dead: Vec<Pid>,
}

/// What a frame wants back, beside the answers to its messages.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Archive, Serialize, Deserialize)]
pub enum Greeting {
    /// Nothing.
    None,
    /// Any frame: the two meet.
    Hello,
    /// The same, and if the receiver belongs to a cluster, whom it knows: then the sender belongs to it, too.
    Members,
}

/// Everything one process has to say to another at one moment.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Archive, Serialize, Deserialize)]
pub struct Frame {
    /// The sender.
    pub from: Pid,
    /// The boot it is meant for; any other drops it.
    pub to: Pid,
    /// The sender's standing.
    pub standing: Standing,
    /// What the sender wants back.
    pub greeting: Greeting,
    /// Whom the sender knows, where a message needs it, or the receiver has asked.
    pub digest: Option<Digest>,
    /// The messages, in order.
    pub runs: Vec<Run>,
}

/// A request that travels between nodes and is answered once; `B` holds the bytes of its operations.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Archive, Serialize, Deserialize)]
pub enum Request<B = Bytes> {
    /// Apply an operation, or say who can.
    Operate {
        /// The process it is meant for.
        to: Pid,
        /// The epoch of the hint that led here; `None`: the table did.
        used: Option<Epoch>,
        /// How long the operation may wait in a queue, in milliseconds.
        wait_ms: u32,
        /// The operation.
        operation: Operation<B>,
    },
    /// Apply what can be applied at once, in order.
    Batch {
        /// The process it is meant for.
        to: Pid,
        /// The operations.
        operations: Vec<Operation<B>>,
    },
    /// Tell what you hold, slot by slot.
    Status,
    /// Tell how much you hold.
    Load,
}

/// An operation was applied.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Archive, Serialize, Deserialize)]
pub struct Applied {
    /// What came of it.
    pub effect: Effect,
    /// The holder's epoch.
    pub epoch: Epoch,
}

/// The answer to [`Request::Operate`].
#[derive(Clone, PartialEq, Eq, Hash, Debug, Archive, Serialize, Deserialize)]
pub enum Answer {
    /// Applied, under this epoch.
    Done {
        /// What came of it.
        effect: Effect,
        /// The holder's epoch.
        epoch: Epoch,
    },
    /// Not applied: ask there; without a hint, as the table says.
    Moved(Option<Hint>),
    /// Not applied: the queue is full.
    Busy,
    /// Not applied: the time ran out in a queue.
    Expired,
}

/// The state of a run of neighbouring slots in a [`Status`].
#[derive(Clone, PartialEq, Eq, Hash, Debug, Archive, Serialize, Deserialize)]
pub struct SlotRun {
    /// The first slot.
    pub from: u16,
    /// The last slot.
    pub to: u16,
    /// The state's name, as in docs/protocol.md, in lower case.
    pub state: String,
    /// Whether this node has custody of them.
    pub custody: bool,
}

/// What a node holds; the answer to [`Request::Status`].
#[derive(Clone, PartialEq, Eq, Hash, Debug, Archive, Serialize, Deserialize)]
pub struct Status {
    /// Slots in custody.
    pub slots: u32,
    /// Slots this node minted empty, since its start, that had existed before: their keys were lost.
    pub slots_lost: u64,
    /// Live entries and expired ones not yet swept.
    pub entries: u64,
    /// Bytes of entries and tables.
    pub bytes: u64,
    /// Runs of slots that are not `absent`.
    pub runs: Vec<SlotRun>,
}

/// How much a node holds; the answer to [`Request::Load`], which costs nothing to give.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Archive, Serialize, Deserialize)]
pub struct Load {
    /// Slots in custody.
    pub slots: u32,
    /// Bytes of entries and tables.
    pub bytes: u64,
}

/// The answer to a [`Request`].
#[derive(Clone, PartialEq, Eq, Hash, Debug, Archive, Serialize, Deserialize)]
pub enum Response {
    /// To [`Request::Operate`].
    Operate(Answer),
    /// To [`Request::Batch`], for each of its operations; `None`: not applied, nor was anything behind it on the same slot.
    Batch(Vec<Option<Applied>>),
    /// To [`Request::Status`].
    Status(Status),
    /// To [`Request::Load`].
    Load(Load),
}
