//! All other members this one knows, each in exactly one of three lists: live, dead, left.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use crate::coordinate::Seen;
use crate::member::attribute_bytes;
use crate::precedence::Standing;
use crate::slots::{Slots, push};
use crate::suspicion::Suspicion;
use crate::{Member, NodeId, State, Tags};

/// A member and what this one keeps about it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: NodeId,
    /// Shared, where several members of one process know the same of it.
    pub(crate) member: Arc<Member>,
    /// The incarnation that address, name and tags come from: the highest that the member has signed or said itself, as far as is
    /// known, so news of a key's higher one is taken for news of this. A goodbye may be ahead of it, as may claims about other ids.
    pub(crate) announced: u64,
    /// The hash of the tags of that incarnation, while they have not been fetched.
    pub(crate) missing: Option<Box<str>>,
    /// A suspect: when it is dead. Dead or left: when it is forgotten.
    pub(crate) deadline: Duration,
    /// How many probes in a row were answered on a stream only.
    pub(crate) streams_only: u32,
    /// How far away it is; boxed, since of many members most are asked rarely.
    pub(crate) seen: Option<Box<Seen>>,
    /// Present exactly while suspect; boxed, since that is rare.
    pub(crate) suspicion: Option<Box<Suspicion>>,
    /// Index into the list of its state.
    place: usize,
}

impl Entry {
    pub(crate) fn new(member: Arc<Member>) -> Entry {
        let announced = member.incarnation;
        Entry {
            id: member.id,
            member,
            announced,
            missing: None,
            deadline: Duration::ZERO,
            streams_only: 0,
            seen: None,
            suspicion: None,
            place: 0,
        }
    }

    pub(crate) fn standing(&self) -> Standing {
        let Member { boot, incarnation, state, .. } = *self.member;
        Standing { boot, incarnation, state }
    }

    /// The same as others are told: who is said to have left is suspected, and the word is passed on.
    pub(crate) fn claimed(&self) -> Standing {
        let standing = self.standing();
        match &self.suspicion {
            Some(suspicion) if suspicion.verdict() == State::Left => {
                Standing { state: State::Left, ..standing }
            }
            _ => standing,
        }
    }

    /// What is told of it in exchanges: less than is believed while words of it are missing, so that they are sent.
    pub(crate) fn told(&self) -> Standing {
        let standing = self.claimed();
        match self.missing {
            Some(_) => Standing { incarnation: standing.incarnation.saturating_sub(1), ..standing },
            None => standing,
        }
    }
}

/// The members. Every operation on one of them is O(1).
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// Never iterated: the lists give the order.
    entries: Slots,
    live: Round,
    dead: Vec<NodeId>,
    left: Vec<NodeId>,
    /// How many of the live are suspects.
    suspects: usize,
    /// How many have been chosen to receive news so far.
    reader: usize,
    /// Of all names and tags.
    bytes: usize,
}

impl Table {
    pub(crate) fn get(&self, id: NodeId) -> Option<&Entry> {
        self.entries.get(id)
    }

    /// For changes of anything but the state ([`Table::set_state`]), the name and the tags ([`Table::set_attributes`]).
    pub(crate) fn get_mut(&mut self, id: NodeId) -> Option<&mut Entry> {
        self.entries.get_mut(id)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of all names and tags.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn live(&self) -> &[NodeId] {
        &self.live.order
    }

    pub(crate) fn dead(&self) -> &[NodeId] {
        &self.dead
    }

    /// How many of the live are suspects.
    pub(crate) fn suspects(&self) -> usize {
        self.suspects
    }

    /// Somebody who is of least use: a member that left, else a dead one, mostly one of the oldest.
    pub(crate) fn any_gone(&self) -> Option<NodeId> {
        self.left.first().or(self.dead.first()).copied()
    }

    /// All members: the live, the dead, those that left.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.live.order.iter().chain(&self.dead).chain(&self.left).map(|id| self.listed(*id))
    }

    /// All members where their order does not matter, which is quicker.
    pub(crate) fn iter_unordered(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    pub(crate) fn iter_live(&self) -> impl Iterator<Item = &Entry> {
        self.live.order.iter().map(|id| self.listed(*id))
    }

    fn listed(&self, id: NodeId) -> &Entry {
        self.entries.get(id).expect("invariant: what is listed is kept")
    }

    pub(crate) fn insert(&mut self, entry: Entry, rng: &mut Rng) {
        let (id, state) = (entry.member.id, entry.member.state);
        self.bytes += bytes(&entry.member);
        self.suspects += usize::from(state == State::Suspect);
        self.entries.insert(entry);
        self.link(id, state, rng);
    }

    pub(crate) fn remove(&mut self, id: NodeId) -> Option<Entry> {
        let entry = self.entries.remove(id)?;
        self.bytes -= bytes(&entry.member);
        self.suspects -= usize::from(entry.member.state == State::Suspect);
        self.unlink(entry.member.state, entry.place);
        Some(entry)
    }

    pub(crate) fn set_attributes(&mut self, id: NodeId, name: Arc<str>, tags: Tags) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        self.bytes -= bytes(&entry.member);
        let member = Arc::make_mut(&mut entry.member);
        (member.name, member.tags) = (name, tags);
        self.bytes += bytes(&entry.member);
    }

