//! `boato members`: who is in the cluster.

use serde::Deserialize;
use serde_json::Value;

use super::failure::Failure;
use super::output;
use super::target::Target;

/// From which node.
#[derive(clap::Args)]
pub(super) struct Args {
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
    if args.json {
        return Ok(output::json(&client.json::<Value>("/_/members")?)?);
    }
    let mut members: Vec<Member> = client.json("/_/members")?;
    members.sort_by(|a, b| a.name.cmp(&b.name));
    let head = ["NAME", "STATE", "HTTP", "QUIC", "WEIGHT", "SLOTS", "SIZE"];
    Ok(output::table(head, members.iter().map(Member::row).collect(), &[4, 5, 6])?)
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
