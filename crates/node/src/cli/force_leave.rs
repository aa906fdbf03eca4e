//! `boato force-leave`: a dead member is taken for one that left, or forgotten.

use clap::ArgMatches;

use super::failure::Failure;
use super::output;
use super::target::Operator;

/// Whom, through which node.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Name or id of the dead member
    member: String,

    /// Forget it: boato members does not list it any more
    #[arg(long)]
    prune: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    operator: Operator,
}

pub(super) fn run(args: &Args, matches: &ArgMatches) -> Result<(), Failure> {
    let removed = args.operator.client(matches)?.force_leave(&args.member, args.prune)?;
    if args.json {
        return Ok(output::json(&removed)?);
    }
    Ok(output::line("removed: should it live after all, it comes back by itself")?)
}
