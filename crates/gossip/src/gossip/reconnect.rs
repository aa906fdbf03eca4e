//! Contact to the dead: a partition heals, however long it lasted, because somebody knocks.

use std::net::SocketAddr;

use super::push_pull::PENDING_MAX;
use super::{Gossip, Phase};
use crate::timers::Timer;

/// Most addresses of forgotten members that are kept; the oldest go first.
const FORGOTTEN_MAX: usize = 64;

impl Gossip {
    /// Knocks at dead members, so that each gets about one knock per interval from the whole cluster (Serf's reconnect,
    /// which knocks at one at most). Where nobody is dead, the forgotten get their knocks.
    pub(super) fn on_reconnect_interval(&mut self) {
        if self.phase != Phase::Active {
            return;
        }
        self.timers.set(self.now + self.config.reconnect_interval, Timer::Reconnect);
        let dead = self.table.dead();
        let mut doors: Vec<SocketAddr> = if dead.is_empty() {
            self.forgotten.iter().copied().collect()
        } else {
            dead.iter().filter_map(|id| self.address(*id)).map(|(addr, _)| addr).collect()
        };
        let share = self.my_share(doors.len()).min(doors.len());
        for knock in 0..share {
            let other = self.rng.usize(knock..doors.len());
            doors.swap(knock, other);
            // At an address that was given to another member meanwhile there is nobody to find.
            if !self.lives_at(doors[knock]) {
                self.push_pull_with(doors[knock]);
            }
        }
    }

    /// How many of `tasks` things that all live members share fall to this one now, at most as many as it may have
    /// push-pulls under way.
    fn my_share(&mut self, tasks: usize) -> usize {
        let size = self.size();
        let more = usize::from(self.rng.usize(..size) < tasks % size);
        (tasks / size + more).min(PENDING_MAX)
    }

    pub(super) fn remember_forgotten(&mut self, addr: SocketAddr) {
        self.forgotten.retain(|known| *known != addr);
        if self.forgotten.len() == FORGOTTEN_MAX {
            self.forgotten.pop_front();
        }
        self.forgotten.push_back(addr);
    }
}
