//! Whether every deliberate bug is found, and how many seeds that takes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use anyhow::{Result, bail, ensure};
use boato_sim::model::{self, Bounds};
use boato_sim::registers::{Canary, Scenario};

use super::{Outcome, workers};

/// What runs of registers do not show, and the script of the model check that does: they have no limit of members, and
/// hardly ever lose just the last part of a copy that was begun twice.
const MODELLED: [(Canary, &str); 2] =
    [(Canary::FewMembersWrite, "few-members"), (Canary::OneTransferNumber, "rounds")];

/// States of a script that are looked at.
const STATES_MAX: usize = 60_000;

/// Looks for each of them with the seeds from `first` on; prints a line for each.
pub(super) fn run(seeds_max: u64, first: u64, threads: usize, stop: &AtomicBool) -> Result<()> {
    ensure!(seeds_max > 0, "--canaries 0: give at least one seed");
    println!("{:<26} {:>6}  found as", "deliberate bug", "seeds");
    let (mut count, mut unfound) = (0, Vec::new());
    for &canary in Canary::ALL {
        let script = MODELLED.iter().find(|it| it.0 == canary).map(|it| it.1);
        let found = match script {
            Some(script) => explore(canary, script, threads, stop).map(|how| ("model".to_owned(), how)),
            None => {
                find(canary, seeds_max, first, threads, stop).map(|(seeds, how)| (seeds.to_string(), how))
            }
        };
        if stop.load(Ordering::Relaxed) {
            bail!("stopped");
        }
        if let Some((seeds, how)) = found {
            println!("{:<26} {seeds:>6}  {}", canary.name(), brief(&how));
            count += 1;
        } else {
            let looked = if script.is_some() { "model".to_owned() } else { format!(">{seeds_max}") };
            println!("{:<26} {looked:>6}  not found", canary.name());
            unfound.push(canary.name());
        }
    }
    ensure!(
        unfound.is_empty(),
        "not found within {seeds_max} seeds, or by the model: {}",
        unfound.join(", ")
    );
    println!("\n{count} deliberate bugs of {} were found", Canary::ALL.len());
    Ok(())
}

/// How many seeds it took to find a bug, and as what; the lowest seed that finds it counts.
fn find(
    canary: Canary,
    seeds_max: u64,
    first: u64,
    threads: usize,
    stop: &AtomicBool,
) -> Option<(u64, String)> {
    let (next, found) = (AtomicU64::new(0), AtomicBool::new(false));
    let draw = || {
        let index = next.fetch_add(1, Ordering::Relaxed);
        let more = index < seeds_max && !found.load(Ordering::Relaxed) && !stop.load(Ordering::Relaxed);
        more.then(|| Scenario { canary: Some(canary), ..Scenario::from_seed(first.wrapping_add(index)) })
    };
    let mut findings = BTreeMap::new();
    thread::scope(|scope| {
        for (seed, outcome) in workers(scope, threads, &draw) {
            // What is found without the bug, too, says nothing of it.
            if let Some(how) = violation(outcome)
                && violation(super::play(&Scenario::from_seed(seed))).is_none()
            {
                findings.insert(seed.wrapping_sub(first) + 1, how);
                found.store(true, Ordering::Relaxed);
            }
        }
    });
    findings.pop_first()
}

/// What the model check finds of a bug in a script, every order of whose events it looks at.
fn explore(canary: Canary, script: &str, threads: usize, stop: &AtomicBool) -> Option<String> {
    let script = model::scripts().into_iter().find(|it| it.name == script)?;
    let bounds =
        Bounds { states: STATES_MAX, depth: 1000, sample: 256, threads, detours: None, lasting: false };
    let report = model::check(&script, Some(canary), bounds, &mut |_| !stop.load(Ordering::Relaxed));
    report.violation.map(|(what, _)| format!("{}: {what}", script.name))
}

fn violation(outcome: Outcome) -> Option<String> {
    match outcome {
        Ok(report) => report.verdict.err().map(|violation| violation.to_string()),
        Err(panic) => Some(format!("panic: {panic}")),
    }
}

/// What fits beside the name in a terminal.
fn brief(how: &str) -> String {
    let line = how.lines().next().unwrap_or_default();
    line.chars().take(44).collect()
}
