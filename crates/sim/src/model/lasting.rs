//! Frames that last: whatever was sent may arrive at any later time, and as often as it likes.
//!
//! A network that loses, delays and repeats at will needs no record of what is in flight beyond all that was ever sent.
//! Of two states that differ in that alone the one with more frames has whatever may follow the other, as no step needs
//! a frame to be absent and no invariant looks at frames. So only the largest sets are kept, and a step that changes
//! nothing but them (a repetition, an answer to something late) is made at once: it takes nothing away.

use std::sync::Arc;

use super::action::Action;
use super::world::World;

impl World {
    /// Adds all frames that steps send which change nothing else.
    pub(super) fn absorb(&mut self) {
        if !self.options.lasting {
            return;
        }
        let hash = self.hash();
        let mut tried = 0;
        let steps = self.actions();
        let mut open: Vec<World> = Vec::new();
        for action in steps.iter().filter(|action| !matches!(action, Action::Deliver(_))) {
            open.extend(self.after(*action, hash));
        }
        let mut arrived: Vec<u64> = Vec::new();
        loop {
            for next in open.drain(..) {
                self.adopt(&next);
            }
            let is_new = |place: &usize| {
                self.packets[*place].is_frame() && !arrived.contains(&self.packets[*place].hash)
            };
            let Some(place) = (0..self.packets.len()).find(is_new) else { return };
            arrived.push(self.packets[place].hash);
            open.extend(self.after(Action::Deliver(place), hash));
            tried += 1;
            assert!(tried < 10_000, "invariant: a state has few frames");
        }
    }

    /// The state after a step that changes nothing but frames.
    fn after(&self, action: Action, hash: u64) -> Option<World> {
        let mut next = self.clone();
        next.act(action);
        (next.violation.is_none() && next.hash() == hash).then_some(next)
    }

    /// Takes the frames of another state, but for those whose receiver is no more.
    pub(super) fn adopt(&mut self, other: &World) {
        for packet in other.packets.iter().filter(|packet| packet.is_frame()) {
            if self.place(packet.to).is_some()
                && let Err(place) = self.packets.binary_search_by_key(&packet.hash, |own| own.hash)
            {
                self.packets.insert(place, Arc::clone(packet));
            }
        }
    }
}
