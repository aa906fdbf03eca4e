//! What is going to happen, in the order of virtual time.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::Duration;

/// A queue of things by time; what is due at the same time comes out in the order it went in.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    heap: BinaryHeap<Entry<T>>,
    pushed: u64,
}

#[derive(Debug)]
struct Entry<T> {
    at: Duration,
    order: u64,
    thing: T,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        Self { heap: BinaryHeap::new(), pushed: 0 }
    }

    pub(crate) fn push(&mut self, at: Duration, thing: T) {
        self.heap.push(Entry { at, order: self.pushed, thing });
        self.pushed += 1;
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// The first thing, if it is due by `deadline`.
    pub(crate) fn pop_until(&mut self, deadline: Duration) -> Option<(Duration, T)> {
        if self.heap.peek()?.at > deadline {
            return None;
        }
        self.heap.pop().map(|entry| (entry.at, entry.thing))
    }
}

impl<T> Entry<T> {
    fn key(&self) -> (Duration, u64) {
        (self.at, self.order)
    }
}

// The heap gives its greatest entry first, so the earliest is the greatest.
impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for Entry<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_come_out_by_time_then_in_the_order_they_went_in() {
        let mut queue = Queue::new();
        for (at, thing) in [(3, 'd'), (1, 'a'), (2, 'b'), (2, 'c')] {
            queue.push(Duration::from_millis(at), thing);
        }
        let order: Vec<char> = std::iter::from_fn(|| queue.pop_until(Duration::from_millis(2)))
            .map(|(_, thing)| thing)
            .collect();
        assert_eq!(order, ['a', 'b', 'c']);
        assert!(queue.pop_until(Duration::from_millis(3)).is_some());
    }
}
