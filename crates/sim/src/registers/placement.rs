//! The production placement, computed once for each set of members of a run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use boato_placement::{Candidate, Rendezvous, Strategy};

/// Shared by all nodes of a run; the same owners as [`Rendezvous`] with its default.
#[derive(Clone, Default)]
pub(super) struct Remembered(Arc<Mutex<BTreeMap<Vec<Candidate>, Vec<u128>>>>);

impl Strategy for Remembered {
    fn assign(&self, nodes: &[Candidate]) -> Vec<u128> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(owners) = known.get(nodes) {
            return owners.clone();
        }
        let owners = Rendezvous::default().assign(nodes);
        known.insert(nodes.to_vec(), owners.clone());
        owners
    }
}
