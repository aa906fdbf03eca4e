//! A cluster that each of several nodes may begin, as nodes may that find each other by themselves: one of them does.

use std::time::Duration;

use super::agenda::Action;
use super::fault::Fault;
use super::report::Safety;
use super::run::Run;
use crate::Host;

/// When all have gone on for so long, one of them has begun the cluster, and others belong to it.
const FOUNDED: Duration = Duration::from_secs(3);

/// Who began the cluster.
#[derive(Default)]
pub(super) struct Founding {
    first: Option<Host>,
    /// Until then nobody else may, as nothing else goes wrong.
    until: Duration,
}

impl Run<'_> {
    /// Starts all nodes of a new cluster at once, each of which stands still before it can have begun it; returns when it
    /// should be one.
    pub(super) fn start_stalled(&mut self) -> Duration {
        let hosts: Vec<Host> = (0..self.scenario.nodes).map(Host).collect();
        let mut over = Duration::ZERO;
        for &host in &hosts {
            let others = hosts.iter().copied().filter(|other| *other != host).collect();
            self.found(others);
            let latest_ms = if self.rng.bool() { 30 } else { 900 };
            let at = Duration::from_millis(self.rng.u64(..latest_ms));
            let span = Duration::from_millis(self.rng.u64(100..4_000));
            self.agenda.add(at, Action::Stall(host, span));
            over = over.max(at + span);
        }
        self.count(Fault::StalledStart);
        self.founding.until = over + FOUNDED;
        self.founding.until
    }

    /// A node stands still. Mostly it finds out how late it is before it hears what was said to it.
    pub(super) fn stall(&mut self, host: Host, span: Duration) {
        let until = self.engine.now() + span;
        let deaf = self.rng.u8(..4) > 0;
        let first = if deaf { "what it wanted to do" } else { "what it was told" };
        self.say(format_args!("host {} stands still for {span:?}, then comes {first}", host.0));
        if deaf {
            self.engine.pause_deaf(host, until);
        } else {
            self.engine.pause(host, until);
        }
    }

    /// Whether nothing may go wrong now, be it that the faults are over or that a cluster is just being begun.
    pub(super) fn is_spared(&self) -> bool {
        self.calm || self.engine.now() < self.founding.until
    }

    /// A node began a cluster.
    pub(super) fn began(&mut self, at: Duration, host: Host) -> Result<(), Safety> {
        if at < self.founding.until
            && let Some(first) = self.founding.first.replace(host)
        {
            return Err(Safety::BegunTwice { at, host: host.0, first: first.0 });
        }
        Ok(())
    }
}
