//! `cargo xtask cluster-sim`: a cluster in virtual time, of gossip cores or of whole nodes with clients.

mod charts;
mod compare;
mod frontier;
mod options;
mod refuse;
mod registers;
mod table;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use boato_sim::membership::{self, Progress, Report, Scenario};
use indicatif::{ProgressBar, ProgressStyle};
use options::{Options, Shown};
use table::Table;

/// What is simulated.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Workload {
    /// Gossip cores that assemble, run calm and lose members
    Membership,
    /// Whole nodes with clients that read and write, and everything that can go wrong
    Registers,
}

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What is simulated
    #[arg(long, default_value = "membership")]
    workload: Workload,
    /// Membership: a file with options, such as those in crates/sim/scenarios; flags overrule it
    #[arg(long)]
    scenario: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
    /// Membership: write a page with charts to this file (.html)
    #[arg(long, value_parser = page)]
    report: Option<PathBuf>,
    /// Membership: show the figures beside those of another run, a file that --json has written
    #[arg(long, conflicts_with = "json")]
    compare: Option<PathBuf>,
    /// Membership: run it with several settings, and draw how soon deaths are found against how often falsely, to this
    /// file: a page (.html), or the chart alone (.svg)
    #[arg(long, value_parser = page_or_chart, conflicts_with_all = ["report", "compare", "json"])]
    frontier: Option<PathBuf>,
    /// Registers: "all": a few kinds, drawn from the seed; "none"; or the kinds, separated by commas [default: all]
    #[arg(long)]
    faults: Option<String>,
    /// Registers: with fewer live members in view a node refuses writes; 0: never [default: drawn from the seed]
    #[arg(long, value_name = "NODES")]
    min_members: Option<u32>,
    /// Registers: the deliberate bug in force
    #[arg(long)]
    canary: Option<String>,
    /// Registers: print what happens
    #[arg(long)]
    trace: bool,
    /// Print the figures as one JSON object, and no table
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match args.workload {
        Workload::Membership => run_membership(args),
        Workload::Registers => registers::run(args),
    }
}

fn run_membership(args: &Args) -> Result<()> {
    refuse::foreign(&[
        ("--faults", args.faults.is_some()),
        ("--min-members", args.min_members.is_some()),
        ("--canary", args.canary.is_some()),
        ("--trace", args.trace),
    ])?;
    let options = match &args.scenario {
        Some(file) => args.options.clone().with_file(file)?,
        None => args.options.clone(),
    };
    let scenario = options.scenario()?;
    refuse::meaningless(&args.options, &scenario, args.frontier.is_some())?;
    for file in [&args.report, &args.frontier].into_iter().flatten() {
        refuse::writable(file)?;
    }
    let earlier = args.compare.as_deref().map(compare::read).transpose()?;
    if scenario.protocol == membership::Protocol::Foca && !cfg!(feature = "foca") {
        return with_foca();
    }
    if let Some(file) = &args.frontier {
        return frontier::run(&scenario, file);
    }
    let shown = Shown(&scenario);
    if args.json {
        eprintln!("{shown}");
    } else {
        println!("{shown}\n");
    }
    let bar = progress_bar(&scenario)?;
    let started = Instant::now();
    let report = membership::run(&scenario, &mut |progress| show(&bar, progress))?;
    bar.finish_and_clear();
    if args.json {
        println!("{}", serde_json::to_string(&report.figures).context("writing the figures")?);
    } else if let Some(earlier) = earlier {
        print!("{}", compare::table(&earlier, &report.figures)?);
    } else {
        println!("{}", Table { report: &report, length: scenario.length, took: started.elapsed() });
    }
    if let Some(file) = &args.report {
        charts::write(&scenario, &report, file)?;
    }
    verdict(&report)
}

/// Does the same in a build of this program that has foca, which others do not pay for.
fn with_foca() -> Result<()> {
    let mut cargo = crate::cargo();
    cargo.args(["run", "--quiet", "--release", "--package", "xtask", "--features", "foca", "--"]);
    let status = cargo.args(std::env::args_os().skip(1)).status().context("building with foca")?;
    ensure!(status.success(), "the run with foca failed: {status}");
    Ok(())
}

