//! What was measured, for people: a table in 80 columns, and one in Markdown.

use std::fmt::Write as _;

use super::compare::{Figures, Findings, Line, Memory};

/// The heading of the table.
pub(super) const HEADING: &str = "\
workload                                       latency at half the pace of the
  server        op/s   CPU us/op    ratio      slowest: p50      p99    p99.9
------------------------------------------------------------------------------";

/// One workload, a row for each server.
pub(super) fn rows(line: &Line) -> String {
    let mut text = format!("{}  ({}op/s for latencies)", line.workload, short(line.pace));
    for (place, figures) in line.figures.iter().enumerate() {
        let Figures { server, cpu_us, p50_us, p99_us, p999_us, .. } = figures;
        let mark = if figures.limited_by_load { '*' } else { ' ' };
        let (rate, ratio) = (short(figures.operations_per_s), ratio(place, figures));
        write!(
            text,
            "\n  {server:<10} {rate:>6}{mark}  {cpu_us:>10.3} {ratio:>8}   {:>14} {:>8} {:>8}",
            time(*p50_us),
            time(*p99_us),
            time(*p999_us)
        )
        .expect("invariant: a String takes any text");
    }
    text
}

/// What follows the table.
pub(super) fn notes(findings: &Findings) -> String {
    let mut text = String::from(
        "\nop/s: medians of closed-loop runs; * the load generator's one thread was the limit\n\
         ratio: the peer's CPU time per operation in boato's, so more is better for boato\n",
    );
    for Memory { server, nodes, keys, value_bytes, bytes_per_entry } in &findings.memory {
        writeln!(
            text,
            "memory: {server:<10} {bytes_per_entry:>7.0} B per entry ({keys} keys of 20 B, values of {value_bytes} B, nodes: {nodes})"
        )
        .expect("invariant: a String takes any text");
    }
    for server in &findings.missing {
        writeln!(text, "skipped: {server}, which is not installed")
            .expect("invariant: a String takes any text");
    }
    text
}

/// Everything as tables in Markdown.
pub(super) fn markdown(findings: &Findings) -> String {
    let mut text = String::from(
        "| workload | server | op/s | CPU µs/op | ratio | p50 | p99 | p99.9 |\n|---|---|--:|--:|--:|--:|--:|--:|\n",
    );
    for line in &findings.lines {
        for (place, figures) in line.figures.iter().enumerate() {
            let name = if place == 0 { line.workload.to_string() } else { String::new() };
            let mark = if figures.limited_by_load { "\\*" } else { "" };
            writeln!(
                text,
                "| {name} | {} | {}{mark} | {:.3} | {} | {} | {} | {} |",
                figures.server,
                short(figures.operations_per_s),
                figures.cpu_us,
                ratio(place, figures),
                time(figures.p50_us),
                time(figures.p99_us),
                time(figures.p999_us)
            )
            .expect("invariant: a String takes any text");
        }
    }
    text.push_str("\n| server | nodes | keys | value bytes | bytes per entry |\n|---|--:|--:|--:|--:|\n");
    for Memory { server, nodes, keys, value_bytes, bytes_per_entry } in &findings.memory {
        writeln!(text, "| {server} | {nodes} | {keys} | {value_bytes} | {bytes_per_entry:.0} |")
            .expect("invariant: a String takes any text");
    }
    text
}

fn ratio(place: usize, figures: &Figures) -> String {
    if place == 0 { String::new() } else { format!("{:.2}x", figures.ratio) }
}

/// A number with a letter for its thousands.
fn short(number: f64) -> String {
    match number {
        ..1e4 => format!("{number:.0} "),
        ..1e6 => format!("{:.0} k", number / 1e3),
        _ => format!("{:.2} M", number / 1e6),
    }
}

fn time(us: f64) -> String {
    match us {
        ..100.0 => format!("{us:.1} us"),
        ..10_000.0 => format!("{us:.0} us"),
        _ => format!("{:.0} ms", us / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::workload::{KEYS, choose};

    fn figures(server: &'static str) -> Figures {
        Figures {
            server,
            operations_per_s: 1_234_567.0,
            cpu_us: 1234.567,
            cpu_us_paced: 1.0,
            ratio: 12.345,
            limited_by_load: true,
            p50_us: 99.94,
            p99_us: 9_999.4,
            p999_us: 123_456.0,
        }
    }

    #[test]
    fn the_table_has_80_columns() {
        let workload = choose(&["mixed-16k-p64-uniform-cluster".to_owned()], KEYS).unwrap()[0];
        let line = Line { workload, pace: 1e6, figures: vec![figures("boato"), figures("memcached")] };
        let rows = rows(&line);
        let last = rows.lines().last().unwrap();
        assert_eq!(last, "  memcached  1.23 M*    1234.567   12.35x          99.9 us  9999 us   123 ms");
        let text = format!("{HEADING}\n{rows}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
