//! What to simulate, drawn from a seed.

use std::time::Duration;

use boato_cluster::Canary;
use fastrand::Rng;

use super::fault::Fault;

/// The fewest and the most nodes that a run starts with.
pub const NODES: std::ops::RangeInclusive<u32> = 1..=64;

/// What later additions draw from, so that all else of a seed stays as it was.
const ADDED: u64 = 0x6164_6465_6421;

/// One run in so many has a stalled start, and one in so many a limit of members.
const STALLED_EVERY: u8 = 12;
const LIMITED_EVERY: u8 = 8;

/// What makes a living process look dead, or two holders.
const FORKS: [Fault; 5] = [Fault::Partition, Fault::OneWay, Fault::Pair, Fault::Pause, Fault::TwoClusters];

/// Which kinds of faults a run may have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mix {
    /// A few kinds of all, drawn from the seed.
    Drawn,
    /// These.
    Only(Vec<Fault>),
}

/// One run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Everything random follows from it.
    pub seed: u64,
    /// Nodes at the start, within [`NODES`].
    pub nodes: u32,
    /// Virtual time with faults.
    pub length: Duration,
    /// The kinds of faults, each once, in order.
    pub faults: Vec<Fault>,
    /// Mean time from one fault to the next.
    pub pace: Duration,
    /// How likely it is that a hand-over, when it is seen, draws a fault to it.
    pub aim: f64,
    /// How many slots there are.
    pub slots: u16,
    /// How many keys, and how many clients for each.
    pub keys: usize,
    /// See `keys`.
    pub clients_per_key: usize,
    /// Operations per second of all clients together.
    pub rate: f64,
    /// Bytes of further values in some of the slots, so that moving them takes time.
    pub ballast: usize,
    /// Bytes of entries that one message of a hand-over carries, about.
    pub chunk_bytes: usize,
    /// Bytes of entries per second that a node sends to others, if there is a limit.
    pub handoff_rate: Option<u64>,
    /// Whether frames may get lost, overtaken and duplicated, beyond what a stream does.
    pub unruly: bool,
    /// Mean one-way delay without faults.
    pub latency: Duration,
    /// How wrong a time of day may be, in milliseconds, either way.
    pub skew_ms: u32,
    /// How much too fast or slow a clock may run, in millionths.
    pub drift_ppm: u32,
    /// How long tombstones are kept.
    pub healing: Duration,
    /// Whether gossip is set as for one machine (quick) or as for a data centre.
    pub quick: bool,
    /// With fewer live members in view a node refuses writes; 0: it never does.
    pub min_members: u32,
    /// The deliberate bug in force.
    pub canary: Option<Canary>,
}

impl Scenario {
    /// Everything drawn from the seed.
    pub fn from_seed(seed: u64) -> Self {
        Self::draw(seed, None, &Mix::Drawn)
    }

    /// Whether faults are among them that make a living process look dead.
    pub(super) fn may_fork(&self) -> bool {
        FORKS.iter().any(|fault| self.faults.contains(fault))
    }

