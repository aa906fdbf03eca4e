//! Counters that threads keep without getting in each other's way, added up when somebody looks.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// With more threads than this, some share a value.
const THREADS: usize = 16;

/// A value of each thread's own. The threads of a runtime, which start one after the other, have different ones.
#[derive(Debug)]
pub struct PerThread<T>(Box<[Lines<T>]>);

/// On lines of the processor's cache that nothing else is on; it fetches two at a time.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Lines<T>(T);

impl<T: Default> Default for PerThread<T> {
    fn default() -> Self {
        Self((0..THREADS).map(|_| Lines::default()).collect())
    }
}

impl<T> PerThread<T> {
    /// This thread's.
    #[inline]
    pub fn mine(&self) -> &T {
        &self.0[number() % THREADS].0
    }

    /// All.
    pub fn iter(&self) -> impl Iterator<Item = &T> + Clone {
        self.0.iter().map(|Lines(value)| value)
    }

    /// What all together have counted.
    pub fn sum(&self, counter: impl Fn(&T) -> &AtomicU64) -> u64 {
        self.iter().map(|value| counter(value).load(Relaxed)).sum()
    }
}

/// Threads in the order in which they first ask.
fn number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static NUMBER: usize = NEXT.fetch_add(1, Relaxed));
    NUMBER.with(|number| *number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_threads_count_is_added_up() {
        let counts = PerThread::<AtomicU64>::default();
        std::thread::scope(|scope| {
            for _ in 0..2 * THREADS {
                scope.spawn(|| (0..1000).for_each(|_| _ = counts.mine().fetch_add(1, Relaxed)));
            }
        });
        assert_eq!(counts.sum(|count| count), 2000 * THREADS as u64);
        assert!(counts.iter().filter(|count| count.load(Relaxed) > 0).count() > 1);
    }
}
