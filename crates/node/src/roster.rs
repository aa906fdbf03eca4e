//! The members by process: their names, for answers.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use boato_cluster::Pid;
use boato_gossip::Member;

/// Who is there, as gossip last said. Read without a lock.
#[derive(Debug, Default)]
pub(crate) struct Roster(ArcSwap<HashMap<Pid, Arc<str>>>);

impl Roster {
    pub(crate) fn set(&self, members: &[Member]) {
        let names = members.iter().filter(|member| member.is_live());
        self.0.store(Arc::new(names.map(|member| (pid(member), Arc::clone(&member.name))).collect()));
    }

    /// The name of a process; its id where gossip has none.
    pub(crate) fn name(&self, pid: Pid) -> Arc<str> {
        self.0.load().get(&pid).cloned().unwrap_or_else(|| pid.to_string().into())
    }

    /// The processes alive.
    pub(crate) fn pids(&self) -> Vec<Pid> {
        self.0.load().keys().copied().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.load().len()
    }
}

/// The process that a member is.
pub(crate) fn pid(member: &Member) -> Pid {
    Pid { node: member.id.0, boot: member.boot }
}
