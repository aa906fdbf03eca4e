//! Slots that wait for room on the way to another node: a peer's request or merge is taken up when there is
//! some, as if its message had come only then.

use std::collections::BTreeMap;

use super::{Cell, Machine};
use crate::pid::{Epoch, Pid};
use crate::time::Now;

/// What waits.
#[derive(Clone, Copy, Hash, Debug)]
pub(super) enum Wanted {
    /// The peer asked for the slot.
    Grant,
    /// The peer holds the slot under this higher epoch and gets our entries.
    Merge(Epoch),
    /// The slot has been copied, and is frozen as soon as fewer bytes of frozen ones are on their way.
    Room,
}

impl Machine {
    pub(super) fn serve_wanted(&mut self, now: Now) {
        let peers: Vec<Pid> = self.wanted.keys().copied().collect();
        for peer in peers {
            while let Some((slot, wanted)) = self.wanted.get_mut(&peer).and_then(BTreeMap::pop_first) {
                let mut served = false;
                self.on_slot(slot, now, |machine, cell| served = machine.serve(cell, peer, wanted, now));
                if !served {
                    self.wanted.entry(peer).or_default().insert(slot, wanted);
                    break;
                }
            }
            if self.wanted.get(&peer).is_some_and(BTreeMap::is_empty) {
                self.wanted.remove(&peer);
            }
        }
    }

    /// False: there is no room now.
    fn serve(&mut self, cell: &mut Cell, peer: Pid, wanted: Wanted, now: Now) -> bool {
        match wanted {
            Wanted::Grant => self.grant(cell, peer, now),
            Wanted::Merge(epoch) => self.begin_merge(cell, peer, epoch, now),
            Wanted::Room => {
                cell.header.state.giving().is_none_or(|it| it.target != peer) || self.pump(cell, now)
            }
        }
    }
}
