//! Every reader of bytes from outside against bytes that were made to break it: its property tests, with other cases round after
//! round, until the time is over.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// A reader, and where the properties of it are.
struct Target {
    name: &'static str,
    /// The tests of a library, or a test of its own.
    binary: &'static str,
    /// Which of them.
    tests: &'static str,
}

const TARGETS: [Target; 7] = [
    Target { name: "resp", binary: "boato_api", tests: "resp::parser" },
    Target { name: "door", binary: "resp", tests: "garbage" },
    Target { name: "http", binary: "boato_api", tests: "http::" },
    Target { name: "cluster", binary: "boato_cluster", tests: "wire" },
    Target { name: "gossip", binary: "boato_gossip", tests: "codec" },
    Target { name: "transport", binary: "boato_transport", tests: "frame" },
    Target { name: "keyring", binary: "boato_transport", tests: "keyring" },
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long each target is tried
    #[arg(long, default_value_t = 300)]
    seconds: u64,
    /// Try each target so many rounds, however long that takes
    #[arg(long, conflicts_with = "seconds")]
    rounds: Option<u64>,
    /// Cases of each property in a round
    #[arg(long, default_value_t = 20_000)]
    cases: u32,
    /// The seed of the first round; the others follow it. `commit`: made from the id of the commit that is checked out
    /// [default: random]
    #[arg(long, value_name = "SEED|commit", value_parser = crate::campaign::first_seed)]
    from: Option<u64>,
    /// Only these targets: resp, door, http, cluster, gossip, transport, keyring
    targets: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    for name in &args.targets {
        ensure!(TARGETS.iter().any(|target| target.name == name), "there is no target {name}");
    }
    let is_meant =
        |target: &&Target| args.targets.is_empty() || args.targets.iter().any(|name| name == target.name);
    let built = build()?;
    for target in TARGETS.iter().filter(is_meant) {
        let (started, mut rounds) = (Instant::now(), 0);
        let first = args.from.unwrap_or_else(|| fastrand::u64(..));
        while args
            .rounds
            .map_or_else(|| started.elapsed() < Duration::from_secs(args.seconds), |enough| rounds < enough)
        {
            target.test(&built, args.cases, first.wrapping_add(rounds))?;
            rounds += 1;
        }
        println!("{}: {rounds} rounds of {} cases from seed {first}, nothing found", target.name, args.cases);
    }
    Ok(())
}

/// Builds the tests, with what `cargo test --workspace` has built of them: the messages of cargo.
fn build() -> Result<Vec<Value>> {
    let mut command = crate::cargo();
    command.args(["test", "--workspace", "--lib", "--test", "resp", "--no-run"]);
    command.args(["--message-format", "json-render-diagnostics"]).stderr(Stdio::inherit());
    let output = command.output().context("starting cargo test")?;
    ensure!(output.status.success(), "building the tests failed: {}", output.status);
    let messages = String::from_utf8(output.stdout).context("reading what cargo built")?;
    Ok(messages.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

impl Target {
    /// Runs its properties; a case that breaks one is printed.
    fn test(&self, built: &[Value], cases: u32, seed: u64) -> Result<()> {
        let Self { name, binary, tests } = self;
        let is_it = |message: &&Value| {
            message["target"]["name"] == **binary
                && message["profile"]["test"] == true
                && !message["executable"].is_null()
        };
        let message =
            built.iter().find(is_it).with_context(|| format!("cargo named no tests of {binary}"))?;
        let path = |field: &str| {
            message[field].as_str().map(Path::new).with_context(|| format!("cargo named no {field}"))
        };
        let folder = path("manifest_path")?.parent().context("a package without a folder")?;
        let mut command = Command::new(path("executable")?);
        command.args(["--quiet", tests]).current_dir(folder);
        command.env("PROPTEST_CASES", cases.to_string()).env("PROPTEST_RNG_SEED", seed.to_string());
        let output = command.output().with_context(|| format!("starting the tests of {binary}"))?;
        let said = || [&*output.stdout, &*output.stderr].map(String::from_utf8_lossy).concat();
        ensure!(
            output.status.success(),
            "{name} is broken (PROPTEST_CASES={cases} PROPTEST_RNG_SEED={seed}):\n{}",
            said()
        );
        ensure!(!said().contains("running 0 tests"), "{name} has no tests by this name: {tests}");
        Ok(())
    }
}
