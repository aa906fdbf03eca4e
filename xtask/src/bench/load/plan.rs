//! What to ask for, and when.

#![expect(clippy::cast_precision_loss, reason = "a few connections, operations and groups")]

use std::time::Duration;

use fastrand::Rng;

use crate::bench::protocol::Operation;
use crate::bench::space::Space;
use crate::bench::workload::{Mix, Spread, Workload};

/// Requests sent at once while keys are filled in, if values are small.
const FILL_DEPTH: usize = 64;
/// Bytes of values sent at once while keys are filled in.
const FILL_BYTES: usize = 256 << 10;
/// Longest time to fill all keys in.
const FILL_TIME: Duration = Duration::from_mins(10);
/// Begin of a run that is not measured.
const WARM_UP: Duration = Duration::from_millis(200);

/// One run.
pub(in crate::bench) struct Plan {
    /// What is asked; `None`: every key is written once.
    usage: Option<(Mix, Spread)>,
    /// Operations of a batch.
    pub(super) depth: usize,
    /// Operations per second; `None`: as many as the server answers.
    pub(super) rate: Option<f64>,
    pub(super) warm_up: Duration,
    /// Time measured.
    pub(super) length: Duration,
}

impl Plan {
    /// Writes every key once.
    pub(in crate::bench) fn fill(bytes: usize) -> Self {
        let depth = (FILL_BYTES / bytes).clamp(1, FILL_DEPTH);
        Self { usage: None, depth, rate: None, warm_up: Duration::ZERO, length: FILL_TIME }
    }

    /// As the workload says, at a rate or as fast as the server answers.
    pub(in crate::bench) fn of(workload: &Workload, rate: Option<f64>, length: Duration) -> Self {
        let usage = Some((workload.mix, workload.spread));
        Self { usage, depth: workload.depth, rate, warm_up: WARM_UP, length }
    }

    /// Between two batches of one of `count` connections, with a rate.
    pub(super) fn interval(&self, count: usize) -> Option<Duration> {
        self.rate.map(|rate| Duration::from_secs_f64((count * self.depth) as f64 / rate))
    }
}

/// Makes the batches of a run.
pub(super) struct Work<'a> {
    usage: Option<(Mix, Spread)>,
    space: &'a Space,
    owners: &'a [u8],
    rng: &'a mut Rng,
    /// By share: the first key that has not been written yet.
    unwritten: Vec<u32>,
}

impl<'a> Work<'a> {
    pub(super) fn new(plan: &Plan, space: &'a Space, owners: &'a [u8], rng: &'a mut Rng) -> Self {
        let shares = owners.iter().max().map_or(1, |last| usize::from(*last) + 1);
        Self { usage: plan.usage, space, owners, rng, unwritten: vec![0; shares] }
    }

    /// The next operation on keys of that share; `None` if there is nothing left to do.
    pub(super) fn next(&mut self, share: usize) -> Option<Operation> {
        let Some((mix, spread)) = self.usage else { return self.fill(share) };
        let key = loop {
            let key = self.space.draw(spread, self.rng);
            if self.is_of(share, key) {
                break key;
            }
        };
        let writes = match mix {
            Mix::Get => false,
            Mix::Set => true,
            Mix::Mixed => self.rng.u8(..10) == 0,
        };
        Some(Operation { key, write: writes.then(|| self.rng.u32(..)) })
    }

    fn fill(&mut self, share: usize) -> Option<Operation> {
        let key = (self.unwritten[share]..self.space.keys).find(|key| self.is_of(share, *key));
        self.unwritten[share] = key.map_or(self.space.keys, |key| key + 1);
        Some(Operation { key: key?, write: Some(0) })
    }

    fn is_of(&self, share: usize, key: u32) -> bool {
        self.owners.get(key as usize).is_none_or(|owner| usize::from(*owner) == share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filling_writes_every_key_of_every_share_once() {
        let (space, owners) = (Space::new(5, 64), [0, 1, 1, 0, 1]);
        let mut rng = Rng::with_seed(1);
        let mut work = Work::new(&Plan::fill(64), &space, &owners, &mut rng);
        let mut keys = |share| {
            let next = || work.next(share).map(|operation| (operation.key, operation.write));
            std::iter::from_fn(next).collect::<Vec<_>>()
        };
        assert_eq!(keys(1), [(1, Some(0)), (2, Some(0)), (4, Some(0))]);
        assert_eq!(keys(0), [(0, Some(0)), (3, Some(0))]);
    }

    #[test]
    fn a_mixture_reads_nine_times_as_often_as_it_writes_and_keeps_to_its_share() {
        let (space, owners) = (Space::new(4, 64), [0, 1, 1, 0]);
        let mut rng = Rng::with_seed(1);
        let usage = Some((Mix::Mixed, Spread::Uniform));
        let plan = Plan { usage, ..Plan::fill(64) };
        let mut work = Work::new(&plan, &space, &owners, &mut rng);
        let operations: Vec<_> = (0..10_000).filter_map(|_| work.next(1)).collect();
        let writes = operations.iter().filter(|operation| operation.write.is_some()).count();
        assert!((800..1200).contains(&writes), "{writes}");
        assert!(operations.iter().all(|operation| matches!(operation.key, 1 | 2)));
    }

    #[test]
    fn a_rate_is_shared_by_all_connections() {
        let plan = Plan { rate: Some(1000.0), depth: 16, ..Plan::fill(64) };
        assert_eq!(plan.interval(50), Some(Duration::from_millis(800)));
    }
}
