//! A page for people: how a run went, in four charts and its figures, in one file that needs nothing else.

#![expect(clippy::cast_precision_loss, reason = "counts and bytes for people to look at")]
#![cfg_attr(
    test,
    expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of a few")
)]

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use boato_sim::membership::{Report, Scenario};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::options::Shown;

const WIDTH: u32 = 620;
const HEIGHT: u32 = 340;
pub(super) const FONT: &str = "sans-serif";
pub(super) const TEAL: RGBColor = RGBColor(0x1b, 0x7f, 0x79);
pub(super) const RED: RGBColor = RGBColor(0xc4, 0x4e, 0x3b);
const GREY: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);
pub(super) const INK: RGBColor = RGBColor(0x44, 0x44, 0x44);
/// Bars of a histogram.
const BINS: u32 = 40;

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Points = Vec<(f64, f64)>;

/// Writes the page.
pub(super) fn write(scenario: &Scenario, report: &Report, file: &Path) -> Result<()> {
    let page = page(scenario, report).context("drawing the charts")?;
    std::fs::write(file, page).with_context(|| format!("writing {}", file.display()))
}

fn page(scenario: &Scenario, report: &Report) -> Result<String> {
    let series = &report.series;
    let declared: Points = histogram(&series.declared);
    let bytes: Vec<f64> = series.bytes.iter().map(|bytes| *bytes as f64 / 1e3).collect();
    let charts = [
        panel(|area| infection(area, scenario, report))?,
        panel(|area| {
            bars(area, "From a crash until a survivor declares it", "seconds", "survivors", &declared)
        })?,
        panel(|area| false_deaths(area, scenario, &series.false_deaths))?,
        panel(|area| bars(area, "What a node sends in the whole run", "kB", "nodes", &histogram(&bytes)))?,
    ];
    let mut page = String::from(HEAD);
    write!(
        page,
        "<h1>{} nodes, {:.0} minutes</h1><dl>",
        scenario.nodes,
        scenario.length.as_secs_f64() / 60.0
    )?;
    for (name, value) in figures(report) {
        write!(page, "<div><dt>{name}</dt><dd>{value}</dd></div>")?;
    }
    write!(page, "</dl><main>{}</main><footer>{}</footer>", charts.concat(), Shown(scenario))?;
    Ok(page)
}

pub(super) const HEAD: &str = "<!doctype html><meta charset=\"utf-8\"><title>cluster-sim</title><style>\
    body{font:16px sans-serif;color:#222;background:#fff;width:1280px;margin:24px auto}h1{font-size:28px;margin:0 12px}\
    dl{display:flex;gap:32px;margin:12px}dt{color:#666;font-size:14px}dd{margin:0;font-size:22px}\
    main{display:grid;grid-template-columns:1fr 1fr;gap:12px}footer{color:#666;font-size:13px;margin:12px}</style>";

/// The figures that a reader looks for first.
fn figures(report: &Report) -> Vec<(&'static str, String)> {
    let figures = &report.figures;
    let seconds = |ms: Option<f64>| ms.map_or_else(|| "–".to_owned(), |ms| format!("{:.1} s", ms / 1e3));
    let mut shown = vec![
        ("converged after", seconds(figures.converge_ms)),
        ("suspected, p99", seconds(figures.suspect_p99_ms)),
        ("declared dead, median", seconds(figures.detect_p50_ms)),
        ("declared dead, p99", seconds(figures.detect_p99_ms)),
        ("false deaths", figures.false_deaths.to_string()),
        (
            "bytes per node and second",
            figures.bytes_per_node_s.map_or_else(|| "–".to_owned(), |it| format!("{it:.0}")),
        ),
    ];
    if figures.restarts > 0 {
        let name = "listed again after a restart, p99";
        shown.push((name, seconds(figures.return_p99_ms)));
    }
    shown
}

pub(super) fn panel(draw: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<String> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (WIDTH, HEIGHT)).into_drawing_area();
        area.fill(&WHITE)?;
        draw(&area)?;
        area.present()?;
    }
    Ok(text)
}

/// How many survivors have heard of a crash, since the first of them suspected it: each crash, and what theory says.
fn infection(area: &Area<'_>, scenario: &Scenario, report: &Report) -> Result<()> {
    let heard: Vec<Points> = report.series.infections.iter().map(|times| shares(times)).collect();
    let last = heard.iter().flatten().map(|(at, _)| *at).fold(0.5, f64::max);
    let analytic = (0..=200).map(|step| {
        let at = last * f64::from(step) / 200.0;
        (at, expected(scenario, at))
    });
    let mut chart = ChartBuilder::on(area)
        .caption("News of a crash: survivors that suspect", (FONT, 18).into_font().color(&INK))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(52)
        .build_cartesian_2d(0.0..last, 0.0..1.05)?;
    axes(&mut chart, "seconds after the first suspicion", "share")?;
    for (number, points) in heard.into_iter().enumerate() {
        let line =
            chart.draw_series(std::iter::once(PathElement::new(points, TEAL.mix(0.5).stroke_width(1))))?;
        if number == 0 {
            line.label("simulated")
                .legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], TEAL.stroke_width(2)));
        }
    }
    chart
        .draw_series(std::iter::once(PathElement::new(analytic.collect::<Points>(), RED.stroke_width(2))))?
        .label("epidemic")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], RED.stroke_width(2)));
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .border_style(GREY)
        .background_style(WHITE)
        .label_font((FONT, 14))
        .draw()?;
    Ok(())
}

