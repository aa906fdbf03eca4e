//! The run: start, converge, crash, measure.

use std::time::Duration;

use boato_gossip::{Config, NewError};
use fastrand::Rng;
use thiserror::Error;

use super::node::{Node, Note};
use super::report::{Figures, Report, Shortfall, millis, percentile};
use super::watch::Watch;
use crate::{Effect, Engine, Host, Latency, Network, Rule, Traffic};

/// All nodes start within this time.
pub const START_WINDOW: Duration = Duration::from_millis(100);
/// Most nodes of a run: every node keeps a list of all, so memory grows with the square.
pub const NODES_MAX: u32 = 4096;
/// Between two reports of progress, in steps of the engine.
const PROGRESS_STEPS: u32 = 4096;

/// What to simulate.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Nodes, 2 to [`NODES_MAX`].
    pub nodes: u32,
    /// Everything random follows from it.
    pub seed: u64,
    /// Virtual time of the whole run.
    pub length: Duration,
    /// Probability that a packet gets lost, 0 or more and below 1.
    pub loss: f64,
    /// Mean one-way delay; see [`Latency::around`].
    pub latency: Duration,
    /// Nodes that crash, fewer than `nodes`.
    pub crashes: u32,
    /// Settings of the gossip cores.
    pub gossip: Config,
}

/// Why a scenario cannot be run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// The number of nodes.
    #[error("nodes {0}: give 2 to {NODES_MAX}")]
    Nodes(u32),
    /// The number of crashes.
    #[error("crashes {0}: at least one node has to survive")]
    Crashes(u32),
    /// The loss.
    #[error("loss {0}: give a probability, 0 or more and below 1")]
    Loss(f64),
    /// The gossip core refused to start.
    #[error(transparent)]
    Gossip(#[from] NewError),
}

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Virtual time.
    pub now: Duration,
    /// Virtual time at the end.
    pub length: Duration,
    /// Part of the member lists that is complete, 0 to 1.
    pub completeness: f64,
}

/// Runs a scenario; `progress` is told now and then how far it is.
///
/// # Errors
/// A field of the scenario is out of its range. What the cluster fails to do is no error but a [`Shortfall`] of the
/// report.
pub fn run(scenario: &Scenario, progress: &mut dyn FnMut(Progress)) -> Result<Report, ScenarioError> {
    scenario.check()?;
    let mut run = Run::new(scenario, progress);
    run.start()?;
    run.advance(scenario.length, |watch| watch.converged_at().is_some());
    run.calm = run.traffic();
    if let Some(converged_at) = run.watch.converged_at() {
        run.crash(converged_at);
    }
    run.advance(scenario.length, |_| false);
    Ok(run.report())
}

impl Scenario {
    /// Five minutes in a data centre: gossip as on a LAN, no loss, 1 ms of latency, one crash.
    pub fn new(nodes: u32, seed: u64) -> Self {
        Self {
            nodes,
            seed,
            length: Duration::from_mins(5),
            loss: 0.0,
            latency: Duration::from_millis(1),
            crashes: 1,
            gossip: Config::lan(),
        }
    }

    fn check(&self) -> Result<(), ScenarioError> {
        if !(2..=NODES_MAX).contains(&self.nodes) {
            return Err(ScenarioError::Nodes(self.nodes));
        }
        if self.crashes >= self.nodes {
            return Err(ScenarioError::Crashes(self.crashes));
        }
        if !(0.0..1.0).contains(&self.loss) {
            return Err(ScenarioError::Loss(self.loss));
        }
        Ok(())
    }

    fn network(&self) -> Network {
        let rules = [Effect::Delay(Latency::around(self.latency)), Effect::Lose(self.loss)];
        Network::new(rules.map(Rule::everywhere))
    }
}

struct Run<'a> {
    scenario: &'a Scenario,
    progress: &'a mut dyn FnMut(Progress),
    /// What the scenario itself draws: identities, start times, victims.
    rng: Rng,
    engine: Engine<Node>,
    watch: Watch,
    /// Traffic until the cluster had converged.
    calm: Traffic,
    /// Time that nodes ran after the cluster had converged, summed.
    node_time: Duration,
}

