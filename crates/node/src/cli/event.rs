//! `boato event`: tell all members something.

use std::io::{self, Read as _};

use super::failure::Failure;
use super::output;
use super::target::Target;

/// Largest payload that is read, in bytes: the node says what is too much.
const PAYLOAD_MAX: u64 = 64 << 10;

/// What, through which node.
#[derive(clap::Args)]
pub(super) struct Args {
    /// What it is called
    name: String,

    /// What it says; - reads it from standard input. Name and payload have at most 896 bytes together
    #[arg(default_value = "", hide_default_value = true)]
    payload: String,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    target: Target,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let payload = payload(&args.payload)?;
    let sent = args.target.client()?.event(&args.name, &payload)?;
    if args.json {
        return Ok(output::json(&sent)?);
    }
    Ok(output::line("sent: boato monitor shows it at every member")?)
}

/// The bytes of a payload given on the command line, or on standard input.
pub(super) fn payload(text: &str) -> Result<Vec<u8>, Failure> {
    if text != "-" {
        return Ok(text.as_bytes().to_vec());
    }
    let mut bytes = Vec::new();
    io::stdin().lock().take(PAYLOAD_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > PAYLOAD_MAX { Err(Failure::TooLarge(PAYLOAD_MAX)) } else { Ok(bytes) }
}
