//! What a small cluster begins with and what may happen to it.

use std::ops::Range;
use std::sync::OnceLock;

use bytes::Bytes;

/// Something that happens once, after the step before it, at any moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// A node starts and is told of everybody, everybody of it.
    Join(u8),
    /// A node starts that may begin a cluster; it and the others are told of each other.
    Begin(u8),
    /// Members of different clusters are told of each other.
    Meet,
    /// A node is asked to leave.
    Leave(u8),
    /// The deadline of a leave: a node stops serving, and the others are told that it is gone. It runs on until it
    /// crashes.
    Abandon(u8),
    /// A node gets another weight.
    Weight(u8, u16),
    /// A node ends without a word; the others are told so.
    Crash(u8),
    /// A crashed node starts anew.
    Restart(u8),
    /// One node takes another for dead, which lives.
    FalseDeath {
        /// Who is wrong.
        at: u8,
        /// Who lives.
        of: u8,
    },
    /// All are told who lives.
    Heal,
    /// Time passes: times to live end, tombstones are no longer kept.
    Later,
}

/// An operation of a client, at any node, on one of three keys: 0 and 1 lie in the first slot, key 2 in the second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the number of the key, and the value written")]
pub enum Call {
    Get(usize),
    Put(usize, u64),
    /// The value lives until [`Step::Later`].
    PutFor(usize, u64),
    Create(usize, u64),
    Delete(usize),
}

impl Call {
    /// The number of its key.
    pub fn key(self) -> usize {
        match self {
            Self::Get(key)
            | Self::Put(key, _)
            | Self::PutFor(key, _)
            | Self::Create(key, _)
            | Self::Delete(key) => key,
        }
    }
}

/// What is explored. A node of a higher weight is the target of all slots, at equal weights that with the higher
/// number, unless slots are `apart`.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each lets something more happen")]
pub struct Script {
    /// Its name.
    pub name: &'static str,
    /// Nodes 1 to this many are settled members at the start.
    pub members: u8,
    /// The node after these has a cluster of its own at the start.
    pub stranger: bool,
    /// Whether there is a second slot.
    pub second_slot: bool,
    /// Whether the second slot belongs to the node after the one that owns the first, by weight and number.
    pub apart: bool,
    /// With fewer live members in view a node refuses writes.
    pub min_members: usize,
    /// What happens, in order, at any moment.
    pub steps: Vec<Step>,
    /// The calls of each client, one after the other.
    pub clients: Vec<Vec<Call>>,
    /// Keys that exist at the start, with the value 1.
    pub stored: Vec<usize>,
    /// The bytes one chunk aims for: 1 makes a chunk of every key, and a round of every write during a copy.
    pub chunk_bytes: usize,
    /// Whether a node's table follows its members in a step of its own.
    pub late_table: bool,
    /// How many messages arrive twice.
    pub duplicates: u8,
    /// How many answers of living peers get lost.
    pub lost_answers: u8,
    /// Whether waiting operations may run out of time.
    pub impatient: bool,
    /// Whether a cluster may be begun before membership has told all it knows.
    pub hasty: bool,
    /// Whether a process may stand still when it is time to begin a cluster.
    pub stops: bool,
    /// Whether copies may be given up for lack of progress.
    pub stuck: bool,
    /// Messages in flight; beyond it some are lost.
    pub packets_max: usize,
    /// States with a higher epoch are not explored further.
    pub epoch_max: u64,
    /// States with more transfers and claims at one node are not explored further.
    pub serial_max: u64,
}

impl Script {
    /// A settled cluster of so many, and nothing happens.
    pub fn new(name: &'static str, members: u8) -> Self {
        Self {
            name,
            members,
            stranger: false,
            second_slot: false,
            apart: false,
            min_members: 0,
            steps: Vec::new(),
            clients: Vec::new(),
            stored: vec![0],
            chunk_bytes: 64 << 10,
            late_table: false,
            duplicates: 0,
            lost_answers: 0,
            impatient: false,
            hasty: false,
            stops: false,
            stuck: false,
            packets_max: 4,
            epoch_max: 7,
            serial_max: 3,
        }
    }

    /// The slots that there are.
    pub(super) fn slots(&self) -> Range<u16> {
        FIRST_SLOT..FIRST_SLOT + 1 + u16::from(self.second_slot)
    }
}

/// The last slot of one range: the second lies in another.
#[expect(clippy::cast_possible_truncation, reason = "8 fits")]
pub(super) const FIRST_SLOT: u16 = boato_placement::SLOTS_PER_RANGE as u16 - 1;

/// Where a slot is in lists with one place for each.
pub(super) fn nth(slot: u16) -> usize {
    usize::from(slot - FIRST_SLOT)
}

/// Two keys of the first slot and one of the second.
pub(super) fn keys() -> &'static [(Bytes, u16); 3] {
    static KEYS: OnceLock<[(Bytes, u16); 3]> = OnceLock::new();
    KEYS.get_or_init(|| {
        let of = |wanted| {
            (0..)
                .map(|n: u32| Bytes::from(format!("k{n}")))
                .filter(move |key| boato_placement::slot(key) == wanted)
        };
        let mut first = of(FIRST_SLOT);
        let mut key = || first.next().expect("invariant: every slot has keys");
        let other = of(FIRST_SLOT + 1).next().expect("invariant: every slot has keys");
        [(key(), FIRST_SLOT), (key(), FIRST_SLOT), (other, FIRST_SLOT + 1)]
    })
}
