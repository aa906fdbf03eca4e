//! What goes into the state machine, and what comes out.

use std::ops::Range;
use std::time::Duration;

use boato_placement::Strategy;

use super::times::Times;
use crate::message::{Answer, Frame, Lane};
use crate::operation::Operation;
use crate::pid::{Epoch, Pid};
use crate::view::Liveness;

/// All slots.
#[expect(clippy::cast_possible_truncation, reason = "16384 fits")]
const ALL_SLOTS: u16 = boato_placement::SLOTS as u16;

/// How a [`Machine`](crate::Machine) behaves.
pub struct Config {
    /// This process.
    pub me: Pid,
    /// Its weight in the table, 0 to 65535.
    pub weight: u16,
    /// Seeds the jitter of retries and the hash of the slots' tables.
    pub seed: u64,
    /// Bytes of entries and tables beyond which writes are refused; `None`: no limit.
    pub max_memory: Option<u64>,
    /// How the table is computed; the same on every node.
    pub strategy: Box<dyn Strategy>,
    /// How long a tombstone is kept: two holders that meet within this time bring no deleted key back.
    /// Default 60 s. Longer costs memory per delete.
    pub healing: Duration,
    /// How long after a change of members a new table is computed; default 50 ms. Longer gathers more changes
    /// into one table, and delays each.
    pub settle: Duration,
    /// Bytes of entries per second that this node sends to others at most; `None`: no limit. The last difference of a
    /// slot that is frozen goes out in spite of it, and counts.
    pub handoff_rate: Option<u64>,
    /// With fewer live members in view, this node included, writes are refused; 0 or 1: never.
    pub min_members: usize,
    /// Which of the 16384 slots this machine looks after, at least one; default all of them. Fewer are for simulations
    /// and model checks, which choose keys that lie in them; the same on every node.
    pub slots: Range<u16>,
    /// The bytes of entries that one chunk of a hand-off aims for, at least 1; default 64 KiB. What is left to be sent
    /// when a slot is frozen fits in one chunk, so smaller ones make for shorter pauses and more round trips.
    pub chunk_bytes: usize,
    /// The deliberate bug in force, if any.
    #[cfg(feature = "canaries")]
    pub canary: Option<crate::Canary>,
    /// The bytes of operations that may wait for slots to settle; beyond it they are answered `Busy`. Default
    /// 64 MiB.
    pub queue_bytes_max: usize,
}

impl Config {
    /// The defaults for `me`, with `seed` for its randomness.
    pub fn new(me: Pid, seed: u64) -> Self {
        Self {
            me,
            weight: 1,
            seed,
            max_memory: None,
            strategy: Box::new(boato_placement::Rendezvous::default()),
            healing: Duration::from_mins(1),
            settle: Duration::from_millis(50),
            handoff_rate: None,
            min_members: 0,
            slots: 0..ALL_SLOTS,
            chunk_bytes: 64 << 10,
            #[cfg(feature = "canaries")]
            canary: None,
            queue_bytes_max: 64 << 20,
        }
    }
}

/// What of a [`Config`] can be changed while a machine runs. The weight is changed by [`Input::Member`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// See [`Config::max_memory`]. A smaller limit removes nothing.
    pub max_memory: Option<u64>,
    /// See [`Config::handoff_rate`].
    pub handoff_rate: Option<u64>,
    /// See [`Config::min_members`].
    pub min_members: usize,
}

