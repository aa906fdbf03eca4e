//! What a member does that hears nobody at all.
//!
//! A member whose probes fail doubts itself first and probes ever more slowly (Lifeguard). A slow process still hears
//! others, though late. One that has heard nothing from anybody for a long time is cut off, or alone: the others may
//! all be gone. Its health goes on stretching how long each may take to answer, but no longer how many are asked.

use std::time::Duration;

use super::receive::Way;
use super::{Gossip, Phase};
use crate::Pid;
use crate::awareness::SCORE_MAX;
use crate::wire::Body;

/// Silence begins after so many probe intervals, each as long as it is in the worst health: 9 s on a LAN.
const SILENT_AFTER: u32 = 2;
/// In silence all members are asked within about so many intervals, each as long as it is in good health.
const INTERVALS: usize = 64;

/// Whom a member in silence asks beside the probe of the interval.
#[derive(Debug)]
pub(super) struct RollCall {
    asked: Vec<Pid>,
    /// When anybody was last heard.
    heard_at: Duration,
}

impl RollCall {
    pub(super) fn new(now: Duration) -> RollCall {
        RollCall { asked: Vec::new(), heard_at: now }
    }

    /// Somebody is there, or this process did not run and could not hear.
    pub(super) fn void(&mut self, now: Duration) {
        self.asked.clear();
        self.heard_at = now;
    }
}

impl Gossip {
    /// The interval is over, and still nobody was heard.
    pub(super) fn conclude_roll_call(&mut self) {
        for pid in std::mem::take(&mut self.roll_call.asked) {
            if self.address(pid.id).is_some_and(|(_, known)| known == pid) {
                self.accuse(pid.id);
            }
        }
    }

    pub(super) fn call_roll(&mut self) {
        let interval = self.awareness.scale(self.config.probe_interval);
        let silent = self.now >= self.roll_call.heard_at + SILENT_AFTER * interval;
        if self.phase != Phase::Active || !silent || self.awareness.score() < SCORE_MAX {
            return;
        }
        let live = self.table.live().len();
        let stretch = usize::try_from(self.awareness.score() + 1).expect("invariant: a score is small");
        let count = live.div_ceil(INTERVALS) * stretch - 1;
        for _ in 0..count.min(live.saturating_sub(1)) {
            let Some(id) = self.table.next_to_probe(&mut self.rng) else { return };
            let Some((addr, pid)) = self.address(id) else { continue };
            self.roll_call.asked.push(pid);
            let number = self.next_number();
            for way in [Way::Datagram, Way::Stream] {
                self.send(addr, Some(pid), Body::Ping { number, target: pid.into() }, way);
            }
        }
    }
}
