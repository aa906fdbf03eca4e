//! `boato leave`: a node hands its keys to the others and ends.

use clap::ArgMatches;

use super::failure::Failure;
use super::output;
use super::target::Operator;

/// Which node, and the secret that allows it.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    operator: Operator,
}

pub(super) fn run(args: &Args, matches: &ArgMatches) -> Result<(), Failure> {
    args.operator.client(matches)?.leave()?;
    Ok(output::line("leaving: the node hands its keys to the others and ends")?)
}
