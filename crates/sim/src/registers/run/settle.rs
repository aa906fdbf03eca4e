//! After the faults: everything has to come to rest.

use std::collections::BTreeSet;
use std::time::Duration;

use boato_cluster::State;

use super::super::report::{Liveness, Violation};
use super::{Run, SETTLE_LOOK};

/// Within this time after the last fault everything must have settled. Gossip knocks at the dead at random times, on
/// average every half minute, and a process that only hearsay speaks of is believed in for a minute.
const SETTLE_MAX: Duration = Duration::from_mins(8);
/// It has settled when nothing was amiss for so long: the longest suspicion that began with the last fault is over.
const SETTLED_FOR: Duration = Duration::from_secs(30);

impl Run<'_> {
    /// Waits until all is as it should be without faults; returns how long it took.
    pub(super) fn settle(&mut self) -> Result<Duration, Violation> {
        let from = self.engine.now();
        let mut amiss_until = from;
        while self.engine.now() < amiss_until + SETTLED_FOR {
            self.find_again();
            self.advance(self.engine.now() + SETTLE_LOOK)?;
            if !self.obstacles(1).is_empty() || self.refuses_in_vain(from) {
                amiss_until = self.engine.now();
            }
            let after = amiss_until.saturating_sub(from);
            if after >= SETTLE_MAX {
                let mut reasons = self.obstacles(8);
                if self.refuses_in_vain(from) {
                    reasons.push("writes are refused, though enough nodes run".to_owned());
                }
                return Err(Violation::Liveness(Liveness::NotSettled { after, reasons }));
            }
        }
        Ok(amiss_until.saturating_sub(from))
    }

    /// Whether a write has been refused for want of members since the last look, though those who run are enough.
    fn refuses_in_vain(&self, from: Duration) -> bool {
        self.refused_in_vain.is_some_and(|at| at >= from && at + SETTLE_LOOK > self.engine.now())
    }

    /// Whether no slot of any node waits for anything any more.
    pub(super) fn at_rest(&self, after: Duration) -> Result<(), Violation> {
        let running = self.seats.iter().filter(|seat| seat.running);
        let nodes = running.filter_map(|seat| Some((seat.host.0, self.engine.process(seat.host)?)));
        let mut reasons = Vec::new();
        for (host, node) in nodes {
            for slot in 0..self.scenario.slots {
                node.slots.inspect(slot, |header| {
                    if !matches!(header.state(), State::Held { .. } | State::Absent)
                        || header.promised().is_some()
                    {
                        let (name, promised) = (header.state().name(), header.promised());
                        reasons.push(format!("host {host} slot {slot} is {name}, promised to {promised:?}"));
                    }
                });
            }
        }
        if reasons.is_empty() {
            return Ok(());
        }
        reasons.truncate(8);
        Err(Violation::Liveness(Liveness::NotSettled { after, reasons }))
    }

    /// What is not yet as it should be, at most so many things.
    fn obstacles(&self, most: usize) -> Vec<String> {
        let mut found = Vec::new();
        let running: BTreeSet<u128> =
            self.seats.iter().filter(|seat| seat.running).map(|seat| seat.pid.node).collect();
        for seat in self.seats.iter().filter(|seat| seat.running) {
            let Some(node) = self.engine.process(seat.host) else { continue };
            let host = seat.host.0;
            let live = node.gossip.live().count();
            if seat.leaving {
                found.push(format!("host {host} is still leaving"));
            } else if live != running.len() || !node.gossip.live().all(|it| running.contains(&it.id.0)) {
                found.push(format!("host {host} lists {live} live nodes, {} run", running.len()));
            } else if !node.machine.is_settled() {
                found.push(format!("host {host} is not settled: {:?}", node.slots.status(0).runs));
            } else if node.machine.stats().queued > 0 {
                found.push(format!("host {host} has operations waiting"));
            }
            if found.len() >= most {
                break;
            }
        }
        found
    }
}
