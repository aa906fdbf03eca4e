//! Long ways: everything in its turn, but for a few detours.
//!
//! Told everything that may happen, a search of a larger cluster ends after a dozen steps. With detours counted, what
//! membership tells and what is in flight arrives in one order, and only then does anything else happen; but so many
//! times something else comes first, or something is late: as if lost, until nothing that is not late is on its way
//! (Emmi, Qadeer, Rakamaric 2011, "Delay-bounded scheduling"). All ways with that many detours are seen to their end.

use super::action::Action;
use super::packet::fingerprint;
use super::world::World;

/// Frames in flight beyond which some are lost. What arrives in its turn does not pile up.
pub(super) const FRAMES_MAX: usize = 16;

impl World {
    /// What may happen next.
    pub(super) fn choices(&self) -> Vec<Action> {
        match (self.detours, self.in_turn()) {
            (Some(0), Some(next)) => vec![next],
            (Some(_), Some(_)) => {
                let mut all = self.actions();
                all.extend((0..self.packets.len()).filter(|&place| !self.is_late(place)).map(Action::Delay));
                all.extend(
                    (0..self.news.len()).filter(|&place| !self.is_untold(place)).map(Action::Withhold),
                );
                all
            }
            (Some(_), None) | (None, _) => self.actions(),
        }
    }

    /// What is on its way and comes next; `None`: nothing, or only what is late.
    fn in_turn(&self) -> Option<Action> {
        self.detours?;
        let news = (0..self.news.len()).find(|&place| !self.is_untold(place) && self.is_next(place));
        let packet = || (0..self.packets.len()).find(|&place| !self.is_late(place));
        news.map(Action::Learn).or_else(|| packet().map(Action::Deliver))
    }

    /// Counts an action that is not the next in turn.
    pub(super) fn count_detour(&mut self, action: Action) {
        if self.in_turn().is_some_and(|next| next != action) {
            self.detours = self.detours.map(|left| left.saturating_sub(1));
        }
    }

    fn is_late(&self, packet: usize) -> bool {
        self.late.contains(&self.packets[packet].hash)
    }

    fn is_untold(&self, news: usize) -> bool {
        self.late.contains(&fingerprint(self.news[news]))
    }

    /// It is as if lost, or arrives when nothing that is not late is on its way.
    pub(super) fn delay(&mut self, fingerprint: u64) {
        let place = self.late.partition_point(|other| *other < fingerprint);
        self.late.insert(place, fingerprint);
    }

    /// Forgets the lateness of what is not on its way any more.
    pub(super) fn forget_late(&mut self) {
        if self.late.is_empty() {
            return;
        }
        let mut late = std::mem::take(&mut self.late);
        late.retain(|&late| {
            self.packets.iter().any(|packet| packet.hash == late)
                || self.news.iter().any(|news| fingerprint(*news) == late)
        });
        self.late = late;
    }
}
