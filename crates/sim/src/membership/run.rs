//! The run: start, converge, divide and heal, crash, measure.

use std::collections::VecDeque;
use std::time::Duration;

use fastrand::Rng;

use super::node::Note;
use super::report::{Figures, Report, Series, Shortfall, millis, percentile};
use super::scenario::{Progress, Scenario, ScenarioError};
use super::stalls::Stalls;
use super::watch::Watch;
use crate::{Effect, Engine, Host, Hosts, Process, Rule, Traffic};

/// All nodes start within this time.
pub const START_WINDOW: Duration = Duration::from_millis(100);
/// Between two reports of progress, in steps of the engine.
const PROGRESS_STEPS: u32 = 4096;

/// A node of any protocol.
pub(super) trait Peer: Process<Note = Note> {
    /// What all nodes of a run share, for less memory.
    type Shared: Default;

    /// One that starts at `now` on a host, where `former` may have run before or elsewhere, and joins through `seed_host`
    /// if that is given.
    fn boot(
        run: (&Scenario, &Self::Shared),
        seat: (Host, Option<Self>),
        seed_host: Option<Host>,
        rng: &mut Rng,
        now: Duration,
    ) -> Result<Self, ScenarioError>;

    /// Whom it lists, itself included.
    fn listed(&self) -> Vec<Host>;
}

pub(super) struct Run<'a, P: Peer> {
    scenario: &'a Scenario,
    progress: &'a mut dyn FnMut(Progress),
    /// What the scenario itself draws: identities, start times, victims.
    rng: Rng,
    engine: Engine<P>,
    shared: P::Shared,
    watch: Watch,
    /// Traffic until the cluster had converged.
    calm: Traffic,
    /// Time that nodes ran after the cluster had converged, summed.
    node_time: Duration,
    stalls: Stalls,
    burst: Option<Heal>,
    heal: Option<Heal>,
}

/// The end of a partition, or many joins at once.
struct Heal {
    at: Duration,
    before: Traffic,
    /// When all lists were complete again and nobody suspected, and what had been sent by then.
    done: Option<(Duration, Traffic)>,
}

impl<'a, P: Peer> Run<'a, P> {
    pub(super) fn new(scenario: &'a Scenario, progress: &'a mut dyn FnMut(Progress)) -> Self {
        let mut rng = Rng::with_seed(scenario.seed);
        let engine = Engine::new(scenario.network(), rng.u64(..));
        let watch = Watch::new(scenario.nodes as usize, scenario.hosts() as usize);
        Self {
            scenario,
            progress,
            rng,
            engine,
            shared: P::Shared::default(),
            watch,
            calm: Traffic::default(),
            node_time: Duration::ZERO,
            stalls: Stalls::default(),
            burst: None,
            heal: None,
        }
    }

    pub(super) fn play(mut self) -> Result<Report, ScenarioError> {
        let length = self.scenario.length;
        self.start()?;
        self.advance(length, |watch| watch.converged_at().is_some());
        self.calm = self.traffic();
        if self.watch.converged_at().is_some() {
            // Those of a burst start now.
            let nodes = self.scenario.nodes + self.scenario.burst;
            self.node_time = length.saturating_sub(self.engine.now()) * nodes;
            self.stalls = Stalls::new(self.scenario, self.engine.now(), &mut self.rng);
            self.stalls.hosts().for_each(|host| self.watch.stall(host));
            self.join_burst()?;
            self.divide();
            self.crash_and_restart()?;
        }
        self.advance(length, |_| false);
        Ok(self.report())
    }

