//! The chart: what a second of server CPU time does, by protocol, mix and pipeline.

#![expect(clippy::cast_precision_loss, reason = "a few connections, operations and groups")]

use std::path::Path;

use anyhow::{Context, Result, ensure};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::compare::Line;
use super::workload::{Door, Mix, Shape, Spread};

const WIDTH: u32 = 1280;
const HEIGHT: u32 = 640;
/// Most groups of bars that can be read.
const GROUPS_MAX: usize = 12;
const TITLE: &str = "Millions of operations per second of server CPU time";
const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
const GREY: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);
/// Of the first, second, ... server.
const COLORS: [RGBColor; 9] = [
    RGBColor(0x1b, 0x7f, 0x79),
    RGBColor(0xc4, 0x4e, 0x3b),
    RGBColor(0xe0, 0xa4, 0x3a),
    RGBColor(0x6b, 0x7a, 0x99),
    RGBColor(0x8e, 0x5b, 0xa0),
    RGBColor(0x6a, 0x9a, 0x3b),
    RGBColor(0x3f, 0x78, 0xb5),
    RGBColor(0xb0, 0x83, 0x5a),
    RGBColor(0x55, 0x55, 0x55),
];
/// Width of all bars of a group; the groups are 1 apart.
const GROUP_WIDTH: f64 = 0.8;

/// Draws the first workloads with one node and uniform keys, or else the first ones there are.
pub(super) fn draw(lines: &[Line], file: &Path) -> Result<()> {
    let lines = chosen(lines);
    ensure!(!lines.is_empty(), "nothing was measured that could be drawn");
    let text = svg(&lines).context("drawing the chart")?;
    std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))
}

fn chosen(lines: &[Line]) -> Vec<&Line> {
    let simple = |line: &&Line| {
        let workload = &line.workload;
        workload.shape == Shape::One && workload.spread == Spread::Uniform && workload.mix != Mix::Mixed
    };
    let smallest = lines.iter().filter(simple).map(|line| line.workload.bytes).min();
    let mut chosen: Vec<_> =
        lines.iter().filter(simple).filter(|line| Some(line.workload.bytes) == smallest).collect();
    if chosen.is_empty() {
        chosen = lines.iter().collect();
    }
    chosen.truncate(GROUPS_MAX);
    chosen
}

/// Operations per second of CPU time, in millions.
fn per_cpu_second(cpu_us: f64) -> f64 {
    if cpu_us > 0.0 { 1.0 / cpu_us } else { 0.0 }
}

/// Bars side by side, one group for each line.
fn svg(lines: &[&Line]) -> Result<String> {
    let servers = servers(lines);
    let all = lines.iter().flat_map(|line| &line.figures).map(|figures| per_cpu_second(figures.cpu_us));
    let top = 1.2 * all.fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (WIDTH, HEIGHT)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(TITLE, font(28))
            .margin(24)
            .x_label_area_size(64)
            .y_label_area_size(56)
            .build_cartesian_2d(0.0..lines.len() as f64, 0.0..top)?;
        let mut mesh = chart.configure_mesh();
        mesh.disable_x_mesh().disable_x_axis().light_line_style(WHITE).bold_line_style(GREY);
        mesh.axis_style(GREY).y_label_style(font(16)).draw()?;
        for (server, color) in servers.iter().zip(COLORS) {
            let bars = bars(lines, server);
            let rectangles = bars.iter().map(|(low, high)| Rectangle::new([*low, *high], color.filled()));
            chart
                .draw_series(rectangles)?
                .label(*server)
                .legend(move |(x, y)| Rectangle::new([(x, y - 6), (x + 14, y + 6)], color.filled()));
            let style = font(14).pos(Pos::new(HPos::Center, VPos::Bottom));
            chart.draw_series(bars.iter().map(|((left, _), (right, height))| {
                let label = if *height < 1.0 { format!("{height:.2}") } else { format!("{height:.1}") };
                Text::new(label, (f64::midpoint(*left, *right), *height + 0.01 * top), style.clone())
            }))?;
        }
        let style = font(16).pos(Pos::new(HPos::Center, VPos::Top));
        for (group, line) in lines.iter().enumerate() {
            let (x, y) = chart.backend_coord(&(group as f64 + 0.5, 0.0));
            let [first, second] = label(line);
            area.draw_text(&first, &style, (x, y + 10))?;
            area.draw_text(&second, &style, (x, y + 32))?;
        }
        let mut legend = chart.configure_series_labels();
        legend.position(SeriesLabelPosition::UpperLeft).label_font(font(18)).border_style(WHITE).draw()?;
        area.present()?;
    }
    Ok(text)
}

