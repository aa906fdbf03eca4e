//! A crash as the others saw it, and the return of the node.

use std::time::Duration;

use crate::Host;

/// One crash, and when each survivor noticed.
pub(super) struct Crash {
    pub(super) at: Duration,
    /// How long it took until somebody first asked whether the node is there.
    pub(super) probed: Option<Duration>,
    pub(super) suspected: Vec<Option<Duration>>,
    pub(super) declared: Vec<Option<Duration>>,
    pub(super) again: Option<Again>,
}

/// A node that started again, and when each survivor listed its new process.
pub(super) struct Again {
    pub(super) at: Duration,
    pub(super) listed: Vec<Option<Duration>>,
}

impl Crash {
    /// One that none of so many nodes has noticed yet.
    pub(super) fn new(at: Duration, nodes: usize) -> Self {
        Self { at, probed: None, suspected: vec![None; nodes], declared: vec![None; nodes], again: None }
    }

    /// The node starts again.
    pub(super) fn start_again(&mut self, at: Duration) {
        self.again = Some(Again { at, listed: vec![None; self.declared.len()] });
    }

    /// Somebody asks whether the node is there.
    pub(super) fn probe(&mut self, at: Duration) {
        if self.again.is_none() {
            self.probed.get_or_insert(at.saturating_sub(self.at));
        }
    }

    /// Somebody suspects the node, or declares it dead. Once it has started again, that says nothing of how soon crashes are
    /// found.
    pub(super) fn notice(&mut self, at: Duration, observer: Host, dead: bool) {
        let took = at.saturating_sub(self.at);
        let times = [Some(&mut self.suspected), dead.then_some(&mut self.declared)];
        let times = times.into_iter().flatten().filter(|_| self.again.is_none());
        for seen in times.filter_map(|times| times.get_mut(observer.index())) {
            seen.get_or_insert(took);
        }
    }

    /// Somebody lists the process that started again.
    pub(super) fn listed(&mut self, at: Duration, observer: Host) {
        let Some(Again { at: began, listed }) = &mut self.again else { return };
        if let Some(seen) = listed.get_mut(observer.index()) {
            seen.get_or_insert(at.saturating_sub(*began));
        }
    }
}
