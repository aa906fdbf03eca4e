//! The state of one slot on one node. It lives in storage beside the slot's entries, under the same lock, so
//! that checking it and applying an operation are one step.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use boato_storage::Entries;

use crate::intake::Intake;
use crate::operation::Operation;
use crate::pid::{Epoch, Hint, Pid};
use crate::transfer::Transfer;

/// Where a slot stands on this node. Section 3 of `docs/protocol.md` is the table of its transitions.
#[derive(Clone, Hash, Debug, Default)]
pub enum State {
    /// Not here.
    #[default]
    Absent,
    /// Asking a holder for it; entries that arrive are staged in storage and not served.
    Asking(Asking),
    /// Asking everybody whether they have it, to mint it if nobody does.
    Claiming(Claiming),
    /// Everything has arrived; not served until the source has let go.
    Ready {
        /// The source.
        source: Pid,
        /// The epoch that begins when the source lets go.
        epoch: Epoch,
    },
    /// Held and served.
    Held {
        /// Its epoch.
        epoch: Epoch,
    },
    /// Held and served while its entries are streamed to a target, or to a holder with a higher epoch.
    Copying(Box<Giving>),
    /// Frozen: the target has or will have everything.
    Committing(Box<Giving>),
    /// Frozen: a holder with a higher epoch is taking the last of our entries in.
    Merging(Box<Giving>),
}

/// What a node that asks has got so far.
#[derive(Clone, Hash, Debug)]
pub struct Asking {
    /// The node asked.
    pub source: Pid,
    /// It has offered the slot: by its table it should be here, whatever this node's own table says.
    pub offered: bool,
    /// What has been staged.
    pub staging: Option<Staging>,
}

/// Chunks that have arrived.
#[derive(Clone, Hash, Debug)]
pub struct Staging {
    /// Of this transfer.
    pub xfer: u64,
    /// Their numbers.
    pub received: BTreeSet<u32>,
    /// When the last one came.
    pub progress_at: Duration,
}

/// A claim under way.
#[derive(Clone, Hash, Debug)]
pub struct Claiming {
    /// Its number.
    pub nonce: u64,
    /// Who answered "not here".
    pub answered: BTreeSet<Pid>,
    /// The highest floor of the answers.
    pub floor: Epoch,
}

/// A slot on its way to another node.
#[derive(Clone, Hash, Debug)]
pub struct Giving {
    /// The epoch under which it is held here.
    pub epoch: Epoch,
    /// Who gets it.
    pub target: Pid,
    /// Why.
    pub purpose: Purpose,
    /// Committing: the epoch that the target activates. With [`Purpose::Merge`]: the epoch of the holder that merges.
    pub next: Epoch,
    /// Whether it counts among the slots with entries on their way.
    pub(crate) counted: bool,
    /// Bytes sent since it was frozen.
    pub(crate) frozen: usize,
    /// Bytes that may still be written, less than none after a large write, where writes have to keep to half the
    /// pace of the copy; `None`: they need not.
    pub(crate) allowance: Option<isize>,
    /// When it began, and when the slot was frozen.
    pub(crate) began_at: Duration,
    pub(crate) frozen_at: Duration,
    /// What has been sent.
    pub transfer: Transfer,
}

/// Why a slot is on its way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Purpose {
    /// The target is to hold it.
    HandOver,
    /// The target holds it already, under a higher epoch, and merges our entries into its own.
    Merge,
}

/// The last commit this node made that came to an end.
#[derive(Clone, Copy, Hash, Debug)]
pub struct Ended {
    /// Its target.
    pub target: Pid,
    /// The epoch it carried.
    pub epoch: Epoch,
    /// Whether the slot went over; otherwise this node went on serving.
    pub released: bool,
}

/// An operation that waits for the slot to settle.
#[derive(Clone, Hash, Debug)]
pub struct Queued {
    /// Whose it is.
    pub token: u64,
    /// The epoch of the hint that led here.
    pub used: Option<Epoch>,
    /// When it stops waiting.
    pub deadline: Duration,
    /// What to do.
    pub operation: Operation,
}

/// The part of a slot that this crate adds to its entries.
#[derive(Clone, Hash, Debug)]
#[repr(C)]
pub struct Header {
    /// First, beside the entries: all that an operation on a slot at rest looks at.
    pub(crate) state: State,
    /// The highest epoch seen or made here; never decreases.
    pub(crate) floor: Epoch,
    pub(crate) hint: Option<Hint>,
    /// The claimant and nonce that were told "not here".
    pub(crate) promised: Option<(Pid, u64)>,
    pub(crate) out: Option<Ended>,
    /// Source and epoch of the last commit taken.
    pub(crate) taken: Option<(Pid, Epoch)>,
    /// What lower holders are merging into this copy.
    pub(crate) intakes: BTreeMap<Pid, Intake>,
    /// The last transfer number or nonce used for this slot.
    pub(crate) serial: u64,
    /// Whether the guess from the table was tried since the slot was last in custody.
    pub(crate) guessed: bool,
    /// Whether it was handed over since this node's table last named another target for it.
    pub(crate) handed_on: bool,
    pub(crate) queue: VecDeque<Queued>,
    pub(crate) retry: Retry,
}

/// When a slot acts by itself again.
#[derive(Clone, Copy, Hash, Debug, Default)]
pub struct Retry {
    /// The moment; `None`: only when something happens.
    pub at: Option<Duration>,
    /// How often it has been tried in this state.
    pub attempts: u32,
}