    /// Drawn from the seed but for what is given.
    pub fn draw(seed: u64, nodes: Option<u32>, mix: &Mix) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut added = Rng::with_seed(seed ^ ADDED);
        let mut drawn = draw_faults(&mut rng);
        if added.u8(..STALLED_EVERY) == 0 && !drawn.contains(&Fault::TwoClusters) {
            drawn.push(Fault::StalledStart);
        }
        let faults = match mix {
            Mix::Drawn => drawn,
            Mix::Only(faults) => Fault::ALL.iter().copied().filter(|fault| faults.contains(fault)).collect(),
        };
        let plots = faults.contains(&Fault::Plot);
        let ambush = plots || faults.contains(&Fault::Ambush);
        // Where faults are aimed, few nodes have much to do with each other.
        let many = if plots {
            [3, 3, 3, 4, 4, 4, 4, 5]
        } else if ambush {
            [2, 2, 3, 3, 3, 4, 4, 5]
        } else {
            [2, 3, 3, 4, 5, 5, 6, 8]
        };
        let nodes = nodes.unwrap_or(many[rng.usize(..8)]);
        let many = if ambush { [8, 8, 16, 16, 32, 32, 64] } else { [8, 16, 64, 64, 64, 64, 256] };
        let slots = many[rng.usize(..7)];
        let keys = rng.usize(4..=14);
        let clients_per_key = rng.usize(1..=4);
        let skewed = faults.contains(&Fault::Skew);
        let skew_ms = if skewed { [50, 300, 5_000, 600_000][rng.usize(..4)] } else { 0 };
        let drift_ppm = if skewed { [0, 200, 20_000][rng.usize(..3)] } else { 0 };
        // Whether two holders can be: then deletes must be remembered until they meet.
        let forks = [Fault::Loss, Fault::Delay, Fault::Ambush, Fault::Plot];
        let calm = !skewed && !FORKS.iter().chain(&forks).any(|fault| faults.contains(fault));
        let healing_s = if calm { [1, 5, 60][rng.usize(..3)] } else { 7_200 };
        // A slot that fits into one message is frozen without having been copied.
        let chunk_bytes = match (plots, ambush) {
            (true, _) => [256, 256, 2 << 10][rng.usize(..3)],
            (false, true) => [256, 2 << 10, 64 << 10][rng.usize(..3)],
            (false, false) => 64 << 10,
        };
        Self {
            seed,
            nodes,
            length: Duration::from_millis(rng.u64(8_000..60_000)),
            pace: Duration::from_millis(if plots || rng.bool() {
                rng.u64(1_000..6_000)
            } else {
                rng.u64(100..1_000)
            }),
            aim: [0.0, 0.02, 0.1, 0.5][rng.usize(..4)],
            slots,
            keys,
            clients_per_key,
            rate: 2.0 * f64::from(nodes),
            ballast: if rng.u8(..5) < 2 {
                rng.usize(50_000..1_500_000).min(200 * chunk_bytes)
            } else if plots {
                added.usize(4_000..40_000)
            } else {
                0
            },
            chunk_bytes,
            handoff_rate: rng.bool().then(|| rng.u64(50_000..2_000_000)),
            unruly: !faults.is_empty() && (faults.contains(&Fault::Duplication) || rng.bool()),
            latency: Duration::from_micros([rng.u64(100..4_000), rng.u64(4_000..60_000)][rng.usize(..2)]),
            skew_ms,
            drift_ppm,
            healing: Duration::from_secs(healing_s),
            quick: rng.bool(),
            // More than half of them, or less.
            min_members: if added.u8(..LIMITED_EVERY) == 0 {
                added.u32(2..=(nodes / 2 + 1).max(2))
            } else {
                0
            },
            canary: None,
            faults,
        }
    }
}

/// Now and then none, mostly a few, sometimes many. Plots need their peace: they are nearly alone where they are.
fn draw_faults(rng: &mut Rng) -> Vec<Fault> {
    let apart = [Fault::Plot, Fault::StalledStart];
    let mut all: Vec<Fault> = Fault::ALL.iter().copied().filter(|fault| !apart.contains(fault)).collect();
    if rng.u8(..4) == 0 {
        let other = [None, None, Some(Fault::Pause), Some(all[rng.usize(..all.len())])][rng.usize(..4)];
        return other.into_iter().chain([Fault::Plot]).collect();
    }
    // Half of the runs have nothing that makes two holders, so that they are judged strictly.
    if rng.bool() {
        all.retain(|fault| !FORKS.contains(fault));
    }
    rng.shuffle(&mut all);
    let many = [1, 2, 3, 3, 4, 4, 5, 6, 8, all.len()][rng.usize(..10)];
    all.truncate(many);
    // Ambushes find the most.
    if rng.bool() && !all.contains(&Fault::Ambush) {
        all.push(Fault::Ambush);
    }
    all.sort_unstable();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_draw_every_kind_of_fault_and_keep_what_is_given() {
        let mut missing = Fault::ALL.to_vec();
        for seed in 0..200 {
            let scenario = Scenario::from_seed(seed);
            assert!(NODES.contains(&scenario.nodes));
            assert!(scenario.faults.is_sorted());
            missing.retain(|fault| !scenario.faults.contains(fault));
        }
        assert_eq!(missing, []);
        let only = Mix::Only(vec![Fault::Leave, Fault::Crash]);
        let given = Scenario::draw(1, Some(9), &only);
        assert_eq!((given.nodes, given.faults), (9, vec![Fault::Crash, Fault::Leave]));
    }
}