/// Of the ascending times, which share has passed at each, from the first on.
fn shares(times: &[f64]) -> Points {
    let first = times.first().copied().unwrap_or(0.0);
    (1_u32..).zip(times).map(|(rank, at)| (at - first, f64::from(rank) / times.len() as f64)).collect()
}

/// The logistic curve of an epidemic in which everybody who knows tells `fan-out` others per gossip interval, some of
/// which is lost: di/dt = beta i (1 - i), from one of all.
fn expected(scenario: &Scenario, at: f64) -> f64 {
    let gossip = &scenario.gossip;
    let beta = gossip.gossip_fanout as f64 * (1.0 - scenario.loss) / gossip.gossip_interval.as_secs_f64();
    let others = f64::from(scenario.nodes.saturating_sub(1));
    1.0 / (1.0 + (others - 1.0).max(0.0) * (-beta * at).exp())
}

/// How many there have been at each time.
fn false_deaths(area: &Area<'_>, scenario: &Scenario, times: &[f64]) -> Result<()> {
    let end = scenario.length.as_secs_f64() / 60.0;
    let top = 1.1 * (times.len() as f64).max(1.0);
    let mut points = vec![(0.0, 0.0)];
    for (number, at) in (1_u32..).zip(times) {
        points.push((at / 60.0, f64::from(number - 1)));
        points.push((at / 60.0, f64::from(number)));
    }
    points.push((end, times.len() as f64));
    let caption = "False deaths: one node declares another that runs";
    let mut chart = ChartBuilder::on(area)
        .caption(caption, (FONT, 18).into_font().color(&INK))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(52)
        .build_cartesian_2d(0.0..end, 0.0..top)?;
    axes(&mut chart, "minutes", "so far")?;
    chart.draw_series(std::iter::once(PathElement::new(points, RED.stroke_width(2))))?;
    Ok(())
}

/// Left edges and heights of bars of equal width.
fn histogram(values: &[f64]) -> Points {
    let (least, most) = values.iter().fold((f64::MAX, f64::MIN), |(l, m), v| (l.min(*v), m.max(*v)));
    if least > most {
        return Vec::new();
    }
    let width = ((most - least) / f64::from(BINS)).max(1e-3);
    let count = |bin: u32| {
        let low = least + width * f64::from(bin);
        let inside = |value: &&f64| **value >= low && (**value < low + width || bin + 1 == BINS);
        (low, values.iter().filter(inside).count() as f64)
    };
    (0..BINS).map(count).collect()
}

fn bars(area: &Area<'_>, caption: &str, x: &str, y: &str, bars: &[(f64, f64)]) -> Result<()> {
    let width = bars.get(1).zip(bars.first()).map_or(1.0, |(next, first)| next.0 - first.0);
    let end = bars.last().map_or(1.0, |last| last.0 + width);
    let begin = bars.first().map_or(0.0, |first| first.0.min(end / 4.0));
    let top = 1.1 * bars.iter().map(|bar| bar.1).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(caption, (FONT, 18).into_font().color(&INK))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(52)
        .build_cartesian_2d(begin..end, 0.0..top)?;
    axes(&mut chart, x, y)?;
    if bars.is_empty() {
        let style = (FONT, 16).into_font().color(&INK);
        chart.draw_series([Text::new("none", (end / 2.0, top / 2.0), style)])?;
    }
    let bar =
        |(low, height): &(f64, f64)| Rectangle::new([(*low, 0.0), (low + width, *height)], TEAL.filled());
    chart.draw_series(bars.iter().map(bar))?;
    Ok(())
}

type Chart<'a, 'b> = ChartContext<
    'b,
    SVGBackend<'a>,
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
>;

fn axes(chart: &mut Chart<'_, '_>, x: &str, y: &str) -> Result<()> {
    let mut mesh = chart.configure_mesh();
    mesh.disable_x_mesh().light_line_style(WHITE).bold_line_style(GREY).axis_style(GREY);
    mesh.x_desc(x).y_desc(y).label_style((FONT, 13).into_font().color(&INK)).x_labels(8).y_labels(6);
    mesh.x_label_formatter(&plain).y_label_formatter(&plain).draw()?;
    Ok(())
}

/// A number without zeros that say nothing: 50, 0.2.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "as the charts call it")]
fn plain(value: &f64) -> String {
    ((value * 1e3).round() / 1e3).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_each_value_once() {
        let values: Vec<f64> = (0..100).map(f64::from).collect();
        let bars = histogram(&values);
        assert_eq!(bars.iter().map(|bar| bar.1 as usize).sum::<usize>(), 100);
        assert_eq!(histogram(&[2.0, 2.0])[0], (2.0, 2.0));
        assert!(histogram(&[]).is_empty());
    }

    #[test]
    fn numbers_on_axes_are_short() {
        assert_eq!(
            [50.0, 0.2, 0.300_000_000_000_000_04, 0.0].map(|value| plain(&value)),
            ["50", "0.2", "0.3", "0"]
        );
    }

    #[test]
    fn the_epidemic_begins_with_one_and_reaches_all() {
        let scenario = Scenario::new(1000, 1);
        assert!((expected(&scenario, 0.0) - 0.001).abs() < 1e-4);
        assert!(expected(&scenario, 2.0) > 0.99);
    }

    #[test]
    fn a_page_needs_nothing_else() {
        let scenario = Scenario { length: std::time::Duration::from_mins(1), ..Scenario::new(5, 1) };
        let report = boato_sim::membership::run(&scenario, &mut |_| {}).unwrap();
        let page = page(&scenario, &report).unwrap();
        assert_eq!(page.matches("<svg").count(), 4);
        assert!(!page.contains("src=") && !page.contains("href=") && page.contains("seed 1"));
    }
}
