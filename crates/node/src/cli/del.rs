//! `boato del`: remove a key.

use std::ffi::OsString;

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

/// A key that was not there is as good as removed.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let deleted = args.target.client()?.delete(args.key.as_encoded_bytes())?;
    output::done(if deleted { "deleted" } else { "not found" }, args.json)
}