    pub(crate) fn set_state(&mut self, id: NodeId, state: State, rng: &mut Rng) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        let (former, place) = (entry.member.state, entry.place);
        if former != state {
            Arc::make_mut(&mut entry.member).state = state;
        }
        self.suspects += usize::from(state == State::Suspect);
        self.suspects -= usize::from(former == State::Suspect);
        if List::of(former) != List::of(state) {
            self.unlink(former, place);
            self.link(id, state, rng);
        }
    }

    fn link(&mut self, id: NodeId, state: State, rng: &mut Rng) {
        let place = match List::of(state) {
            List::Live => {
                let (place, displaced) = self.live.insert(id, rng);
                if let Some((other, at)) = displaced {
                    self.put(other, at);
                }
                place
            }
            List::Dead => push(&mut self.dead, id),
            List::Left => push(&mut self.left, id),
        };
        self.put(id, place);
    }

    fn unlink(&mut self, state: State, place: usize) {
        let moved = match List::of(state) {
            List::Live => self.live.remove(place),
            List::Dead => [swap_remove(&mut self.dead, place), None],
            List::Left => [swap_remove(&mut self.left, place), None],
        };
        for (id, at) in moved.into_iter().flatten() {
            self.put(id, at);
        }
    }

    fn put(&mut self, id: NodeId, place: usize) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.place = place;
        }
    }

    /// The live member whose turn it is to be probed. Within a round each gets one turn; the next round has another
    /// order (SWIM, section 4.3).
    pub(crate) fn next_to_probe(&mut self, rng: &mut Rng) -> Option<NodeId> {
        if self.live.next >= self.live.order.len() {
            rng.shuffle(&mut self.live.order);
            self.live.next = 0;
            for place in 0..self.live.order.len() {
                self.put(self.live.order[place], place);
            }
        }
        let id = *self.live.order.get(self.live.next)?;
        self.live.next += 1;
        Some(id)
    }

    /// The next `count` live members to receive news. They take turns in the order of the round of probes, which
    /// random choice would not: with few transmissions it leaves out members of a small cluster.
    pub(crate) fn next_readers(&mut self, count: usize) -> Vec<NodeId> {
        let live = &self.live.order;
        let readers = live.iter().cycle().skip(self.reader % live.len().max(1)).take(count.min(live.len()));
        let readers = readers.copied().collect();
        self.reader = self.reader.wrapping_add(count);
        readers
    }

    /// Up to `count` different live members at random, without `except`.
    pub(crate) fn sample(&self, count: usize, except: Option<NodeId>, rng: &mut Rng) -> Vec<NodeId> {
        let live = &self.live.order;
        if live.len() <= 2 * (count + 1) {
            let mut chosen: Vec<NodeId> = live.iter().copied().filter(|id| Some(*id) != except).collect();
            rng.shuffle(&mut chosen);
            chosen.truncate(count);
            return chosen;
        }
        // More than half of the members remain acceptable to the end, so this takes few tries.
        let mut chosen = Vec::with_capacity(count);
        while chosen.len() < count {
            let id = live[rng.usize(..live.len())];
            if Some(id) != except && !chosen.contains(&id) {
                chosen.push(id);
            }
        }
        chosen
    }

    /// Panics if the lists and the entries disagree.
    #[cfg(test)]
    pub(crate) fn check(&self) {
        let lists: [(&[NodeId], List); 3] =
            [(&self.live.order, List::Live), (&self.dead, List::Dead), (&self.left, List::Left)];
        for (ids, list) in lists {
            for (place, id) in ids.iter().enumerate() {
                let entry = self.listed(*id);
                assert_eq!((entry.place, List::of(entry.member.state)), (place, list), "{id}");
                assert_eq!(entry.suspicion.is_some(), entry.member.state == State::Suspect, "{id}");
            }
        }
        assert_eq!(self.live.order.len() + self.dead.len() + self.left.len(), self.entries.len());
        assert!(self.live.next <= self.live.order.len());
        assert_eq!(self.suspects, self.iter().filter(|entry| entry.member.state == State::Suspect).count());
        assert_eq!(self.bytes, self.iter().map(|entry| bytes(&entry.member)).sum::<usize>());
    }
}

