//! `boato join`: a running node contacts others.

use clap::ArgMatches;

use super::failure::Failure;
use super::output;
use super::target::Operator;
use crate::config::Join;

/// Whom, through which node.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Where nodes to join listen: host:port (port 7400 when left out)
    #[arg(required = true, value_name = "ADDR")]
    addrs: Vec<Join>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    operator: Operator,
}

pub(super) fn run(args: &Args, matches: &ArgMatches) -> Result<(), Failure> {
    let client = args.operator.client(matches)?;
    for addr in &args.addrs {
        let joined = client.join(&addr.to_string())?;
        if args.json {
            output::json(&joined)?;
        } else {
            output::line(&format!("joined {addr}: boato members lists all"))?;
        }
    }
    Ok(())
}
