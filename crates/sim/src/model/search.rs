//! Breadth first through all states, on several threads, level by level.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use boato_cluster::Canary;
use rapidhash::quality::RapidHasher;

use super::action::Action;
use super::fair;
use super::packet::Packet;
use super::script::Script;
use super::seen::{self, Seen};
use super::trace;
use super::world::{Node, Options, World};

/// How far a search goes.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// States that are told apart at most.
    pub states: usize,
    /// Steps from the beginning at most.
    pub depth: usize,
    /// From one state in so many a fair schedule is run to its end; 0: from none.
    pub sample: u64,
    /// Threads.
    pub threads: usize,
    /// How often something may happen out of turn, or be late: fewer states, and longer ways. `None`: there are no
    /// turns.
    pub detours: Option<u8>,
    /// Whether a frame, once sent, may arrive at any later time, and as often as it likes.
    pub lasting: bool,
}

/// Why a search came to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Every state has been seen.
    Exhausted,
    /// Every state has been seen within the script's bounds of epochs and numbers; this many lay beyond.
    Within(u64),
    /// There are more states.
    States,
    /// There are longer ways.
    Depth,
    /// The caller wanted no more.
    Stopped,
    /// An invariant is broken.
    Violated,
}

/// How far a search has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// States told apart.
    pub states: usize,
    /// Steps made, to new states and to known ones.
    pub transitions: u64,
    /// The states of the level under way have this many steps before them.
    pub depth: usize,
    /// States of that level.
    pub frontier: usize,
    /// Fair schedules run to their end.
    pub fair_runs: u64,
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Report {
    /// How far it came.
    pub progress: Progress,
    /// Why it ended.
    pub end: End,
    /// What is violated, and the shortest way there: a line per step.
    pub violation: Option<(String, Vec<String>)>,
}

/// A state to be explored further, and its place among all.
type Open = (u32, World);

/// A step to a state that was not known when it was made.
struct Found {
    from: u32,
    action: u16,
    hash: u64,
    world: World,
}

/// What a thread found in its part of a level.
#[derive(Default)]
struct Part {
    found: Vec<Found>,
    /// Where frames last, the states explored, each with all frames that may arrive in it.
    absorbed: Vec<(u64, World)>,
    transitions: u64,
    fair_runs: u64,
    /// States not explored, as they lie beyond the script's bounds.
    beyond: u64,
    violation: Option<(u32, Option<u16>, String)>,
}

/// What the states of a level have in common is kept once.
#[derive(Default)]
struct Known {
    nodes: HashMap<u64, Arc<Node>, BuildHasherDefault<RapidHasher<'static>>>,
    packets: HashMap<u64, Arc<Packet>, BuildHasherDefault<RapidHasher<'static>>>,
}

impl Known {
    fn share(&mut self, world: &mut World) {
        for node in &mut world.nodes {
            *node = Arc::clone(self.nodes.entry(node.hash).or_insert_with(|| Arc::clone(node)));
        }
        for packet in &mut world.packets {
            *packet = Arc::clone(self.packets.entry(packet.hash).or_insert_with(|| Arc::clone(packet)));
        }
    }
}

/// States that are explored between two looks at the clock.
const BATCH: usize = 2048;

struct Search {
    begin: World,
    bounds: Bounds,
    limits: (u64, u64),
    seen: Seen,
    known: Known,
    /// Where each state was reached from, and by which of the actions there.
    links: Vec<(u32, u16)>,
    progress: Progress,
    beyond: u64,
}

/// Explores everything that can happen in a script, with a deliberate bug if one is given. `go_on` is asked now and
/// then.
pub fn check(
    script: &Script,
    canary: Option<Canary>,
    bounds: Bounds,
    go_on: &mut dyn FnMut(Progress) -> bool,
) -> Report {
    Search::new(&Arc::new(script.clone()), canary, bounds).run(go_on)
}

