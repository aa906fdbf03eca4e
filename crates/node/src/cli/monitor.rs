//! `boato monitor`: what happens, as it happens.

use std::fmt;

use serde_json::{Value, json};

use super::failure::Failure;
use super::output;
use super::target::Target;
use crate::client::ServerEvent;
use crate::journal::KINDS;

/// At which node, and what of it.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Only events of this kind (repeatable: any of them)
    #[arg(long, value_name = "KIND", value_parser = KINDS)]
    only: Vec<String>,

    /// Show instead what is written to the node's log from now on, also what the log itself does not show: error, warn, info, debug or
    /// trace, or by module, info,node=debug
    #[arg(long, value_name = "LEVEL", conflicts_with_all = ["only", "history"])]
    log: Option<String>,

    /// End after so many events, or records of the log
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Begin with the last events before, up to 100
    #[arg(long)]
    history: bool,

    /// Print JSON, an event or a record a line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    target: Target,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let client = args.target.client()?;
    let events = match &args.log {
        Some(level) => client.log(level)?,
        None if args.history => client.events("/_/events?with=history")?,
        None => client.events("/_/events")?,
    };
    let shape = match (args.log.is_some(), args.json) {
        (false, false) => as_text,
        (false, true) => as_json,
        (true, false) => record_as_text,
        (true, true) => record_as_json,
    };
    let mut shown = 0;
    for event in events.with_history() {
        let event = event?;
        if !args.only.is_empty() && !args.only.contains(&event.kind) {
            continue;
        }
        output::line(&shape(&event))?;
        shown += 1;
        if Some(shown) == args.count {
            break;
        }
    }
    Ok(())
}

/// When it was, in milliseconds since the Unix epoch.
const AT: &str = "at_ms";

/// The time of day.
fn clock(at_ms: u64) -> String {
    let s = at_ms / 1000;
    format!("{:02}:{:02}:{:02}Z ", s / 3600 % 24, s / 60 % 60, s % 60)
}

pub(super) fn as_json(event: &ServerEvent) -> String {
    json!({ "id": event.id, "event": event.kind, "data": event.data }).to_string()
}

/// Time (UTC), kind and particulars but the id on one line: `09:41:07Z user        name=deploy from=web1 time=3 payload=v1`.
fn as_text(event: &ServerEvent) -> String {
    let clock = event.data[AT].as_u64().map(clock).unwrap_or_default();
    format!("{clock}{:<11}{}", event.kind, Particulars(&event.data, &["id", AT]))
}

/// The record as the node writes it, or how many are missing.
fn record_as_json(event: &ServerEvent) -> String {
    match event.kind.as_str() {
        LOG => event.data.to_string(),
        missed => json!({ missed: event.data["records"] }).to_string(),
    }
}

/// Time (UTC), level, module, message and the rest on one line:
/// `09:41:07.120Z INFO  node::membership a member failed name=web1`.
fn record_as_text(event: &ServerEvent) -> String {
    if event.kind != LOG {
        return format!(
            "{} records of the log are missing here: they came faster than they were read",
            event.data["records"]
        );
    }
    let [at, level, target] =
        ["timestamp", "level", "target"].map(|name| event.data[name].as_str().unwrap_or_default());
    // To the millisecond: 2026-11-22T09:41:07.120
    let clock = at.get(11..23).unwrap_or(at);
    let rest = Particulars(&event.data, &["timestamp", "level", "target", MESSAGE]);
    let message = match &event.data[MESSAGE] {
        Value::String(text) if !text.contains(char::is_control) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    format!("{clock}Z {level:<5} {target} {message}{rest}")
}

/// The kind of an event that carries a record of the log.
const LOG: &str = "log";
/// What a record says.
const MESSAGE: &str = "message";

/// ` key=value` for each part of an object but some, on one line.
struct Particulars<'a>(&'a Value, &'a [&'a str]);

impl fmt::Display for Particulars<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Particulars(data, without) = self;
        for (key, value) in data.as_object().into_iter().flatten() {
            match value {
                _ if without.contains(&key.as_str()) => {}
                Value::String(text) if !text.contains([' ', '"']) && !text.contains(char::is_control) => {
                    write!(f, " {key}={text}")?;
                }
                other => write!(f, " {key}={other}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let data = json!({ "name": "deploy", "payload": "a\nb", "time": 3 });
        let event = ServerEvent { id: 1, kind: "user".into(), data };
        assert_eq!(as_text(&event), "user        name=deploy payload=\"a\\nb\" time=3");
        let joined = ServerEvent {
            id: 2,
            kind: "joined".into(),
            data: json!({ "id": "0a", "name": "web1", AT: 121_267_999 }),
        };
        assert_eq!(as_text(&joined), "09:41:07Z joined      name=web1");
        assert!(!as_json(&event).contains('\n'));
    }

    #[test]
    fn a_record_is_one_line_with_its_message_first() {
        let data = json!({
            "timestamp": "2026-11-22T09:41:07.120456Z", "level": "WARN", "target": "node::moves", "message": "two\nlines",
            "slots": 7, "name": "web 1",
        });
        let record = ServerEvent { id: 0, kind: "log".into(), data: data.clone() };
        let line = "09:41:07.120Z WARN  node::moves \"two\\nlines\" name=\"web 1\" slots=7";
        assert_eq!(record_as_text(&record), line);
        assert_eq!(serde_json::from_str::<Value>(&record_as_json(&record)).unwrap(), data);
        let missed = ServerEvent { id: 0, kind: "missed".into(), data: json!({ "records": 12 }) };
        assert!(record_as_text(&missed).starts_with("12 records of the log are missing here"));
        assert_eq!(record_as_json(&missed), r#"{"missed":12}"#);
    }
}
