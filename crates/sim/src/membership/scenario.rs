//! What to simulate.

use std::time::Duration;

use boato_gossip::{Config, NewError};
use thiserror::Error;

use super::report::Report;
use super::run::Run;
use crate::{Effect, Latency, Network, Rule};

/// Most nodes of a run: every node keeps a list of all, so memory grows with the square.
pub const NODES_MAX: u32 = 4096;

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
    /// Once converged, the cluster is cut in half for this time, and healed; shorter than `length`, zero for never.
    pub partition: Duration,
    /// Nodes that stand still now and then, up to `stall` each time: at most `nodes`.
    pub stalls: u32,
    /// The longest time that a node stands still, and the longest that it runs in between.
    pub stall: Duration,
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
    /// The length of the partition.
    #[error("partition {0:?}: give a time shorter than the run")]
    Partition(Duration),
    /// The number of nodes that stand still.
    #[error("stalls {0}: there are fewer nodes")]
    Stalls(u32),
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
    Run::new(scenario, progress).play()
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
            partition: Duration::ZERO,
            stalls: 0,
            stall: Duration::from_secs(5),
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

    pub(super) fn network(&self) -> Network {
        let rules = [Effect::Delay(Latency::around(self.latency)), Effect::Lose(self.loss)];
        Network::new(rules.map(Rule::everywhere))
    }
}
