//! The frontier: the same scenario with several settings, how soon each finds crashes against how many it invents.

#![expect(clippy::cast_precision_loss, reason = "counts for people to look at")]

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use boato_sim::membership::{self, Scenario};
use plotters::prelude::*;

use super::charts::{self, INK, RED, TEAL};
use super::options::Shown;

/// Periods, and for each the shortest suspicions (Lifeguard's alpha), each with both longest ones (beta).
const PERIODS: [(Duration, [u32; 6]); 2] =
    [(Duration::from_millis(500), [2, 4, 6, 7, 8, 10]), (Duration::from_secs(1), [1, 2, 3, 4, 5, 6])];
const BETAS: [u32; 2] = [1, 6];
/// What memberlist publishes for a LAN.
const MEMBERLIST: Setting = (4, 6, Duration::from_secs(1));
/// `Config::lan`.
const LAN: Setting = (7, 6, Duration::from_millis(500));

/// Alpha, beta and the period.
type Setting = (u32, u32, Duration);

/// One run.
struct Point {
    alpha: u32,
    beta: u32,
    period: Duration,
    detect_s: f64,
    false_deaths: u64,
}

/// Runs all settings, prints them, and draws the chart.
pub(super) fn run(scenario: &Scenario, file: &Path) -> Result<()> {
    println!("{}\n", Shown(scenario));
    println!("{:>6} {:>6} {:>8} {:>12} {:>13}", "alpha", "beta", "period", "declared p50", "false deaths");
    let mut points = Vec::new();
    for (alpha, beta, period) in settings() {
        let mut run = scenario.clone();
        (run.gossip.suspicion_multiplier, run.gossip.suspicion_floor) = (alpha, alpha);
        run.gossip.suspicion_max_multiplier = beta;
        run.gossip.probe_interval = period;
        run.gossip.probe_timeout = period / 2;
        let figures = membership::run(&run, &mut |_| {})?.figures;
        let detect_s = figures.detect_p50_ms.context("no crash was declared: give --crashes")? / 1e3;
        let point = Point { alpha, beta, period, detect_s, false_deaths: figures.false_deaths };
        println!("{alpha:>6} {beta:>6} {period:>8.1?} {detect_s:>10.2} s {:>13}", point.false_deaths);
        points.push(point);
    }
    let drawn = if file.extension().is_some_and(|extension| extension == "svg") {
        charts::panel(|area| draw(area, &points))
    } else {
        page(scenario, &points)
    };
    let drawn = drawn.context("drawing the chart")?;
    std::fs::write(file, drawn).with_context(|| format!("writing {}", file.display()))
}

fn settings() -> impl Iterator<Item = Setting> {
    PERIODS.into_iter().flat_map(|(period, alphas)| {
        BETAS.into_iter().flat_map(move |beta| alphas.map(|alpha| (alpha, beta, period)))
    })
}

fn page(scenario: &Scenario, points: &[Point]) -> Result<String> {
    let chart = charts::panel(|area| draw(area, points))?;
    let head = charts::HEAD;
    Ok(format!(
        "{head}<h1>Detection time against false deaths</h1><main>{chart}</main><footer>A point is a run; its label is alpha. \
         Teal: the longest suspicion is 6 times the shortest; red: there is one length. Filled: a period of 1 s; ring: 0.5 s. \
         The square is what memberlist publishes for a LAN, the large ring `Config::lan`. {}</footer>",
        Shown(scenario)
    ))
}

fn draw(area: &charts::Area<'_>, points: &[Point]) -> Result<()> {
    let right = 1.1 * points.iter().map(|point| point.detect_s).fold(1.0, f64::max);
    let top = 1.1 * points.iter().map(|point| point.false_deaths as f64).fold(10.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..right, (0.0..top).log_scale().zero_point(-0.2).base(10.0))?;
    chart
        .configure_mesh()
        .x_desc("seconds from a crash until a survivor declares it, median")
        .y_desc("false deaths")
        .label_style((charts::FONT, 13).into_font().color(&INK))
        .draw()?;
    for point in points {
        let at = (point.detect_s, point.false_deaths as f64);
        let color = if point.beta == 1 { RED } else { TEAL };
        let style = if point.period == MEMBERLIST.2 { color.filled() } else { color.stroke_width(2) };
        let setting = (point.alpha, point.beta, point.period);
        if setting == MEMBERLIST {
            chart.draw_series([
                EmptyElement::at(at) + Rectangle::new([(-9, -9), (9, 9)], INK.stroke_width(1))
            ])?;
        } else if setting == LAN {
            chart.draw_series([EmptyElement::at(at) + Circle::new((0, 0), 10, INK.stroke_width(1))])?;
        }
        let label = Text::new(point.alpha.to_string(), (7, -14), (charts::FONT, 13).into_font().color(&INK));
        chart.draw_series([EmptyElement::at(at) + Circle::new((0, 0), 5, style) + label])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_settings_are_among_those_that_run() {
        let lan = boato_sim::membership::Scenario::new(2, 1).gossip;
        assert_eq!(LAN, (lan.suspicion_multiplier, lan.suspicion_max_multiplier, lan.probe_interval));
        assert!([MEMBERLIST, LAN].iter().all(|known| settings().filter(|run| run == known).count() == 1));
        assert_eq!(settings().count(), 24);
    }

    #[test]
    fn the_chart_shows_every_point() {
        let point = |(alpha, beta, period)| Point { alpha, beta, period, detect_s: 1.0, false_deaths: 0 };
        let points: Vec<Point> = settings().map(point).collect();
        let page = page(&Scenario::new(5, 1), &points).unwrap();
        assert!(page.matches("<circle").count() == 25 && page.contains("<rect"), "{page}");
    }
}
