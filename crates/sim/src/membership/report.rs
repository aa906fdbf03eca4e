//! What came out of a run.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// The figures of a run. Times are milliseconds of virtual time; `None` where nothing was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// Seed of the run.
    pub seed: u64,
    /// Fingerprint of the run, 16 hexadecimal digits.
    pub trace_hash: String,
    /// From the start of the first node until every node listed all others.
    pub converge_ms: Option<f64>,
    /// From a crash until somebody first began a probe of the node: mean over crashes.
    pub first_probe_ms: Option<f64>,
    /// The same in probe intervals, the one in which it began counted whole, as SWIM counts (section 3.1: e / (e - 1) expected).
    pub first_probe_periods: Option<f64>,
    /// From a crash until the first survivor suspected it: mean over crashes.
    pub first_suspect_ms: Option<f64>,
    /// From then until the last survivor did: mean over crashes.
    pub spread_ms: Option<f64>,
    /// From a crash until a survivor suspected it: median over crashes and survivors.
    pub suspect_p50_ms: Option<f64>,
    /// The same, 99th percentile.
    pub suspect_p99_ms: Option<f64>,
    /// From a crash until a survivor declared it dead: median over crashes and survivors.
    pub detect_p50_ms: Option<f64>,
    /// The same, 99th percentile.
    pub detect_p99_ms: Option<f64>,
    /// Crashed nodes that have started again.
    pub restarts: u64,
    /// From a restart until a survivor listed the new process: median over restarts and survivors.
    pub return_p50_ms: Option<f64>,
    /// The same, 99th percentile.
    pub return_p99_ms: Option<f64>,
    /// From the start of the nodes that join together until every node listed all others and suspected none.
    pub burst_ms: Option<f64>,
    /// Payload bytes that a node sent in that time.
    pub burst_bytes_per_node: Option<u64>,
    /// From the end of the partition until every node listed all others again and suspected none.
    pub heal_ms: Option<f64>,
    /// Payload bytes that a node sent in that time.
    pub heal_bytes_per_node: Option<u64>,
    /// How often some node declared one dead that ran and that it could reach.
    pub false_deaths: u64,
    /// How many of these were of nodes that never stand still.
    pub false_deaths_healthy: u64,
    /// Messages that a running node sent per second once the cluster had converged.
    pub msgs_per_node_s: Option<f64>,
    /// Payload bytes of those messages.
    pub bytes_per_node_s: Option<f64>,
}

/// What a chart shows. Times are seconds of virtual time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Series {
    /// Of each crash, how long after it each survivor suspected the node, ascending.
    pub infections: Vec<Vec<f64>>,
    /// How long after a crash each survivor declared the node dead, of all crashes, ascending.
    pub declared: Vec<f64>,
    /// When some node declared one dead that ran and that it could reach, since the beginning.
    pub false_deaths: Vec<f64>,
    /// Payload bytes that each node sent.
    pub bytes: Vec<u64>,
}

/// The result of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The figures.
    pub figures: Figures,
    /// What charts show.
    pub series: Series,
    /// From a crash until the last survivor declared it dead, the slowest of all crashes.
    pub detect_max_ms: Option<f64>,
    /// From a restart until the last survivor listed the new process, the slowest of all restarts.
    pub return_max_ms: Option<f64>,
    /// How often some node suspected one that ran.
    pub false_suspicions: u64,
    /// Things that happened: messages received, wakes, starts and stops.
    pub happened: u64,
    /// What the cluster owed and did not deliver; empty after a good run.
    pub shortfalls: Vec<Shortfall>,
}

/// Something that a cluster must reach by the end of a run, and did not.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Shortfall {
    /// The nodes never all listed each other.
    NotConverged {
        /// Part of the member lists that was complete, 0 to 1.
        completeness: f64,
    },
    /// After a partition, or after many joined, the nodes never all listed each other again.
    NotHealed {
        /// Part of the member lists that was complete at the end, 0 to 1.
        completeness: f64,
    },
    /// Nodes that crashed and were to start again had not when the run ended.
    NotRestarted {
        /// How many nodes.
        nodes: usize,
    },
    /// Survivors had not declared a crashed node dead that did not start again.
    Undetected {
        /// How many pairs of survivor and crashed node.
        pairs: usize,
    },
    /// Nodes listed one that did not run or missed one that did, a restarted one at its new address.
    WrongViews {
        /// How many nodes.
        nodes: usize,
    },
    /// Nodes refused messages of their peers.
    Refused {
        /// How many messages.
        messages: u64,
    },
    /// The member list of a core was not what its events had told.
    EventsDiffer {
        /// How many nodes.
        nodes: usize,
    },
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConverged { completeness } => {
                write!(f, "did not converge: the member lists are {:.1} % complete", 100.0 * completeness)
            }
            Self::NotHealed { completeness } => {
                write!(f, "did not heal: the member lists are {:.1} % complete", 100.0 * completeness)
            }
            Self::NotRestarted { nodes } => {
                write!(
                    f,
                    "{nodes} restarts did not happen, as the run ended before: give it more minutes, or nodes less time to be down"
                )
            }
            Self::Undetected { pairs } => {
                write!(f, "{pairs} times a survivor had not declared a crashed node dead")
            }
            Self::WrongViews { nodes } => {
                write!(f, "{nodes} nodes list one that does not run or miss one that does")
            }
            Self::Refused { messages } => {
                write!(f, "{messages} messages of peers were refused: a defect of the gossip core")
            }
            Self::EventsDiffer { nodes } => {
                write!(
                    f,
                    "{nodes} nodes list other members than their events told: a defect of the gossip core"
                )
            }
        }
    }
}

/// Milliseconds, to the microsecond.
pub(super) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// The smallest of the sorted `samples` that at least `percent` of them do not exceed (nearest rank).
pub(super) fn percentile(samples: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (samples.len() * percent).div_ceil(100).max(1);
    samples.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_sample_of_nearest_rank() {
        let samples: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&samples, 50), Some(Duration::from_millis(100)));
        assert_eq!(percentile(&samples, 99), Some(Duration::from_millis(198)));
        assert_eq!(percentile(&samples, 100), Some(Duration::from_millis(200)));
        assert_eq!(percentile(&samples[..1], 1), Some(Duration::from_millis(1)));
        assert_eq!(percentile(&[], 50), None);
    }
}
