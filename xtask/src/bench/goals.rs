//! The goals and what was measured of them, as a table.

use std::fmt::Write as _;

use super::compare::{Figures, Findings};

/// The peer's CPU time per operation, in boato's: at least.
const RATIOS: [(&str, &str, &str, f64); 10] = [
    ("GET", "resp-get-64-p1-uniform-one", "redis", 1.1),
    ("GET, 16 together", "resp-get-64-p16-uniform-one", "redis", 1.9),
    ("GET, 64 together", "resp-get-64-p64-uniform-one", "redis", 2.7),
    ("SET", "resp-set-64-p1-uniform-one", "redis", 1.1),
    ("SET, 16 together", "resp-set-64-p16-uniform-one", "redis", 2.0),
    ("SET, 64 together", "resp-set-64-p64-uniform-one", "redis", 2.5),
    ("GET of 1 KiB, 64 together", "resp-get-1k-p64-uniform-one", "redis", 1.8),
    ("SET of 1 KiB, 64 together", "resp-set-1k-p64-uniform-one", "redis", 1.6),
    ("HTTP GET", "http-get-64-p1-uniform-one", "nginx", 1.05),
    ("HTTP GET, 16 together", "http-get-64-p16-uniform-one", "nginx", 4.0),
];

/// CPU microseconds of all nodes for a forwarded operation: at most.
const FORWARDED_US: [(&str, &str, f64); 2] = [("16 together", "p16", 1.5), ("64 together", "p64", 0.8)];
/// Forwarded without a pipeline, as a multiple of the same where the key is.
const FORWARDED_ALONE: f64 = 5.0;
/// Keys of 20 bytes with values of 64.
const ENTRY_BYTES: f64 = 120.0;
/// Of three nodes asked for any key, so many hold another's share of it.
const FORWARDED_SHARE: f64 = 2.0 / 3.0;

/// A row for each goal of which something was measured; what is missed is bold.
pub(super) fn markdown(findings: &Findings) -> String {
    let mut text = String::from("| | goal | measured |\n|---|--:|--:|\n");
    let mut row = |what: &str, goal: &str, measured: String, met: bool| {
        let measured = if met { measured } else { format!("**{measured}**") };
        writeln!(text, "| {what} | {goal} | {measured} |").expect("invariant: a String takes any text");
    };
    for (what, workload, peer, goal) in RATIOS {
        if let Some(peers) = find(findings, workload, peer) {
            let met = peers.ratio >= goal;
            row(&format!("{what}, against {peer}"), &goal.to_string(), format!("{:.2}", peers.ratio), met);
        }
    }
    for (what, depth, goal) in FORWARDED_US {
        if let Some((us, _)) = forwarded(findings, depth) {
            row(
                &format!("a forwarded GET, {what}"),
                &format!("{goal} us"),
                format!("{us:.1} us"),
                us <= goal,
            );
        }
    }
    if let Some((us, local_us)) = forwarded(findings, "p1") {
        let times = us / local_us;
        row("a forwarded GET in local ones", "5", format!("{times:.1}"), times <= FORWARDED_ALONE);
    }
    let first = findings.memory.iter().find(|memory| memory.server == "boato" && memory.value_bytes == 64);
    if let Some(memory) = first {
        let bytes = memory.bytes_per_entry;
        row("bytes per entry", &ENTRY_BYTES.to_string(), format!("{bytes:.0}"), bytes <= ENTRY_BYTES);
    }
    for (what, time) in [("p50", p50 as fn(&Figures) -> f64), ("p99", p99)] {
        let (mut all, mut worse) = (0, Vec::new());
        for line in &findings.lines {
            let theirs = line.figures.iter().find(|figures| figures.server == "redis");
            if let (Some(ours), Some(theirs)) = (line.figures.first(), theirs) {
                all += 1;
                worse.extend((time(ours) > time(theirs)).then(|| line.workload.to_string()));
            }
        }
        if all > 0 {
            let of = format!("in {} of {all}", all - worse.len());
            row(&format!("{what} no worse than redis'"), "in all", of, worse.is_empty());
        }
    }
    text
}

fn p50(figures: &Figures) -> f64 {
    figures.p50_us
}

fn p99(figures: &Figures) -> f64 {
    figures.p99_us
}

fn find<'a>(findings: &'a Findings, workload: &str, server: &str) -> Option<&'a Figures> {
    let line = findings.lines.iter().find(|line| line.workload.to_string() == workload)?;
    line.figures.iter().find(|figures| figures.server == server)
}

/// CPU microseconds of all nodes for a forwarded GET and for one where the key is, at this depth: the nodes that are asked for any
/// key forward two thirds of what they are asked.
fn forwarded(findings: &Findings, depth: &str) -> Option<(f64, f64)> {
    let us = |shape| find(findings, &format!("resp-get-64-{depth}-uniform-{shape}"), "boato");
    let (any, local) = (us("proxy")?.cpu_us, us("one")?.cpu_us);
    Some(((any - local * (1.0 - FORWARDED_SHARE)) / FORWARDED_SHARE, local))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::compare::Line;
    use crate::bench::workload::{KEYS, choose};

    fn line(workload: &str, cpu_us: f64, p99_us: f64) -> Line {
        let workload = choose(&[workload.to_owned()], KEYS).unwrap()[0];
        let figures = |server, ratio, p99_us| Figures {
            server,
            operations_per_s: 1e6,
            cpu_us,
            cpu_us_paced: cpu_us,
            ratio,
            limited_by_load: false,
            p50_us: 50.0,
            p99_us,
            p999_us: 99.0,
        };
        Line {
            workload,
            pace: 1e6,
            figures: vec![figures("boato", 1.0, p99_us), figures("redis", 1.05, 70.0)],
        }
    }

    #[test]
    fn what_is_missed_is_bold_and_what_was_not_measured_is_left_out() {
        let lines = vec![
            line("resp-get-64-p1-uniform-one", 6.0, 80.0),
            line("resp-get-64-p1-uniform-proxy", 18.0, 60.0),
        ];
        let text = markdown(&Findings { lines, ..Findings::default() });
        assert!(text.contains("| GET, against redis | 1.1 | **1.05** |"), "{text}");
        // (18 - 6 / 3) / (2 / 3) = 24
        assert!(text.contains("| a forwarded GET in local ones | 5 | 4.0 |"), "{text}");
        assert!(text.contains("| p50 no worse than redis' | in all | in 2 of 2 |"), "{text}");
        assert!(text.contains("| p99 no worse than redis' | in all | **in 1 of 2** |"), "{text}");
        assert_eq!(text.lines().count(), 6, "{text}");
    }
}
