//! Every reader of bytes from outside against bytes that were made to break it: its property tests, with other cases round after
//! round, until the time is over.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

/// A reader, and where the properties of it are.
struct Target {
    name: &'static str,
    package: &'static str,
    /// Which of the package's tests.
    tests: &'static [&'static str],
}

const TARGETS: [Target; 7] = [
    Target { name: "resp", package: "boato-api", tests: &["--lib", "resp::parser"] },
    Target { name: "door", package: "boato-api", tests: &["--test", "resp", "garbage"] },
    Target { name: "http", package: "boato-api", tests: &["--lib", "http::"] },
    Target { name: "cluster", package: "boato-cluster", tests: &["--lib", "wire"] },
    Target { name: "gossip", package: "boato-gossip", tests: &["--lib", "codec"] },
    Target { name: "transport", package: "boato-transport", tests: &["--lib", "frame"] },
    Target { name: "keyring", package: "boato-transport", tests: &["--lib", "keyring"] },
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
    for target in TARGETS.iter().filter(is_meant) {
        target.test(1, 0).context("building the tests")?;
        let (started, mut rounds) = (Instant::now(), 0);
        let first = args.from.unwrap_or_else(|| fastrand::u64(..));
        while args
            .rounds
            .map_or_else(|| started.elapsed() < Duration::from_secs(args.seconds), |enough| rounds < enough)
        {
            target.test(args.cases, first.wrapping_add(rounds))?;
            rounds += 1;
        }
        println!("{}: {rounds} rounds of {} cases from seed {first}, nothing found", target.name, args.cases);
    }
    Ok(())
}

impl Target {
    /// Runs its properties; a case that breaks one is printed.
    fn test(&self, cases: u32, seed: u64) -> Result<()> {
        let Self { name, package, tests } = self;
        let mut command = crate::cargo();
        command.args(["test", "--quiet", "-p", package]).args(*tests);
        command.env("PROPTEST_CASES", cases.to_string()).env("PROPTEST_RNG_SEED", seed.to_string());
        let output = command.output().context("starting cargo test")?;
        let said = || [&*output.stdout, &*output.stderr].map(String::from_utf8_lossy).concat();
        ensure!(output.status.success(), "{name} is broken (PROPTEST_RNG_SEED={seed}):\n{}", said());
        ensure!(!said().contains("running 0 tests"), "{name} has no tests by these names: {tests:?}");
        Ok(())
    }
}
