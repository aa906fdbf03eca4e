//! What came out of a run.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use boato_cluster::Pid;
use serde::Serialize;

use super::fault::Fault;
use crate::TraceHash;
use crate::check;

/// The result of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// Everything random followed from it.
    pub seed: u64,
    /// Fingerprint of the run.
    pub trace_hash: TraceHash,
    /// Virtual time from the start to the end.
    pub simulated: Duration,
    /// Time that nodes ran, summed, in seconds.
    pub node_seconds: f64,
    /// What happened: messages received, wakes, starts and stops.
    pub happened: u64,
    /// Operations of clients.
    pub operations: Operations,
    /// Faults by kind.
    pub faults: BTreeMap<Fault, u64>,
    /// Slots handed from node to node.
    pub hand_offs: u64,
    /// Slots merged into another holder's.
    pub merges: u64,
    /// Values of clients that merges gave up, as the nodes counted them.
    pub superseded: u64,
    /// Slots lost in crashes, as the nodes counted them.
    pub slots_lost: u64,
    /// Writes that nodes refused, as they had too few members in view.
    pub too_few: u64,
    /// Whether a living process was considered dead, or two clusters met.
    pub forked: bool,
    /// How long acknowledged operations took.
    pub waits: Waits,
    /// From the end of the faults until every slot was held by its target.
    pub settled_after: Option<Duration>,
    /// Histories that were too tangled to be judged with bounded effort.
    pub undecided: u64,
    /// What was found.
    pub verdict: Result<(), Violation>,
}

/// Operations by kind and outcome.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize)]
pub struct Operations {
    /// Reads.
    pub get: Outcomes,
    /// Unconditional writes.
    pub put: Outcomes,
    /// Deletes.
    pub delete: Outcomes,
    /// Conditional writes.
    pub swap: Outcomes,
    /// Increments.
    pub add: Outcomes,
}

impl Operations {
    /// How many were acknowledged.
    pub fn acknowledged(&self) -> u64 {
        let kinds = [self.get, self.put, self.delete, self.swap, self.add];
        kinds.iter().map(|kind| kind.done + kind.refused).sum()
    }
}

/// Operations of one kind by outcome.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize)]
pub struct Outcomes {
    /// Applied.
    pub done: u64,
    /// Not applied, as their condition did not hold.
    pub refused: u64,
    /// Not applied: nobody served the slot.
    pub unavailable: u64,
    /// Perhaps applied.
    pub unknown: u64,
}

/// How long acknowledged operations took; `None` if there were none.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Waits {
    /// Median.
    pub p50: Option<Duration>,
    /// 99th percentile.
    pub p99: Option<Duration>,
    /// The longest.
    pub max: Option<Duration>,
}

/// A promise that was broken.
#[derive(Clone, Debug)]
pub enum Violation {
    /// Something happened that must never happen.
    Safety(Safety),
    /// Something that must happen did not, in its time.
    Liveness(Liveness),
}

/// What must never happen.
#[derive(Clone, Debug)]
pub enum Safety {
    /// The answers of clients about one key cannot be explained.
    History {
        /// The key.
        key: String,
        /// Its slot.
        slot: u16,
        /// What was found.
        violation: Box<check::Violation>,
    },
    /// Two processes, or none, or the wrong one, held a slot.
    Holders(Box<check::Violation>),
    /// A process let go of the last copy of a slot.
    CopyDropped {
        /// When.
        at: Duration,
        /// The slot.
        slot: u16,
        /// Who.
        pid: Pid,
    },
    /// A slot was begun anew though no crash had taken it.
    MintedAgain {
        /// When.
        at: Duration,
        /// The slot.
        slot: u16,
        /// By whom.
        pid: Pid,
    },
    /// A process serves a slot of which there is another copy.
    NotAlone {
        /// When.
        at: Duration,
        /// The slot.
        slot: u16,
        /// Who serves it.
        pid: Pid,
        /// How many copies there are.
        copies: usize,
    },
    /// A process serves on under an epoch that does not exceed the one it announced for another.
    EpochReused {
        /// When.
        at: Duration,
        /// The slot.
        slot: u16,
        /// Who.
        pid: Pid,
        /// The counter of the epoch under which it serves.
        under: u64,
        /// The counter of what it had announced.
        announced: u64,
    },
    /// A leaver went with slots, though it had time and others to take them.
    LeftSlots {
        /// When.
        at: Duration,
        /// Who.
        host: u32,
        /// How many.
        slots: usize,
    },
    /// An operation was sent from node to node more often than it may.
    Wanders {
        /// When.
        at: Duration,
        /// From whom.
        host: u32,
    },
    /// Lost slots were not counted, or others were.
    Miscounted {
        /// Slots that crashes took.
        lost: u64,
        /// What the nodes said.
        counted: u64,
    },
    /// A value was read long after its time to live.
    Outlived {
        /// The key.
        key: String,
        /// The value.
        value: u64,
        /// How long after its time.
        late: Duration,
    },
    /// A value was gone long before its time to live was over.
    DiedEarly {
        /// The key.
        key: String,
        /// The value.
        value: u64,
        /// When it was missed.
        at: Duration,
    },
    /// A value was read that another had replaced before.
    WentBack {
        /// The key.
        key: String,
        /// What was read.
        value: u64,
        /// What had replaced it.
        newer: u64,
        /// When it was read.
        at: Duration,
    },
    /// A node refused the message of another.
    Refused(String),
    /// A node applied a write though it had fewer members in view than it needs.
    WroteAmongFew {
        /// When.
        at: Duration,
        /// Who.
        host: u32,
        /// How many members it had in view, itself included.
        members: usize,
        /// How many it needs.
        needed: u32,
    },
    /// Of the nodes that found each other at the start, two began a cluster.
    BegunTwice {
        /// When.
        at: Duration,
        /// The second one.
        host: u32,
        /// The first one.
        first: u32,
    },
}

