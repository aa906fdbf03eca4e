//! `cargo xtask bench`: the criterion benchmarks.

use anyhow::{Context, Result, ensure};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Passed on, for instance a filter: `cargo xtask bench owner -- --quick`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let status = crate::cargo().args(["bench", "--package", "boato-benches"]).args(&args.rest).status();
    let status = status.context("starting cargo bench")?;
    ensure!(status.success(), "cargo bench failed: {status}");
    Ok(())
}
