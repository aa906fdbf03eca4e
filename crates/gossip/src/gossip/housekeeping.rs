//! What an operator sees to: the dead that will not come back, and two members of one name.

use super::{Gossip, Phase};
use crate::{Event, InputError, NodeId, State};

impl Gossip {
    /// Tells when another member has had this one's name for longer: its process is older.
    pub(super) fn compare_names(&mut self, id: NodeId) {
        let Some(other) = self.table.get(id).map(|entry| &*entry.member) else { return };
        let older = (other.boot, other.id) < (self.me.boot, self.me.id);
        if older && other.is_live() && other.name == self.me.name && self.phase == Phase::Active {
            let other = other.clone();
            self.emit(Event::NameTaken(other));
        }
    }

    /// An operator has a dead member removed.
    pub(super) fn remove_member(&mut self, id: NodeId, prune: bool) -> Result<(), InputError> {
        let member = self.member(id).ok_or(InputError::NoMember(id))?;
        if member.is_live() {
            return Err(InputError::Lives(member.name.to_string()));
        }
        self.learn_own(id, if prune { State::Pruned } else { State::Left });
        Ok(())
    }
}
