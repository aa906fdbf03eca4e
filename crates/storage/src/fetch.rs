//! Has the memory of several lookups fetched at the same time.
//!
//! A lookup in a large store waits for memory four times, one after the other: for the slot, the list of its buckets, a bucket
//! and a record, and twice more for a long record, which lies elsewhere. A processor goes on while it waits as long as nothing
//! needs what it waits for, so lookups that go these steps together wait about as often as one alone (group prefetching: Chen et
//! al., "Improving Hash Join Performance through Prefetching", 2004; without its instructions).

use std::hint::black_box;

use parking_lot::MutexGuard;

use crate::store::{Slot, Store};
use crate::table::Path;

/// So much of a long record is fetched, line by line; what follows comes while that is copied.
const LONG_BYTES: usize = 1024;
const LINE_BYTES: usize = 64;

/// The most keys that one [`Store::fetch`] takes.
pub const FETCH_MAX: usize = 16;

impl<H> Store<H> {
    /// Brings what lookups of these keys, each with its slot, will look at into the processor's caches; `touch` looks at what
    /// will be needed of a header.
    ///
    /// Saves about half of the time of [`FETCH_MAX`] lookups that follow at once, and costs a third of a single one's.
    /// Changes nothing. Holds the locks of these slots together, and waits for none: a slot that is locked is left out, and so
    /// are keys beyond [`FETCH_MAX`].
    ///
    /// # Panics
    ///
    /// When a slot is not below [`Store::slots`].
    pub fn fetch(&self, keys: &[(usize, &[u8])], touch: impl Fn(&H)) {
        let keys = &keys[..keys.len().min(FETCH_MAX)];
        // Taking a lock waits for its memory; looking at it does not.
        for (slot, _) in keys {
            black_box(self.cell(*slot).is_locked());
        }
        let mut locked: [Option<MutexGuard<'_, Slot<H>>>; FETCH_MAX] = [const { None }; FETCH_MAX];
        for (guard, (slot, _)) in locked.iter_mut().zip(keys) {
            *guard = self.cell(*slot).try_lock();
        }
        let mut paths: [Option<Path<'_>>; FETCH_MAX] = [None; FETCH_MAX];
        for ((path, guard), (_, key)) in paths.iter_mut().zip(&locked).zip(keys) {
            let Some(guard) = guard else { continue };
            touch(&guard.header);
            guard.entries.touch();
            *path = guard.entries.path(key);
        }
        for path in paths.iter().flatten() {
            path.touch_bucket();
        }
        let (mut elsewhere, mut count) = ([None; FETCH_MAX], 0);
        for path in paths.iter().flatten() {
            if let Some(number) = path.touch_records() {
                elsewhere[count] = Some((path, number));
                count += 1;
            }
        }
        for (path, number) in elsewhere[..count].iter().flatten() {
            black_box(path.elsewhere(*number).len());
        }
        for (path, number) in elsewhere[..count].iter().flatten() {
            for byte in path.elsewhere(*number).iter().take(LONG_BYTES).step_by(LINE_BYTES) {
                black_box(*byte);
            }
        }
    }
}