/// What did not happen in its time.
#[derive(Clone, Debug)]
pub enum Liveness {
    /// The faults are over, and still something stands in the way.
    NotSettled {
        /// How long after.
        after: Duration,
        /// What.
        reasons: Vec<String>,
    },
    /// An operation was not answered in its time.
    Late {
        /// When it was, or was given up.
        at: Duration,
        /// Its number.
        call: u64,
        /// The host that was asked.
        host: u32,
        /// How long it waited while that host did not stand still.
        after: Duration,
    },
    /// All is calm, and still a key could not be read.
    Unreadable {
        /// The key.
        key: String,
        /// At which host.
        host: u32,
        /// What was answered.
        answer: String,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Safety(safety) => write!(f, "safety: {safety}"),
            Self::Liveness(liveness) => write!(f, "liveness: {liveness}"),
        }
    }
}

impl fmt::Display for Safety {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::History { key, slot, violation } => write!(f, "key {key} in slot {slot}: {violation}"),
            Self::Holders(violation) => violation.fmt(f),
            Self::CopyDropped { at, slot, pid } => {
                write!(f, "{at:?}: {pid} let go of slot {slot}, and nobody else had it")
            }
            Self::MintedAgain { at, slot, pid } => {
                write!(f, "{at:?}: {pid} began slot {slot} anew, though no crash had taken it")
            }
            Self::NotAlone { at, slot, pid, copies } => {
                write!(f, "{at:?}: {pid} serves slot {slot}, of which there are {copies} copies")
            }
            Self::EpochReused { at, slot, pid, under, announced } => {
                write!(f, "{at:?}: {pid} serves slot {slot} as {under}, but had announced {announced}")
            }
            Self::LeftSlots { at, host, slots } => {
                write!(f, "{at:?}: host {host} left with {slots} slots, though it had time and heirs")
            }
            Self::Wanders { at, host } => write!(f, "{at:?}: host {host} sends an operation on and on"),
            Self::Miscounted { lost, counted } => {
                write!(f, "{lost} slots were lost in crashes, {counted} were counted")
            }
            Self::Outlived { key, value, late } => {
                write!(f, "key {key}: {value} was read {late:?} after its time to live")
            }
            Self::DiedEarly { key, value, at } => {
                write!(f, "key {key}: {value} was gone at {at:?}, before its time to live was over")
            }
            Self::WentBack { key, value, newer, at } => {
                write!(f, "key {key}: {value} was read at {at:?}, which {newer} had replaced")
            }
            Self::Refused(error) => write!(f, "a node refused the message of another: {error}"),
            Self::WroteAmongFew { at, host, members, needed } => {
                write!(f, "{at:?}: host {host} wrote with {members} members in view, and needs {needed}")
            }
            Self::BegunTwice { at, host, first } => {
                write!(f, "{at:?}: host {host} began a cluster, as host {first} had, which it could ask")
            }
        }
    }
}

impl fmt::Display for Liveness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSettled { after, reasons } => {
                write!(f, "not settled {after:?} after the last fault:")?;
                reasons.iter().try_for_each(|reason| write!(f, "\n  {reason}"))
            }
            Self::Late { at, call, host, after } => {
                write!(f, "{at:?}: call {call} waits at host {host} for {after:?}")
            }
            Self::Unreadable { key, host, answer } => {
                write!(f, "key {key} cannot be read at host {host}: {answer}")
            }
        }
    }
}
