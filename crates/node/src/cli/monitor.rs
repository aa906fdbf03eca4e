//! `boato monitor`: what happens, as it happens.

use std::fmt::Write as _;

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

    /// End after so many events
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Begin with the last events before, up to 100
    #[arg(long)]
    history: bool,

    /// Print JSON, an event a line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    target: Target,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let mut shown = 0;
    let path = if args.history { "/_/events?with=history" } else { "/_/events" };
    for event in args.target.client()?.events(path)?.with_history() {
        let event = event?;
        if !args.only.is_empty() && !args.only.contains(&event.kind) {
            continue;
        }
        output::line(&if args.json { as_json(&event) } else { as_text(&event) })?;
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
    let mut line = event.data[AT].as_u64().map(clock).unwrap_or_default();
    let _ = write!(line, "{:<11}", event.kind);
    for (key, value) in
        event.data.as_object().into_iter().flatten().filter(|(key, _)| !["id", AT].contains(&key.as_str()))
    {
        let text = match value {
            Value::String(text) if text.contains([' ', '"']) || text.contains(char::is_control) => {
                value.to_string()
            }
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        // Writing to a text cannot fail.
        let _ = write!(line, " {key}={text}");
    }
    line
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
}
