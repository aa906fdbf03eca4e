//! What to simulate.

use std::time::Duration;

use boato_gossip::{Config, NewError};
use fastrand::Rng;
use thiserror::Error;

use super::node::Node;
use super::report::Report;
use super::run::Run;
use crate::{Effect, Latency, Network, Rule};

/// Most nodes of a run: every node keeps a list of all, so memory grows with the square.
pub const NODES_MAX: u32 = 16_384;

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
    /// Mean one-way delay.
    pub latency: Duration,
    /// The share of it that is a heavy tail, 0 (always the same delay) to 1; see [`Latency::with_tail`].
    pub tail: f64,
    /// Bytes per second that a node can send; 0: no limit.
    pub bandwidth: u64,
    /// Clocks run too fast or too slow by up to this share, 0 or more and below 1.
    pub skew: f64,
    /// Nodes that crash, fewer than `nodes`.
    pub crashes: u32,
    /// So many of these start again, at most `crashes`: with the same id and a newer boot.
    pub restarts: u32,
    /// How long after its crash a node starts again.
    pub down: Duration,
    /// Nodes start again at an address that nobody has had, instead of their own.
    pub new_address: bool,
    /// Once converged, the cluster is cut in half for this time, and healed; shorter than `length`, zero for never.
    pub partition: Duration,
    /// The cut goes one way only: the first half hears the second one, which hears nothing of it.
    pub one_way: bool,
    /// Once converged, so many nodes more join at once.
    pub burst: u32,
    /// Nodes that stand still now and then, up to `stall` each time: at most `nodes`.
    pub stalls: u32,
    /// The longest time that a node stands still.
    pub stall: Duration,
    /// The longest time that it runs in between.
    pub between: Duration,
    /// It is only messages that stand still, in both directions, while timers go on: the experiments of Lifeguard.
    pub mute: bool,
    /// What the nodes run.
    pub protocol: Protocol,
    /// Settings of the gossip cores.
    pub gossip: Config,
}

/// What the nodes of a run run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// The production gossip core.
    Boato,
    /// The same without Lifeguard: no local health, and suspicions of one length.
    BoatoSwim,
    /// foca, with the settings it publishes for a LAN.
    Foca,
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
    /// The number of nodes that start again.
    #[error(
        "restarts {0}: only those that crash can start again, and at most {NODES_MAX} addresses are in use"
    )]
    Restarts(u32),
    /// The loss.
    #[error("loss {0}: give a probability, 0 or more and below 1")]
    Loss(f64),
    /// The share of the tail.
    #[error("tail {0}: give a share of the latency, 0 to 1")]
    Tail(f64),
    /// How wrong clocks are.
    #[error("skew {0}: give a share, 0 or more and below 1")]
    Skew(f64),
    /// The number of nodes that join later.
    #[error("burst {0}: nodes and burst together are at most {NODES_MAX}")]
    Burst(u32),
    /// The length of the partition.
    #[error("partition {0:?}: give a time shorter than the run")]
    Partition(Duration),
    /// The number of nodes that stand still.
    #[error("stalls {0}: there are fewer nodes")]
    Stalls(u32),
    /// This build has no foca.
    #[cfg(not(feature = "foca"))]
    #[error("protocol foca: build with the feature `foca`")]
    NoFoca,
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
/// A field of the scenario is out of its range. What the cluster fails to do is no error but one of the
/// report's [`shortfalls`](Report::shortfalls).
pub fn run(scenario: &Scenario, progress: &mut dyn FnMut(Progress)) -> Result<Report, ScenarioError> {
    scenario.check()?;
    match scenario.protocol {
        Protocol::Boato | Protocol::BoatoSwim => Run::<Node>::new(scenario, progress).play(),
        #[cfg(feature = "foca")]
        Protocol::Foca => Run::<super::foca::FocaNode>::new(scenario, progress).play(),
        #[cfg(not(feature = "foca"))]
        Protocol::Foca => Err(ScenarioError::NoFoca),
    }
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
            tail: 0.5,
            bandwidth: 0,
            skew: 0.0,
            crashes: 1,
            restarts: 0,
            down: Duration::from_secs(10),
            new_address: false,
            partition: Duration::ZERO,
            one_way: false,
            burst: 0,
            stalls: 0,
            stall: Duration::from_secs(5),
            between: Duration::from_secs(5),
            mute: false,
            protocol: Protocol::Boato,
            gossip: Config::lan(),
        }
    }

    fn check(&self) -> Result<(), ScenarioError> {
        if !(2..=NODES_MAX).contains(&self.nodes) {
            return Err(ScenarioError::Nodes(self.nodes));
        }
        if self.nodes.checked_add(self.burst).is_none_or(|all| all > NODES_MAX) {
            return Err(ScenarioError::Burst(self.burst));
        }
        if self.restarts > self.crashes || self.hosts() > NODES_MAX {
            return Err(ScenarioError::Restarts(self.restarts));
        }
        if !(0.0..=1.0).contains(&self.tail) {
            return Err(ScenarioError::Tail(self.tail));
        }
        if !(0.0..1.0).contains(&self.skew) {
            return Err(ScenarioError::Skew(self.skew));
        }
        if self.crashes >= self.nodes {
            return Err(ScenarioError::Crashes(self.crashes));
        }
        if self.partition >= self.length {
            return Err(ScenarioError::Partition(self.partition));
        }
        if self.stalls > self.nodes {
            return Err(ScenarioError::Stalls(self.stalls));
        }
        if !(0.0..1.0).contains(&self.loss) {
            return Err(ScenarioError::Loss(self.loss));
        }
        Ok(())
    }

    /// Addresses that are in use by the end.
    pub(super) fn hosts(&self) -> u32 {
        let moves = if self.new_address { self.restarts } else { 0 };
        self.nodes.saturating_add(self.burst).saturating_add(moves)
    }

    /// The settings of a gossip core.
    pub(super) fn gossip(&self) -> Config {
        let lifeguard = self.protocol != Protocol::BoatoSwim;
        let confirmations = if lifeguard { self.gossip.suspicion_confirmations } else { 0 };
        Config { local_health: lifeguard, suspicion_confirmations: confirmations, ..self.gossip.clone() }
    }

    /// How many seconds a node's clock counts in one; `None`: one.
    pub(super) fn pace(&self, rng: &mut Rng) -> Option<f64> {
        (self.skew > 0.0).then(|| 1.0 + self.skew * (2.0 * rng.f64() - 1.0))
    }

    pub(super) fn network(&self) -> Network {
        let rules = [Effect::Delay(Latency::with_tail(self.latency, self.tail)), Effect::Lose(self.loss)];
        let rate = (self.bandwidth > 0).then_some(Effect::Rate(self.bandwidth));
        Network::new(rules.into_iter().chain(rate).map(Rule::everywhere))
    }
}