fn font(size: u32) -> TextStyle<'static> {
    (FONT, size).into_font().color(&INK)
}

/// Every server of the lines, in the order of their first appearance.
fn servers(lines: &[&Line]) -> Vec<&'static str> {
    let mut servers = Vec::new();
    for figures in lines.iter().flat_map(|line| &line.figures) {
        if !servers.contains(&figures.server) {
            servers.push(figures.server);
        }
    }
    servers
}

/// The corners of each bar of a server.
fn bars(lines: &[&Line], server: &str) -> Vec<((f64, f64), (f64, f64))> {
    let bar = |(group, line): (usize, &&Line)| {
        let place = line.figures.iter().position(|figures| figures.server == server)?;
        let width = GROUP_WIDTH / line.figures.len() as f64;
        let left = group as f64 + (1.0 - GROUP_WIDTH) / 2.0 + place as f64 * width;
        Some(((left, 0.0), (left + 0.94 * width, per_cpu_second(line.figures[place].cpu_us))))
    };
    lines.iter().enumerate().filter_map(bar).collect()
}

/// What stands under a group.
fn label(line: &Line) -> [String; 2] {
    let workload = &line.workload;
    let door = if workload.door == Door::Http { "HTTP " } else { "" };
    let mix = match workload.mix {
        Mix::Get => "GET",
        Mix::Set => "SET",
        Mix::Mixed => "90/10",
    };
    let size = match workload.bytes {
        bytes @ ..1024 => format!("{bytes} B"),
        bytes => format!("{} KiB", bytes >> 10),
    };
    [format!("{door}{mix} {size}"), format!("pipeline {}", workload.depth)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::compare::Figures;
    use crate::bench::workload::{KEYS, choose};

    fn line(name: &str, servers: &[(&'static str, f64)]) -> Line {
        let figures = |(server, cpu_us): &(&'static str, f64)| Figures {
            server,
            operations_per_s: 1.0,
            cpu_us: *cpu_us,
            cpu_us_paced: 1.0,
            ratio: 1.0,
            limited_by_load: false,
            p50_us: 1.0,
            p99_us: 1.0,
            p999_us: 1.0,
        };
        let workload = choose(&[name.to_owned()], KEYS).unwrap()[0];
        Line { workload, pace: 1.0, figures: servers.iter().map(figures).collect() }
    }

    #[test]
    fn the_chart_shows_the_smallest_values_with_a_bar_for_each_server() {
        let lines = [
            line("resp-get-64-p16-uniform-one", &[("boato", 0.5), ("redis", 1.0)]),
            line("resp-get-64-p16-zipf-one", &[("boato", 0.5)]),
            line("resp-get-1k-p16-uniform-one", &[("boato", 0.5)]),
        ];
        let chosen = chosen(&lines);
        assert_eq!(chosen.len(), 1);
        let svg = svg(&chosen).unwrap();
        for part in ["GET 64 B", "pipeline 16", "boato", "redis", ">\n2.0\n<", ">\n1.0\n<"] {
            assert!(svg.contains(part), "{part} is not in {svg}");
        }
    }
}
