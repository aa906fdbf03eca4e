//! Graceful leave: the goodbye has arrived before the member goes.

use std::collections::BTreeMap;

use super::receive::Way;
use super::{Gossip, Phase};
use crate::timers::Timer;
use crate::wire::Body;
use crate::{Event, NodeId, State};

/// So many members are told in person. In a larger cluster they are enough to tell the others.
const TOLD_MAX: usize = 32;

/// Who has been told in person and has not acknowledged it, by the number of the message.
pub(super) type Farewells = BTreeMap<u64, NodeId>;

impl Gossip {
    /// Says goodbye in an incarnation of its own, so that all can tell it from a rumour.
    pub(super) fn leave(&mut self) {
        match self.phase {
            Phase::Leaving => return,
            Phase::Left | Phase::Replaced => return self.emit(Event::LeaveDone),
            Phase::Active => {}
        }
        self.phase = Phase::Leaving;
        self.me.incarnation += 1;
        self.me.state = State::Left;
        self.probe = None;
        if self.table.live().is_empty() {
            return self.left();
        }
        self.timers.set(self.now + self.config.leave_timeout, Timer::Leave);
        self.tell(self.me.id);
        for id in self.table.next_readers(TOLD_MAX) {
            let number = self.next_number();
            self.farewells.insert(number, id);
        }
        self.say_goodbye();
    }

    /// Tells those in person who are there and have not acknowledged it: by a probe, as the goodbye is on its back.
    pub(super) fn say_goodbye(&mut self) {
        for (number, id) in std::mem::take(&mut self.farewells) {
            let Some(entry) = self.table.get(id).filter(|entry| entry.member.state == State::Alive) else {
                continue;
            };
            let (addr, pid) = (entry.member.addr, entry.member.pid());
            self.farewells.insert(number, id);
            self.send(addr, Some(pid), Body::Ping { number, target: pid.into() }, Way::Datagram);
        }
    }

    /// The goodbye has arrived, and been sent as often as any news; or it has had its time.
    pub(super) fn left(&mut self) {
        if self.phase == Phase::Leaving {
            self.phase = Phase::Left;
            self.farewells.clear();
            self.emit(Event::LeaveDone);
        }
    }
}
