//! `boato drain` and `boato leave`: a node hands its keys to the others, and stays or ends.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::time::{Duration, Instant};

use clap::ArgMatches;
use serde::Deserialize;
use serde_json::{Value, json};

use super::failure::Failure;
use super::output::{self, Progress};
use super::target::Operator;
use crate::client::Client;
use crate::config::Period;

/// Rest between two looks at a node.
const LOOK: Duration = Duration::from_millis(200);

/// The members are looked at once in so many looks.
const LOOKS_AT_MEMBERS: u64 = 10;

/// Which node, and whether to wait for it.
#[derive(clap::Args)]
pub(super) struct DrainArgs {
    /// Longest wait for the last key to go
    #[arg(long, value_name = "TIME", default_value = "1h", conflicts_with = "no_wait")]
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
    /// Wait until the node has handed everything off and left; a failure if keys were lost
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

/// What a node that left took with it.
#[derive(Deserialize)]
struct Departure {
    slots_lost: u64,
    entries_lost: u64,
}

#[derive(Deserialize)]
struct Member {
    id: String,
    state: String,
    weight: u32,
    tags: BTreeMap<String, String>,
}

pub(super) fn drain(args: &DrainArgs, matches: &ArgMatches) -> Result<(), Failure> {
    let client = args.operator.client(matches)?;
    client.act("/_/drain")?;
    if args.no_wait {
        return said(
            args.json,
            "draining: the node hands its keys to the others and stays",
            &json!({ "done": false }),
        );
    }
    let (start, progress) = (Instant::now(), Progress::new());
    for look in 1_u64.. {
        let left: Left = client.json("/_/status")?;
        if left.slots == 0 {
            break;
        }
        if start.elapsed() >= args.timeout.0 {
            return Err(Failure::Late { slots: left.slots });
        }
        if look.is_multiple_of(LOOKS_AT_MEMBERS) && !has_heirs(&client)? {
            return Err(Failure::NoHeirs { slots: left.slots });
        }
        progress.say(left.to_string());
        std::thread::sleep(LOOK);
    }
    drop(progress);
    said(args.json, "drained: the node has no keys any more, and leave ends it", &json!({ "done": true }))
}

/// Whether a member is there to which keys can go.
fn has_heirs(client: &Client) -> Result<bool, Failure> {
    let me = client.json::<serde_json::Value>("/_/status")?;
    let members: Vec<Member> = client.json("/_/members")?;
    Ok(members.iter().any(|other| {
        let stays = other.weight > 0 && !other.tags.contains_key("leaving");
        me["id"] != *other.id && matches!(&*other.state, "alive" | "suspect") && stays
    }))
}

pub(super) fn leave(args: &LeaveArgs, matches: &ArgMatches) -> Result<(), Failure> {
    let client = args.operator.client(matches)?;
    if !args.wait {
        client.leave()?;
        return said(
            args.json,
            "leaving: the node hands its keys to the others and ends",
            &json!({ "done": false }),
        );
    }
    // One connection, and never another: it might start the node anew, where its sockets outlive it.
    let (start, progress) = (Instant::now(), Progress::new());
    let (mut departure, mut slots) = (None, None);
    let is_over = || start.elapsed() >= args.timeout.0;
    for event in client.leave_slowly(args.timeout.0)? {
        let event = match (event, slots) {
            (Err(_), Some(slots)) if is_over() => return Err(Failure::Late { slots }),
            (event, _) => event?,
        };
        if event.kind == "left" {
            departure = Some(serde_json::from_value(event.data).map_err(|source| client.strange(source))?);
            continue;
        }
        let left: Left = serde_json::from_value(event.data).map_err(|source| client.strange(source))?;
        if is_over() {
            return Err(Failure::Late { slots: left.slots });
        }
        slots = Some(left.slots);
        progress.say(left.to_string());
    }
    drop(progress);
    match departure {
        None => Err(Failure::Silently),
        Some(Departure { slots_lost: 0, entries_lost }) => {
            let text = match entries_lost {
                0 => "the node has left".to_owned(),
                lost => {
                    format!("the node has left; it was the last, and its {lost} entries are gone with it")
                }
            };
            said(args.json, &text, &json!({ "done": true, "entries_lost": entries_lost }))
        }
        Some(Departure { slots_lost, entries_lost }) => {
            Err(Failure::Lost { slots: slots_lost, entries: entries_lost })
        }
    }
}

impl Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Left { slots, entries, bytes } = self;
        write!(f, "{slots} slots, {entries} entries, {} to go", output::size(*bytes))
    }
}

fn said(as_json: bool, text: &str, json: &Value) -> Result<(), Failure> {
    let shown = if as_json { output::json(json) } else { output::line(text) };
    Ok(shown?)
}