    /// Cuts the cluster in half for as long as the scenario says, and waits until it is one again.
    fn divide(&mut self) {
        if self.scenario.partition.is_zero() {
            return;
        }
        let half = self.engine.hosts().count() / 2;
        let [near, far]: [Hosts; 2] =
            [self.engine.hosts().take(half).collect(), self.engine.hosts().skip(half).collect()];
        let cut: Vec<_> = if self.scenario.one_way {
            vec![self.engine.network().add(Rule { from: near, to: far, effect: Effect::Cut })]
        } else {
            self.engine.network().partition(&near, &far).into()
        };
        self.watch.divide(half);
        self.advance(self.engine.now() + self.scenario.partition, |_| false);
        for rule in cut {
            self.engine.network().remove(rule);
        }
        self.watch.heal();
        self.heal = Some(self.become_one());
    }

    /// Waits until every node lists all others and suspects none.
    fn become_one(&mut self) -> Heal {
        let (at, before) = (self.engine.now(), self.traffic());
        self.advance(self.scenario.length, Watch::is_one);
        let done = self.watch.is_one().then(|| (self.engine.now(), self.traffic()));
        Heal { at, before, done }
    }

    /// Starts many nodes at once, and waits until everybody lists them.
    fn join_burst(&mut self) -> Result<(), ScenarioError> {
        if self.scenario.burst == 0 {
            return Ok(());
        }
        for _ in 0..self.scenario.burst {
            self.start_one(Some(Host(0)))?;
        }
        self.watch.grow(self.scenario.burst as usize);
        self.node_time += self.scenario.length.saturating_sub(self.engine.now()) * self.scenario.burst;
        self.burst = Some(self.become_one());
        Ok(())
    }

    /// Starts every node; all but the first join through the first.
    fn start(&mut self) -> Result<(), ScenarioError> {
        let mut delays: Vec<_> =
            (1..self.scenario.nodes).map(|_| START_WINDOW.mul_f64(self.rng.f64())).collect();
        delays.sort();
        let mut seed_host = None;
        for at in std::iter::once(Duration::ZERO).chain(delays) {
            self.advance(at.min(self.scenario.length), |_| false);
            let host = self.start_one(seed_host)?;
            seed_host.get_or_insert(host);
        }
        Ok(())
    }

    fn start_one(&mut self, seed_host: Option<Host>) -> Result<Host, ScenarioError> {
        let host = self.engine.add_host();
        self.boot(host, None, seed_host)?;
        Ok(host)
    }

    fn boot(&mut self, host: Host, former: Option<P>, seed_host: Option<Host>) -> Result<(), ScenarioError> {
        let (run, now) = ((self.scenario, &self.shared), self.engine.now());
        let node = P::boot(run, (host, former), seed_host, &mut self.rng, now)?;
        self.engine.start(host, node);
        self.observe();
        Ok(())
    }

    /// Crashes nodes from a sixth to a half of the time that is left; some start again.
    fn crash_and_restart(&mut self) -> Result<(), ScenarioError> {
        let begin = self.engine.now();
        let left = self.scenario.length.saturating_sub(begin);
        let mut hosts: Vec<Host> = self.engine.hosts().collect();
        self.rng.shuffle(&mut hosts);
        let mut ended = VecDeque::new();
        for (index, victim) in (0..self.scenario.crashes).zip(hosts) {
            let at = begin + left / 6 + left / 3 * index / self.scenario.crashes;
            self.restart_until(at, &mut ended)?;
            self.advance(at, |_| false);
            let process = self.engine.stop(victim);
            self.watch.crash(at, victim);
            self.node_time -= self.scenario.length.saturating_sub(at);
            let again = process.filter(|_| index < self.scenario.restarts);
            ended.extend(again.map(|process| (at + self.scenario.down, victim, process)));
        }
        self.restart_until(self.scenario.length, &mut ended)
    }