fn length(minutes: f64) -> Result<Duration> {
    ensure!(minutes > 0.0, "--minutes {minutes}: give a time above 0");
    span(minutes)
}

fn span(minutes: f64) -> Result<Duration> {
    let span = Duration::try_from_secs_f64(60.0 * minutes).ok().filter(|_| minutes <= 1e6);
    span.with_context(|| format!("{minutes} minutes: give 0 to a million"))
}

/// A file whose name says that it is a page.
fn page(text: &str) -> Result<PathBuf> {
    ensure!(ends(text, &["html"]), "what is written is a page: name a file that ends in .html");
    Ok(text.into())
}

fn page_or_chart(text: &str) -> Result<PathBuf> {
    ensure!(
        ends(text, &["html", "svg"]),
        "name a file that ends in .html (a page) or in .svg (the chart alone)"
    );
    Ok(text.into())
}

fn ends(file: &str, extensions: &[&str]) -> bool {
    Path::new(file).extension().is_some_and(|found| extensions.iter().any(|extension| found == *extension))
}

fn made_up() -> u64 {
    u64::from(SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().subsec_nanos())
}

/// Drawn on standard error, and only on a terminal.
fn progress_bar(scenario: &Scenario) -> Result<ProgressBar> {
    let style =
        ProgressStyle::with_template("{bar:40} {pos:>4}/{len} s  {msg}").context("the style of the bar")?;
    Ok(ProgressBar::new(scenario.length.as_secs()).with_style(style))
}

fn show(bar: &ProgressBar, progress: Progress) {
    bar.set_position(progress.now.as_secs());
    bar.set_message(format!("lists {:.1} % complete", 100.0 * progress.completeness));
}

fn verdict(report: &Report) -> Result<()> {
    if report.shortfalls.is_empty() {
        return Ok(());
    }
    let reasons: Vec<_> = report.shortfalls.iter().map(ToString::to_string).collect();
    bail!("the cluster fell short:\n  {}", reasons.join("\n  "))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn refused(line: &str) -> String {
        let parsed = Line::try_parse_from(std::iter::once("cluster-sim").chain(line.split_whitespace()));
        match parsed.map(|line| run(&line.args)) {
            Err(error) => error.to_string(),
            Ok(done) => done.expect_err(line).to_string(),
        }
    }

    #[test]
    fn what_a_run_would_ignore_or_fail_to_write_in_the_end_is_refused_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(file("a.json"), r#"{"a":1}"#).unwrap();
        for (line, told) in [
            ("--json --compare a.json".to_owned(), "cannot be used with"),
            (format!("--compare {}", file("a.json")), "give a file that --json has written"),
            ("--protocol foca --suspicion 4".to_owned(), "--suspicion would change nothing"),
            (format!("--protocol foca --frontier {}", file("a.svg")), "leave --protocol out"),
            (format!("--probe-interval 1s --frontier {}", file("a.svg")), "--probe-interval would"),
            (format!("--report {}", file("missing/a.html")), "in a folder that there is"),
            (format!("--frontier {}", file("missing/a.svg")), "in a folder that there is"),
            (format!("--workload registers --frontier {}", file("a.svg")), "--frontier means nothing"),
        ] {
            let error = refused(&line);
            assert!(error.contains(told), "{line}: {error}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing was written");
    }

    #[test]
    fn a_file_is_named_after_what_is_written_to_it() {
        assert_eq!(page("a/b.html").unwrap(), PathBuf::from("a/b.html"));
        assert!(page_or_chart("x.html").is_ok() && page_or_chart("x.svg").is_ok());
        for text in ["x.svg", "x", "html", "x.html.gz"] {
            assert!(page(text).is_err(), "{text}");
        }
        assert!(page_or_chart("x.png").is_err());
    }
}
