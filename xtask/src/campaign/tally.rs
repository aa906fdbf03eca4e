//! What a campaign has seen so far, and its report.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Result, ensure};
use boato_sim::registers::{Fault, Report, Violation};

use super::Outcome;

/// Histories that may stay unjudged whatever the number of seeds, and one more for so many seeds.
const UNDECIDED_MIN: u64 = 3;
const SEEDS_PER_UNDECIDED: u64 = 1_000;

/// Sums over all seeds.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) seeds: u64,
    node_seconds: f64,
    happened: u64,
    acknowledged: u64,
    faults: BTreeMap<Fault, u64>,
    hand_offs: u64,
    merges: u64,
    superseded: u64,
    too_few: u64,
    lost: Lost,
    forked: u64,
    undecided: u64,
    slowest: Option<(Duration, u64)>,
    pub(super) violations: Vec<Found>,
}

/// Slots lost in crashes, as the nodes counted them.
#[derive(Default)]
struct Lost {
    compared: u64,
    compared_runs: u64,
    /// In runs with a false death or two clusters, where nobody can say what was lost, or that were broken off.
    others: u64,
    other_runs: u64,
}

impl Lost {
    fn add(&mut self, report: &Report) {
        let compared = !report.forked && report.verdict.is_ok();
        let (slots, runs) = if compared {
            (&mut self.compared, &mut self.compared_runs)
        } else {
            (&mut self.others, &mut self.other_runs)
        };
        *slots += report.slots_lost;
        *runs += 1;
    }
}

/// A violation and its seed.
pub(super) struct Found {
    seed: u64,
    safety: bool,
    text: String,
}

impl Tally {
    pub(super) fn add(&mut self, seed: u64, outcome: Outcome) {
        self.seeds += 1;
        match outcome {
            Ok(report) => self.add_report(&report),
            Err(panic) => self.violations.push(Found { seed, safety: true, text: format!("panic: {panic}") }),
        }
    }

    fn add_report(&mut self, report: &Report) {
        self.node_seconds += report.node_seconds;
        self.happened += report.happened;
        self.acknowledged += report.operations.acknowledged();
        for (fault, count) in &report.faults {
            *self.faults.entry(*fault).or_default() += count;
        }
        self.hand_offs += report.hand_offs;
        self.merges += report.merges;
        self.superseded += report.superseded;
        self.too_few += report.too_few;
        self.lost.add(report);
        self.forked += u64::from(report.forked);
        self.undecided += report.undecided;
        self.slowest = self.slowest.max(report.settled_after.map(|after| (after, report.seed)));
        if let Err(violation) = &report.verdict {
            let safety = matches!(violation, Violation::Safety(_));
            self.violations.push(Found { seed: report.seed, safety, text: violation.to_string() });
        }
    }

    pub(super) fn node_hours(&self) -> f64 {
        self.node_seconds / 3600.0
    }

    /// What was run and found, for people.
    pub(super) fn report(&self, first: u64, took: Duration) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<16} {value}");
        };
        let per_hour = self.node_hours() / took.as_secs_f64() * 3600.0;
        line("seeds", format!("{} from {first}", self.seeds));
        line("took", format!("{:.1} s", took.as_secs_f64()));
        line("simulated", format!("{:.1} node-hours ({per_hour:.0} per hour)", self.node_hours()));
        line("happened", self.happened.to_string());
        line("acknowledged", format!("{} operations", self.acknowledged));
        line("slots moved", self.hand_offs.to_string());
        line("slots merged", self.merges.to_string());
        line("superseded", format!("{} values, as the nodes counted them", self.superseded));
        line("refused", format!("{} writes, where too few members were in view", self.too_few));
        let Lost { compared, compared_runs, others, other_runs } = self.lost;
        line("slots lost", format!("{compared} in {compared_runs} seeds, the same as crashes took"));
        line("", format!("{others} in {other_runs} seeds with false deaths, not compared"));
        line("false deaths", format!("in {} seeds", self.forked));
        line("undecided", format!("{} histories", self.undecided));
        if let Some((after, seed)) = self.slowest {
            line("slowest to settle", format!("{:.1} s after the faults (seed {seed})", after.as_secs_f64()));
        }
        line("faults", String::new());
        for (fault, count) in &self.faults {
            line(&format!("  {fault}"), count.to_string());
        }
        line("violations", self.violations.len().to_string());
        for Found { seed, text: found, .. } in &self.violations {
            let _ = writeln!(text, "\nseed {seed}: {found}\n  {}", super::replay(*seed));
        }
        text
    }

    /// An error if anything was found, or if more could not be judged than can be put up with.
    pub(super) fn verdict(&self) -> Result<()> {
        let Some(first) = self.violations.iter().find(|found| found.safety).or(self.violations.first())
        else {
            let undecided_max = UNDECIDED_MIN + self.seeds / SEEDS_PER_UNDECIDED;
            ensure!(
                self.undecided <= undecided_max,
                "{} histories were too tangled to be judged, and of {} seeds {undecided_max} may be: no promise was seen \
                 broken, but that says too little",
                self.undecided,
                self.seeds
            );
            return Ok(());
        };
        let text = format!("{} of {} seeds broke a promise", self.violations.len(), self.seeds);
        Err(super::fault(text, first.safety))
    }
}