    /// Starts again those whose time comes before `until`.
    fn restart_until(
        &mut self,
        until: Duration,
        ended: &mut VecDeque<(Duration, Host, P)>,
    ) -> Result<(), ScenarioError> {
        while let Some((at, victim, process)) = ended.pop_front_if(|(at, ..)| *at < until) {
            self.advance(at, |_| false);
            let host = if self.scenario.new_address { self.engine.add_host() } else { victim };
            let seed_host = self.engine.hosts().find(|host| self.engine.process(*host).is_some());
            self.watch.restart(at, victim, host);
            self.node_time += self.scenario.length.saturating_sub(at);
            self.boot(host, Some(process), seed_host)?;
        }
        Ok(())
    }

    /// Lets virtual time pass until `deadline`, or until `enough`.
    fn advance(&mut self, deadline: Duration, enough: impl Fn(&Watch) -> bool) {
        for step in 0_u32.. {
            if enough(&self.watch) {
                return;
            }
            let stall = self.stalls.next().filter(|at| *at <= deadline);
            if self.engine.step(stall.unwrap_or(deadline)) {
                self.observe();
            } else if stall.is_some() {
                self.stalls.begin(&mut self.engine, &mut self.rng);
            } else {
                return;
            }
            if step.is_multiple_of(PROGRESS_STEPS) {
                self.tell_progress();
            }
        }
    }

    fn observe(&mut self) {
        for (at, observer, note) in self.engine.notes() {
            match note {
                Note::Event(event) => self.watch.event(at, observer, &event),
                Note::Probe(subject, boot) => self.watch.probe(at, subject, boot),
                Note::Up(subject, boot) => self.watch.up(at, observer, subject, boot),
                Note::Down(subject, boot) => self.watch.down(at, observer, subject, boot),
                Note::Refused(_) => self.watch.refused += 1,
            }
        }
    }

    fn tell_progress(&mut self) {
        let (now, length) = (self.engine.now(), self.scenario.length);
        (self.progress)(Progress { now, length, completeness: self.watch.completeness() });
    }

    fn traffic(&self) -> Traffic {
        self.engine.hosts().map(|host| self.engine.traffic(host)).sum()
    }

    fn report(&self) -> Report {
        let [suspicions, deaths] = [self.watch.suspicions(), self.watch.deaths()].map(|times| {
            let mut times: Vec<_> = times.into_iter().flatten().collect();
            times.sort();
            times
        });
        let probes = self.watch.first_probes();
        let mut returns = self.watch.returns();
        returns.sort();
        let at = |samples: &[Duration], percent| percentile(samples, percent).map(millis);
        let infections = self.watch.infections();
        let ends = || infections.iter().filter_map(|times| Some((*times.first()?, *times.last()?)));
        let sent = self.traffic();
        let nodes = u64::from(self.scenario.nodes + self.scenario.burst);
        Report {
            figures: Figures {
                seed: self.scenario.seed,
                trace_hash: self.engine.trace_hash().to_string(),
                converge_ms: self.watch.converged_at().map(millis),
                first_probe_ms: mean(probes.iter().copied()).map(millis),
                first_probe_periods: mean_periods(&probes, self.scenario.gossip.probe_interval),
                first_suspect_ms: mean(ends().map(|(first, _)| first)).map(millis),
                spread_ms: mean(ends().map(|(first, last)| last.saturating_sub(first))).map(millis),
                suspect_p50_ms: at(&suspicions, 50),
                suspect_p99_ms: at(&suspicions, 99),
                detect_p50_ms: at(&deaths, 50),
                detect_p99_ms: at(&deaths, 99),
                restarts: self.watch.restarts() as u64,
                return_p50_ms: at(&returns, 50),
                return_p99_ms: at(&returns, 99),
                burst_ms: self.burst.as_ref().and_then(Heal::took).map(millis),
                burst_bytes_per_node: self.burst.as_ref().and_then(Heal::bytes).map(|sum| sum / nodes),
                heal_ms: self.heal.as_ref().and_then(Heal::took).map(millis),
                heal_bytes_per_node: self.heal.as_ref().and_then(Heal::bytes).map(|sum| sum / nodes),
                false_deaths: self.watch.false_deaths.len() as u64,
                false_deaths_healthy: self.watch.false_deaths_healthy,
                msgs_per_node_s: self.per_node_second(sent.messages - self.calm.messages),
                bytes_per_node_s: self.per_node_second(sent.bytes - self.calm.bytes),
            },
            detect_max_ms: at(&deaths, 100),
            return_max_ms: at(&returns, 100),
            series: self.series(&deaths),
            false_suspicions: self.watch.false_suspicions,
            happened: self.engine.happened(),
            shortfalls: self.shortfalls(),
        }
    }

