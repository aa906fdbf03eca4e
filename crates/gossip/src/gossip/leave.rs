//! Graceful leave: the goodbye has arrived before the member goes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::receive::Way;
use super::{Gossip, Phase};
use crate::timers::Timer;
use crate::wire::Body;
use crate::{Event, NodeId, State};

/// So many members are told in person. In a larger cluster these tell the others, who ask whether it is true.
const TOLD_MAX: usize = 32;
/// In a larger cluster the leaver stays until nobody has asked for so many gossip intervals: who hears of it asks within one, and
/// the news goes on to the next within another.
const QUIET: u32 = 3;

/// Who hears the goodbye from the leaver.
#[derive(Debug, Default)]
pub(super) struct Farewells {
    /// Who has been told in person and has not acknowledged it, by the number of the message.
    pub(super) untold: BTreeMap<u64, NodeId>,
    /// Whether others have to hear it from these.
    relayed: bool,
    /// When it began to leave, or somebody last said something about this member to it.
    pub(super) asked_at: Duration,
}

impl Gossip {
    /// Says goodbye in an incarnation of its own, so that all can tell it from a rumour. That one is not signed: signed words say
    /// that their member lives.
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
        // From now on the goodbye is on every packet.
        self.queue.remove(self.me.id);
        self.wake_gossip();
        self.farewells.asked_at = self.now;
        self.farewells.relayed = self.table.live().len() > TOLD_MAX;
        for id in self.table.next_readers(TOLD_MAX) {
            let number = self.next_number();
            self.farewells.untold.insert(number, id);
        }
        self.say_goodbye();
    }

    /// Tells those in person who are there and have not acknowledged it: by a probe, whose answer says that it was read.
    pub(super) fn say_goodbye(&mut self) {
        for (number, id) in std::mem::take(&mut self.farewells.untold) {
            let Some(entry) = self.table.get(id).filter(|entry| entry.member.state == State::Alive) else {
                continue;
            };
            let (addr, pid) = (entry.member.addr, entry.member.pid());
            self.farewells.untold.insert(number, id);
            self.send(addr, Some(pid), Body::Ping { number, target: pid.into() }, Way::Datagram);
        }
    }

    /// Whether somebody may yet ask whether this member leaves.
    pub(super) fn awaits_questions(&self) -> bool {
        let Farewells { untold, relayed, asked_at } = &self.farewells;
        !untold.is_empty() || *relayed && self.now < *asked_at + QUIET * self.config.gossip_interval
    }

    /// The goodbye has arrived, or had its time.
    pub(super) fn left(&mut self) {
        if self.phase == Phase::Leaving {
            self.phase = Phase::Left;
            self.farewells.untold.clear();
            self.emit(Event::LeaveDone);
        }
    }
}
