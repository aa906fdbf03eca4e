//! Whether every deliberate bug is found, and how many seeds that takes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use anyhow::{Result, bail, ensure};
use boato_sim::registers::{Canary, Scenario};

use super::{Outcome, workers};

/// Looks for each of them with the seeds from `first` on; prints a line for each.
pub(super) fn run(seeds_max: u64, first: u64, threads: usize, stop: &AtomicBool) -> Result<()> {
    ensure!(seeds_max > 0, "--canaries 0: give at least one seed");
    println!("{:<26} {:>6}  found as", "deliberate bug", "seeds");
    let (mut count, mut unfound) = (0, Vec::new());
    for &canary in Canary::ALL {
        let found = find(canary, seeds_max, first, threads, stop);
        if stop.load(Ordering::Relaxed) {
            bail!("stopped");
        }
        if let Some((seeds, how)) = found {
            println!("{:<26} {seeds:>6}  {}", canary.name(), brief(&how));
            count += 1;
        } else {
            let looked = format!(">{seeds_max}");
            println!("{:<26} {looked:>6}  not found", canary.name());
            unfound.push(canary.name());
        }
    }
    ensure!(unfound.is_empty(), "not found within {seeds_max} seeds: {}", unfound.join(", "));
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