    fn series(&self, deaths: &[Duration]) -> Series {
        let seconds = |times: &[Duration]| times.iter().map(Duration::as_secs_f64).collect();
        Series {
            infections: self.watch.infections().iter().map(|times| seconds(times)).collect(),
            declared: seconds(deaths),
            false_deaths: seconds(&self.watch.false_deaths),
            bytes: self.engine.hosts().map(|host| self.engine.traffic(host).bytes).collect(),
        }
    }

    fn per_node_second(&self, count: u64) -> Option<f64> {
        let seconds = self.node_time.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a rate for people to look at")]
        let rate = count as f64 / seconds;
        (seconds > 0.0).then(|| (rate * 1e3).round() / 1e3)
    }

    fn shortfalls(&self) -> Vec<Shortfall> {
        let mut found = Vec::new();
        if self.watch.converged_at().is_none() {
            found.push(Shortfall::NotConverged { completeness: self.watch.completeness() });
            return found;
        }
        if [&self.burst, &self.heal].into_iter().flatten().any(|heal| heal.done.is_none()) {
            found.push(Shortfall::NotHealed { completeness: self.watch.completeness() });
        }
        let late = (self.scenario.restarts as usize).saturating_sub(self.watch.restarts());
        found.extend((late > 0).then_some(Shortfall::NotRestarted { nodes: late }));
        let pairs = self.watch.undetected();
        let nodes = self.watch.wrong_views();
        let differ = self.engine.hosts().filter(|host| self.events_differ(*host)).count();
        found.extend((pairs > 0).then_some(Shortfall::Undetected { pairs }));
        found.extend((nodes > 0).then_some(Shortfall::WrongViews { nodes }));
        found.extend((self.watch.refused > 0).then_some(Shortfall::Refused { messages: self.watch.refused }));
        found.extend((differ > 0).then_some(Shortfall::EventsDiffer { nodes: differ }));
        found
    }

    /// Whether the list of a core is not what its events told.
    fn events_differ(&self, observer: Host) -> bool {
        let Some(node) = self.engine.process(observer) else { return false };
        let mut listed = node.listed();
        listed.sort();
        let told = self
            .engine
            .hosts()
            .filter(|subject| *subject == observer || self.watch.lists(observer, *subject));
        !told.eq(listed)
    }
}

fn mean(times: impl Iterator<Item = Duration>) -> Option<Duration> {
    let (count, sum) = times.fold((0, Duration::ZERO), |(count, sum), time| (count + 1, sum + time));
    (count > 0).then(|| sum / count)
}

/// The mean of how many periods `times` take, each with the one in which it ends.
fn mean_periods(times: &[Duration], period: Duration) -> Option<f64> {
    let periods = |time: &Duration| (time.as_secs_f64() / period.as_secs_f64()).ceil();
    #[expect(clippy::cast_precision_loss, reason = "a mean for people to look at")]
    let mean = times.iter().map(periods).sum::<f64>() / times.len() as f64;
    (!times.is_empty()).then(|| (mean * 1e3).round() / 1e3)
}

impl Heal {
    fn took(&self) -> Option<Duration> {
        self.done.map(|(at, _)| at.saturating_sub(self.at))
    }

    fn bytes(&self) -> Option<u64> {
        self.done.map(|(_, sent)| sent.bytes - self.before.bytes)
    }
}
