//! Seats: hosts on which nodes start and end.

use std::time::Duration;

use boato_cluster::Pid;

use super::Run;
use crate::registers::clock::Clock;
use crate::registers::fault::Fault;
use crate::registers::node::{Node, Setup};
use crate::registers::placement::Placement;
use crate::{Engine, Host};

/// One host and the node that lives there, in one boot after the other.
pub(in crate::registers) struct Seat {
    pub(in crate::registers) host: Host,
    pub(in crate::registers) pid: Pid,
    pub(in crate::registers) weight: u16,
    pub(in crate::registers) running: bool,
    pub(in crate::registers) leaving: bool,
    started: Duration,
}

impl Run<'_> {
    /// A host on which a node runs, leaving or not.
    pub(in crate::registers) fn any_running(&mut self) -> Option<Host> {
        let running = self.seats.iter().filter(|seat| seat.running).count();
        let chosen = self.rng.usize(..running.max(1));
        self.seats.iter().filter(|seat| seat.running).nth(chosen).map(|seat| seat.host)
    }

    /// Starts a node on a new host, or the next boot of the one on `seat`.
    pub(in crate::registers) fn start(&mut self, seat: Option<usize>, joins: Vec<Host>) -> Host {
        self.start_as(seat, joins, false)
    }

    /// Starts a node on a new host that may begin a cluster, and looks for these others that may.
    pub(in crate::registers) fn found(&mut self, others: Vec<Host>) -> Host {
        self.start_as(None, others, true)
    }

    fn start_as(&mut self, seat: Option<usize>, joins: Vec<Host>, founder: bool) -> Host {
        let now = self.engine.now();
        let index = seat.unwrap_or_else(|| {
            let host = self.engine.add_host();
            let pid = Pid { node: self.rng.u128(..), boot: 0 };
            let weight = if self.rng.u8(..4) == 0 { self.rng.u16(1..6) } else { 1 };
            let seat = Seat { host, pid, weight, running: false, leaving: false, started: now };
            self.seats.push(seat);
            self.seats.len() - 1
        });
        let clock = self.draw_clock();
        let seed = self.rng.u64(..);
        let gossip =
            if self.scenario.quick { boato_gossip::Config::local() } else { boato_gossip::Config::lan() };
        let seat = &mut self.seats[index];
        (seat.pid.boot, seat.running, seat.leaving, seat.started) = (seat.pid.boot + 1, true, false, now);
        let setup = Setup {
            pid: seat.pid,
            weight: seat.weight,
            clock,
            joins,
            founder,
            gossip,
            slots: self.scenario.slots,
            healing: self.scenario.healing,
            handoff_rate: self.scenario.handoff_rate,
            chunk_bytes: self.scenario.chunk_bytes,
            min_members: self.scenario.min_members as usize,
            canary: self.scenario.canary,
            strategy: Placement::of(self.scenario.slots),
            unruly: self.scenario.unruly && !self.calm,
            breaks: if self.scenario.faults.contains(&Fault::Break) && !self.calm { 0.02 } else { 0.0 },
        };
        let (host, pid) = (seat.host, seat.pid);
        let node = Node::new(host, setup, seed, now).expect("invariant: the settings are the product's own");
        self.say(format_args!("host {}: {pid} starts", host.0));
        self.engine.start(host, node);
        host
    }

    fn draw_clock(&mut self) -> Clock {
        let drift = i32::try_from(self.scenario.drift_ppm).unwrap_or(0);
        Clock { drift_ppm: self.rng.i32(-drift..=drift), ahead_ms: self.draw_skew() }
    }

    pub(in crate::registers) fn draw_skew(&mut self) -> i64 {
        let skew = i64::from(self.scenario.skew_ms);
        self.rng.i64(-skew..=skew)
    }

    /// The node on a seat ends, whatever it had.
    pub(in crate::registers) fn end(&mut self, index: usize) {
        self.end_by(index, Engine::stop);
    }

    /// The same, and what it had sent and is still under way gets lost.
    pub(in crate::registers) fn cut_short(&mut self, index: usize) {
        self.end_by(index, Engine::cut_short);
    }

    fn end_by(&mut self, index: usize, stop: impl FnOnce(&mut Engine<Node>, Host) -> Option<Node>) {
        let now = self.engine.now();
        let Seat { host, pid, running, started, .. } = self.seats[index];
        if !running {
            return;
        }
        self.seats[index].running = false;
        self.node_time += now.saturating_sub(started);
        if let Some(node) = stop(&mut self.engine, host) {
            let stats = node.machine.stats();
            self.hand_offs += stats.slots_given;
            self.merges += stats.slots_merged;
        }
        self.custody.stopped(now, pid);
        self.clients.entry_gone(host, now);
    }
}
