//! How a node finds others, or begins a cluster.

use std::collections::BTreeSet;
use std::time::Duration;

use boato_cluster::{Input, Standing};

use super::node::{Alarm, Node};
use crate::membership::addr_of;
use crate::{Host, Outbox};

/// A node that knows nobody where it was told to join asks the next host after this time.
const JOIN_RETRY: Duration = Duration::from_secs(1);
/// How long a node that may begin a cluster looks around before it does.
const QUIET: Duration = Duration::from_secs(1);
/// How soon after its start a node finds others by itself, at the latest.
const DISCOVERY: Duration = Duration::from_millis(500);

impl Node {
    /// Joins as a node's discovery does: again and again, until somebody is known.
    pub(super) fn join(&mut self, at: Duration, outbox: &mut Outbox<Self>) {
        if self.setup.joins.is_empty() {
            return self.drive(Input::Eligible { quiet: QUIET }, outbox);
        }
        if self.setup.founder {
            return self.find_founders(at, outbox);
        }
        if self.gossip.live().nth(1).is_none() {
            let host = self.setup.joins[self.next_join % self.setup.joins.len()];
            self.next_join += 1;
            self.gossip(boato_gossip::Input::Join(addr_of(host)), outbox);
        }
        self.set_alarm(at + JOIN_RETRY, Alarm::Join);
    }

    /// Looks for those who may begin the same cluster, as discovery does: for all of them at once, and not at once.
    fn find_founders(&mut self, at: Duration, outbox: &mut Outbox<Self>) {
        if std::mem::take(&mut self.looks_later) {
            let after = DISCOVERY.mul_f64(self.rng.f64());
            self.set_alarm(at + after, Alarm::Join);
            return self.drive(Input::Eligible { quiet: QUIET }, outbox);
        }
        if self.machine.standing() != Standing::Claimed {
            let known: BTreeSet<Host> = self.addresses.values().copied().collect();
            for host in self.setup.joins.clone().into_iter().filter(|host| !known.contains(host)) {
                self.gossip(boato_gossip::Input::Join(addr_of(host)), outbox);
            }
            self.set_alarm(at + JOIN_RETRY, Alarm::Join);
        }
    }
}
