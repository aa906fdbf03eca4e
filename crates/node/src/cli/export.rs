//! `boato export`: every key and value as lines of JSON.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use serde_json::json;

use super::door::Doors;
use super::failure::Failure;
use super::output::{self, Progress};
use super::resp::Resp;
use super::values;
use crate::files::Successor;

/// Keys that a page asks for.
const PAGE: usize = 512;

/// What, from where, to where.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The file to write, replaced when all is there; standard output when it is - or left out
    file: Option<PathBuf>,

    /// Only keys that match this pattern of Redis' KEYS: *, ?, [a-z]
    #[arg(long = "match", value_name = "PATTERN")]
    pattern: Option<String>,

    /// Print JSON in the end (the keys themselves are lines of JSON in any case)
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    doors: Doors,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let path = args.file.as_ref().filter(|path| path.as_os_str() != "-");
    if args.json && path.is_none() {
        let why = "standard output has the keys, each a line of JSON; name a file, or leave the option out";
        return Err(Failure::Unfit { option: "--json", why });
    }
    let mut node = args.doors.connect()?;
    let Some(path) = path else {
        return write(&mut node, args, &mut BufWriter::new(io::stdout().lock())).map(drop);
    };
    let failed = |source| Failure::File { path: path.clone(), source };
    let told = |failure| match failure {
        Failure::Io(source) => failed(source),
        other => other,
    };
    // A pipe or a device is written as it is.
    let written = if fs::metadata(path).is_ok_and(|it| !it.is_file()) {
        let file = File::options().write(true).open(path).map_err(failed)?;
        write(&mut node, args, &mut BufWriter::new(file)).map_err(told)?
    } else {
        let mut file = BufWriter::new(Successor::of(path).map_err(failed)?);
        let written = write(&mut node, args, &mut file).map_err(told)?;
        let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
        file.finish().map_err(failed)?;
        written
    };
    if args.json {
        Ok(output::json(&json!({ "written": written }))?)
    } else {
        Ok(output::line(&format!("{written} keys written"))?)
    }
}

/// Writes all entries, a line each; gives how many.
fn write(node: &mut Resp, args: &Args, out: &mut impl Write) -> Result<u64, Failure> {
    let client = args.doors.target.client()?;
    let progress = Progress::bar(node.len()?, "keys");
    let (mut cursor, mut written) = (0, 0);
    loop {
        let (next, keys) = node.page(cursor, args.pattern.as_deref(), PAGE)?;
        for entry in values::read(&client, &keys)? {
            writeln!(out, "{}", entry.to_line())?;
            written += 1;
        }
        progress.add(keys.len() as u64);
        if next == 0 {
            out.flush()?;
            return Ok(written);
        }
        cursor = next;
    }
}
