//! The processes that have ended.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};

use crate::pid::Pid;

/// How many are remembered; the first to be told are forgotten first.
const ENDED_MAX: usize = 1024;

/// Processes that have ended, the latest 1024 to be told.
#[derive(Clone, Hash, Default, Debug)]
pub(super) struct Ended {
    pids: BTreeSet<Pid>,
    order: VecDeque<Pid>,
}

impl Ended {
    pub(super) fn pids(&self) -> &BTreeSet<Pid> {
        &self.pids
    }

    /// Returns whether it is news.
    pub(super) fn insert(&mut self, pid: Pid) -> bool {
        if !self.pids.insert(pid) {
            return false;
        }
        self.order.push_back(pid);
        if self.order.len() > ENDED_MAX
            && let Some(first) = self.order.pop_front()
        {
            self.pids.remove(&first);
        }
        true
    }

    /// Returns whether it was there.
    pub(super) fn remove(&mut self, pid: Pid) -> bool {
        let was_there = self.pids.remove(&pid);
        if was_there {
            self.order.retain(|&other| other != pid);
        }
        was_there
    }

    /// Whether a newer boot of its node has ended.
    pub(super) fn has_newer(&self, pid: Pid) -> bool {
        let next = self.pids.range((Excluded(pid), Unbounded)).next();
        next.is_some_and(|next| next.node == pid.node)
    }

    /// Whether it or a newer boot of its node has ended.
    pub(super) fn covers(&self, pid: Pid) -> bool {
        self.pids.contains(&pid) || self.has_newer(pid)
    }
}
