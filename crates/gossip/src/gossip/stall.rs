//! A process that stood still. What it did not hear meanwhile proves nothing about others: it first asks about itself.

use std::time::Duration;

use super::Gossip;
use super::receive::Way;
use crate::wire::Body;

impl Gossip {
    /// This process runs again, `late` after it wanted to.
    pub(super) fn stalled(&mut self, late: Duration) {
        self.stats.stalls += 1;
        self.worsen_health(1);
        self.probe = None;
        self.roll_call.void(self.now);
        self.ask_about_me();
        let suspects: Vec<_> =
            self.table.iter_live().filter(|entry| entry.suspicion.is_some()).map(|e| e.member.id).collect();
        for id in suspects {
            self.postpone(id, late);
        }
    }

    /// Asks a few others: whoever does not believe that this member is alive says so first when it answers.
    fn ask_about_me(&mut self) {
        for id in self.table.next_readers(self.config.gossip_fanout) {
            let Some((addr, pid)) = self.address(id) else { continue };
            let number = self.next_number();
            self.send(addr, Some(pid), Body::Ping { number, target: pid.into() }, Way::Datagram);
        }
    }
}
