//! `cargo xtask ci`: the gate, one list of named and timed steps.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print the steps and their commands, run nothing
    #[arg(long)]
    list: bool,
    /// Run only these steps
    #[arg(value_name = "STEP")]
    only: Vec<String>,
}

/// One step: its name and the arguments of the cargo call that it is. `xtask ...` is this program itself, `example
/// ...` an example that the tests have built.
struct Step {
    name: &'static str,
    cargo: &'static str,
    /// Environment of the call.
    env: &'static [(&'static str, &'static str)],
}

const fn step(name: &'static str, cargo: &'static str) -> Step {
    Step { name, cargo, env: &[] }
}

/// The gate. Cheap steps come first; the tests come last, so that the runner's own verdict is the last line printed.
const STEPS: &[Step] = &[
    step("format", "fmt --all --check"),
    step("tidy", "xtask tidy"),
    step("licences", "xtask licences"),
    step("lints", "clippy --workspace --all-targets --all-features -- -D warnings"),
    Step {
        env: &[("RUSTDOCFLAGS", "-D warnings")],
        ..step("docs", "doc --workspace --no-deps --all-features")
    },
    step("gossip-alone", "check --package boato-gossip --no-default-features"),
    step("cluster-alone", "check --package boato-cluster --no-default-features"),
    step("node-without-traces", "check --package node --no-default-features"),
    step("simulation", "xtask cluster-sim --nodes 50 --seed 7 --loss 0.05 --minutes 2"),
    step("seeds", "xtask campaign --from 1 --seeds 2000"),
    step("fresh-seeds", "xtask campaign --from commit --seeds 500"),
    step("canaries", "xtask campaign --canaries"),
    step("model-check", "xtask model-check --states 3000 --minutes 0.15"),
    step(
        "model-lasting",
        "xtask model-check --lasting --script two-slots-move,two-slots-claim --minutes 0.5",
    ),
    step("model-detours", "xtask model-check --detours 1 --minutes 0.15"),
    step("build-tests", "test --workspace --no-run"),
    step(
        "upgrade",
        "xtask churn --scenario upgrade --nodes 3 --seed 1 --keys 500 --ballast-mib 4 --clients 3",
    ),
    step(
        "bad-network",
        "xtask churn --nodes 3 --minutes 0.1 --seed 3 --keys 200 --ballast-mib 1 --clients 2 \
         --faults join,leave,cut --loss 0.01 --delay-ms 2 --reorder 0.02 --duplicate 0.02",
    ),
    step(
        "deaths",
        "xtask churn --nodes 3 --minutes 0.3 --seed 4 --keys 200 --ballast-mib 1 --clients 2 --faults kill,stall,stop",
    ),
    step("bytes-from-outside", "xtask fuzz --rounds 1 --cases 300 --from commit"),
    step("example", "example edge_config --hosts 2000"),
    step("clients", "xtask clients"),
    step("page", "xtask page"),
    step("units", "xtask units"),
    step("metrics", "xtask metrics"),
    step("tests", "test --workspace"),
];

pub(crate) fn run(args: &Args) -> Result<()> {
    if args.list {
        for step in STEPS {
            println!("{:<14} {}", step.name, step.shown());
        }
        return Ok(());
    }
    let chosen = choose(&args.only)?;
    let mut done = Vec::new();
    for (index, step) in chosen.iter().enumerate() {
        let last = index + 1 == chosen.len();
        if last && index > 0 {
            summary(&done);
        }
        println!("\n==> [{}/{}] {}: {}", index + 1, chosen.len(), step.name, step.shown());
        done.push((step.name, step.run()?));
    }
    Ok(())
}

fn choose(only: &[String]) -> Result<Vec<&'static Step>> {
    for name in only {
        ensure!(
            STEPS.iter().any(|step| step.name == name),
            "no step is named `{name}`; see `cargo xtask ci --list`"
        );
    }
    Ok(STEPS.iter().filter(|step| only.is_empty() || only.iter().any(|name| name == step.name)).collect())
}

fn summary(done: &[(&str, Duration)]) {
    println!("\n==> passed so far");
    for (name, took) in done {
        println!("    {name:<14} {:>7.1} s", took.as_secs_f64());
    }
}

impl Step {
    /// The command as one would type it.
    fn shown(&self) -> String {
        match self.cargo.strip_prefix("example ") {
            Some(example) => format!("target/debug/examples/{example}"),
            None => format!("cargo {}", self.cargo),
        }
    }

    fn run(&self) -> Result<Duration> {
        let started = Instant::now();
        let status = self.command()?.status().with_context(|| format!("starting step `{}`", self.name))?;
        let took = started.elapsed();
        if !status.success() {
            bail!(
                "step `{}` failed after {:.1} s ({status}): {}",
                self.name,
                took.as_secs_f64(),
                self.shown()
            );
        }
        Ok(took)
    }

    /// The command; a call of this program itself skips cargo, which would print a line of its own, and an example is
    /// not built again for it alone, with other features than the tests have.
    fn command(&self) -> Result<Command> {
        let mut command = if let Some(own) = self.cargo.strip_prefix("xtask ") {
            let mut command = Command::new(std::env::current_exe().context("finding this program")?);
            command.args(own.split(' ')).current_dir(crate::root());
            command
        } else if let Some(example) = self.cargo.strip_prefix("example ") {
            let mut words = example.split(' ');
            let mut command = Command::new(examples()?.join(words.next().unwrap_or_default()));
            command.args(words).current_dir(crate::root());
            command
        } else {
            let mut command = crate::cargo();
            command.args(self.cargo.split(' '));
            command
        };
        command.envs(self.env.iter().copied());
        Ok(command)
    }
}

/// Where the tests leave the examples: beside the folder that this program was built into.
fn examples() -> Result<PathBuf> {
    let program = std::env::current_exe().context("finding this program")?;
    let target = program.parent().and_then(Path::parent).context("finding the folder of what was built")?;
    Ok(target.join("debug").join("examples"))
}
