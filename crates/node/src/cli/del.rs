//! `boato del`: remove keys.

use std::ffi::OsString;

use super::failure::Failure;
use super::output;
use super::target::Target;

/// Which keys.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The keys
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<OsString>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    target: Target,
}

/// A key that was not there is as good as removed.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let client = args.target.client()?;
    let mut deleted = 0;
    for key in &args.keys {
        deleted += usize::from(client.delete(key.as_encoded_bytes())?);
    }
    match (args.keys.len(), deleted) {
        (1, 0) => output::done("not found", args.json),
        (1, _) => output::done("deleted", args.json),
        (keys, _) => output::done(&format!("deleted {deleted} of {keys}"), args.json),
    }
}
