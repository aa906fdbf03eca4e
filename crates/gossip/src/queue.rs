//! What to tell others, and how often it has been told.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::NodeId;

/// Members too large for the room left are passed over; after this many the datagram is full enough.
const MISFITS_MAX: usize = 8;

/// The members there is news about. What exactly is told is their record at the time of sending, so newer news
/// replaces older by itself and the queue holds a few dozen bytes per member at most, however fast news comes.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// Fewest transmissions first, then the newest.
    order: BTreeSet<(u32, Reverse<u64>, NodeId)>,
    keys: BTreeMap<NodeId, Place>,
    pushed: u64,
    /// What the news about all takes, as it was pushed.
    bytes: usize,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    sent: u32,
    age: Reverse<u64>,
    bytes: usize,
}

impl Queue {
    /// There is news about `subject` of so many bytes, to be treated as if it had been sent `sent` times, or less if news that it
    /// replaces has been sent less.
    pub(crate) fn push(&mut self, subject: NodeId, sent: u32, bytes: usize) {
        let sent = self.keys.get(&subject).map_or(sent, |before| sent.min(before.sent));
        self.remove(subject);
        self.pushed += 1;
        self.put(subject, Place { sent, age: Reverse(self.pushed), bytes });
    }

    pub(crate) fn remove(&mut self, subject: NodeId) {
        self.take(subject);
    }

    fn take(&mut self, subject: NodeId) -> Option<Place> {
        let place = self.keys.remove(&subject)?;
        self.order.remove(&(place.sent, place.age, subject));
        self.bytes -= place.bytes;
        Some(place)
    }

    /// Drops what has been sent `sent` times or more.
    pub(crate) fn drop_sent(&mut self, sent: u32) {
        for (_, _, subject) in self.order.split_off(&(sent, Reverse(u64::MAX), NodeId(0))) {
            self.bytes -= self.keys.remove(&subject).map_or(0, |place| place.bytes);
        }
    }

    #[cfg(test)]
    pub(crate) fn contains(&self, subject: NodeId) -> bool {
        self.keys.contains_key(&subject)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Bytes that telling all of it once takes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds to `chosen` what fits into `room` bytes and is not about `reader`, who knows best; counts it as sent
    /// once more, and drops what has been sent `limit` times.
    pub(crate) fn fill(
        &mut self,
        mut room: usize,
        limit: u32,
        reader: Option<NodeId>,
        size: impl Fn(NodeId) -> usize,
        chosen: &mut Vec<NodeId>,
    ) {
        let already = chosen.len();
        let mut misfits = 0;
        for &(_, _, subject) in &self.order {
            if Some(subject) == reader || chosen[..already].contains(&subject) {
                continue;
            }
            let bytes = size(subject);
            if bytes <= room {
                room -= bytes;
                chosen.push(subject);
            } else {
                misfits += 1;
                if misfits == MISFITS_MAX {
                    break;
                }
            }
        }
        for &subject in &chosen[already..] {
            self.count(subject, limit);
        }
    }

    fn count(&mut self, subject: NodeId, limit: u32) {
        let Some(place) = self.take(subject) else { return };
        if place.sent + 1 < limit {
            self.put(subject, Place { sent: place.sent + 1, ..place });
        }
    }

    fn put(&mut self, subject: NodeId, place: Place) {
        self.keys.insert(subject, place);
        self.order.insert((place.sent, place.age, subject));
        self.bytes += place.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(queue: &mut Queue, room: usize, size: impl Fn(NodeId) -> usize) -> Vec<u128> {
        let mut chosen = Vec::new();
        queue.fill(room, 3, None, size, &mut chosen);
        chosen.into_iter().map(|id| id.0).collect()
    }

    fn queue_of(ids: impl IntoIterator<Item = u128>) -> Queue {
        let mut queue = Queue::default();
        ids.into_iter().for_each(|id| queue.push(NodeId(id), 0, 10));
        queue
    }

    #[test]
    fn fewest_transmissions_first_then_newest() {
        let mut queue = queue_of([1, 2]);
        assert_eq!(fill(&mut queue, 10, |_| 10), [2]);
        assert_eq!(fill(&mut queue, 10, |_| 10), [1]);
        queue.push(NodeId(3), 0, 10);
        assert_eq!(fill(&mut queue, 30, |_| 10), [3, 2, 1]);
    }

    #[test]
    fn what_has_been_sent_often_can_be_dropped() {
        let mut queue = queue_of([1, 2, 3]);
        assert_eq!(fill(&mut queue, 20, |_| 10), [3, 2]);
        assert_eq!(fill(&mut queue, 20, |_| 10), [1, 3]);
        queue.drop_sent(2);
        assert_eq!((queue.len(), queue.contains(NodeId(3))), (2, false));
        queue.drop_sent(1);
        assert!(queue.is_empty() && queue.order.is_empty());
    }

    #[test]
    fn news_is_sent_up_to_the_limit() {
        let mut queue = queue_of([1]);
        for _ in 0..3 {
            assert_eq!(fill(&mut queue, 10, |_| 10), [1]);
        }
        assert!(queue.is_empty());
    }

    #[test]
    fn newer_news_replaces_older_and_starts_anew() {
        let mut queue = queue_of([1]);
        fill(&mut queue, 10, |_| 10);
        fill(&mut queue, 10, |_| 10);
        queue.push(NodeId(1), 0, 10);
        assert_eq!(queue.len(), 1);
        for _ in 0..3 {
            assert_eq!(fill(&mut queue, 10, |_| 10), [1]);
        }
        assert!(queue.is_empty() && queue.order.is_empty());
    }

    #[test]
    fn bytes_are_of_what_is_still_to_be_told() {
        let mut queue = queue_of([1, 2, 3]);
        assert_eq!(queue.bytes(), 30);
        queue.push(NodeId(1), 0, 25);
        assert_eq!(queue.bytes(), 45);
        queue.remove(NodeId(2));
        fill(&mut queue, 100, |_| 10);
        assert_eq!(queue.bytes(), 35);
        queue.push(NodeId(3), 2, 10);
        queue.drop_sent(1);
        assert_eq!((queue.bytes(), queue.is_empty()), (0, true));
    }

    #[test]
    fn what_is_too_large_does_not_block_the_rest() {
        let mut queue = queue_of([1, 2, 3]);
        assert_eq!(fill(&mut queue, 25, |id| if id.0 == 2 { 26 } else { 10 }), [3, 1]);
        assert_eq!(fill(&mut queue, 26, |id| if id.0 == 2 { 26 } else { 10 }), [2]);
    }

    #[test]
    fn what_is_chosen_already_is_not_chosen_twice() {
        let mut queue = queue_of([1, 2]);
        let mut chosen = vec![NodeId(2)];
        queue.fill(100, 3, None, |_| 10, &mut chosen);
        assert_eq!(chosen, [NodeId(2), NodeId(1)]);
    }

    #[test]
    fn nobody_is_told_about_itself() {
        let mut queue = queue_of([1, 2]);
        let mut chosen = Vec::new();
        queue.fill(100, 1, Some(NodeId(2)), |_| 10, &mut chosen);
        assert_eq!(chosen, [NodeId(1)]);
        assert!(queue.contains(NodeId(2)), "and that does not count as sent");
    }
}
