//! Ambushes: faults that lie in wait for the moments for which the rules of a hand-over exist.

use std::time::Duration;

use boato_cluster::{Header, Pid, State};

use super::agenda::Action;
use super::custody::Change;
use super::fault::Fault;
use super::message::Command;
use super::run::Run;
use crate::{Effect, Host, Hosts, Latency, Rule};

/// An ambush that nothing has sprung for so long waits for another moment.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// What a process is doing about a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Moment {
    Asks,
    Claims,
    Promised,
    Copies,
    Commits,
    Merges,
    Ready,
    Begins,
    Mints,
    LetsGo,
}

/// Most of them are rare, or gone in a moment: each is waited for by name.
const MOMENTS: [Moment; 9] = [
    Moment::Asks,
    Moment::Claims,
    Moment::Promised,
    Moment::Copies,
    Moment::Commits,
    Moment::Merges,
    Moment::Ready,
    Moment::Begins,
    Moment::LetsGo,
];

/// What is waited for, from when on, and when something else is.
#[derive(Clone, Copy, Default)]
pub(super) struct Ambush {
    wanted: Option<Moment>,
    from: Duration,
    until: Duration,
    /// Whether a plot is to be played then.
    plots: bool,
    /// Between whom it has to come, if that matters.
    between: Option<(Host, Host)>,
}

impl Ambush {
    /// When the last one that was sprung is over.
    pub(super) fn from(&self) -> Duration {
        self.from
    }

    /// Waits for the moment for which a plot is made.
    pub(super) fn wait_for(moment: Moment, now: Duration) -> Self {
        Self { wanted: Some(moment), from: now, until: now + 4 * PATIENCE, plots: true, between: None }
    }

    /// The same, when `host` does it about a slot that it shares with `peer`.
    pub(super) fn between(self, host: Host, peer: Host) -> Self {
        Self { between: Some((host, peer)), ..self }
    }
}

impl Moment {
    /// `change`: what the slot has just come to, if that is another copy, or none.
    fn of(header: &Header, change: Option<Change>) -> Option<Self> {
        match header.state() {
            State::Absent if change.is_some() => Some(Self::LetsGo),
            State::Absent => header.promised().map(|_| Self::Promised),
            State::Asking(_) => Some(Self::Asks),
            State::Claiming(_) => Some(Self::Claims),
            State::Ready { .. } => Some(Self::Ready),
            State::Held { .. } if change.is_some_and(|change| change.lost) => Some(Self::Mints),
            State::Held { .. } => Some(Self::Begins),
            State::Copying(_) => Some(Self::Copies),
            State::Committing(_) => Some(Self::Commits),
            State::Merging(_) => Some(Self::Merges),
        }
    }

    /// Whether the slot's copy has just come, gone, or been frozen then.
    fn is_change(self) -> bool {
        !matches!(self, Self::Asks | Self::Claims | Self::Promised | Self::Copies)
    }
}

/// Whom the slot is shared with at that moment.
fn peer(header: &Header) -> Option<Pid> {
    match header.state() {
        State::Absent => header.promised().or(header.hint().map(|hint| hint.pid)),
        State::Asking(asking) => Some(asking.source),
        State::Ready { source, .. } => Some(*source),
        State::Held { .. } => header.taken().map(|taken| taken.0),
        State::Copying(giving) | State::Committing(giving) | State::Merging(giving) => Some(giving.target),
        State::Claiming(_) => None,
    }
}

