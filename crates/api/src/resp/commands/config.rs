//! `CONFIG`: the parameters that clients ask for. A node is configured when it is started: what is set here must be so
//! already.

use std::collections::BTreeMap;

use super::{Context, server};
use crate::resp::config::Kind;
use crate::resp::door::Door;
use crate::resp::glob;
use crate::resp::request::Request;
use crate::resp::slow_log;
use crate::resp::step::Refusal;
use crate::resp::table::{ADMIN, Group, NOSCRIPT, Spec};

pub(super) static SPECS: [Spec; 4] = [
    Spec::at_once("config|get", -3, ADMIN | NOSCRIPT, Group::Server, get)
        .about("2.0.0", "Parameters by pattern."),
    Spec::at_once("config|set", -4, ADMIN | NOSCRIPT, Group::Server, set)
        .about("2.0.0", "Takes the values that parameters have anyway."),
    Spec::at_once("config|rewrite", 2, ADMIN | NOSCRIPT, Group::Server, rewrite)
        .about("2.8.0", "Refused: there is no such file."),
    Spec::at_once("config|help", 2, 0, Group::Server, help).about("5.0.0", "Tells the subcommands."),
];

/// A handler's result.
type Handled = Result<(), Refusal>;

fn help(context: &mut Context<'_>, _: &Request<'_>) -> Handled {
    server::help("config", context.out);
    Ok(())
}

fn rewrite(_: &mut Context<'_>, _: &Request<'_>) -> Handled {
    Err("ERR The server is running without a config file".into())
}

/// Patterns in one `CONFIG GET`, at most.
const PATTERNS_MAX: usize = 64;

/// All parameters and their values.
fn parameters(door: &Door) -> Vec<(&'static str, String)> {
    let limits = &door.limits;
    let cluster = if door.kind == Kind::Cluster { "yes" } else { "no" };
    let max_memory = door.backend.status().max_memory.unwrap_or(0);
    vec![
        ("appendonly", "no".into()),
        ("bind", door.addr.ip().to_string()),
        ("client-query-buffer-limit", limits.command_bytes.to_string()),
        ("cluster-enabled", cluster.into()),
        ("databases", "1".into()),
        ("maxclients", limits.connections.to_string()),
        ("maxmemory", max_memory.to_string()),
        ("maxmemory-policy", "noeviction".into()),
        ("notify-keyspace-events", String::new()),
        ("port", door.addr.port().to_string()),
        ("proto-max-bulk-len", limits.bulk_bytes.to_string()),
        ("save", String::new()),
        ("slowlog-log-slower-than", slower_than(door)),
        ("slowlog-max-len", slow_log::KEPT.to_string()),
        ("timeout", limits.idle_timeout.map_or(0, |idle| idle.as_secs()).to_string()),
    ]
}

/// In microseconds; -1: nothing is kept.
fn slower_than(door: &Door) -> String {
    door.slow_log.threshold().map_or_else(|| "-1".into(), |slow| slow.as_micros().to_string())
}

fn get(context: &mut Context<'_>, request: &Request<'_>) -> Handled {
    let patterns = &request.args()[1..];
    if patterns.len() > PATTERNS_MAX {
        return Err("ERR too many patterns".into());
    }
    let all = parameters(context.door);
    let found = all.iter().filter_map(|(name, value)| Some((asked_for(name, patterns)?, value)));
    let found: Vec<_> = found.collect();
    context.out.map(found.len());
    for (name, value) in found {
        context.out.bulk(name);
        context.out.bulk(value.as_bytes());
    }
    Ok(())
}

/// What the client calls a parameter: what it wrote, if that is a name in whatever case; `None`: it does not ask for it.
fn asked_for<'a>(name: &'a str, patterns: &[&'a [u8]]) -> Option<&'a [u8]> {
    patterns.iter().find_map(|pattern| {
        let is_glob = pattern.iter().any(|byte| b"[*?".contains(byte));
        if is_glob {
            glob::matches(pattern, name.as_bytes(), true).then_some(name.as_bytes())
        } else {
            pattern.eq_ignore_ascii_case(name.as_bytes()).then_some(*pattern)
        }
    })
}

fn set(context: &mut Context<'_>, request: &Request<'_>) -> Handled {
    let known = parameters(context.door);
    let (pairs, rest) = request.args()[1..].as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Refusal::SYNTAX);
    }
    let mut chosen = BTreeMap::new();
    for [name, value] in pairs {
        let same = |(own, _): &&(&str, String)| own.as_bytes().eq_ignore_ascii_case(name);
        let Some((own, now)) = known.iter().find(same) else {
            let name = String::from_utf8_lossy(name);
            return Err(format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'").into());
        };
        if chosen.insert(*own, (*name, now.as_bytes() == *value)).is_some() {
            return Err(failed(name, "duplicate parameter"));
        }
    }
    if let Some((name, _)) = chosen.values().find(|(_, is_so)| !is_so) {
        return Err(failed(name, "can't set immutable config"));
    }
    context.out.ok();
    Ok(())
}

fn failed(name: &[u8], reason: &str) -> Refusal {
    let name = String::from_utf8_lossy(name);
    format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}").into()
}
