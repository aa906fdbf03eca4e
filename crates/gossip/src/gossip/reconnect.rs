//! Contact to the dead: a partition heals, however long it lasted, because somebody knocks.

use std::net::SocketAddr;

use super::{Gossip, Phase};
use crate::timers::Timer;

/// Most addresses of forgotten members that are kept; the oldest go first.
const FORGOTTEN_MAX: usize = 64;

impl Gossip {
    /// Knocks at one dead member, with a probability that makes it one knock per dead member and interval in the
    /// whole cluster (Serf's reconnect). Where nobody is dead, the forgotten get their knock.
    pub(super) fn on_reconnect_interval(&mut self) {
        if self.phase != Phase::Active {
            return;
        }
        self.timers.set(self.now + self.config.reconnect_interval, Timer::Reconnect);
        let dead = self.table.dead();
        let knock = if dead.is_empty() {
            let all = self.forgotten.len();
            self.my_share(all).then(|| self.forgotten[self.rng.usize(..all)])
        } else {
            let id = dead[self.rng.usize(..dead.len())];
            let all = dead.len();
            self.address(id).map(|(addr, _)| addr).filter(|_| self.my_share(all))
        };
        // At an address that was given to another member meanwhile there is nobody to find.
        if let Some(addr) = knock.filter(|addr| !self.lives_at(*addr)) {
            self.push_pull_with(addr);
        }
    }

    /// Whether it is this member's turn to do one of `tasks` things that all live members share.
    #[expect(clippy::cast_precision_loss, reason = "a cluster has far fewer than 2^52 members")]
    fn my_share(&mut self, tasks: usize) -> bool {
        self.rng.f64() < tasks as f64 / self.size() as f64
    }

    pub(super) fn remember_forgotten(&mut self, addr: SocketAddr) {
        self.forgotten.retain(|known| *known != addr);
        if self.forgotten.len() == FORGOTTEN_MAX {
            self.forgotten.pop_front();
        }
        self.forgotten.push_back(addr);
    }
}
