//! `boato scan`: the keys of the cluster.

use std::ffi::OsString;
use std::io::Write as _;

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::json;

use super::failure::Failure;
use super::target::{Target, warn};

/// Which keys.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Only keys that start with this
    #[arg(default_value = "")]
    prefix: OsString,

    /// Stop after this many
    #[arg(long, value_name = "COUNT")]
    limit: Option<u64>,

    /// Print a JSON string per line; bytes that are no text become U+FFFD
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    target: Target,
}

#[derive(Deserialize)]
struct Page {
    keys: Vec<Key>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
struct Key {
    /// The path that names it, escaped.
    path: String,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let client = args.target.client()?;
    let (mut cursor, mut left, mut found) = (None, args.limit.unwrap_or(u64::MAX), false);
    let mut out = std::io::stdout().lock();
    while left > 0 {
        let page: Page = client.keys(args.prefix.as_encoded_bytes(), cursor.as_deref(), left.min(1000))?;
        for key in page.keys.iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
            let key: Vec<u8> = percent_decode_str(key.path.strip_prefix('/').unwrap_or(&key.path)).collect();
            if args.json {
                writeln!(out, "{}", json!(String::from_utf8_lossy(&key)))?;
            } else {
                out.write_all(&key)?;
                out.write_all(b"\n")?;
            }
            (left, found) = (left - 1, true);
        }
        match page.cursor {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    let prefix = args.prefix.to_string_lossy();
    if !found && prefix.contains(['*', '?', '[']) {
        warn(&[format!("no key starts with {prefix:?}: scan takes the begin of keys, not a pattern")]);
    }
    Ok(out.flush()?)
}