impl Search {
    fn new(script: &Arc<Script>, canary: Option<Canary>, bounds: Bounds) -> Self {
        let options = Options { canary, detours: bounds.detours, lasting: bounds.lasting };
        let begin = World::begin(script, options);
        let serials = begin.nodes.iter().map(|node| node.machine.last_serial()).max().unwrap_or(0);
        let epochs = begin.begun.iter().map(|epoch| epoch.counter).max().unwrap_or(0);
        Self {
            begin,
            bounds,
            limits: (epochs + script.epoch_max, serials + script.serial_max),
            seen: Seen::default(),
            known: Known::default(),
            links: vec![(0, 0)],
            progress: Progress::default(),
            beyond: 0,
        }
    }

    fn run(&mut self, go_on: &mut dyn FnMut(Progress) -> bool) -> Report {
        self.seen.insert(&self.begin, self.begin.hash());
        self.progress.states = 1;
        let mut level: Vec<Open> = vec![(0, self.begin.clone())];
        while !level.is_empty() {
            self.progress.frontier = level.len();
            if self.progress.depth == self.bounds.depth {
                return self.report(End::Depth, None);
            }
            let mut next = Vec::new();
            while !level.is_empty() {
                let batch = level.split_off(level.len().saturating_sub(BATCH));
                let mut parts = self.explore(&batch);
                for (hash, world) in parts.iter_mut().flat_map(|part| part.absorbed.drain(..)) {
                    self.seen.insert(&world, hash);
                }
                for part in parts {
                    if let Some((from, action, what)) = &part.violation {
                        let told = self.tell(*from, *action);
                        return self.report(End::Violated, Some((what.clone(), told)));
                    }
                    self.gather(part, &mut next);
                }
                if self.progress.states >= self.bounds.states {
                    return self.report(End::States, None);
                }
                if !go_on(self.progress) {
                    return self.report(End::Stopped, None);
                }
            }
            self.progress.depth += 1;
            self.known = Known::default();
            level = next;
        }
        let end = if self.beyond > 0 { End::Within(self.beyond) } else { End::Exhausted };
        self.report(end, None)
    }

    fn report(&self, end: End, violation: Option<(String, Vec<String>)>) -> Report {
        Report { progress: self.progress, end, violation }
    }

