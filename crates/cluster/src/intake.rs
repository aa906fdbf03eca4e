//! The winner's side of a merge: what the other holder has sent of a slot, so that what the two give up is counted
//! once, however often it is sent.

use std::collections::BTreeMap;
use std::time::Duration;

use boato_storage::{EntryRef, Version};
use bytes::Bytes;

use crate::pid::Epoch;
use crate::time::Now;

/// A merge of which nothing was heard for so long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(1);

/// What one process, the lower of two holders, has sent of a slot under one epoch: a record per key, until that
/// holder has let go.
#[derive(Clone, Hash, Debug)]
pub(crate) struct Intake {
    epoch: Epoch,
    met: BTreeMap<Bytes, Met>,
    over: bool,
    /// When something was heard last, by the clock that nobody sets.
    heard_at: Duration,
}

/// The last version of a key that the other side has sent.
#[derive(Clone, Copy, Hash, Debug)]
struct Met {
    theirs: Version,
    /// This side kept a later one of its own: each side goes on with what it has.
    apart: bool,
}

/// What comes of an entry that was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Meeting {
    /// It has been here before, or a later one of that side has.
    Known,
    /// Nothing is given up: this side has nothing, or the same, or what the other side had before.
    Agreed,
    /// Each side has one of its own, and the earlier is given up.
    Apart {
        /// Which one.
        gone: Version,
        /// Whether the two sides stood like that already, so that it has been counted.
        again: bool,
    },
}

impl Intake {
    /// Nothing yet from a holder under `epoch`.
    pub(crate) fn new(epoch: Epoch) -> Self {
        Self { epoch, met: BTreeMap::new(), over: false, heard_at: Duration::ZERO }
    }

    /// Whether this is the merge from the holder under `epoch`.
    pub(crate) fn is_of(&self, epoch: Epoch) -> bool {
        self.epoch == epoch
    }

    /// Whether what was sent under `epoch` is late: the holder has let go, or goes on under a higher one.
    pub(crate) fn is_past(&self, epoch: Epoch) -> bool {
        self.epoch > epoch || self.epoch == epoch && self.over
    }

    /// An entry of the other side meets what is stored here under its key. Expired ones are not given up.
    pub(crate) fn meet(&mut self, sent: &EntryRef<'_>, stored: Option<&EntryRef<'_>>, now: Now) -> Meeting {
        self.heard_at = now.at;
        let theirs = sent.version;
        let before = self.met.get(sent.key).copied();
        if before.is_some_and(|met| met.theirs >= theirs) {
            return Meeting::Known;
        }
        let is_own = |version| version != theirs && before.is_none_or(|met| met.theirs != version);
        let own = stored.filter(|stored| is_own(stored.version));
        let gone = own.map(|own| if own.version > theirs { sent } else { own });
        let gone = gone.filter(|gone| gone.expires_at_ms.is_none_or(|at| at > now.unix_ms));
        let apart = gone.is_some_and(|gone| gone.version == theirs);
        if let Some(met) = self.met.get_mut(sent.key) {
            *met = Met { theirs, apart };
        } else {
            self.met.insert(Bytes::copy_from_slice(sent.key), Met { theirs, apart });
        }
        match gone {
            Some(gone) => Meeting::Apart { gone: gone.version, again: before.is_some_and(|met| met.apart) },
            None => Meeting::Agreed,
        }
    }

    /// The other side has let go of what it held under `epoch`.
    pub(crate) fn end(&mut self, epoch: Epoch) {
        if self.is_of(epoch) {
            self.over = true;
            self.met.clear();
        }
    }

    /// Whether something was heard of this merge not long ago.
    pub(crate) fn is_recent(&self, now: Now) -> bool {
        self.heard_at + FORGOTTEN_AFTER > now.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pid::Pid;

    const EPOCH: Epoch = Epoch { counter: 3, pid: Pid { node: 1, boot: 1 } };
    const NOW: Now = Now { at: Duration::from_secs(5), unix_ms: 1_000 };

    fn entry(hlc: u64) -> EntryRef<'static> {
        EntryRef {
            key: b"key",
            value: b"",
            content_type: b"",
            version: Version { hlc, node: 1 },
            expires_at_ms: None,
            tombstone: false,
        }
    }

    /// What comes of versions `(sent, stored)`, one after the other: which is given up, and whether again.
    fn meet<const N: usize>(versions: [(u64, Option<u64>); N]) -> [Option<(u64, bool)>; N] {
        let mut intake = Intake::new(EPOCH);
        versions.map(|(sent, stored)| match intake.meet(&entry(sent), stored.map(entry).as_ref(), NOW) {
            Meeting::Apart { gone, again } => Some((gone.hlc, again)),
            Meeting::Known | Meeting::Agreed => None,
        })
    }

    #[test]
    fn of_two_values_the_earlier_is_given_up_once() {
        assert_eq!(meet([(1, None)]), [None], "the key is only there");
        assert_eq!(meet([(1, Some(1))]), [None], "it has not changed");
        assert_eq!(meet([(2, Some(1)), (2, Some(2))]), [Some((1, false)), None]);
        assert_eq!(meet([(1, Some(2)), (1, Some(2)), (1, Some(5))]), [Some((1, false)), None, None]);
    }

    #[test]
    fn what_the_other_side_writes_over_its_own_value_gives_nothing_up() {
        assert_eq!(meet([(1, None), (2, Some(1)), (3, Some(2)), (2, Some(3))]), [None; 4]);
    }

    #[test]
    fn two_values_that_stay_apart_count_once_and_anew_once_both_sides_had_agreed() {
        let apart = meet([(1, Some(5)), (2, Some(5)), (7, Some(6)), (8, Some(7)), (9, Some(10))]);
        assert_eq!(apart, [Some((1, false)), Some((2, true)), Some((6, true)), None, Some((9, false))]);
    }

    #[test]
    fn what_has_expired_is_not_given_up() {
        let expired = EntryRef { expires_at_ms: Some(NOW.unix_ms), ..entry(1) };
        let mut intake = Intake::new(EPOCH);
        assert_eq!(intake.meet(&entry(2), Some(&expired), NOW), Meeting::Agreed);
        assert_eq!(Intake::new(EPOCH).meet(&expired, Some(&entry(2)), NOW), Meeting::Agreed);
        let gone = Meeting::Apart { gone: entry(2).version, again: false };
        assert_eq!(
            Intake::new(EPOCH).meet(&EntryRef { version: entry(3).version, ..expired }, Some(&entry(2)), NOW),
            gone
        );
    }

    #[test]
    fn what_comes_after_the_end_is_late_and_a_silent_merge_is_forgotten() {
        let mut intake = Intake::new(EPOCH);
        assert_eq!(intake.meet(&entry(1), None, NOW), Meeting::Agreed);
        let next = Epoch { counter: 4, ..EPOCH };
        assert!(!intake.is_past(EPOCH) && !intake.is_past(next));
        intake.end(Epoch { counter: 2, ..EPOCH });
        assert!(!intake.is_past(EPOCH), "the end of an older one");
        intake.end(EPOCH);
        assert!(intake.is_past(EPOCH) && !intake.is_past(next));
        let later = |seconds| Now { at: NOW.at + Duration::from_secs(seconds), ..NOW };
        assert!(intake.is_recent(later(59)) && !intake.is_recent(later(60)));
        assert!(
            intake.is_recent(Now { unix_ms: NOW.unix_ms + 3_600_000, ..NOW }),
            "the clock was set forward"
        );
    }
}
