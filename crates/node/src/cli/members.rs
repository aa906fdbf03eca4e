//! `boato members`: who is in the cluster.

use std::io;

use serde::Deserialize;
use serde_json::Value;

use super::failure::Failure;
use super::output;
use super::target::Target;
use crate::config;

/// From which node.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Only members of this name; * stands for anything (repeatable: any of them)
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,

    /// Only members with this tag; in the value, * stands for anything (repeatable: all of them)
    #[arg(long, value_name = "KEY=VALUE", value_parser = config::tag_pattern)]
    tag: Vec<(String, String)>,

    /// Only members in this state: alive, suspect, dead or left (repeatable: any of them)
    #[arg(long, value_name = "STATE", value_parser = ["alive", "suspect", "dead", "left"])]
    status: Vec<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    target: Target,
}

/// A member as the node tells; what a table does not show is left out.
#[derive(Deserialize)]
struct Member {
    name: String,
    state: String,
    quic: String,
    http: Option<String>,
    weight: u32,
    load: Option<Load>,
}

#[derive(Deserialize)]
struct Load {
    slots: u32,
    bytes: u64,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let client = args.target.client()?;
    let mut members: Vec<Value> = client.json("/_/members")?;
    members.retain(|member| args.wants(member));
    if args.json {
        return Ok(output::json(&members.into())?);
    }
    let mut members: Vec<Member> = serde_json::from_value(members.into()).map_err(io::Error::from)?;
    members.sort_by(|a, b| a.name.cmp(&b.name));
    let head = ["NAME", "STATE", "HTTP", "QUIC", "WEIGHT", "SLOTS", "SIZE"];
    Ok(output::table(head, members.iter().map(Member::row).collect(), &[4, 5, 6])?)
}

impl Args {
    fn wants(&self, member: &Value) -> bool {
        let has = |key: &str, pattern: &str| {
            member["tags"][key].as_str().is_some_and(|value| boato_gossip::matches(pattern, value))
        };
        let text = |key: &str| member[key].as_str().unwrap_or_default();
        let (name, state) = (text("name"), text("state"));
        (self.name.is_empty() || self.name.iter().any(|pattern| boato_gossip::matches(pattern, name)))
            && (self.status.is_empty() || self.status.iter().any(|status| status == state))
            && self.tag.iter().all(|(key, pattern)| has(key, pattern))
    }
}

impl Member {
    fn row(&self) -> [String; 7] {
        let unknown = || "-".to_owned();
        let load = self.load.as_ref();
        [
            self.name.clone(),
            self.state.clone(),
            self.http.clone().unwrap_or_else(unknown),
            self.quic.clone(),
            self.weight.to_string(),
            load.map_or_else(unknown, |load| load.slots.to_string()),
            load.map_or_else(unknown, |load| output::size(load.bytes)),
        ]
    }
}
