//! `boato where`: the node that a key belongs to.

use std::ffi::OsString;

use serde_json::Value;

use super::failure::Failure;
use super::output;
use super::target::Target;

/// Which key.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The key
    key: OsString,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    target: Target,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let place: Value = args.target.client()?.owner(args.key.as_encoded_bytes())?;
    if args.json {
        return Ok(output::json(&place)?);
    }
    let owner = place["owner"].as_str().unwrap_or("nobody yet");
    Ok(output::line(&format!("slot {} on {owner}", place["slot"]))?)
}
