//! The workload `registers`: whole nodes with clients, faults, and a verdict.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use boato_sim::registers::{self, Canary, Fault as Kind, Mix, Report, Scenario, Violation};
use serde_json::{Value, json};

use super::table::Registers;
use super::{Args, made_up, refuse};
use crate::fault::Fault;

/// Events shown before a violation.
const LAST_EVENTS: usize = 40;

pub(super) fn run(args: &Args) -> Result<()> {
    refuse::foreign(&[
        ("--scenario", args.scenario.is_some()),
        ("--report", args.report.is_some()),
        ("--compare", args.compare.is_some()),
        ("--frontier", args.frontier.is_some()),
    ])?;
    let known = ["nodes", "seed", "minutes"];
    if let Some(name) = args.options.given().into_iter().find(|name| !known.contains(name)) {
        bail!("--{} means nothing to this --workload: leave it out", name.replace('_', "-"));
    }
    let scenario = scenario(args)?;
    let started = Instant::now();
    let report = if args.trace {
        registers::run_told(&scenario, &mut |at, what| {
            let line = format!("{:>12.6}  {what}", at.as_secs_f64());
            if args.json { eprintln!("{line}") } else { println!("{line}") }
        })
    } else {
        registers::run(&scenario)
    };
    if args.json {
        println!("{}", json(&report));
    } else {
        println!("{}", Registers { scenario: &scenario, report: &report, took: started.elapsed() });
    }
    let Err(violation) = &report.verdict else {
        let undecided = report.undecided;
        ensure!(
            undecided == 0,
            "no promise was seen broken, but {undecided} histories were too tangled to be judged"
        );
        return Ok(());
    };
    if !args.trace {
        eprintln!("\nthe last events:");
        for line in last_events(&scenario) {
            eprintln!("{line}");
        }
    }
    let text = format!("seed {}: {violation}", scenario.seed);
    Err(match violation {
        Violation::Safety(_) => Fault::violation(text),
        Violation::Liveness(_) => Fault::stuck(text),
    })
}

fn scenario(args: &Args) -> Result<Scenario> {
    let mix = match args.faults.as_deref() {
        None | Some("all") => Mix::Drawn,
        Some("none") => Mix::Only(Vec::new()),
        Some(list) => Mix::Only(list.split(',').map(str::parse::<Kind>).collect::<Result<_, _>>()?),
    };
    if let Some(nodes) = args.options.nodes {
        let (least, most) = (registers::NODES.start(), registers::NODES.end());
        ensure!(registers::NODES.contains(&nodes), "--nodes {nodes}: give {least} to {most}");
    }
    let mut scenario = Scenario::draw(args.options.seed.unwrap_or_else(made_up), args.options.nodes, &mix);
    if let Some(minutes) = args.options.minutes {
        scenario.length = super::length(minutes)?;
    }
    scenario.min_members = args.min_members.unwrap_or(scenario.min_members);
    scenario.canary = args.canary.as_deref().map(canary).transpose()?;
    Ok(scenario)
}

fn canary(name: &str) -> Result<Canary> {
    Canary::ALL.iter().copied().find(|canary| canary.name() == name).with_context(|| {
        let names: Vec<_> = Canary::ALL.iter().map(|canary| canary.name()).collect();
        format!("--canary {name}: there are {}", names.join(", "))
    })
}

/// What happened last, from a second run of the same seed.
fn last_events(scenario: &Scenario) -> VecDeque<String> {
    let mut last = VecDeque::with_capacity(LAST_EVENTS + 1);
    registers::run_told(scenario, &mut |at, what| {
        last.push_back(format!("{:>12.6}  {what}", at.as_secs_f64()));
        if last.len() > LAST_EVENTS {
            last.pop_front();
        }
    });
    last
}

fn json(report: &Report) -> Value {
    let millis = |time: Option<Duration>| time.map(|time| time.as_secs_f64() * 1e3);
    let faults: serde_json::Map<String, Value> =
        report.faults.iter().map(|(kind, count)| (kind.name().to_owned(), json!(count))).collect();
    json!({
        "seed": report.seed,
        "trace_hash": report.trace_hash.to_string(),
        "simulated_s": report.simulated.as_secs_f64(),
        "node_seconds": report.node_seconds,
        "operations": report.operations,
        "faults": faults,
        "hand_offs": report.hand_offs,
        "merges": report.merges,
        "superseded": report.superseded,
        "slots_lost": report.slots_lost,
        "too_few": report.too_few,
        "forked": report.forked,
        "wait_p50_ms": millis(report.waits.p50),
        "wait_p99_ms": millis(report.waits.p99),
        "wait_max_ms": millis(report.waits.max),
        "settled_after_s": report.settled_after.map(|time| time.as_secs_f64()),
        "undecided": report.undecided,
        "violation": report.verdict.as_ref().err().map(ToString::to_string),
    })
}
