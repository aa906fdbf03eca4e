//! Probes on behalf of others.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::Gossip;
use super::receive::Way;
use crate::Pid;
use crate::timers::Timer;
use crate::wire::Body;

/// Most probes on behalf of others under way. Further requests get no answer, which tells the asker that this relay
/// is of no use now. At 3 relays per failed probe, 1024 askers would have to fail in one interval.
const RELAYS_MAX: usize = 1024;

/// The probes on behalf of others, by the number this member gave them.
pub(super) type Relays = BTreeMap<u64, Relay>;

#[derive(Debug)]
pub(super) struct Relay {
    asker: Pid,
    asker_addr: SocketAddr,
    /// The asker's own number.
    number: u64,
    target: Pid,
    nacked: bool,
    /// When its timer fires.
    until: Duration,
}

impl Gossip {
    pub(super) fn on_relay_request(&mut self, from: SocketAddr, asker: Pid, number: u64, target: Pid) {
        // Only members this one knows itself are probed: a request cannot aim it at other addresses.
        let Some((addr, _)) = self.address(target.id).filter(|(_, pid)| *pid == target) else {
            return self.send(from, Some(asker), Body::Nack { number }, Way::Datagram);
        };
        if self.relays.len() >= RELAYS_MAX {
            return;
        }
        self.stats.probes_relayed += 1;
        let own = self.next_number();
        let until = self.now + self.nack_after();
        self.relays.insert(own, Relay { asker, asker_addr: from, number, target, nacked: false, until });
        self.timers.set(until, Timer::Relay(own));
        self.send(addr, Some(target), Body::Ping { number: own, target: target.into() }, Way::Datagram);
    }

    /// 80 % of the time an asker waits for its relays: later, the nack would come too late to count.
    fn nack_after(&self) -> Duration {
        let patience = self.config.probe_interval.saturating_sub(self.config.probe_timeout);
        patience.min(self.config.probe_timeout).mul_f64(0.8)
    }

    pub(super) fn relay_ack(&mut self, number: u64, target: Pid) {
        if self.relays.get(&number).is_none_or(|relay| relay.target != target) {
            return;
        }
        if let Some(relay) = self.relays.remove(&number) {
            self.timers.cancel(relay.until, Timer::Relay(number));
            let body = Body::Ack { number: relay.number, target: target.into() };
            self.send(relay.asker_addr, Some(relay.asker), body, Way::Datagram);
        }
    }

    /// First the nack, which does not end the probe: a late answer is still passed on. Then the end.
    pub(super) fn on_relay_timeout(&mut self, number: u64) {
        let Some(relay) = self.relays.get_mut(&number) else { return };
        if relay.nacked {
            self.relays.remove(&number);
            return;
        }
        relay.nacked = true;
        relay.until = self.now + self.config.probe_interval;
        self.timers.set(relay.until, Timer::Relay(number));
        let (to, asker, body) = (relay.asker_addr, relay.asker, Body::Nack { number: relay.number });
        self.send(to, Some(asker), body, Way::Datagram);
    }
}
