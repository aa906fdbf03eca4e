//! Entries by node id, packed: every member of a large cluster keeps one of every other.

use hashbrown::HashTable;

use crate::NodeId;
use crate::table::Entry;

/// Entries, found by their ids. Their order says nothing.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    entries: Vec<Entry>,
    /// Where in `entries` each is.
    index: HashTable<u32>,
}

impl Slots {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// All, in no order that means anything.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    pub(crate) fn get(&self, id: NodeId) -> Option<&Entry> {
        self.place(id).and_then(|place| self.entries.get(place))
    }

    pub(crate) fn get_mut(&mut self, id: NodeId) -> Option<&mut Entry> {
        self.place(id).and_then(|place| self.entries.get_mut(place))
    }

    fn place(&self, id: NodeId) -> Option<usize> {
        let place = self.index.find(hash(id), |place| self.entries[*place as usize].id == id)?;
        Some(*place as usize)
    }

    /// Panics if the node has an entry.
    pub(crate) fn insert(&mut self, entry: Entry) {
        let id = entry.id;
        assert!(self.place(id).is_none(), "a node is kept once");
        let place = u32::try_from(push(&mut self.entries, entry)).expect("invariant: members are bounded");
        let entries = &self.entries;
        self.index.insert_unique(hash(id), place, |place| hash(entries[*place as usize].id));
    }

    pub(crate) fn remove(&mut self, id: NodeId) -> Option<Entry> {
        let found = self.index.find_entry(hash(id), |place| self.entries[*place as usize].id == id).ok()?;
        let (place, _) = found.remove();
        let entry = self.entries.swap_remove(place as usize);
        let last = self.entries.len();
        if let Some(moved) = self.entries.get(place as usize) {
            let former = self.index.find_mut(hash(moved.id), |place| *place as usize == last);
            *former.expect("invariant: every entry is in the index") = place;
        }
        Some(entry)
    }
}

/// Adds to a list that is long and grows slowly: an eighth of room more at a time, where doubling leaves half unused.
pub(crate) fn push<T>(list: &mut Vec<T>, item: T) -> usize {
    if list.len() == list.capacity() {
        list.reserve_exact(list.len() / 8 + 4);
    }
    list.push(item);
    list.len() - 1
}

/// Node ids are random: mixing their halves is hash enough, and the same in every run.
fn hash(id: NodeId) -> u64 {
    let product = (id.0 ^ (id.0 >> 64)).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ids_that_differ_in_one_bit_hash_apart() {
        let hashes: BTreeSet<u64> = (0..128).map(|bit| hash(NodeId(1 << bit)) >> 57).collect();
        assert!(hashes.len() > 32, "only {} of 128 top values differ", hashes.len());
    }

    #[test]
    fn a_long_list_has_little_room_unused() {
        let mut list = Vec::new();
        (0..10_000).for_each(|n| assert_eq!(push(&mut list, n), n));
        assert!(list.capacity() < 11_300, "{}", list.capacity());
    }
}
