//! The node ids of a slot's versions, stored once each.

/// Ids in use by the entries of one slot, each with the number of entries that use it.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    ids: Vec<([u8; 16], u32)>,
}

impl Nodes {
    /// The index under which the entry to be stored refers to `node`; none when 255 ids are in use.
    pub(crate) fn acquire(&mut self, node: u128) -> Option<u8> {
        let id = node.to_le_bytes();
        let known = self.ids.iter().position(|(known, users)| *users > 0 && *known == id);
        let index = match known.or_else(|| self.ids.iter().position(|(_, users)| *users == 0)) {
            Some(index) => index,
            None if self.ids.len() < usize::from(u8::MAX) => {
                self.ids.reserve_exact(1);
                self.ids.push((id, 0));
                self.ids.len() - 1
            }
            None => return None,
        };
        let (slot, users) = &mut self.ids[index];
        *users = users.checked_add(1)?;
        *slot = id;
        u8::try_from(index).ok()
    }

    /// The entry that referred to an index is gone.
    pub(crate) fn release(&mut self, index: u8) {
        self.ids[usize::from(index)].1 -= 1;
    }

    pub(crate) fn get(&self, index: u8) -> u128 {
        u128::from_le_bytes(self.ids[usize::from(index)].0)
    }

    /// Bytes requested from the allocator.
    pub(crate) fn bytes(&self) -> usize {
        self.ids.capacity() * size_of::<([u8; 16], u32)>()
    }
}
