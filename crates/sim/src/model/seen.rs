//! Which states are known, and which need not be.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasherDefault;

use rapidhash::quality::RapidHasher;

use super::packet::fingerprint;
use super::world::World;

type Hashing = BuildHasherDefault<RapidHasher<'static>>;

/// Fingerprints of frames, ascending.
type Frames = Box<[u64]>;

/// The states told apart. Where frames last, a state that differs from a known one only in that fewer frames may arrive
/// is none of its own: whatever may follow it may follow the other one, too.
#[derive(Default)]
pub(super) struct Seen {
    states: HashSet<u64, Hashing>,
    /// By the rest of the state, the sets of frames of which none contains another.
    lasting: HashMap<u64, Vec<Frames>, Hashing>,
}

impl Seen {
    pub(super) fn contains(&self, world: &World, hash: u64) -> bool {
        if world.options.lasting {
            let frames = frames(world);
            self.lasting.get(&hash).is_some_and(|known| known.iter().any(|known| is_within(&frames, known)))
        } else {
            self.states.contains(&hash)
        }
    }

    /// True: it is new.
    pub(super) fn insert(&mut self, world: &World, hash: u64) -> bool {
        if !world.options.lasting {
            return self.states.insert(hash);
        }
        let frames = frames(world);
        let known = self.lasting.entry(hash).or_default();
        let is_new = !known.iter().any(|known| is_within(&frames, known));
        if is_new {
            known.retain(|known| !is_within(known, &frames));
            known.push(frames);
        }
        is_new
    }

    /// Whether a state is known but for its frames.
    #[cfg(test)]
    pub(super) fn contains_rest(&self, hash: u64) -> bool {
        self.lasting.contains_key(&hash)
    }

    /// Whether a state that was new is so no longer: another one is known, to which more frames may arrive.
    pub(super) fn surpasses(&self, world: &World, hash: u64) -> bool {
        world.options.lasting && {
            let frames = frames(world);
            let larger = |known: &Frames| known.len() > frames.len() && is_within(&frames, known);
            self.lasting.get(&hash).is_some_and(|known| known.iter().any(larger))
        }
    }
}

/// A state with its frames.
pub(super) fn whole(world: &World, hash: u64) -> u64 {
    if world.options.lasting { fingerprint((hash, frames(world))) } else { hash }
}

fn frames(world: &World) -> Frames {
    world.packets.iter().filter(|packet| packet.is_frame()).map(|packet| packet.hash).collect()
}

/// Whether all of the first are among the others; both ascend.
fn is_within(some: &[u64], others: &[u64]) -> bool {
    let mut others = others.iter();
    some.len() <= others.len() && some.iter().all(|one| others.by_ref().any(|other| other == one))
}

#[cfg(test)]
mod tests {
    use super::is_within;

    #[test]
    fn a_set_is_within_itself_and_within_larger_ones() {
        let all: Vec<u64> = vec![2, 3, 5, 8];
        for some in [vec![], vec![2], vec![8], vec![3, 5], vec![2, 3, 5, 8]] {
            assert!(is_within(&some, &all), "{some:?}");
        }
        for some in [vec![1], vec![9], vec![2, 4], vec![2, 3, 5, 8, 9]] {
            assert!(!is_within(&some, &all), "{some:?}");
        }
    }
}
