//! `boato keygen`: a new cluster secret.

use boato_transport::Secret;

use super::failure::Failure;
use super::output;

/// How to show it.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let secret = Secret::generate();
    if args.json {
        output::json(&serde_json::json!({ "secret": secret }))?;
    } else {
        output::line(&secret)?;
    }
    Ok(())
}