fn bytes(member: &Member) -> usize {
    attribute_bytes(&member.name, member.tags.text())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    Live,
    Dead,
    Left,
}

impl List {
    fn of(state: State) -> List {
        match state {
            State::Alive | State::Suspect => List::Live,
            State::Dead => List::Dead,
            State::Left | State::Pruned => List::Left,
        }
    }
}

/// Who moved where by the removal.
fn swap_remove(list: &mut Vec<NodeId>, place: usize) -> Option<(NodeId, usize)> {
    list.swap_remove(place);
    list.get(place).map(|id| (*id, place))
}

/// The live members in the order of this round of probes; those before `next` have had their turn.
#[derive(Debug, Default)]
struct Round {
    order: Vec<NodeId>,
    next: usize,
}

impl Round {
    /// Inserts at a random place: whoever was there goes to the end. Returns the place, and who moved where.
    fn insert(&mut self, id: NodeId, rng: &mut Rng) -> (usize, Option<(NodeId, usize)>) {
        let end = push(&mut self.order, id);
        let place = rng.usize(..=end);
        self.order.swap(place, end);
        (place, (place != end).then(|| (self.order[end], end)))
    }

    /// Removes without taking anybody's turn. Returns who moved where.
    fn remove(&mut self, place: usize) -> [Option<(NodeId, usize)>; 2] {
        if place >= self.next {
            return [swap_remove(&mut self.order, place), None];
        }
        // The gap is among those that had their turn: the last of them fills it, and the last of all its place.
        self.next -= 1;
        self.order.swap(place, self.next);
        let moved = (place != self.next).then(|| (self.order[place], place));
        [moved, swap_remove(&mut self.order, self.next)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::net::{Ipv4Addr, SocketAddr};

    fn member(id: u128) -> Arc<Member> {
        Arc::new(Member {
            id: NodeId(id),
            boot: 1,
            incarnation: 0,
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 7400)),
            state: State::Alive,
            name: "".into(),
            tags: crate::Tags::default(),
            signature: crate::Signature::default(),
        })
    }

    fn table_of(n: u128, rng: &mut Rng) -> Table {
        let mut table = Table::default();
        (1..=n).for_each(|id| table.insert(Entry::new(member(id)), rng));
        table.check();
        table
    }

    #[test]
    fn each_round_probes_each_member_once() {
        let mut rng = Rng::with_seed(1);
        let mut table = table_of(20, &mut rng);
        let rounds: Vec<Vec<NodeId>> =
            (0..3).map(|_| (0..20).filter_map(|_| table.next_to_probe(&mut rng)).collect()).collect();
        for round in &rounds {
            assert_eq!(round.iter().collect::<BTreeSet<_>>().len(), 20);
        }
        assert_ne!(rounds[0], rounds[1]);
    }

    #[test]
    fn coming_and_going_costs_nobody_its_turn() {
        for seed in 0..200 {
            let mut rng = Rng::with_seed(seed);
            let mut table = table_of(20, &mut rng);
            // Into the middle of a round.
            let mut probed: BTreeSet<NodeId> =
                (0..rng.usize(..20)).filter_map(|_| table.next_to_probe(&mut rng)).collect();
            table.insert(Entry::new(member(100)), &mut rng);
            table.remove(NodeId(1 + u128::from(seed) % 20));
            table.set_state(NodeId(1 + u128::from(seed + 7) % 20), State::Dead, &mut rng);
            table.check();
            while table.live.next < table.live.order.len() {
                probed.extend(table.next_to_probe(&mut rng));
            }
            for id in table.live().iter().filter(|id| id.0 != 100) {
                assert!(probed.contains(id), "seed {seed}: {id} missed its turn");
            }
        }
    }

    #[test]
    fn readers_take_turns() {
        let mut rng = Rng::with_seed(1);
        let mut table = table_of(10, &mut rng);
        let readers: BTreeSet<NodeId> = (0..4).flat_map(|_| table.next_readers(3)).collect();
        assert_eq!(readers.len(), 10);
        assert_eq!(table_of(2, &mut rng).next_readers(3).len(), 2);
        assert!(Table::default().next_readers(3).is_empty());
    }

    #[test]
    fn samples_are_distinct_and_spare_the_exception() {
        let mut rng = Rng::with_seed(1);
        for n in 0..20 {
            let table = table_of(n, &mut rng);
            for _ in 0..50 {
                let sample = table.sample(3, Some(NodeId(1)), &mut rng);
                assert_eq!(sample.len(), 3.min((n as usize).saturating_sub(1)));
                assert_eq!(sample.iter().collect::<BTreeSet<_>>().len(), sample.len());
                assert!(!sample.contains(&NodeId(1)));
            }
        }
    }
}
