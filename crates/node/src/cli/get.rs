//! `boato get`: the bytes of values.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Read as _, Write as _};

use super::failure::Failure;
use super::target::Target;
use super::{entries, output, values};
use crate::client::Client;

/// Which keys, from which node.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The keys; of several, each value ends its line
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<OsString>,

    /// Print JSON: a line as boato export writes it; of a key that is not there, the value is null
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    target: Target,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let client = args.target.client()?;
    // What comes next begins a line of its own.
    let lines = args.keys.len() > 1 || io::stdout().is_terminal();
    let mut missing = Vec::new();
    for key in args.keys.iter().map(|key| key.as_encoded_bytes()) {
        let found = if args.json { print_json(&client, key)? } else { print(&client, key, lines)? };
        if !found {
            missing.push(entries::shown(key));
        }
    }
    match missing.len() {
        0 => Ok(()),
        _ if args.keys.len() == 1 => Err(Failure::Missing),
        _ => Err(Failure::SomeMissing(missing.join(", "))),
    }
}

/// Whether the key is there.
fn print_json(client: &Client, key: &[u8]) -> Result<bool, Failure> {
    let found = values::read(client, &[key.to_vec()])?;
    output::line(&found.first().map_or_else(|| entries::nothing(key), entries::Entry::to_line))?;
    Ok(!found.is_empty())
}

fn print(client: &Client, key: &[u8], line: bool) -> Result<bool, Failure> {
    let Some(mut value) = client.get(key)? else { return Ok(false) };
    let mut out = io::stdout().lock();
    if line {
        let mut text = Vec::new();
        value.read_to_end(&mut text)?;
        if !text.ends_with(b"\n") {
            text.push(b'\n');
        }
        out.write_all(&text)?;
    } else {
        io::copy(&mut value, &mut out)?;
    }
    out.flush()?;
    Ok(true)
}
