//! `boato set`: create or replace a value.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Read as _};
use std::str::FromStr as _;

use super::failure::Failure;
use super::output;
use super::target::Target;
use crate::client::Written;
use crate::config::{Period, PeriodError};

/// Largest value read from standard input, in bytes; nodes accept less by default and say so.
const VALUE_MAX: u64 = 256 << 20;

/// Which key, which value.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The key
    key: OsString,

    /// The value; standard input when it is - or left out
    #[arg(allow_negative_numbers = true)]
    value: Option<OsString>,

    /// Time to live in whole seconds, or with a unit like 10m
    #[arg(long, value_name = "TIME", value_parser = whole_seconds)]
    ttl: Option<u64>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    target: Target,
}

/// A time to live that the node can take.
#[derive(Debug, thiserror::Error)]
pub(super) enum TtlError {
    #[error(transparent)]
    Period(#[from] PeriodError),
    #[error("a time to live has whole seconds, at least one")]
    Seconds,
}

pub(super) fn whole_seconds(text: &str) -> Result<u64, TtlError> {
    let Period(ttl) = Period::from_str(text)?;
    if ttl.subsec_nanos() == 0 && ttl.as_secs() > 0 { Ok(ttl.as_secs()) } else { Err(TtlError::Seconds) }
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let client = args.target.client()?;
    let value = match &args.value {
        Some(value) if value != "-" => value.as_encoded_bytes().to_vec(),
        _ => standard_input()?,
    };
    let written = client.set(args.key.as_encoded_bytes(), &value, args.ttl)?;
    let done = match written {
        Written::Created => "created",
        Written::Replaced => "replaced",
    };
    output::done(done, args.json)
}

fn standard_input() -> Result<Vec<u8>, Failure> {
    let input = io::stdin().lock();
    if input.is_terminal() {
        eprintln!("reading the value from this terminal; end it with Ctrl-D");
    }
    let mut value = Vec::new();
    input.take(VALUE_MAX + 1).read_to_end(&mut value)?;
    if value.len() as u64 > VALUE_MAX { Err(Failure::TooLarge(VALUE_MAX)) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_live_has_whole_seconds() {
        assert_eq!(whole_seconds("90").unwrap(), 90);
        assert_eq!(whole_seconds("10m").unwrap(), 600);
        for text in ["0", "500ms", "1500ms"] {
            assert!(matches!(whole_seconds(text), Err(TtlError::Seconds)), "{text}");
        }
        assert!(whole_seconds("soon").unwrap_err().to_string().contains("like 25s"));
    }
}
