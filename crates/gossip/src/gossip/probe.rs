//! Failure detection: one member per interval is asked whether it is there, directly, then through relays and by
//! stream at once (SWIM, section 3.1; the relays' nacks are Lifeguard's).

use std::time::Duration;

use super::receive::Way;
use super::{Gossip, Phase};
use crate::awareness::Awareness;
use crate::coordinate::Seen;
use crate::timers::Timer;
use crate::wire::Body;
use crate::{Coordinate, Event, Member, NodeId, Pid};

/// Probes in a row that are answered on a stream only, before that is told: fewer may be loss.
const STREAMS_ONLY: u32 = 4;

/// The probe of this interval, until it is answered.
#[derive(Debug)]
pub(super) struct Probe {
    number: u64,
    target: Pid,
    sent: Duration,
    /// Answered on a stream. Until the interval is over a datagram may still answer, too.
    by_stream: bool,
    /// When the direct probe has had its time.
    timeout: Duration,
    relays: u32,
    nacks: u32,
}

impl Gossip {
    pub(super) fn on_probe_interval(&mut self) {
        self.conclude_probe();
        self.conclude_roll_call();
        if self.phase != Phase::Active {
            return;
        }
        self.timers.set(self.now + self.awareness.scale(self.config.probe_interval), Timer::Probe);
        self.ask_to_recall();
        if let Some(id) = self.table.next_to_probe(&mut self.rng) {
            self.start_probe(id);
            self.call_roll();
        } else {
            // Nobody is left to be wronged.
            self.awareness = Awareness::default();
        }
    }

    /// Whom this member asks in this probe interval whether it is there, until it has answered or the interval is over.
    pub fn probing(&self) -> Option<&Member> {
        let target = self.probe.as_ref()?.target;
        self.member(target.id).filter(|member| member.pid() == target)
    }

    fn start_probe(&mut self, id: NodeId) {
        let Some(entry) = self.table.get(id) else { return };
        let (target, addr) = (entry.member.pid(), entry.member.addr);
        let number = self.next_number();
        self.stats.probes += 1;
        let timeout = self.now + self.awareness.scale(self.rtt.timeout(&self.config));
        let sent = self.now;
        self.probe = Some(Probe { number, target, sent, by_stream: false, timeout, relays: 0, nacks: 0 });
        self.timers.set(timeout, Timer::ProbeTimeout(number));
        self.send(addr, Some(target), Body::Ping { number, target: target.into() }, Way::Datagram);
    }

    /// No direct answer in time: asks relays, and once more by stream, which tells loss from death.
    pub(super) fn on_probe_timeout(&mut self, number: u64) {
        let Some(probe) = self.probe.as_mut().filter(|probe| probe.number == number) else { return };
        let target = probe.target;
        let relays = self.table.sample(self.config.indirect_probes, Some(target.id), &mut self.rng);
        probe.relays = u32::try_from(relays.len()).unwrap_or(u32::MAX);
        for relay in relays {
            if let Some((addr, pid)) = self.address(relay) {
                self.send(addr, Some(pid), Body::Relay { number, target: target.into() }, Way::Datagram);
            }
        }
        if let Some((addr, pid)) = self.address(target.id).filter(|(_, pid)| *pid == target) {
            self.send(addr, Some(pid), Body::Ping { number, target: target.into() }, Way::Stream);
        }
    }

    /// `target` is there, says `sender`: itself, or a relay.
    pub(super) fn on_ack(
        &mut self,
        (sender, there): (Pid, Option<Coordinate>),
        number: u64,
        target: Pid,
        way: Way,
    ) {
        let Some(probe) =
            self.probe.as_mut().filter(|probe| probe.number == number && probe.target == target)
        else {
            self.farewells.untold.remove(&number);
            return self.relay_ack(number, target);
        };
        if !probe.by_stream {
            self.awareness.improve();
        }
        if way == Way::Stream {
            probe.by_stream = true;
            return;
        }
        let (timeout, took) = (probe.timeout, self.now.saturating_sub(probe.sent));
        self.probe = None;
        self.timers.cancel(timeout, Timer::ProbeTimeout(number));
        if sender == target {
            self.measured(target.id, there, took);
        }
        if let Some(entry) = self.table.get_mut(target.id) {
            entry.streams_only = 0;
        }
    }

    /// A direct probe took so long there and back.
    fn measured(&mut self, id: NodeId, there: Option<Coordinate>, rtt: Duration) {
        self.rtt.observe(rtt);
        let (Some(entry), Some(there)) = (self.table.get_mut(id), there) else { return };
        let seen = entry.seen.get_or_insert_with(|| Box::new(Seen::new(there, rtt)));
        let rtt = seen.observe(there, rtt);
        self.vivaldi.observe(&there, rtt, &mut self.rng);
    }

    /// Neither the target nor a relay has answered by datagram, but the target has on a stream. Said once, until
    /// datagrams are answered again.
    fn answered_by_stream_only(&mut self, target: Pid) {
        let Some(entry) = self.table.get_mut(target.id) else { return };
        entry.streams_only = entry.streams_only.saturating_add(1);
        if entry.streams_only == STREAMS_ONLY {
            let member = Member::clone(&entry.member);
            self.emit(Event::StreamsOnly(member));
        }
    }

    pub(super) fn on_nack(&mut self, number: u64) {
        if let Some(probe) = self.probe.as_mut().filter(|probe| probe.number == number) {
            probe.nacks += 1;
        }
    }

    /// The interval is over: a probe that is still open has failed.
    fn conclude_probe(&mut self) {
        let Some(probe) = self.probe.take() else { return };
        if probe.by_stream {
            return self.answered_by_stream_only(probe.target);
        }
        self.stats.probes_failed += 1;
        // Relays that say nothing at all hint that this member is the deaf one. All of them saying that they get no
        // answer either speaks against the target alone.
        self.worsen_health(if probe.relays == 0 { 1 } else { probe.relays.saturating_sub(probe.nacks) });
        if self.address(probe.target.id).is_some_and(|(_, pid)| pid == probe.target) {
            self.accuse(probe.target.id);
        }
    }

    pub(super) fn address(&self, id: NodeId) -> Option<(std::net::SocketAddr, Pid)> {
        self.table.get(id).map(|entry| (entry.member.addr, entry.member.pid()))
    }
}
