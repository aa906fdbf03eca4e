//! The members by process: their names and doors, for answers.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use boato_cluster::Pid;
use boato_gossip::Member;

use crate::attributes::Attributes;

/// What is known of the processes alive.
pub(crate) type Names = HashMap<Pid, Known>;

/// What gossip says of a process, as far as answers need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) name: Arc<str>,
    /// Its door for cluster clients.
    pub(crate) resp_cluster: Option<SocketAddr>,
}

/// Who is there, as gossip last said. Read without a lock.
#[derive(Debug, Default)]
pub(crate) struct Roster(ArcSwap<Names>);

impl Roster {
    pub(crate) fn set(&self, members: &[Member]) {
        let known = members.iter().filter(|member| member.is_live()).map(|member| {
            let resp_cluster = Attributes::of(member).resp_cluster;
            (pid(member), Known { name: Arc::clone(&member.name), resp_cluster })
        });
        let names = known.collect();
        // The same map stays the same one, so that what was made of it need not be made again.
        if **self.0.load() != names {
            self.0.store(Arc::new(names));
        }
    }

    /// What is known now.
    pub(crate) fn names(&self) -> Arc<Names> {
        self.0.load_full()
    }

    /// The name of a process; its id where gossip has none.
    pub(crate) fn name(&self, pid: Pid) -> Arc<str> {
        self.0.load().get(&pid).map_or_else(|| pid.to_string().into(), |known| Arc::clone(&known.name))
    }

    /// The names of those who answer some operations.
    pub(crate) fn holders(&self) -> Holders<'_> {
        Holders { roster: self, known: Vec::new() }
    }

    /// The processes alive.
    pub(crate) fn pids(&self) -> Vec<Pid> {
        self.0.load().keys().copied().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.load().len()
    }
}

/// Names of few processes, each looked up once.
pub(crate) struct Holders<'a> {
    roster: &'a Roster,
    known: Vec<(Pid, Arc<str>)>,
}

impl Holders<'_> {
    /// [`Roster::name`].
    pub(crate) fn of(&mut self, pid: Pid) -> Arc<str> {
        if let Some((_, name)) = self.known.iter().find(|(known, _)| *known == pid) {
            return Arc::clone(name);
        }
        let name = self.roster.name(pid);
        self.known.push((pid, Arc::clone(&name)));
        name
    }
}

/// The process that a member is.
pub(crate) fn pid(member: &Member) -> Pid {
    Pid { node: member.id.0, boot: member.boot }
}
