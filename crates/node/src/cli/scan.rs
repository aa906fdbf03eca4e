//! `boato scan`: the keys of the cluster.

use std::ffi::OsString;
use std::io::Write as _;

use boato_api::resp::pattern_matches;
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

    /// Only keys that this pattern matches, as in Redis: * any text, ? any character, [a-z], \\* a star
    #[arg(long = "match", value_name = "PATTERN")]
    pattern: Option<OsString>,

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
    let pattern = args.pattern.as_ref().map(|pattern| pattern.as_encoded_bytes());
    let prefix = narrowest(args.prefix.as_encoded_bytes(), pattern);
    let (mut cursor, mut left, mut found) = (None, args.limit.unwrap_or(u64::MAX), false);
    let mut out = std::io::stdout().lock();
    while left > 0 {
        let page: Page =
            client.keys(prefix, cursor.as_deref(), if pattern.is_some() { 1000 } else { left.min(1000) })?;
        for key in &page.keys {
            let key: Vec<u8> = percent_decode_str(key.path.strip_prefix('/').unwrap_or(&key.path)).collect();
            if !is_wanted(&key, args.prefix.as_encoded_bytes(), pattern) {
                continue;
            }
            if args.json {
                writeln!(out, "{}", json!(String::from_utf8_lossy(&key)))?;
            } else {
                out.write_all(&key)?;
                out.write_all(b"\n")?;
            }
            (left, found) = (left - 1, true);
            if left == 0 {
                break;
            }
        }
        match page.cursor {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    let prefix = args.prefix.to_string_lossy();
    if !found && pattern.is_none() && prefix.contains(['*', '?', '[']) {
        warn(&[format!(
            "no key starts with {prefix:?}; for keys that match it: boato scan --match '{prefix}'"
        )]);
    }
    Ok(out.flush()?)
}

/// What the keys of a pattern begin with, or `prefix` if that is longer: the node looks for no others.
fn narrowest<'a>(prefix: &'a [u8], pattern: Option<&'a [u8]>) -> &'a [u8] {
    let plain = pattern.and_then(|pattern| pattern.split(|byte| b"*?[\\".contains(byte)).next());
    plain.filter(|plain| plain.len() > prefix.len()).unwrap_or(prefix)
}

fn is_wanted(key: &[u8], prefix: &[u8], pattern: Option<&[u8]>) -> bool {
    key.starts_with(prefix) && pattern.is_none_or(|pattern| pattern_matches(pattern, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_looked_for_among_the_keys_that_begin_as_it_does() {
        for (prefix, pattern, sought) in [
            ("", None, ""),
            ("a", None, "a"),
            ("a", Some("ab*c"), "ab"),
            ("abc", Some("a?c"), "abc"),
            ("", Some("a\\*"), "a"),
        ] {
            assert_eq!(narrowest(prefix.as_bytes(), pattern.map(str::as_bytes)), sought.as_bytes());
        }
        assert!(is_wanted(b"user:7", b"us", Some(b"user:?")) && !is_wanted(b"user:7", b"x", Some(b"*")));
    }
}
