//! `boato get`: the bytes of a value.

use std::ffi::OsString;
use std::io::{self, Write as _};

use super::failure::Failure;
use super::target::Target;

/// Which key, from which node.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The key
    key: OsString,

    #[command(flatten)]
    target: Target,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let mut value = args.target.client()?.get(args.key.as_encoded_bytes())?.ok_or(Failure::Missing)?;
    let mut out = io::stdout().lock();
    io::copy(&mut value, &mut out)?;
    Ok(out.flush()?)
}
