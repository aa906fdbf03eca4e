//! `boato get`: the bytes of a value.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Read as _, Write as _};

use super::failure::Failure;
use super::target::Target;
use super::{entries, output, values};

/// Which key, from which node.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The key
    key: OsString,

    /// Print JSON: a line as boato export writes it; of a key that is not there, the value is null
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    target: Target,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let (client, key) = (args.target.client()?, args.key.as_encoded_bytes());
    if args.json {
        let found = values::read(&client, &[key.to_vec()])?;
        let Some(entry) = found.first() else {
            output::line(&entries::nothing(key))?;
            return Err(Failure::Missing);
        };
        return Ok(output::line(&entry.to_line())?);
    }
    let mut value = client.get(key)?.ok_or(Failure::Missing)?;
    let mut out = io::stdout().lock();
    if out.is_terminal() {
        let mut text = Vec::new();
        value.read_to_end(&mut text)?;
        // What comes next begins a line of its own.
        if !text.ends_with(b"\n") {
            text.push(b'\n');
        }
        out.write_all(&text)?;
    } else {
        io::copy(&mut value, &mut out)?;
    }
    Ok(out.flush()?)
}
