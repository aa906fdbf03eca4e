//! `boato drain` and `boato leave`: a node hands its keys to the others, and stays or ends.

use std::time::{Duration, Instant};

use clap::ArgMatches;
use serde::Deserialize;
use serde_json::json;

use super::failure::Failure;
use super::output;
use super::target::Operator;
use crate::client::{Client, ClientError};
use crate::config::Period;

/// Rest between two looks at a node.
const LOOK: Duration = Duration::from_millis(200);

/// Which node, and whether to wait for it.
#[derive(clap::Args)]
pub(super) struct DrainArgs {
    /// Longest wait for the last key to go
    #[arg(long, value_name = "TIME", default_value = "1h")]
    timeout: Period,

    /// Return at once, while keys are still going
    #[arg(long)]
    no_wait: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    operator: Operator,
}

/// Which node, and whether to wait for it.
#[derive(clap::Args)]
pub(super) struct LeaveArgs {
    /// Wait until the node has ended
    #[arg(long)]
    wait: bool,

    /// Longest wait
    #[arg(long, value_name = "TIME", default_value = "1h", requires = "wait")]
    timeout: Period,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    operator: Operator,
}

/// What is left on a node.
#[derive(Deserialize)]
struct Left {
    slots: u64,
    entries: u64,
    bytes: u64,
}

pub(super) fn drain(args: &DrainArgs, matches: &ArgMatches) -> Result<(), Failure> {
    let client = args.operator.client(matches)?;
    client.act("/_/drain")?;
    if args.no_wait {
        return said(args.json, "draining: the node hands its keys to the others and stays", false);
    }
    let left = wait(args.timeout, |left| if left.slots == 0 { Some(()) } else { None }, &client)?;
    match left {
        None => said(args.json, "drained: the node has no keys any more, and leave ends it", true),
        Some(left) => Err(Failure::Late { slots: left.slots }),
    }
}

pub(super) fn leave(args: &LeaveArgs, matches: &ArgMatches) -> Result<(), Failure> {
    let client = args.operator.client(matches)?;
    client.leave()?;
    if !args.wait {
        return said(args.json, "leaving: the node hands its keys to the others and ends", false);
    }
    match wait(args.timeout, |_| None, &client) {
        Err(Failure::Client(ClientError::Unreachable { .. })) => said(args.json, "the node has ended", true),
        Err(other) => Err(other),
        Ok(None) => unreachable!("invariant: only its end ends the wait"),
        Ok(Some(left)) => Err(Failure::Late { slots: left.slots }),
    }
}

/// Looks until `done` or until the time is over: then gives what is left. Shows the way on a terminal.
fn wait(
    Period(timeout): Period,
    done: impl Fn(&Left) -> Option<()>,
    client: &Client,
) -> Result<Option<Left>, Failure> {
    let start = Instant::now();
    let progress = output::Progress::new();
    loop {
        let left: Left = client.json("/_/status")?;
        if done(&left).is_some() {
            return Ok(None);
        }
        if start.elapsed() >= timeout {
            return Ok(Some(left));
        }
        let Left { slots, entries, bytes } = left;
        progress.say(format!("{slots} slots, {entries} entries, {} to go", output::size(bytes)));
        std::thread::sleep(LOOK);
    }
}

fn said(as_json: bool, text: &str, done: bool) -> Result<(), Failure> {
    let shown = if as_json { output::json(&json!({ "done": done })) } else { output::line(text) };
    Ok(shown?)
}
