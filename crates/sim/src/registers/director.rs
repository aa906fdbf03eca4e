//! What goes wrong when: faults at random times, and what ends them.

use std::time::Duration;

use boato_cluster::Standing;

use super::agenda::Action;
use super::fault::Fault;
use super::message::Command;
use super::run::{Run, Seat};
use crate::{Effect, Host, Hosts, Latency, Rule};

/// Nodes that may run beyond those of the start.
const NODES_MORE: usize = 4;
/// How long a node may take to leave, unless it is given less on purpose: longer than a run.
const LEAVE_TIMEOUT: Duration = Duration::from_hours(1);

impl Run<'_> {
    /// Starts the first nodes, and lays out what is to come.
    pub(super) fn open(&mut self) {
        let begun = if self.scenario.faults.contains(&Fault::StalledStart) && !self.is_two() {
            self.start_stalled()
        } else {
            self.start_in_turn();
            Duration::from_secs(3)
        };
        self.agenda.add(Duration::from_secs(4), Action::Ballast);
        self.agenda.add(begun + self.scenario.pace.mul_f64(self.rng.f64()), Action::Strike);
    }

    /// Whether two clusters are begun, which meet.
    fn is_two(&self) -> bool {
        self.scenario.faults.contains(&Fault::TwoClusters) && self.scenario.nodes > 1
    }

    /// Starts a node that begins a cluster, perhaps a second one, and others that join.
    fn start_in_turn(&mut self) {
        let first = self.start(None, Vec::new());
        let two = self.is_two();
        let second = two.then(|| {
            let second = self.start(None, Vec::new());
            let at = self.scenario.length.mul_f64(0.2 + 0.5 * self.rng.f64());
            self.agenda.add(at, Action::Meet);
            // Long before, so that who keeps no tombstones has forgotten by then what was deleted on its side.
            self.agenda.add(at.mul_f64(0.4), Action::Close);
            self.count(Fault::TwoClusters);
            second
        });
        for _ in 1 + u32::from(two)..self.scenario.nodes {
            let join = second.filter(|_| self.rng.bool()).unwrap_or(first);
            let at = Duration::from_millis(self.rng.u64(..3_000));
            self.agenda.add(at, Action::Start { join });
        }
    }

    pub(super) fn obey(&mut self, action: Action) {
        match action {
            // Others may have been started since this was planned.
            Action::Start { .. } if self.room() == 0 => {}
            Action::Start { join } => {
                let others = self.staying().into_iter().map(|index| self.seats[index].host);
                let joins = std::iter::once(join).chain(others).collect();
                self.start(None, joins);
            }
            Action::Strike => self.strike(),
            Action::Aim(host) => self.strike_at(Some(host)),
            Action::Inflict(fault, host) => self.inflict_at(fault, Some(host)),
            Action::Stall(host, span) => self.stall(host, span),
            Action::Hamper(ways, span) => self.hamper(ways, span),
            Action::Tell(host, command) => self.engine.post(host, command.into()),
            Action::Heal(rules) => {
                self.say(format_args!("the network heals"));
                for rule in rules {
                    self.engine.network().remove(rule);
                }
            }
            Action::Die { seat, boot, down } => self.die(seat, boot, down),
            Action::Restart(index) => self.restart(index),
            Action::Meet => self.meet(),
            Action::Close => self.clients.close(self.engine.now()),
            Action::Ballast => self.load_ballast(),
        }
    }

    /// Ends everything that goes wrong.
    pub(super) fn calm_down(&mut self) {
        self.calm = true;
        self.say(format_args!("the faults are over"));
        for action in self.agenda.take() {
            match action {
                Action::Heal(_)
                | Action::Start { .. }
                | Action::Restart(_)
                | Action::Tell(_, Command::Weight(_)) => self.obey(action),
                Action::Tell(..)
                | Action::Stall(..)
                | Action::Hamper(..)
                | Action::Meet
                | Action::Close
                | Action::Die { .. }
                | Action::Strike
                | Action::Aim(_)
                | Action::Inflict(..)
                | Action::Ballast => {}
            }
        }
        for index in 0..self.seats.len() {
            let host = self.seats[index].host;
            self.engine.with(host, |node, _| (node.setup.breaks, node.setup.unruly) = (0.0, false));
        }
        if self.scenario.faults.contains(&Fault::TwoClusters) {
            self.meet();
        }
        self.find_again();
    }

    /// Lets nodes find each other between which every acquaintance has ended: what discovery does.
    pub(super) fn find_again(&mut self) {
        let circles = self.circles();
        let Some((first, others)) = circles.split_first() else { return };
        let known = self.seats[first[0]].host;
        for circle in others {
            let host = self.seats[circle[0]].host;
            self.engine.post(host, Command::Join(known).into());
        }
    }

    pub(super) fn count(&mut self, fault: Fault) {
        *self.faults.entry(fault).or_default() += 1;
    }

    fn strike(&mut self) {
        let now = self.engine.now();
        let next = now + 2 * self.scenario.pace.mul_f64(self.rng.f64()) + Duration::from_millis(1);
        self.agenda.add(next, Action::Strike);
        self.strike_at(None);
    }

    /// A slot is changing hands at `host`: perhaps something goes wrong there before it is over, perhaps clients want
    /// that very slot.
    pub(super) fn hand_over_seen(&mut self, host: Host, slot: u16) {
        if self.is_spared() || self.rng.f64() >= self.scenario.aim {
            return;
        }
        let now = self.engine.now();
        let span = self.scenario.latency.mul_f64(6.0 * self.rng.f64());
        self.agenda.add(now + span, Action::Aim(host));
        if self.rng.bool() {
            self.clients.burst(slot, now, now + 20 * self.scenario.latency);
        }
    }

    fn strike_at(&mut self, aim: Option<Host>) {
        if self.scenario.faults.is_empty() {
            return;
        }
        let fault = self.scenario.faults[self.rng.usize(..self.scenario.faults.len())];
        self.inflict_at(fault, aim);
    }

    fn inflict_at(&mut self, fault: Fault, aim: Option<Host>) {
        let now = self.engine.now();
        self.aim = aim;
        if self.inflict(fault, now) {
            self.say(format_args!("fault: {fault}"));
            self.count(fault);
        }
    }

    /// False: not possible now.
    pub(super) fn inflict(&mut self, fault: Fault, now: Duration) -> bool {
        match fault {
            Fault::Loss => {
                let lose = Effect::Lose(0.01 + 0.4 * self.rng.f64() * self.rng.f64());
                self.bend(vec![Rule::everywhere(lose)], 8_000)
            }
            Fault::Delay => {
                let delay = Effect::Delay(Latency::around(Duration::from_millis(self.rng.u64(2..80))));
                self.bend(vec![Rule::everywhere(delay)], 8_000)
            }
            Fault::Duplication => {
                let twice = Effect::Duplicate(0.02 + 0.6 * self.rng.f64());
                self.bend(vec![Rule::everywhere(twice)], 20_000)
            }
            Fault::SlowLink => self.slow_link(),
            Fault::Partition | Fault::OneWay => self.cut(fault == Fault::OneWay),
            Fault::Pair => self.cut_pair(now),
            Fault::Crash | Fault::Restart => self.crash(fault == Fault::Restart, now),
            Fault::Pause => self.pause(now),
            Fault::LateNews => self.withhold_news(),
            Fault::Skew => self.set_clock(),
            Fault::Join => self.join(now),
            Fault::Leave => self.leave(now),
            Fault::Deadline => self.leave_in_a_hurry(),
            Fault::Weight => self.reweigh(now),
            Fault::Ambush => self.stir(now),
            Fault::Plot => self.begin_plot(),
            Fault::Break | Fault::TwoClusters | Fault::StalledStart => false,
        }
    }

    /// Puts rules in force for a while, mostly much shorter than `longest_ms`.
    fn bend(&mut self, rules: Vec<Rule>, longest_ms: u64) -> bool {
        let rules = rules.into_iter().map(|rule| self.engine.network().add(rule)).collect();
        let span = Duration::from_millis(longest_ms).mul_f64(self.rng.f64() * self.rng.f64());
        let at = self.engine.now() + span + Duration::from_millis(20);
        self.agenda.add(at, Action::Heal(rules));
        true
    }

    fn slow_link(&mut self) -> bool {
        let Some(host) = self.victim() else { return false };
        let one: Hosts = std::iter::once(host).collect();
        let delay = Effect::Delay(Latency::around(Duration::from_millis(self.rng.u64(10..200))));
        let out = Rule { from: one.clone(), to: Hosts::All, effect: delay.clone() };
        let back = Rule { from: Hosts::All, to: one, effect: delay };
        self.bend(vec![out, back], 10_000)
    }

    fn cut(&mut self, one_way: bool) -> bool {
        let aim = self.aim;
        let one_side = |host: &Host| aim.map_or_else(|| self.rng.bool(), |aim| aim == *host);
        let (mut one, mut other): (Vec<Host>, Vec<Host>) = self.engine.hosts().partition(one_side);
        if self.rng.bool() {
            std::mem::swap(&mut one, &mut other);
        }
        if one.is_empty() || other.is_empty() {
            return false;
        }
        let [one, other] = [one, other].map(|hosts| hosts.into_iter().collect::<Hosts>());
        let cut = |from: &Hosts, to: &Hosts| Rule { from: from.clone(), to: to.clone(), effect: Effect::Cut };
        let mut rules = vec![cut(&one, &other)];
        if !one_way {
            rules.push(cut(&other, &one));
        }
        self.bend(rules, 40_000)
    }

    fn cut_pair(&mut self, now: Duration) -> bool {
        let mut others: Vec<Host> = self.staying().into_iter().map(|index| self.seats[index].host).collect();
        if others.len() < 3 {
            return false;
        }
        self.rng.shuffle(&mut others);
        let comes = self.room() > 0 && self.rng.bool();
        let newcomer = comes.then(|| self.start(None, others.clone()));
        let Some((one, other)) = newcomer.or_else(|| others.pop()).zip(others.pop()) else { return false };
        let [one, other] = [one, other].map(|host| std::iter::once(host).collect::<Hosts>());
        let rules = self.engine.network().partition(&one, &other).to_vec();
        let span = Duration::from_mins(1).mul_f64(self.rng.f64());
        self.agenda.add(now + span, Action::Heal(rules));
        true
    }

    /// The seats of nodes that belong to a cluster and stay.
    pub(super) fn staying(&self) -> Vec<usize> {
        let claimed =
            |host| self.engine.process(host).is_some_and(|node| node.machine.standing() == Standing::Claimed);
        (0..self.seats.len())
            .filter(|&index| {
                let seat = &self.seats[index];
                seat.running && !seat.leaving && claimed(seat.host)
            })
            .collect()
    }

    /// One of those of which at least one more must stay.
    fn expendable(&mut self) -> Option<usize> {
        let staying = self.staying();
        let aimed = self.aim.map(Host::index).filter(|index| staying.contains(index));
        (staying.len() > 1).then(|| aimed.unwrap_or_else(|| staying[self.rng.usize(..staying.len())]))
    }

    /// Whom a fault strikes that does not end anything.
    fn victim(&mut self) -> Option<Host> {
        let running = |host: &Host| self.seats.get(host.index()).is_some_and(|seat| seat.running);
        self.aim.filter(running).or_else(|| self.any_running())
    }

    /// A process ends: at once, or after nobody could reach it for a while, as with a machine that fails bit by bit.
    fn crash(&mut self, restart: bool, now: Duration) -> bool {
        let Some(seat) = self.expendable() else { return false };
        let boot = self.seats[seat].pid.boot;
        let longest = Duration::from_secs(if self.rng.bool() { 1 } else { 20 });
        let down = restart.then(|| longest.mul_f64(self.rng.f64() * self.rng.f64()));
        if self.rng.bool() {
            self.die(seat, boot, down);
            return true;
        }
        let host: Hosts = std::iter::once(self.seats[seat].host).collect();
        let [out, back] = self.engine.network().partition(&host, &Hosts::All);
        let span = Duration::from_secs(2).mul_f64(self.rng.f64() * self.rng.f64());
        self.say(format_args!("host {seat} is not reached for {span:?}, then crashes"));
        self.agenda.add(now + span, Action::Die { seat, boot, down });
        self.agenda.add(now + span, Action::Heal(vec![out, back]));
        true
    }

    fn die(&mut self, seat: usize, boot: u64, down: Option<Duration>) {
        let now = self.engine.now();
        let Seat { running, pid, .. } = self.seats[seat];
        if !running || pid.boot != boot || self.staying().iter().all(|&other| other == seat) {
            return;
        }
        self.say(format_args!("host {seat} crashes"));
        if self.rng.bool() {
            self.cut_short(seat);
        } else {
            self.end(seat);
        }
        if let Some(down) = down {
            self.agenda.add(now + down, Action::Restart(seat));
        }
    }

    fn restart(&mut self, index: usize) {
        let mut joins: Vec<Host> = self.staying().into_iter().map(|other| self.seats[other].host).collect();
        self.rng.shuffle(&mut joins);
        self.start(Some(index), joins);
    }

    /// A process stands still. What is sent to it meanwhile waits, or overflows its buffers and is lost.
    fn pause(&mut self, now: Duration) -> bool {
        let Some(host) = self.victim() else { return false };
        let longest = if self.rng.bool() { 3_000 } else { 20_000 };
        let span = Duration::from_millis(longest).mul_f64(self.rng.f64());
        self.engine.pause(host, (now + span).min(self.scenario.length.max(now)));
        let deaf = self.rng.bool();
        if deaf {
            let to = std::iter::once(host).collect();
            let rule = self.engine.network().add(Rule { from: Hosts::All, to, effect: Effect::Cut });
            self.agenda.add(now + span, Action::Heal(vec![rule]));
        }
        let (host, hears) = (host.0, if deaf { "nothing" } else { "all of it later" });
        self.say(format_args!("host {host} stands still for {span:?} and hears {hears}"));
        true
    }

    /// The machine of a node does not hear what happens to members.
    fn withhold_news(&mut self) -> bool {
        let Some(host) = self.victim() else { return false };
        let longest_ms = if self.rng.bool() { 1_000 } else { 10_000 };
        let span = Duration::from_millis(self.rng.u64(..longest_ms));
        self.say(format_args!("host {} gets no news for {span:?}", host.0));
        self.engine.post(host, Command::Unaware(span).into());
        true
    }

    fn set_clock(&mut self) -> bool {
        let ahead_ms = self.draw_skew();
        let Some(host) = self.any_running() else { return false };
        self.engine.post(host, Command::Wall(ahead_ms).into());
        true
    }

    /// How many nodes may join: faults that make others likely must not add up.
    pub(super) fn room(&self) -> usize {
        let running = self.seats.iter().filter(|seat| seat.running).count();
        (self.scenario.nodes as usize + NODES_MORE).saturating_sub(running)
    }

    fn join(&mut self, now: Duration) -> bool {
        let joins: Vec<Host> = self.staying().into_iter().map(|index| self.seats[index].host).collect();
        let many = self.rng.usize(1..=3).min(self.room());
        for _ in 0..many {
            if let Some(&join) = joins.get(self.rng.usize(..joins.len().max(1))) {
                let at = now + Duration::from_millis(self.rng.u64(..300));
                self.agenda.add(at, Action::Start { join });
            }
        }
        self.burst(now);
        many > 0 && !joins.is_empty()
    }

    fn leave(&mut self, now: Duration) -> bool {
        let many = self.rng.usize(1..=3);
        let left = (0..many).filter(|_| self.let_go(LEAVE_TIMEOUT)).count();
        self.burst(now);
        left > 0
    }

    fn leave_in_a_hurry(&mut self) -> bool {
        let timeout = Duration::from_millis(self.rng.u64(..400));
        self.let_go(timeout)
    }

    fn let_go(&mut self, timeout: Duration) -> bool {
        let Some(index) = self.expendable() else { return false };
        self.seats[index].leaving = true;
        let host = self.seats[index].host;
        self.say(format_args!("host {} is to leave within {timeout:?}", host.0));
        self.engine.post(host, Command::Leave(timeout).into());
        true
    }

    fn reweigh(&mut self, now: Duration) -> bool {
        let Some(host) = self.victim() else { return false };
        if self.rng.u8(..3) == 0 {
            self.flip(host, now);
            return true;
        }
        let weight = self.rng.u16(..6);
        self.seats[host.index()].weight = weight;
        self.engine.post(host, Command::Weight(weight).into());
        self.burst(now);
        true
    }

    /// Lets clients write to some slots as fast as they can.
    fn burst(&mut self, now: Duration) {
        for _ in 0..self.rng.usize(..4) {
            let slot = self.clients.keys[self.rng.usize(..self.clients.keys.len())].slot;
            let until = now + Duration::from_millis(self.rng.u64(100..1_500));
            self.clients.burst(slot, now, until);
        }
    }

    /// Lets every node look for the host that began first, or for whoever is there now.
    fn meet(&mut self) {
        self.say(format_args!("two clusters meet"));
        let hosts: Vec<Host> = self.seats.iter().filter(|seat| seat.running).map(|seat| seat.host).collect();
        let Some(&first) = hosts.first() else { return };
        for &host in &hosts[1..] {
            self.engine.post(host, Command::Join(first).into());
        }
    }
}
