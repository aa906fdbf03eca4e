//! `boato incr`: add to a number, in one step at its holder.

use std::ffi::OsString;

use serde_json::json;

use super::failure::Failure;
use super::output;
use super::set::whole_seconds;
use super::target::Target;

/// Which key, and how much to add.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The key; one that is not there counts from 0
    key: OsString,

    /// What to add, a whole number
    #[arg(default_value_t = 1, allow_negative_numbers = true)]
    by: i64,

    /// Time to live of a key that this creates, in whole seconds, or with a unit like 10m
    #[arg(long, value_name = "TIME", value_parser = whole_seconds)]
    ttl: Option<u64>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    target: Target,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let sum = args.target.client()?.increment(args.key.as_encoded_bytes(), args.by, args.ttl)?;
    if args.json {
        return Ok(output::json(&json!({ "value": sum }))?);
    }
    Ok(output::line(&sum.to_string())?)
}