impl Default for Header {
    fn default() -> Self {
        Self {
            state: State::Absent,
            floor: Epoch::ZERO,
            hint: None,
            promised: None,
            out: None,
            taken: None,
            intakes: BTreeMap::new(),
            serial: 0,
            guessed: false,
            handed_on: false,
            queue: VecDeque::new(),
            retry: Retry::default(),
        }
    }
}

impl Header {
    /// The slot's state.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The highest epoch seen or made here; [`Epoch::ZERO`]: nothing says that this slot has ever existed.
    pub fn floor(&self) -> Epoch {
        self.floor
    }

    /// Where the slot was last known to be, if not here.
    pub fn hint(&self) -> Option<Hint> {
        self.hint
    }

    /// The claimant that was told "not here".
    pub fn promised(&self) -> Option<Pid> {
        self.promised.map(|(claimant, _)| claimant)
    }

    /// The last hand-over that was taken, and not void: from whom, and the epoch it brought.
    pub fn taken(&self) -> Option<(Pid, Epoch)> {
        self.taken
    }

    /// The epoch under which operations are served here now; `None`: they are not.
    #[inline]
    pub fn serving(&self) -> Option<Epoch> {
        match &self.state {
            State::Held { epoch } => Some(*epoch),
            State::Copying(giving) => Some(giving.epoch),
            _ => None,
        }
    }

    /// The epoch of the copy this node is responsible for, served or not.
    pub fn custody(&self) -> Option<Epoch> {
        match &self.state {
            State::Held { epoch } | State::Ready { epoch, .. } => Some(*epoch),
            State::Copying(giving) | State::Committing(giving) | State::Merging(giving) => Some(giving.epoch),
            State::Absent | State::Asking(_) | State::Claiming(_) => None,
        }
    }

    /// Whether its entries are being copied while it is served.
    #[inline]
    pub(crate) fn is_copied(&self) -> bool {
        matches!(self.state, State::Copying(_))
    }

    /// Notes that a key was written while its slot is being copied.
    #[inline]
    pub fn mark_written(&mut self, key: &[u8]) {
        if let State::Copying(giving) = &mut self.state {
            giving.transfer.mark(key);
        }
    }

    /// Whether a write has to wait because the copy of its slot could not catch up otherwise.
    #[inline]
    pub(crate) fn slows<B>(&self, operation: &Operation<B>) -> bool {
        self.slows_writes() && operation.is_write()
    }

    /// The same for any write.
    #[inline]
    pub(crate) fn slows_writes(&self) -> bool {
        matches!(&self.state, State::Copying(giving) if giving.allowance.is_some())
    }

    /// Lets a write that waited for the copy go, if enough of the copy has arrived meanwhile.
    pub(crate) fn admit(&mut self, operation: &Operation, entries: &Entries) -> bool {
        match &mut self.state {
            State::Copying(giving) if operation.is_write() => match &mut giving.allowance {
                Some(allowance) if *allowance <= 0 => false,
                Some(allowance) => {
                    *allowance = allowance.saturating_sub_unsigned(operation.dirties(entries));
                    true
                }
                None => true,
            },
            _ => true,
        }
    }

    pub(crate) fn raise_floor(&mut self, epoch: Epoch) {
        self.floor = self.floor.max(epoch);
    }

    /// A number for a new transfer or claim: `batch` unless this slot has used that already.
    pub(crate) fn next_serial(&mut self, batch: u64) -> u64 {
        self.serial = batch.max(self.serial + 1);
        self.serial
    }

    /// What to do with an operation that came by a hint of epoch `used`.
    pub(crate) fn disposition(&self, used: Option<Epoch>, target_is_me: bool) -> Disposition {
        match &self.state {
            State::Held { .. } | State::Copying(_) => Disposition::Serve,
            State::Ready { .. } | State::Committing(_) | State::Merging(_) | State::Claiming(_) => {
                Disposition::Wait
            }
            State::Asking(_) => match self.hint {
                Some(hint) if Some(hint.epoch) > used => Disposition::Route(Some(hint)),
                _ => Disposition::Wait,
            },
            State::Absent => match self.hint {
                None if target_is_me => Disposition::Wait,
                hint => Disposition::Route(hint),
            },
        }
    }
}

/// Where an operation goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Disposition {
    /// Apply it here.
    Serve,
    /// Keep it until the slot settles.
    Wait,
    /// Elsewhere: by this hint, or else by the table.
    Route(Option<Hint>),
}

impl State {
    pub(crate) fn giving(&self) -> Option<&Giving> {
        match self {
            Self::Copying(giving) | Self::Committing(giving) | Self::Merging(giving) => Some(giving),
            _ => None,
        }
    }

    pub(crate) fn giving_mut(&mut self) -> Option<&mut Giving> {
        match self {
            Self::Copying(giving) | Self::Committing(giving) | Self::Merging(giving) => Some(giving),
            _ => None,
        }
    }

    /// All names.
    pub const NAMES: [&'static str; 8] =
        ["absent", "asking", "claiming", "ready", "held", "copying", "committing", "merging"];

    /// Its name in documents, metrics and answers, one of [`Self::NAMES`].
    pub fn name(&self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Asking(_) => "asking",
            Self::Claiming(_) => "claiming",
            Self::Ready { .. } => "ready",
            Self::Held { .. } => "held",
            Self::Copying(_) => "copying",
            Self::Committing(_) => "committing",
            Self::Merging(_) => "merging",
        }
    }
}
