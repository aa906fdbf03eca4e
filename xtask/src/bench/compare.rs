//! The comparison: servers side by side, runs interleaved and repeated.

#![expect(clippy::cast_precision_loss, reason = "figures have three digits")]

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::load::{Load, Plan, Sample};
use super::server::{Name, Server, Yard};
use super::space::Space;
use super::workload::{Stage, Workload};
use crate::nodes::Signals;

/// Latency is measured at this part of the operations per second that the slowest server reached.
const PACE: f64 = 0.5;
/// The load is what limits a run when its thread is this busy.
const BUSY: f64 = 0.95;

/// How to measure.
pub(super) struct Method {
    pub(super) servers: Vec<Name>,
    pub(super) connections: usize,
    /// Time measured in a run.
    pub(super) length: Duration,
    /// Runs of each server and workload.
    pub(super) repeats: usize,
}

/// What was measured of one workload.
#[derive(Serialize)]
pub(super) struct Line {
    #[serde(serialize_with = "as_text")]
    pub(super) workload: Workload,
    /// Operations per second during the measurement of latencies.
    pub(super) pace: f64,
    /// boato comes first.
    pub(super) figures: Vec<Figures>,
}

/// What was measured of one server: medians of the runs.
#[derive(Serialize)]
pub(super) struct Figures {
    pub(super) server: &'static str,
    pub(super) operations_per_s: f64,
    /// CPU time of the server per operation, in microseconds.
    pub(super) cpu_us: f64,
    /// The same at the pace of the latencies.
    pub(super) cpu_us_paced: f64,
    /// CPU time per operation as a multiple of boato's in the same round.
    pub(super) ratio: f64,
    /// Whether the load could not have sent more.
    pub(super) limited_by_load: bool,
    /// At the pace, in microseconds from when an operation was to begin.
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    pub(super) p999_us: f64,
}

/// Memory of one server.
#[derive(Serialize)]
pub(super) struct Memory {
    pub(super) server: &'static str,
    pub(super) nodes: usize,
    pub(super) keys: u32,
    pub(super) value_bytes: usize,
    /// Resident memory that the keys have added, by their number.
    pub(super) bytes_per_entry: f64,
}

/// Everything that was measured.
#[derive(Default, Serialize)]
pub(super) struct Findings {
    pub(super) lines: Vec<Line>,
    pub(super) memory: Vec<Memory>,
    /// Peers whose program is missing.
    pub(super) missing: Vec<&'static str>,
}

fn as_text<S: serde::Serializer>(workload: &Workload, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(workload)
}

/// Measures every workload, and hands each line to `show` when it is complete.
pub(super) fn run(
    method: &Method,
    workloads: &[Workload],
    yard: &Yard,
    signals: &Signals,
    mut show: impl FnMut(&Line),
) -> Result<Findings> {
    let mut findings = Findings::default();
    let runs: usize = workloads
        .iter()
        .map(|workload| {
            2 * method.repeats * method.servers.iter().filter(|name| name.plays(workload.stage())).count()
        })
        .sum();
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} runs, {eta} left  {msg}");
    let bar = ProgressBar::new(runs as u64).with_style(style.context("the style of the bar")?);
    for group in workloads.chunk_by(|one, other| one.stage() == other.stage()) {
        let stage = group[0].stage();
        bar.set_message("starting servers and filling keys in");
        let space = Space::new(stage.keys, stage.bytes);
        let servers = start(method, stage, yard, &mut findings)?;
        for server in servers.iter().filter(|server| server.wants_keys()) {
            ensure!(!signals.wait(Duration::ZERO), "interrupted");
            findings.memory.push(fill(server, stage, &space, method)?);
        }
        // Not before: a server may end connections that are silent for long.
        let mut loads = Vec::new();
        for server in &servers {
            loads.push(Load::connect(&server.target, &space, method.connections)?);
        }
        for workload in group {
            bar.set_message(workload.to_string());
            let line = measure(method, workload, &servers, &mut loads, signals, &bar)?;
            bar.suspend(|| show(&line));
            findings.lines.push(line);
        }
    }
    bar.finish_and_clear();
    Ok(findings)
}

/// The servers that play, boato first; the missing ones are noted.
fn start(method: &Method, stage: Stage, yard: &Yard, findings: &mut Findings) -> Result<Vec<Server>> {
    let mut servers = Vec::new();
    for name in method.servers.iter().filter(|name| name.plays(stage)) {
        let text = name.text();
        match name.start(stage, yard).with_context(|| format!("starting {text}"))? {
            Some(server) => servers.push(server),
            None if findings.missing.contains(&text) => {}
            None => findings.missing.push(text),
        }
    }
    Ok(servers)
}

