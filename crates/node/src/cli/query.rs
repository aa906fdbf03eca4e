//! `boato query`: ask members something.

use serde_json::Value;

use super::failure::Failure;
use super::target::Target;
use super::{event, monitor, output};
use crate::client::{Question, ServerEvent};
use crate::config::{self, Period};

/// What, whom, through which node.
#[derive(clap::Args)]
pub(super) struct Args {
    /// What it is called
    name: String,

    /// What it says; - reads it from standard input. With name and filters at most 864 bytes
    #[arg(default_value = "", hide_default_value = true)]
    payload: String,

    /// Only members of this name; * stands for anything (repeatable: any of them)
    #[arg(long, value_name = "NAME")]
    node: Vec<String>,

    /// Only members with this tag; in the value, * stands for anything (repeatable: all of them)
    #[arg(long, value_name = "KEY=VALUE", value_parser = config::tag_pattern)]
    tag: Vec<(String, String)>,

    /// How long to wait for answers, in whole seconds up to 10m [default: by the size of the cluster, 2s to 16s]
    #[arg(long, value_name = "TIME", value_parser = Period::positive)]
    timeout: Option<Period>,

    /// Through how many other members each answer goes, beside its straight way
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    relays: u8,

    /// Ask for answers only: who has none to give is then silent, too
    #[arg(long)]
    no_acks: bool,

    /// Print JSON, a line for each thing that comes
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    target: Target,
}

/// Fails where somebody who was asked says nothing, not even that it has heard.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let payload = event::payload(&args.payload)?;
    let question = Question {
        name: &args.name,
        payload: &payload,
        nodes: &args.node,
        tags: &args.tag,
        timeout: args.timeout.map(|period| period.0),
        relays: args.relays,
        acks: !args.no_acks,
    };
    let (mut answers, mut silent) = (0, None);
    for event in args.target.client()?.query(&question)?.finite() {
        let event = event?;
        if event.kind == "done" {
            silent = Some(missing(&event.data).count());
        }
        if args.json {
            output::line(&monitor::as_json(&event))?;
            continue;
        }
        answers += u64::from(event.kind == "response");
        if let Some(text) = as_text(&event, answers) {
            output::line(&text)?;
        }
    }
    match silent {
        None => Err(Failure::CutShort),
        // Without acknowledgements silence means nothing.
        Some(silent) if silent > 0 && !args.no_acks => Err(Failure::NoWord(silent)),
        Some(_) => Ok(()),
    }
}

/// Names of those of whom nothing came.
fn missing(done: &Value) -> impl Iterator<Item = &str> {
    done["missing"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// A line for an answer, and one for the end.
fn as_text(event: &ServerEvent, answers: u64) -> Option<String> {
    let data = &event.data;
    match event.kind.as_str() {
        "response" => {
            let from = data["from"].as_str().unwrap_or_default();
            let text = data["response"].as_str().unwrap_or("bytes that are no text; --json shows them");
            Some(format!("{from}: {}", text.trim_end()))
        }
        "done" => {
            let missing: Vec<&str> = missing(data).collect();
            Some(match &missing[..] {
                [] => format!("{answers} answered"),
                _ => format!("{answers} answered; no word from {}", missing.join(", ")),
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn answers_and_the_end_are_lines() {
        let line = |kind: &str, data| as_text(&ServerEvent { id: 1, kind: kind.into(), data }, 2);
        assert_eq!(line("response", json!({ "from": "a", "response": "x\ny\n" })).unwrap(), "a: x\ny");
        assert!(line("response", json!({ "from": "a", "base64": "/w==" })).unwrap().contains("--json"));
        assert_eq!(line("ack", json!({ "from": "a" })), None);
        assert_eq!(line("done", json!({ "missing": [] })).unwrap(), "2 answered");
        assert_eq!(line("done", json!({ "missing": ["b", "c"] })).unwrap(), "2 answered; no word from b, c");
    }
}
