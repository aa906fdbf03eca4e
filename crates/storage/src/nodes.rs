//! The node ids of a slot's versions, stored once each.

/// An id and the number of entries that refer to it.
type Id = ([u8; 16], u32);

/// The ids in use by the entries of one slot. An entry refers to its id by index.
#[derive(Clone, Debug, Default)]
pub(crate) struct Nodes {
    ids: Vec<Id>,
}

impl Nodes {
    /// What one more id adds to `bytes` at most.
    pub(crate) const GROWTH_MAX: usize = size_of::<Id>();

    /// The index for one more entry that refers to `node`; none when as many ids as a byte can count are in
    /// use, or as many entries as 32 bits can.
    pub(crate) fn acquire(&mut self, node: u128) -> Option<u8> {
        let id = node.to_le_bytes();
        let index = self.position(id).or_else(|| self.ids.iter().position(|(_, users)| *users == 0));
        let index = index.unwrap_or(self.ids.len());
        let name = u8::try_from(index).ok()?;
        if index == self.ids.len() {
            self.ids.reserve_exact(1);
            self.ids.push((id, 0));
        }
        let (stored, users) = &mut self.ids[index];
        *users = users.checked_add(1)?;
        *stored = id;
        Some(name)
    }

    /// An entry that referred to an index is gone.
    pub(crate) fn release(&mut self, index: u8) {
        self.ids[usize::from(index)].1 -= 1;
    }

    /// Whether an entry of this node can refer to its id by index for sure.
    pub(crate) fn knows(&self, node: u128) -> bool {
        self.position(node.to_le_bytes()).is_some_and(|index| self.ids[index].1 < u32::MAX)
    }

    pub(crate) fn get(&self, index: u8) -> u128 {
        u128::from_le_bytes(self.ids[usize::from(index)].0)
    }

    /// Gives back the room of ids that are no longer in use.
    pub(crate) fn trim(&mut self) {
        while self.ids.pop_if(|(_, users)| *users == 0).is_some() {}
        self.ids.shrink_to_fit();
    }

    /// Bytes requested from the allocator.
    pub(crate) fn bytes(&self) -> usize {
        self.ids.capacity() * size_of::<Id>()
    }

    fn position(&self, id: [u8; 16]) -> Option<usize> {
        self.ids.iter().position(|(known, users)| *users > 0 && *known == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_stored_once_and_its_place_used_again() {
        let mut nodes = Nodes::default();
        let first = nodes.acquire(1 << 100).unwrap();
        let second = nodes.acquire(7).unwrap();
        assert_eq!(nodes.acquire(1 << 100), Some(first));
        assert_eq!((nodes.get(first), nodes.get(second)), (1 << 100, 7));
        nodes.release(first);
        assert!(nodes.knows(1 << 100));
        nodes.release(first);
        assert!(!nodes.knows(1 << 100));
        assert_eq!(nodes.acquire(8), Some(first));
        assert_eq!(nodes.bytes(), 2 * Nodes::GROWTH_MAX);
    }

    #[test]
    fn more_ids_than_a_byte_can_count_have_no_index() {
        let mut nodes = Nodes::default();
        for node in 0..256 {
            assert_eq!(nodes.acquire(node).map(u128::from), Some(node));
        }
        assert_eq!(nodes.acquire(256), None);
        nodes.release(9);
        assert_eq!(nodes.acquire(256), Some(9));
    }

    #[test]
    fn room_of_ids_out_of_use_is_given_back() {
        let mut nodes = Nodes::default();
        let indices = [1, 2, 3].map(|node| nodes.acquire(node).unwrap());
        nodes.release(indices[2]);
        nodes.release(indices[0]);
        nodes.trim();
        assert_eq!(nodes.bytes(), 2 * Nodes::GROWTH_MAX);
        nodes.release(indices[1]);
        nodes.trim();
        assert_eq!(nodes.bytes(), 0);
    }
}