impl<'a> Run<'a> {
    fn new(scenario: &'a Scenario, progress: &'a mut dyn FnMut(Progress)) -> Self {
        let mut rng = Rng::with_seed(scenario.seed);
        let engine = Engine::new(scenario.network(), rng.u64(..));
        let watch = Watch::new(scenario.nodes as usize);
        Self { scenario, progress, rng, engine, watch, calm: Traffic::default(), node_time: Duration::ZERO }
    }

    /// Starts every node; all but the first join through the first.
    fn start(&mut self) -> Result<(), ScenarioError> {
        let mut delays: Vec<_> =
            (1..self.scenario.nodes).map(|_| START_WINDOW.mul_f64(self.rng.f64())).collect();
        delays.sort();
        let mut seed_host = None;
        for at in std::iter::once(Duration::ZERO).chain(delays) {
            self.advance(at.min(self.scenario.length), |_| false);
            let host = self.engine.add_host();
            let config = self.scenario.gossip.clone();
            let node = Node::new(host, seed_host, config, &mut self.rng, self.engine.now())?;
            self.engine.start(host, node);
            self.observe();
            seed_host.get_or_insert(host);
        }
        Ok(())
    }

    /// Crashes nodes from a sixth to a half of the time that is left after `converged_at`.
    fn crash(&mut self, converged_at: Duration) {
        let left = self.scenario.length.saturating_sub(converged_at);
        self.node_time = left * self.scenario.nodes;
        let mut hosts: Vec<Host> = self.engine.hosts().collect();
        self.rng.shuffle(&mut hosts);
        for (index, victim) in (0..self.scenario.crashes).zip(hosts) {
            let at = converged_at + left / 6 + left / 3 * index / self.scenario.crashes;
            self.advance(at, |_| false);
            self.engine.stop(victim);
            self.watch.crash(at, victim);
            self.node_time -= self.scenario.length.saturating_sub(at);
        }
    }

    /// Lets virtual time pass until `deadline`, or until `enough`.
    fn advance(&mut self, deadline: Duration, enough: impl Fn(&Watch) -> bool) {
        for step in 0_u32.. {
            if enough(&self.watch) || !self.engine.step(deadline) {
                return;
            }
            self.observe();
            if step.is_multiple_of(PROGRESS_STEPS) {
                self.tell_progress();
            }
        }
    }

    fn observe(&mut self) {
        for (at, observer, note) in self.engine.notes() {
            match note {
                Note::Event(event) => self.watch.event(at, observer, &event),
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
        let at = |samples: &[Duration], percent| percentile(samples, percent).map(millis);
        let sent = self.traffic();
        Report {
            figures: Figures {
                seed: self.scenario.seed,
                trace_hash: self.engine.trace_hash().to_string(),
                converge_ms: self.watch.converged_at().map(millis),
                suspect_p50_ms: at(&suspicions, 50),
                suspect_p99_ms: at(&suspicions, 99),
                detect_p50_ms: at(&deaths, 50),
                detect_p99_ms: at(&deaths, 99),
                false_deaths: self.watch.false_deaths,
                msgs_per_node_s: self.per_node_second(sent.messages - self.calm.messages),
                bytes_per_node_s: self.per_node_second(sent.bytes - self.calm.bytes),
            },
            detect_max_ms: at(&deaths, 100),
            false_suspicions: self.watch.false_suspicions,
            happened: self.engine.happened(),
            shortfalls: self.shortfalls(),
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
        let pairs = self.watch.deaths().iter().filter(|took| took.is_none()).count();
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
        let mut listed: Vec<_> =
            node.core().live().filter_map(|member| super::node::host_of(member.addr)).collect();
        listed.sort();
        let told = self
            .engine
            .hosts()
            .filter(|subject| *subject == observer || self.watch.lists(observer, *subject));
        !told.eq(listed)
    }
}
