//! A key and everything that clients did to it.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};

use boato_sim::check::{Action, Call, Stamped};

/// How clients use a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Put and get.
    Register,
    /// Put, get and delete.
    Erasable,
    /// Get, and put on the condition that nothing was put since: one more each time.
    Counter,
    /// Get, and let the store add one.
    Sum,
}

impl Kind {
    /// The kind of the `index`th key: six of ten are registers, two erasable, one each of the others.
    pub(super) fn nth(index: usize) -> Self {
        match index % 10 {
            0 | 1 => Self::Erasable,
            2 => Self::Counter,
            3 => Self::Sum,
            _ => Self::Register,
        }
    }
}

/// One key.
pub(super) struct Key {
    pub(super) path: String,
    pub(super) slot: u16,
    pub(super) kind: Kind,
    /// Least length of a value in bytes: spaces follow what is shorter.
    pub(super) length_min: usize,
    calls: Mutex<Vec<Stamped>>,
    /// A write has, or may have, been applied.
    begun: AtomicBool,
}

impl Key {
    pub(super) fn new(path: String, slot: u16, kind: Kind) -> Self {
        Self { path, slot, kind, length_min: 0, calls: Mutex::default(), begun: AtomicBool::new(false) }
    }

    /// A register of large values.
    pub(super) fn large(path: String, slot: u16, length_min: usize) -> Self {
        Self { length_min, ..Self::new(path, slot, Kind::Register) }
    }

    /// Writes a call down when it is over.
    pub(super) fn record(&self, stamped: Stamped) {
        if stamped.version.is_some() || is_unknown(&stamped.call) {
            self.begun.store(true, SeqCst);
        }
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(stamped);
    }

    /// Whether a write has, or may have, been applied.
    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(SeqCst)
    }

    /// How many calls are written down, and for how many of them the outcome is unknown.
    pub(super) fn length(&self) -> (usize, usize) {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        (calls.len(), calls.iter().filter(|stamped| is_unknown(&stamped.call)).count())
    }

    /// All calls in the order of invocation.
    pub(super) fn calls(&self) -> Vec<Stamped> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone();
        calls.sort_by_key(|stamped| stamped.call.invoked);
        calls
    }
}

fn is_unknown(call: &Call) -> bool {
    matches!(
        call.action,
        Action::Write { replaced: None, .. }
            | Action::Delete { existed: None }
            | Action::Swap { done: None, .. }
            | Action::Add { sum: None }
    )
}
