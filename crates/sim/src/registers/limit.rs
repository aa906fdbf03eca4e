//! The limit of members below which a node refuses writes, watched from beside the node's own count.

use std::collections::BTreeSet;

use boato_cluster::{Effect, Outcome};

use super::node::{Node, Note};
use crate::Outbox;

impl Node {
    /// Tells the observer of a write that was refused because of the limit, or applied in spite of it.
    pub(super) fn watch_limit(&self, effect: &Effect, outbox: &mut Outbox<Self>) {
        let needed = self.setup.min_members;
        match effect {
            Effect::TooFewMembers { .. } => outbox.note(Note::TooFew),
            Effect::Key(
                Outcome::Created(_)
                | Outcome::Replaced { .. }
                | Outcome::Deleted { .. }
                | Outcome::Integer { .. },
            ) if needed > 0 => {
                let members = self.members();
                if members < needed {
                    outbox.note(Note::WroteAmongFew(members));
                }
            }
            _ => {}
        }
    }

    /// The members that live, as far as the machine has been told, this one included.
    fn members(&self) -> usize {
        let others = self.addresses.keys().map(|pid| pid.node).filter(|node| *node != self.pid().node);
        1 + others.collect::<BTreeSet<_>>().len()
    }
}