impl Run<'_> {
    /// Slots of `host` may have changed their state: an ambush is sprung if its moment has come.
    pub(super) fn watch(&mut self, host: Host, changes: &[Change]) {
        let now = self.engine.now();
        if self.is_spared() || now < self.ambush.from {
            return;
        }
        if now >= self.ambush.until {
            let any = self.scenario.faults.contains(&Fault::Ambush);
            let wanted = any.then(|| MOMENTS[self.rng.usize(..MOMENTS.len())]);
            self.ambush = Ambush { wanted, from: now, until: now + PATIENCE, ..Ambush::default() };
        }
        let Some(wanted) = self.ambush.wanted else { return };
        let Some((slot, peer)) = self.sight(host, changes, wanted) else { return };
        let peer = peer
            .or_else(|| self.custody.holder(slot))
            .and_then(|pid| self.seats.iter().find(|seat| seat.running && seat.pid == pid))
            .map(|seat| seat.host)
            .filter(|peer| *peer != host)
            .or_else(|| self.any_running());
        let Some(peer) = peer.filter(|peer| *peer != host) else { return };
        if self.ambush.between.is_some_and(|pair| pair != (host, peer)) {
            return;
        }
        self.say(format_args!("ambush: host {} {wanted:?} slot {slot}, and host {}", host.0, peer.0));
        self.count(Fault::Ambush);
        let plotted = if self.ambush.plots { self.plot(wanted, host, peer) } else { None };
        let span = plotted.unwrap_or_else(|| self.spring(host, peer));
        // A plot about a copy has its own burst.
        if self.ambush.between.is_none() && self.rng.bool() {
            self.clients.burst(slot, now, now + span.max(20 * self.scenario.latency));
        }
        let pause = if self.rng.bool() { 300 } else { 5_000 };
        self.ambush.from = now + span + Duration::from_millis(self.rng.u64(..pause));
        self.ambush.until = self.ambush.from;
    }

    fn sight(&self, host: Host, changes: &[Change], wanted: Moment) -> Option<(u16, Option<Pid>)> {
        let slots = &self.engine.process(host)?.slots;
        let look = |slot, change| {
            slots.inspect(slot, |header| {
                (Moment::of(header, change) == Some(wanted)).then(|| (slot, peer(header)))
            })
        };
        let used = |slot: &u16| self.clients.keys.iter().any(|key| key.slot == *slot);
        let seen: Vec<_> = if wanted.is_change() {
            changes.iter().filter_map(|change| look(change.slot, Some(*change))).collect()
        } else {
            (0..self.scenario.slots).filter_map(|slot| look(slot, None)).collect()
        };
        // Where clients have keys, there is something to lose.
        seen.iter().find(|(slot, _)| used(slot)).or(seen.first()).copied()
    }

    /// Hampers the two, and perhaps ends, stops or moves one of them; returns for how long.
    fn spring(&mut self, host: Host, peer: Host) -> Duration {
        let now = self.engine.now();
        let latency = self.scenario.latency;
        let [one, other] = if self.rng.bool() { [host, peer] } else { [peer, host] };
        let span = match self.rng.u8(..8) {
            0..4 => latency.mul_f64(12.0 * self.rng.f64()),
            4..7 => Duration::from_millis(self.rng.u64(..1_500)),
            _ if self.scenario.may_fork() => Duration::from_millis(self.rng.u64(..15_000)),
            _ => Duration::from_millis(self.rng.u64(..300)),
        };
        self.block(one, other, span);
        for _ in 0..self.rng.usize(..3) {
            let soon = latency.mul_f64(6.0 * self.rng.f64());
            let at = now + if self.rng.bool() { soon } else { span.mul_f64(self.rng.f64()) };
            let host = [one, other][self.rng.usize(..2)];
            let fault = self.blow();
            self.agenda.add(at, Action::Inflict(fault, host));
        }
        if self.rng.bool() {
            let unaware = [one, other][self.rng.usize(..2)];
            let host = self.any_running().filter(|_| self.rng.bool()).unwrap_or(unaware);
            self.engine.post(host, Command::Unaware(2 * span).into());
        }
        span
    }

    /// A fault for one process.
    fn blow(&mut self) -> Fault {
        let ends = [Fault::Restart, Fault::Restart, Fault::Crash];
        let moves = [Fault::Weight, Fault::Weight, Fault::Leave, Fault::Join];
        match self.rng.u8(..5) {
            0..2 => ends[self.rng.usize(..ends.len())],
            2 if self.scenario.may_fork() => Fault::Pause,
            3 => Fault::LateNews,
            _ => moves[self.rng.usize(..moves.len())],
        }
    }

    /// Some ways between two hosts, or between them and all others, are closed or slow for a while.
    fn block(&mut self, one: Host, other: Host, span: Duration) {
        let only = |host: Host| std::iter::once(host).collect::<Hosts>();
        let rest = || self.engine.hosts().filter(|host| ![one, other].contains(host)).collect::<Hosts>();
        let slow = || Effect::Delay(Latency::around(span / 3));
        let ways = match self.rng.u8(..10) {
            0 => vec![],
            1 | 2 => vec![(only(one), only(other), Effect::Cut)],
            3 => vec![(only(one), only(other), Effect::Cut), (only(other), only(one), Effect::Cut)],
            4 | 5 => vec![(only(one), only(other), slow())],
            6 => vec![(only(one), rest(), Effect::Cut)],
            7 => vec![(rest(), only(one), Effect::Cut)],
            8 => vec![(only(one), rest(), Effect::Cut), (rest(), only(one), Effect::Cut)],
            _ => vec![(only(one), Hosts::All, slow())],
        };
        self.hamper(ways, span);
    }

    /// Puts effects on ways between hosts in force for so long.
    pub(super) fn hamper(&mut self, ways: Vec<(Hosts, Hosts, Effect)>, span: Duration) {
        let add = |(from, to, effect)| self.engine.network().add(Rule { from, to, effect });
        let rules: Vec<_> = ways.into_iter().map(add).collect();
        if !rules.is_empty() {
            self.agenda.add(self.engine.now() + span, Action::Heal(rules));
        }
    }

    /// Something that lets slots move, so that there is something to wait for; some are told late of it.
    pub(super) fn stir(&mut self, now: Duration) -> bool {
        let fault = [Fault::Join, Fault::Join, Fault::Leave, Fault::Weight, Fault::Restart];
        let fault = fault[self.rng.usize(..fault.len())];
        let running: Vec<Host> =
            self.seats.iter().filter(|seat| seat.running).map(|seat| seat.host).collect();
        for host in running {
            if self.rng.u8(..5) < 2 {
                let span = Duration::from_secs(4).mul_f64(self.rng.f64() * self.rng.f64());
                self.engine.post(host, Command::Unaware(span).into());
            }
        }
        self.inflict(fault, now)
    }

    /// The weight of a node goes to nothing, and back before long.
    pub(super) fn flip(&mut self, host: Host, now: Duration) {
        let weight = self.seats[host.index()].weight.max(1);
        self.engine.post(host, Command::Weight(0).into());
        let span = Duration::from_millis(self.rng.u64(..2_000));
        self.agenda.add(now + span, Action::Tell(host, Command::Weight(weight)));
    }
}
