//! The part of a view that readers without a lock need.

use std::collections::BTreeMap;
use std::sync::Arc;

use boato_placement::Table;

use super::View;
use crate::pid::Pid;

/// What routing needs of a view, published for readers without a lock.
#[derive(Debug)]
pub struct Routes {
    /// Who should have which slot.
    pub table: Arc<Table>,
    pub(crate) pids: BTreeMap<u128, Pid>,
}

impl Routes {
    pub(crate) fn new(table: Arc<Table>, view: &View) -> Self {
        let pids = view.live().chain([view.me]).map(|pid| (pid.node, pid)).collect();
        Self { table, pids }
    }

    /// The process that the table names for a slot.
    pub fn target(&self, slot: u16) -> Option<Pid> {
        self.pids.get(&self.table.owner(slot)?).copied()
    }

    /// Whether this view considers `pid` not dead.
    pub fn is_live(&self, pid: Pid) -> bool {
        self.pids.get(&pid.node) == Some(&pid)
    }
}
