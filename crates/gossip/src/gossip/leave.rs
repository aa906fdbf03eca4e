//! Graceful leave: the goodbye is spread before the member goes.

use super::{Gossip, Phase};
use crate::timers::Timer;
use crate::{Event, State};

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
        self.spread_news();
    }

    /// The goodbye has been sent as often as any news, or has had its time.
    pub(super) fn left(&mut self) {
        if self.phase == Phase::Leaving {
            self.phase = Phase::Left;
            self.emit(Event::LeaveDone);
        }
    }
}
