//! `boato query`: ask members something.

use std::collections::HashSet;

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
    let mut heard = Heard::default();
    let mut silent = None;
    for event in args.target.client()?.query(&question)?.finite() {
        let event = event?;
        heard.take(&event);
        if event.kind == "done" {
            silent = Some(heard.missing(&event.data).0.len());
        }
        if args.json {
            output::line(&monitor::as_json(&event))?;
        } else if let Some(text) = as_text(&event, &heard) {
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

/// What has come so far.
#[derive(Default)]
struct Heard {
    answers: u64,
    /// Ids of those that have said that the question is there.
    acked: HashSet<String>,
}

impl Heard {
    fn take(&mut self, event: &ServerEvent) {
        match (event.kind.as_str(), event.data["id"].as_str()) {
            ("response", _) => self.answers += 1,
            ("ack", Some(id)) => _ = self.acked.insert(id.to_owned()),
            _ => {}
        }
    }

    /// Of those without a last word, the names of those of whom nothing came, and of those that have acknowledged.
    fn missing<'a>(&self, done: &'a Value) -> (Vec<&'a str>, Vec<&'a str>) {
        let names = done["missing"].as_array().into_iter().flatten().filter_map(Value::as_str).enumerate();
        let (late, silent): (Vec<_>, Vec<_>) = names.partition(|(index, _)| {
            done["missing_ids"][index].as_str().is_some_and(|id| self.acked.contains(id))
        });
        let names = |those: Vec<(usize, &'a str)>| those.into_iter().map(|(_, name)| name).collect();
        (names(silent), names(late))
    }
}

/// A line for an answer, and one for the end.
fn as_text(event: &ServerEvent, heard: &Heard) -> Option<String> {
    let data = &event.data;
    match event.kind.as_str() {
        "response" => {
            let from = data["from"].as_str().unwrap_or_default();
            let text = data["response"].as_str().unwrap_or("bytes that are no text; --json shows them");
            Some(format!("{from}: {}", text.trim_end()))
        }
        "done" => {
            let (silent, late) = heard.missing(data);
            let mut text = format!("{} answered", heard.answers);
            for (what, names) in [("no word from", silent), ("heard, no answer yet from", late)] {
                if !names.is_empty() {
                    text.extend(["; ", what, " ", &names.join(", ")]);
                }
            }
            Some(text)
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
        let mut heard = Heard { answers: 2, ..Heard::default() };
        let event = |kind: &str, data| ServerEvent { id: 1, kind: kind.into(), data };
        heard.take(&event("ack", json!({ "from": "c", "id": "0c" })));
        let line = |kind: &str, data| as_text(&event(kind, data), &heard);
        assert_eq!(line("response", json!({ "from": "a", "response": "x\ny\n" })).unwrap(), "a: x\ny");
        assert!(line("response", json!({ "from": "a", "base64": "/w==" })).unwrap().contains("--json"));
        assert_eq!(line("ack", json!({ "from": "a" })), None);
        assert_eq!(line("done", json!({ "missing": [] })).unwrap(), "2 answered");
        let missing = |names: &[&str], ids: &[&str]| {
            line("done", json!({ "missing": names, "missing_ids": ids })).unwrap()
        };
        assert_eq!(missing(&["b", "d"], &["0b", "0d"]), "2 answered; no word from b, d");
        assert_eq!(missing(&["c"], &["0c"]), "2 answered; heard, no answer yet from c");
        let both = "2 answered; no word from b; heard, no answer yet from c";
        assert_eq!(missing(&["b", "c"], &["0b", "0c"]), both);
        assert_eq!(heard.missing(&json!({ "missing": ["c"] })).0, ["c"], "a node that tells no ids");
    }
}
