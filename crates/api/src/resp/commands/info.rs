//! `INFO`: the fields that clients read, of this node.

use std::fmt::Write as _;
use std::time::Instant;

use super::Context;
use crate::resp::config::Kind;
use crate::resp::door::Door;
use crate::resp::request::Request;
use crate::resp::step::Refusal;
use crate::{Readiness, Status};

/// The version of Redis whose commands these are.
pub(super) const REDIS_VERSION: &str = "7.2.4";

type Section = (&'static str, fn(&mut String, &Door, &Status));

const SECTIONS: [Section; 8] = [
    ("Server", server),
    ("Clients", clients),
    ("Memory", memory),
    ("Persistence", persistence),
    ("Stats", stats),
    ("Replication", replication),
    ("Cluster", cluster),
    ("Keyspace", keyspace),
];

pub(super) fn info(context: &mut Context<'_>, request: &Request<'_>) -> Result<(), Refusal> {
    let door = context.door;
    let status = door.backend.status();
    let wanted = |name: &str| {
        let is = |asked: &&[u8]| {
            let all =
                ["all", "default", "everything"].iter().any(|all| asked.eq_ignore_ascii_case(all.as_bytes()));
            all || asked.eq_ignore_ascii_case(name.as_bytes())
        };
        request.args().is_empty() || request.args().iter().any(is)
    };
    let mut text = String::new();
    for (name, write) in SECTIONS.into_iter().filter(|(name, _)| wanted(name)) {
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        field(&mut text, "# ", name, "");
        write(&mut text, door, &status);
    }
    context.out.verbatim(&text);
    Ok(())
}

fn field(text: &mut String, name: &str, separator: &str, value: impl std::fmt::Display) {
    // Writing to a string cannot fail.
    let _ = write!(text, "{name}{separator}{value}\r\n");
}

fn fields<const N: usize>(text: &mut String, fields: [(&str, &dyn std::fmt::Display); N]) {
    for (name, value) in fields {
        field(text, name, ":", value);
    }
}

fn mode(door: &Door) -> &'static str {
    if door.kind == Kind::Cluster { "cluster" } else { "standalone" }
}

fn server(text: &mut String, door: &Door, status: &Status) {
    fields(
        text,
        [
            ("redis_version", &REDIS_VERSION),
            ("boato_version", &status.version),
            ("redis_mode", &mode(door)),
            ("os", &std::env::consts::OS),
            ("arch_bits", &usize::BITS),
            ("process_id", &std::process::id()),
            ("run_id", &format!("{:0>40}", status.id)),
            ("tcp_port", &door.addr.port()),
            ("uptime_in_seconds", &status.uptime_s),
            ("uptime_in_days", &(status.uptime_s / 86_400)),
        ],
    );
}

fn clients(text: &mut String, door: &Door, _: &Status) {
    let (connected, most) = (door.metrics.traffic.connections(), door.limits.connections);
    fields(text, [("connected_clients", &connected), ("maxclients", &most), ("blocked_clients", &0)]);
}

fn memory(text: &mut String, _: &Door, status: &Status) {
    let max = status.max_memory.unwrap_or(0);
    fields(text, [("used_memory", &status.bytes), ("maxmemory", &max), ("maxmemory_policy", &"noeviction")]);
}

fn persistence(text: &mut String, _: &Door, _: &Status) {
    fields(text, [("loading", &0), ("rdb_bgsave_in_progress", &0), ("aof_enabled", &0)]);
}

fn stats(text: &mut String, door: &Door, status: &Status) {
    let (connections, commands) = (door.metrics.traffic.connections_opened(), door.metrics.commands());
    let asked = door.backend.operations();
    fields(
        text,
        [
            ("total_connections_received", &connections),
            ("total_commands_processed", &commands),
            ("instantaneous_ops_per_sec", &door.pace.per_s(Instant::now(), commands)),
            ("expired_keys", &status.expired),
            ("keyspace_hits", &asked.hits),
            ("keyspace_misses", &asked.misses),
        ],
    );
}

fn replication(text: &mut String, _: &Door, _: &Status) {
    fields(text, [("role", &"master"), ("connected_slaves", &0)]);
}

fn cluster(text: &mut String, door: &Door, _: &Status) {
    field(text, "cluster_enabled", ":", u8::from(door.kind == Kind::Cluster));
}

fn keyspace(text: &mut String, _: &Door, status: &Status) {
    if status.entries > 0 {
        // This node's keys. How many of them expire is not counted, so it is not told; clients want a second field, though.
        field(text, "db0", ":keys=", format_args!("{},bytes={}", status.entries, status.bytes));
    }
}

/// The lines of `CLUSTER INFO`.
pub(super) fn of_cluster(door: &Door) -> String {
    let topology = door.backend.topology();
    let ok = topology.runs.iter().map(|(first, last, _)| usize::from(last - first) + 1).sum::<usize>();
    let state = if door.backend.readiness() == Readiness::Ready { "ok" } else { "fail" };
    let size = topology.nodes.len();
    let mut text = String::new();
    fields(
        &mut text,
        [
            ("cluster_enabled", &1),
            ("cluster_state", &state),
            ("cluster_slots_assigned", &ok),
            ("cluster_slots_ok", &ok),
            ("cluster_slots_pfail", &0),
            ("cluster_slots_fail", &0),
            ("cluster_known_nodes", &size),
            ("cluster_size", &size),
            ("cluster_current_epoch", &topology.epoch),
            ("cluster_my_epoch", &topology.epoch),
        ],
    );
    text
}
