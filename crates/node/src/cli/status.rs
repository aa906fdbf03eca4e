//! `boato status`: a node in a few figures.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::failure::Failure;
use super::output;
use super::target::Target;

/// Of which node.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Say nothing; the exit code tells whether the node is ready to serve (0) or not (1)
    #[arg(long)]
    ready: bool,

    /// Print JSON; with --ready only whether it is, and why not
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    target: Target,
}

/// A node as it tells of itself.
#[derive(Deserialize)]
struct Status {
    id: String,
    name: String,
    cluster: String,
    version: String,
    ready: bool,
    reason: Option<String>,
    uptime_s: u64,
    quic: String,
    http: String,
    resp: Option<String>,
    resp_cluster: Option<String>,
    members: usize,
    slots: usize,
    entries: u64,
    bytes: u64,
    max_memory: Option<u64>,
    moving: Option<Moving>,
}

/// Slots on the move.
#[derive(Deserialize)]
struct Moving {
    slots_to_give: u64,
    bytes_to_give: u64,
    slots_to_take: u64,
    seconds_left: Option<u64>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let client = args.target.client()?;
    if args.json && !args.ready {
        return Ok(output::json(&client.json::<Value>("/_/status")?)?);
    }
    let status: Status = client.json("/_/status")?;
    if args.ready {
        if args.json {
            output::json(&json!({ "ready": status.ready, "reason": status.reason }))?;
        }
        return if status.ready { Ok(()) } else { Err(Failure::Unready(status.reason.unwrap_or_default())) };
    }
    Ok(output::bytes(status.to_text().as_bytes())?)
}

impl Status {
    fn to_text(&self) -> String {
        let state = match &self.reason {
            _ if self.ready => "ready".to_owned(),
            Some(reason) => format!("not ready: {reason}"),
            None => "not ready".to_owned(),
        };
        let limit = self.max_memory.map(|max| format!(" of {}", output::size(max))).unwrap_or_default();
        let memory = output::size(self.bytes) + &limit;
        let cluster_door = self.resp_cluster.as_ref().map(|addr| format!("{addr} (cluster)"));
        let doors: Vec<String> = self.resp.iter().cloned().chain(cluster_door).collect();
        let lines = [
            ("node", self.name.clone()),
            ("id", self.id.clone()),
            ("state", state),
            ("cluster", format!("{} ({} members)", self.cluster, self.members)),
            ("http", self.http.clone()),
            ("resp", doors.join(", ")),
            ("quic", self.quic.clone()),
            ("slots", self.slots.to_string()),
            ("moving", self.moving.as_ref().map(Moving::to_text).unwrap_or_default()),
            ("entries", self.entries.to_string()),
            ("memory", memory),
            ("uptime", uptime(Duration::from_secs(self.uptime_s))),
            ("version", self.version.clone()),
        ];
        output::fields(&lines)
    }
}

impl Moving {
    fn to_text(&self) -> String {
        let give = (self.slots_to_give > 0)
            .then(|| format!("{} slots, {} to give", self.slots_to_give, output::size(self.bytes_to_give)));
        let take = (self.slots_to_take > 0).then(|| format!("{} slots to take", self.slots_to_take));
        let left = self.seconds_left.map(|s| format!("{} left", uptime(Duration::from_secs(s))));
        [give, take, left].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// The two largest units: `3d 4h`, `5m 6s`.
fn uptime(time: Duration) -> String {
    let s = time.as_secs();
    match s {
        0..60 => format!("{s}s"),
        60..3_600 => format!("{}m {}s", s / 60, s % 60),
        3_600..86_400 => format!("{}h {}m", s / 3_600, s / 60 % 60),
        _ => format!("{}d {}h", s / 86_400, s / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_is_one_line() {
        let moving = |slots_to_give, bytes_to_give, slots_to_take, seconds_left| {
            Moving { slots_to_give, bytes_to_give, slots_to_take, seconds_left }.to_text()
        };
        assert_eq!(moving(812, 14_889_779, 0, Some(3)), "812 slots, 14.1 MiB to give, 3s left");
        assert_eq!(moving(0, 0, 7, None), "7 slots to take");
        assert_eq!(moving(1, 0, 7, None), "1 slots, 0 B to give, 7 slots to take");
    }

    #[test]
    fn uptimes_show_two_units() {
        for (s, text) in [(5, "5s"), (65, "1m 5s"), (7_260, "2h 1m"), (90_000, "1d 1h")] {
            assert_eq!(uptime(Duration::from_secs(s)), text);
        }
    }
}
