//! What to tell others, and how often it has been told.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::NodeId;

/// Members too large for the room left are passed over; after this many the datagram is full enough.
const MISFITS_MAX: usize = 8;

/// The members there is news about. What exactly is told is their record at the time of sending, so newer news
/// replaces older by itself and the queue holds 32 bytes per member at most, however fast news comes.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// Fewest transmissions first, then the newest.
    order: BTreeSet<(u32, Reverse<u64>, NodeId)>,
    keys: BTreeMap<NodeId, (u32, Reverse<u64>)>,
    pushed: u64,
}

impl Queue {
    /// There is news about `subject`, to be treated as if it had been sent `sent` times, or less if news that it
    /// replaces has been sent less.
    pub(crate) fn push(&mut self, subject: NodeId, sent: u32) {
        let sent = self.keys.get(&subject).map_or(sent, |(before, _)| sent.min(*before));
        self.remove(subject);
        self.pushed += 1;
        self.put(subject, sent, Reverse(self.pushed));
    }

    pub(crate) fn remove(&mut self, subject: NodeId) {
        if let Some((sent, age)) = self.keys.remove(&subject) {
            self.order.remove(&(sent, age, subject));
        }
    }

    /// Drops what has been sent `sent` times or more.
    pub(crate) fn drop_sent(&mut self, sent: u32) {
        for (_, _, subject) in self.order.split_off(&(sent, Reverse(u64::MAX), NodeId(0))) {
            self.keys.remove(&subject);
        }
    }

    pub(crate) fn contains(&self, subject: NodeId) -> bool {
        self.keys.contains_key(&subject)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
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
        let Some((sent, age)) = self.keys.remove(&subject) else { return };
        self.order.remove(&(sent, age, subject));
        if sent + 1 < limit {
            self.put(subject, sent + 1, age);
        }
    }

    fn put(&mut self, subject: NodeId, sent: u32, age: Reverse<u64>) {
        self.keys.insert(subject, (sent, age));
        self.order.insert((sent, age, subject));
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
        ids.into_iter().for_each(|id| queue.push(NodeId(id), 0));
        queue
    }

    #[test]
    fn fewest_transmissions_first_then_newest() {
        let mut queue = queue_of([1, 2]);
        assert_eq!(fill(&mut queue, 10, |_| 10), [2]);
        assert_eq!(fill(&mut queue, 10, |_| 10), [1]);
        queue.push(NodeId(3), 0);
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
        queue.push(NodeId(1), 0);
        assert_eq!(queue.len(), 1);
        for _ in 0..3 {
            assert_eq!(fill(&mut queue, 10, |_| 10), [1]);
        }
        assert!(queue.is_empty() && queue.order.is_empty());
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
