//! `boato export`: every key and value as lines of JSON.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use super::failure::Failure;
use super::output::Progress;
use super::resp::Resp;
use super::target::Target;
use super::values;

/// Keys that a page asks for.
const PAGE: usize = 512;

/// What, from where, to where.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The file to write; standard output when it is - or left out
    file: Option<PathBuf>,

    /// Only keys that match this pattern of Redis' KEYS: *, ?, [a-z]
    #[arg(long = "match", value_name = "PATTERN")]
    pattern: Option<String>,

    #[command(flatten)]
    target: Target,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let mut node = Resp::of_node(&args.target)?;
    match &args.file {
        Some(path) if path.as_os_str() != "-" => {
            let file = File::create(path).map_err(|source| Failure::File { path: path.clone(), source })?;
            let mut file = BufWriter::new(file);
            write(&mut node, args, &mut file)?;
            let synced =
                file.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all());
            synced.map_err(|source| Failure::File { path: path.clone(), source })
        }
        _ => write(&mut node, args, &mut BufWriter::new(io::stdout().lock())),
    }
}

fn write(node: &mut Resp, args: &Args, out: &mut impl Write) -> Result<(), Failure> {
    let client = args.target.client()?;
    let progress = Progress::bar(node.len()?, "keys");
    let mut cursor = 0;
    loop {
        let (next, keys) = node.page(cursor, args.pattern.as_deref(), PAGE)?;
        for entry in values::read(&client, &keys)? {
            writeln!(out, "{}", entry.to_line())?;
        }
        progress.add(keys.len() as u64);
        if next == 0 {
            return Ok(out.flush()?);
        }
        cursor = next;
    }
}