    /// All steps from some states; the parts in order, so that every run finds the same.
    fn explore(&self, batch: &[Open]) -> Vec<Part> {
        let share = batch.len().div_ceil(self.bounds.threads.max(1)).max(1);
        std::thread::scope(|scope| {
            let parts: Vec<_> =
                batch.chunks(share).map(|share| scope.spawn(move || self.explore_share(share))).collect();
            let join = |part: std::thread::ScopedJoinHandle<'_, Part>| {
                part.join().expect("invariant: no step panics")
            };
            parts.into_iter().map(join).collect()
        })
    }

    fn explore_share(&self, share: &[Open]) -> Part {
        let mut part = Part::default();
        let mut mine = HashSet::new();
        for (from, world) in share {
            let hash = world.hash();
            if self.seen.surpasses(world, hash) {
                continue;
            }
            let mut world = world.clone();
            world.absorb();
            if world.exceeds(self.limits.0, self.limits.1) {
                part.beyond += 1;
                continue;
            }
            if self.bounds.sample > 0 && hash.is_multiple_of(self.bounds.sample) {
                part.fair_runs += 2;
                if let Err(what) = fair::run(&world) {
                    part.violation = Some((*from, None, what));
                    return part;
                }
            }
            for (action, it) in (0..).zip(world.choices()) {
                part.transitions += 1;
                let mut next = world.clone();
                next.act(it);
                if next.violation.is_none() {
                    next.judge(&world);
                }
                if let Some(what) = next.violation.take() {
                    part.violation = Some((*from, Some(action), what));
                    return part;
                }
                let after = next.hash();
                let absorbed = world.options.lasting && after == hash;
                if !absorbed && !self.seen.contains(&next, after) && mine.insert(seen::whole(&next, after)) {
                    part.found.push(Found { from: *from, action, hash: after, world: next });
                }
            }
            if world.options.lasting {
                part.absorbed.push((hash, world));
            }
        }
        part
    }

    fn gather(&mut self, part: Part, next: &mut Vec<Open>) {
        self.progress.transitions += part.transitions;
        self.progress.fair_runs += part.fair_runs;
        self.beyond += part.beyond;
        for Found { from, action, hash, mut world } in part.found {
            if self.seen.insert(&world, hash) {
                let place =
                    u32::try_from(self.links.len()).expect("invariant: fewer than 2^32 states fit in memory");
                self.links.push((from, action));
                self.known.share(&mut world);
                next.push((place, world));
            }
        }
        self.progress.states = self.links.len();
    }

    /// The way to a state, and one action more.
    fn tell(&self, mut place: u32, last: Option<u16>) -> Vec<String> {
        let mut numbers: Vec<u16> = last.into_iter().collect();
        while place != 0 {
            let (from, action) = self.links[place as usize];
            numbers.push(action);
            place = from;
        }
        let mut world = self.begin.clone();
        let mut actions: Vec<Action> = Vec::new();
        for number in numbers.into_iter().rev() {
            world.absorb();
            let action = world.choices()[usize::from(number)];
            world.act(action);
            actions.push(action);
        }
        trace::tell(&self.begin, &actions)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::scripts;
    use super::*;

    /// The fingerprints of what follows a state.
    fn successors(world: &World) -> Vec<u64> {
        let after = |action| {
            let mut next = world.clone();
            next.act(action);
            next.hash()
        };
        world.choices().into_iter().map(after).collect()
    }

    /// Whatever decides what happens next is part of the fingerprint: states that share one have the same future,
    /// however they came about.
    #[test]
    fn states_with_the_same_fingerprint_go_on_in_the_same_way() {
        for (name, detours) in [
            ("two-slots", None),
            ("join-crash", None),
            ("leave", Some(3)),
            ("partition", None),
            ("expiry", None),
            ("four", Some(3)),
            ("swap-write", None),
            ("few-members", Some(3)),
        ] {
            let script = scripts().into_iter().find(|script| script.name == name).unwrap();
            let begin = World::begin(&Arc::new(script), Options { detours, ..Options::default() });
            let (mut known, mut level, mut met_again) = (BTreeMap::new(), vec![begin], 0);
            while known.len() < 250 {
                let mut next = Vec::new();
                for world in level {
                    let after = successors(&world);
                    if let Some(before) = known.insert(world.hash(), after.clone()) {
                        assert_eq!(before, after, "{name}: {}", world.describe());
                        met_again += 1;
                        continue;
                    }
                    for action in world.choices() {
                        let mut world = world.clone();
                        world.act(action);
                        next.push(world);
                    }
                }
                level = next;
            }
            assert!(met_again > 50, "{name}: {met_again}");
        }
    }

    /// Frames that last leave nothing out: whatever processes and clients come to in any order, they come to here, too.
    #[test]
    fn where_frames_last_every_state_is_reached_that_is_reached_otherwise() {
        for name in ["hand-off", "hand-off-write", "hand-off-crash", "join-empty", "leave"] {
            let script = Arc::new(scripts().into_iter().find(|script| script.name == name).unwrap());
            let bounds = Bounds {
                states: usize::MAX,
                depth: 1000,
                sample: 0,
                threads: 2,
                detours: None,
                lasting: true,
            };
            let mut search = Search::new(&script, None, bounds);
            assert_eq!(search.run(&mut |_| true).end, End::Exhausted, "{name}");
            let mut open = vec![World::begin(&script, Options::default())];
            let mut known = HashSet::new();
            while let Some(world) = open.pop() {
                if known.len() == 10_000 {
                    break;
                }
                if !known.insert(world.hash()) {
                    continue;
                }
                let mut bare = world.clone();
                bare.options.lasting = true;
                assert!(search.seen.contains_rest(bare.hash()), "{name}: {}", world.describe());
                for action in world.choices() {
                    let mut next = world.clone();
                    next.act(action);
                    next.judge(&world);
                    open.push(next);
                }
            }
            assert!(known.len() > search.progress.states, "{name}: {}", known.len());
        }
    }
}