/// Something that happened.
#[derive(Debug)]
pub enum Input {
    /// A frame arrived.
    Frame(Frame),
    /// Membership says something of a process; of this one too, if its weight changes.
    Member {
        /// The process.
        pid: Pid,
        /// Its liveness.
        liveness: Liveness,
        /// Its weight.
        weight: u16,
    },
    /// This process may begin a cluster if it sees nobody who has one for `quiet`.
    Eligible {
        /// How long to look around.
        quiet: Duration,
    },
    /// An operation that [`Slots::try_apply`](crate::Slots::try_apply) could not apply. Answered once, by [`Output::Answer`].
    Operate {
        /// Returned with the answer; the caller's to choose, never twice.
        token: u64,
        /// The epoch of the hint that led here.
        used: Option<Epoch>,
        /// When it stops waiting.
        deadline: Duration,
        /// The operation.
        operation: Operation,
    },
    /// Hand everything off. Ends with [`Output::LeaveDone`].
    Leave,
    /// Stop serving, whatever has not been handed off: the time for a leave is over. To be said before the others are
    /// told that this process is gone, who then begin its slots anew.
    Abandon,
    /// Other limits than those of the [`Config`] hold from now on.
    Limits(Limits),
    /// The time of [`Machine::poll_timeout`](crate::Machine::poll_timeout) has come.
    Timeout,
}

impl Input {
    /// What it is, for the log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Frame(_) => "frame",
            Self::Member { .. } => "member",
            Self::Eligible { .. } => "eligible",
            Self::Operate { .. } => "operate",
            Self::Limits(_) => "limits",
            Self::Leave => "leave",
            Self::Abandon => "abandon",
            Self::Timeout => "timeout",
        }
    }
}

/// Something to do.
#[derive(Debug)]
pub enum Output {
    /// Send a frame. It may be lost.
    Send {
        /// To whom.
        to: Pid,
        /// In which order: frames of one lane to one peer should stay in sequence.
        lane: Lane,
        /// What.
        frame: Frame,
    },
    /// Answer an operation.
    Answer {
        /// Of this token.
        token: u64,
        /// The answer.
        answer: Answer,
    },
    /// Tell the operator.
    Event(Event),
    /// The leave is over; this many slots could not be handed off.
    LeaveDone {
        /// Slots still in custody.
        slots_left: usize,
    },
}

/// What an operator may want to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// This node belongs to a cluster now; `began`: it is the first.
    Claimed {
        /// Whether this node began it.
        began: bool,
    },
    /// Slots that had lived on a crashed node were minted empty: their keys are lost.
    SlotsLost {
        /// How many.
        slots: usize,
    },
    /// A member that is alive, as membership says, answers none of this node's greetings: neither takes slots over before they
    /// have met. Told after some seconds, and again every minute.
    Unanswered {
        /// The member.
        pid: Pid,
    },
    /// Another holder turned up, with a higher epoch: this node's entries are being merged into its.
    Merging {
        /// The slot.
        slot: u16,
        /// The other holder.
        winner: Pid,
    },
}

/// What is left to move until this node holds just what the table gives it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Progress {
    /// Slots here that belong elsewhere.
    pub slots_to_give: usize,
    /// Bytes of their entries.
    pub bytes_to_give: usize,
    /// Slots elsewhere, or nowhere, that belong here.
    pub slots_to_take: usize,
}

/// Counts since the start, and gauges.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Stats {
    /// Slots handed to other nodes.
    pub slots_given: u64,
    /// Slots received from other nodes.
    pub slots_taken: u64,
    /// Slots minted empty.
    pub slots_minted: u64,
    /// Slots minted empty that had existed before: their keys are lost.
    pub slots_lost: u64,
    /// Slots merged into another holder's.
    pub slots_merged: u64,
    /// Values given up in merges: of each key of which the other holder had a different one, the earlier.
    /// `docs/protocol.md`, section 7, says what counts.
    pub keys_superseded: u64,
    /// Bytes of entries sent to other nodes.
    pub bytes_given: u64,
    /// How long slots with entries took on their way to other nodes, from the first chunk to the target's word that it has all.
    pub handoffs: Times,
    /// The last part of that: the slot is frozen here and not yet served there.
    pub pauses: Times,
    /// State changes of slots: while it stays the same, so do all states.
    pub transitions: u64,
    /// Slots in custody now.
    pub custody: usize,
    /// Operations waiting now.
    pub queued: usize,
    /// Bytes of operations waiting now.
    pub queued_bytes: usize,
}
