//! Heirs that do not ask for what a leaver offers: others get it instead.
//!
//! A member that knows of somebody it cannot reach takes nothing over (section 6 of `docs/protocol.md`), from nobody, and a leaver
//! cannot wait for it. To whom a holder grants a slot is up to its own table, so a leaver leaves such a member out of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Machine;
use super::standing::Departure;
use crate::pid::Pid;
use crate::slot::State;
use crate::time::Now;

/// A member that has asked a leaver for nothing for so long, though slots wait for it, is passed over.
pub(super) const IDLE: Duration = Duration::from_secs(5);

/// Between two looks at what waits for whom.
const LOOK: Duration = Duration::from_secs(1);

impl Machine {
    /// Leaves members out of the table that do not ask for the slots that wait for them, until they do.
    pub(super) fn pass_over_idle_heirs(&mut self, now: Now) {
        let Departure::HandingOff { heirs_at } = self.departure else { return };
        if heirs_at > now.at {
            return;
        }
        let mut passed_over = false;
        for heir in self.awaited_heirs() {
            if self.view.asked_at(heir).is_some_and(|at| at + IDLE <= now.at) {
                passed_over |= self.view.pass_over(heir);
            }
        }
        if passed_over {
            self.members_changed(now);
        }
        let pause = if passed_over { IDLE } else { LOOK };
        self.departure = Departure::HandingOff { heirs_at: now.at + pause };
    }

    /// Those for whom slots wait here that are not on their way.
    pub(super) fn awaited_heirs(&self) -> BTreeSet<Pid> {
        let waits =
            |slot: &u16| self.slots.inspect(*slot, |header| matches!(header.state, State::Held { .. }));
        let targets = self.config.slots.clone().filter(waits).filter_map(|slot| self.target(slot));
        targets.filter(|&target| target != self.me).collect()
    }

    /// A peer asks for a slot: if it had been passed over it is not any more.
    pub(super) fn note_heir(&mut self, peer: Pid, now: Now) {
        if self.is_leaving() && self.view.note_asked(peer, now.at) {
            self.members_changed(now);
        }
    }
}
