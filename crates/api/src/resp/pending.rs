//! Slots of which commands of one client are still on their way to another node.

/// The slots of the commands that a connection has collected and not yet had answered: commands of one client on one
/// key are applied in their order, so a later one on such a slot must not be run ahead of them.
#[derive(Debug, Default)]
pub(super) struct PendingSlots(Vec<u16>);

impl PendingSlots {
    /// Whether nothing is on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a command on this slot is on its way.
    pub(super) fn contains(&self, slot: u16) -> bool {
        self.0.contains(&slot)
    }

    /// Notes a command on its way.
    pub(super) fn insert(&mut self, slot: u16) {
        if self.0.last() != Some(&slot) {
            self.0.push(slot);
        }
    }

    /// Everything has been answered.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
