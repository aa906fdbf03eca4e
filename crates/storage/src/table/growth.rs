//! By how much a table grows at most.

use super::{LOAD, Table, step};
use crate::bucket::{self, Bucket};
use crate::record;

/// Records that are to be added or replaced by longer ones.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Growth {
    bytes: usize,
    inserts: usize,
    long: usize,
}

impl Growth {
    /// One of `len` bytes, in the place of one of `old` bytes if there is one.
    pub(crate) fn add(&mut self, len: usize, old: Option<usize>) {
        self.bytes += len.saturating_sub(old.unwrap_or(0)) + bucket::OVERHEAD_MAX;
        self.inserts += usize::from(old.is_none());
        self.long += usize::from(len > record::SHORT_MAX);
    }
}

impl Table {
    /// The most that `insert` or, with the length of the `old` record, `replace` can add to `bytes`.
    pub(crate) fn growth(&self, len: usize, old: Option<usize>) -> usize {
        let buckets = if old.is_some() { 0 } else { step(&self.buckets) * size_of::<Bucket>() };
        let large = if len > record::SHORT_MAX { step(&self.large) * size_of::<Box<[u8]>>() } else { 0 };
        len.saturating_sub(old.unwrap_or(0)) + bucket::OVERHEAD_MAX + buckets + large
    }

    /// The most that all these can add to `bytes`, in whatever order.
    pub(crate) fn growth_of(&self, growth: &Growth) -> usize {
        let Growth { bytes, inserts, long } = *growth;
        // One more than there will be: an insert reserves room for one though it may add none.
        let buckets = (self.len + inserts).div_ceil(LOAD).saturating_sub(self.buckets.len()) + 1;
        let buckets = if inserts > 0 { steps(&self.buckets, buckets) * size_of::<Bucket>() } else { 0 };
        bytes + buckets + steps(&self.large, long) * size_of::<Box<[u8]>>()
    }
}

/// By how many elements so many times `push` enlarge a vector at most.
fn steps<T>(vec: &Vec<T>, pushes: usize) -> usize {
    let most = vec.len() + pushes;
    if pushes == 0 || most <= vec.capacity() {
        return 0;
    }
    // The last enlargement finds it full with one less.
    most - 1 + ((most - 1) / 2).max(4) - vec.capacity()
}