/// Writes every key, and measures the memory that this takes.
fn fill(server: &Server, stage: Stage, space: &Space, method: &Method) -> Result<Memory> {
    let name = server.name.text();
    let mut load = Load::connect(&server.target, space, method.connections)?;
    let before = server.resident_bytes()?;
    load.run(&Plan::fill(stage.bytes), &|| server.cpu_time()).with_context(|| format!("filling {name}"))?;
    drop(load);
    let added = server.resident_bytes()?.saturating_sub(before);
    Ok(Memory {
        server: name,
        nodes: stage.nodes(),
        keys: stage.keys,
        value_bytes: stage.bytes,
        bytes_per_entry: added as f64 / f64::from(stage.keys),
    })
}

/// Runs of one server and workload.
#[derive(Default)]
struct Runs {
    rates: Vec<f64>,
    cpu_us: Vec<f64>,
    cpu_us_paced: Vec<f64>,
    busy: Vec<f64>,
    latency: Option<Histogram<u64>>,
}

impl Runs {
    fn add(&mut self, sample: Sample, paced: bool) -> Result<()> {
        let seconds = sample.elapsed.as_secs_f64();
        if sample.operations == 0 || seconds == 0.0 {
            bail!("nothing was answered in the time measured");
        }
        let cpu_us = sample.server.as_secs_f64() * 1e6 / sample.operations as f64;
        if paced {
            self.cpu_us_paced.push(cpu_us);
            match &mut self.latency {
                Some(all) => all.add(&sample.latency).context("adding histograms")?,
                none => *none = Some(sample.latency),
            }
        } else {
            self.cpu_us.push(cpu_us);
            self.rates.push(sample.operations as f64 / seconds);
            self.busy.push(sample.load.as_secs_f64() / seconds);
        }
        Ok(())
    }

    fn figures(&self, server: &'static str, first: &Self) -> Figures {
        let ratios = self.cpu_us.iter().zip(&first.cpu_us).map(|(own, firsts)| own / firsts);
        let quantile = |quantile| {
            self.latency.as_ref().map_or(0.0, |latency| latency.value_at_quantile(quantile) as f64 / 1e3)
        };
        Figures {
            server,
            operations_per_s: median(&self.rates),
            cpu_us: median(&self.cpu_us),
            cpu_us_paced: median(&self.cpu_us_paced),
            ratio: median(&ratios.collect::<Vec<_>>()),
            limited_by_load: median(&self.busy) > BUSY,
            p50_us: quantile(0.5),
            p99_us: quantile(0.99),
            p999_us: quantile(0.999),
        }
    }
}

fn measure(
    method: &Method,
    workload: &Workload,
    servers: &[Server],
    loads: &mut [Load<'_>],
    signals: &Signals,
    bar: &ProgressBar,
) -> Result<Line> {
    let mut runs: Vec<Runs> = servers.iter().map(|_| Runs::default()).collect();
    let mut round = |rate: Option<f64>, shift: usize, runs: &mut [Runs]| -> Result<()> {
        for place in 0..servers.len() {
            ensure!(!signals.wait(Duration::ZERO), "interrupted");
            // Nobody is always the first one.
            let index = (place + shift) % servers.len();
            let server = &servers[index];
            let plan = Plan::of(workload, rate, method.length);
            let sample = loads[index].run(&plan, &|| server.cpu_time());
            let told = sample.and_then(|sample| runs[index].add(sample, rate.is_some()));
            told.with_context(|| format!("{workload} of {}", server.name.text()))?;
            bar.inc(1);
        }
        Ok(())
    };
    for shift in 0..method.repeats {
        round(None, shift, &mut runs)?;
    }
    let slowest = runs.iter().map(|runs| median(&runs.rates)).fold(f64::INFINITY, f64::min);
    let pace = PACE * slowest;
    for shift in 0..method.repeats {
        round(Some(pace), shift, &mut runs)?;
    }
    let figures = servers.iter().zip(&runs).map(|(server, own)| own.figures(server.name.text(), &runs[0]));
    Ok(Line { workload: *workload, pace, figures: figures.collect() })
}

fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(operations: u64, server_us: u64) -> Sample {
        let latency = Histogram::new(3).unwrap();
        let elapsed = Duration::from_secs(1);
        Sample { operations, elapsed, server: Duration::from_micros(server_us), load: elapsed, latency }
    }

    #[test]
    fn a_ratio_is_the_median_of_the_rounds() {
        let (mut boato, mut peer) = (Runs::default(), Runs::default());
        for (own, other) in [(100, 200), (200, 300), (400, 1600)] {
            boato.add(sample(100, own), false).unwrap();
            peer.add(sample(100, other), false).unwrap();
        }
        let figures = peer.figures("peer", &boato);
        assert_eq!((figures.ratio, figures.cpu_us, figures.operations_per_s), (2.0, 3.0, 100.0));
        assert!(figures.limited_by_load);
    }

    #[test]
    fn a_run_without_answers_is_an_error() {
        assert!(Runs::default().add(sample(0, 1), false).is_err());
    }

    #[test]
    fn the_median_of_two_lies_between_them() {
        let medians = [median(&[3.0, 1.0]), median(&[5.0, 1.0, 2.0])];
        assert!(medians.iter().all(|median| (median - 2.0).abs() < 1e-9), "{medians:?}");
    }
}
