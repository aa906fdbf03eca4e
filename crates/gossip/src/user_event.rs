//! Events that the application sends to all members: the recent ones, and which of them have yet to be told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::Pid;
use crate::codec::TERMS_BYTES;
use crate::query::Terms;

/// Most bytes of an event, name and payload together: one fits a datagram.
pub const USER_EVENT_BYTES_MAX: usize = 896;
/// As far one event or exchange moves the clock: further is a defect, or somebody who would drive it to its end. Who really
/// is further behind follows in steps.
const STEP_MAX: u64 = 1 << 20;
/// No time is above: some 2^42 events or exchanges, each a full step, lead there.
pub(crate) const EVENT_TIME_MAX: u64 = 1 << 62;
/// Counted for an event beside its name and payload.
pub(crate) const OVERHEAD: usize = 128;

/// Something that a member told all others. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserEvent {
    /// The process that sent it.
    pub origin: Pid,
    /// Lamport time: an event that was sent after another had arrived has a higher one. With the origin it is unique.
    pub time: u64,
    /// What it is called: for the application.
    pub name: Arc<str>,
    /// What it says: for the application.
    pub payload: Arc<[u8]>,
}

/// What is told to all: an event, or with terms a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) event: UserEvent,
    pub(crate) terms: Option<Terms>,
}

impl Told {
    /// Bytes that it takes in a message, beside those that each takes.
    pub(crate) fn bytes(&self) -> usize {
        let terms = self.terms.as_ref().map_or(0, |terms| TERMS_BYTES + terms.filter.text().len());
        self.event.name.len() + self.event.payload.len() + terms
    }

    fn key(&self) -> Key {
        (self.event.time, self.event.origin)
    }
}

type Key = (u64, Pid);

#[derive(Debug)]
struct Kept {
    told: Told,
    /// How often it has been sent; none when that was enough.
    sent: Option<u32>,
}

/// The recent events in order of their time, bounded in bytes: the oldest go first.
#[derive(Debug)]
pub(crate) struct UserEvents {
    clock: u64,
    ring: BTreeMap<Key, Kept>,
    /// The queue: fewest transmissions first.
    untold: BTreeSet<(u32, Key)>,
    untold_bytes: usize,
    bytes: usize,
    bytes_max: usize,
    /// The latest that was dropped. What is not later cannot be told from a duplicate.
    forgotten: Option<Key>,
}

impl UserEvents {
    pub(crate) fn new(bytes_max: usize) -> UserEvents {
        UserEvents {
            clock: 0,
            ring: BTreeMap::new(),
            untold: BTreeSet::new(),
            untold_bytes: 0,
            bytes: 0,
            bytes_max,
            forgotten: None,
        }
    }

    /// The time of the next own event; `None` at the end of all times.
    pub(crate) fn tick(&mut self) -> Option<u64> {
        self.clock = Some(self.clock + 1).filter(|time| *time <= EVENT_TIME_MAX)?;
        Some(self.clock)
    }

    /// The latest time known of, at most [`EVENT_TIME_MAX`].
    pub(crate) fn time(&self) -> u64 {
        self.clock
    }

    /// Others have got so far. Who did not follow would be taken for telling what is long known; who is far behind gets
    /// there in several steps.
    pub(crate) fn witness(&mut self, time: u64) {
        self.clock = self.clock.max(time.min(self.clock + STEP_MAX)).min(EVENT_TIME_MAX);
    }

    /// Whether there is room in the queue for another own event: half of all is left to those of others.
    pub(crate) fn has_room(&self) -> bool {
        self.untold_bytes <= self.bytes_max / 2
    }

    /// Bytes in the queue.
    pub(crate) fn untold_bytes(&self) -> usize {
        self.untold_bytes
    }

    /// Takes an event in, to be told to others or not. False if it is known, too old to tell, or too far ahead, which moves the
    /// clock all the same: the next may be within reach.
    pub(crate) fn insert(&mut self, told: Told, tell: bool) -> bool {
        let key = told.key();
        let known = self.ring.contains_key(&key) || self.forgotten.is_some_and(|last| key <= last);
        if known {
            return false;
        }
        self.witness(key.0);
        if key.0 > self.clock {
            return false;
        }
        self.bytes += told.bytes() + OVERHEAD;
        if tell {
            self.untold_bytes += told.bytes() + OVERHEAD;
            self.untold.insert((0, key));
        }
        self.ring.insert(key, Kept { told, sent: tell.then_some(0) });
        while self.bytes > self.bytes_max {
            self.drop_oldest();
        }
        true
    }

    fn drop_oldest(&mut self) {
        let Some((key, kept)) = self.ring.pop_first() else { return };
        self.bytes -= kept.told.bytes() + OVERHEAD;
        self.forgotten = Some(key);
        if let Some(sent) = kept.sent {
            self.untold.remove(&(sent, key));
            self.untold_bytes -= kept.told.bytes() + OVERHEAD;
        }
    }

    pub(crate) fn nothing_to_tell(&self) -> bool {
        self.untold.is_empty()
    }

    /// Nobody is there to be told.
    pub(crate) fn all_told(&mut self) {
        while let Some((_, key)) = self.untold.first().copied() {
            self.count(key, 0);
        }
    }

