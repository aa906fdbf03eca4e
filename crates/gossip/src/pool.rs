//! Members of several members: one copy for all that run in one process.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::Member;

/// Fewest that are kept before those that nobody uses any more are looked for.
const SWEEP_MIN: usize = 1024;

/// What several members that run in one process know of others, each kept once: for simulations, where it divides the memory
/// by the number of simulated members. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct MemberPool(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    members: BTreeSet<Arc<Member>>,
    sweep_at: usize,
}

impl MemberPool {
    /// The one copy of it.
    pub(crate) fn share(&self, member: Arc<Member>) -> Arc<Member> {
        let Kept { members, sweep_at } = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(same) = members.get(&member) {
            return Arc::clone(same);
        }
        if members.len() >= *sweep_at {
            members.retain(|member| Arc::strong_count(member) > 1);
            *sweep_at = SWEEP_MIN.max(2 * members.len());
        }
        members.insert(Arc::clone(&member));
        member
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NodeId, Signature, State, Tags};

    fn member(id: u128) -> Arc<Member> {
        let addr = ([127, 0, 0, 1], 7400).into();
        let (name, tags) = ("one".into(), Tags::default());
        let (id, signature) = (NodeId(id), Signature::default());
        Arc::new(Member { id, boot: 1, incarnation: 0, addr, state: State::Alive, name, tags, signature })
    }

    #[test]
    fn equal_members_are_kept_once_and_for_as_long_as_somebody_uses_them() {
        let pool = MemberPool::default();
        let one = pool.share(member(1));
        assert!(Arc::ptr_eq(&one, &pool.share(member(1))));
        assert!(!Arc::ptr_eq(&one, &pool.share(member(2))));
        (3..10_000).for_each(|id| drop(pool.share(member(id))));
        assert!(pool.0.lock().unwrap().members.len() <= SWEEP_MIN + 1);
        assert!(Arc::ptr_eq(&one, &pool.share(member(1))));
    }
}
