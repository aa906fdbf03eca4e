//! `boato completions`: what a shell needs to complete commands and flags.

use clap_complete::Shell;

use super::failure::Failure;
use super::output;

/// Which shell.
#[derive(clap::Args)]
pub(super) struct Args {
    shell: Shell,
}

pub(super) fn run(args: &Args, command: &mut clap::Command) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "boato", &mut script);
    Ok(output::bytes(&script)?)
}