    /// What fits into `room` bytes, each taking `overhead` more than its own; counted as sent once more, and told when
    /// it has been sent `limit` times.
    pub(crate) fn fill(&mut self, mut room: usize, overhead: usize, limit: u32) -> Vec<Told> {
        let mut chosen = Vec::new();
        for (_, key) in &self.untold {
            let Some(kept) = self.ring.get(key) else { continue };
            let bytes = kept.told.bytes() + overhead;
            if bytes > room {
                break;
            }
            room -= bytes;
            chosen.push(kept.told.clone());
        }
        for told in &chosen {
            self.count(told.key(), limit);
        }
        chosen
    }

    fn count(&mut self, key: Key, limit: u32) {
        let Some(kept) = self.ring.get_mut(&key) else { return };
        let Some(sent) = kept.sent else { return };
        self.untold.remove(&(sent, key));
        kept.sent = Some(sent + 1).filter(|sent| *sent < limit);
        match kept.sent {
            Some(sent) => _ = self.untold.insert((sent, key)),
            None => self.untold_bytes -= kept.told.bytes() + OVERHEAD,
        }
    }

    /// All events that are kept, by time; no queries, which are of their moment.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Told> {
        self.ring.values().map(|kept| &kept.told).filter(|told| told.terms.is_none())
    }

    /// Panics if the parts disagree.
    #[cfg(test)]
    pub(crate) fn check(&self) {
        let untold: BTreeSet<(u32, Key)> =
            self.ring.iter().filter_map(|(key, kept)| Some((kept.sent?, *key))).collect();
        assert_eq!(untold, self.untold);
        let bytes = |kept: &Kept| kept.told.bytes() + OVERHEAD;
        assert_eq!(self.ring.values().map(bytes).sum::<usize>(), self.bytes);
        let waiting = self.ring.values().filter(|kept| kept.sent.is_some());
        assert_eq!(waiting.map(bytes).sum::<usize>(), self.untold_bytes);
        assert!(self.bytes <= self.bytes_max);
        assert!(self.clock <= EVENT_TIME_MAX && self.ring.keys().all(|(time, _)| *time <= self.clock));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodeId;

    fn event(origin: u128, time: u64, bytes: usize) -> Told {
        let origin = Pid { id: NodeId(origin), boot: 1 };
        let event = UserEvent { origin, time, name: "".into(), payload: vec![0; bytes].into() };
        Told { event, terms: None }
    }

    #[test]
    fn an_event_is_taken_once_and_its_time_witnessed() {
        let mut events = UserEvents::new(10_000);
        assert!(events.insert(event(1, 7, 10), true) && events.insert(event(2, 7, 10), true));
        assert!(!events.insert(event(1, 7, 10), true), "a duplicate");
        assert_eq!(events.tick(), Some(8));
        assert!(!events.insert(event(1, 8 + STEP_MAX + 1, 10), true), "a clock out of its mind");
        events.check();
    }

    #[test]
    fn who_is_far_behind_follows_in_steps_and_takes_events_again() {
        let mut events = UserEvents::new(10_000);
        let far = 5 * STEP_MAX;
        let taken = (0..10).map(|n| events.insert(event(1, far + n, 10), true)).take_while(|taken| !taken);
        assert_eq!(taken.count(), 5);
        assert_eq!(events.time(), far + 5);
        events.witness(EVENT_TIME_MAX);
        assert_eq!(events.time(), far + 5 + STEP_MAX, "one exchange moves it by one step");
    }

    #[test]
    fn a_clock_ends_within_what_others_take() {
        let mut events = UserEvents { clock: EVENT_TIME_MAX - 1, ..UserEvents::new(10_000) };
        assert_eq!((events.tick(), events.tick()), (Some(EVENT_TIME_MAX), None));
        events.witness(u64::MAX);
        assert_eq!(events.time(), EVENT_TIME_MAX, "what is told of it is in range");
        assert!(!events.insert(event(1, EVENT_TIME_MAX + 1, 10), true));
        events.check();
    }

    #[test]
    fn the_oldest_go_first_and_do_not_come_back() {
        let mut events = UserEvents::new(10 * (100 + OVERHEAD));
        for time in 1..=12 {
            assert!(events.insert(event(1, time, 100), true));
            events.check();
        }
        assert_eq!(
            events.iter().map(|told| told.event.time).collect::<Vec<_>>(),
            (3..=12).collect::<Vec<_>>()
        );
        assert!(!events.insert(event(1, 2, 100), true) && !events.insert(event(9, 1, 100), true));
        assert!(!events.has_room());
    }

    #[test]
    fn each_is_sent_up_to_the_limit_and_those_sent_least_go_first() {
        let mut events = UserEvents::new(10_000);
        (1..=3).for_each(|time| _ = events.insert(event(1, time, 90), true));
        let mut times = || events.fill(200, 10, 2).iter().map(|told| told.event.time).collect::<Vec<_>>();
        assert_eq!([times(), times(), times(), times()], [vec![1, 2], vec![3, 1], vec![2, 3], vec![]]);
        assert!(events.nothing_to_tell() && events.has_room());
        events.check();
    }
}
