//! `boato top`: the cluster, live.

mod terminal;
mod view;

use std::io::IsTerminal as _;
use std::thread;

use console::Term;
use serde_json::{Value, json};

use super::failure::Failure;
use super::output;
use super::target::Target;
use crate::config::Period;
use terminal::{Terminal, watch_keys};
use view::{Member, Row, View};

/// Names told in one note.
const NAMES_MAX: usize = 3;

/// From which node, how often.
#[derive(clap::Args)]
pub(super) struct Args {
    /// How often to look
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = Period::positive)]
    interval: Period,

    /// Stop after so many looks [default: at q or Ctrl-C]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Print a line of JSON per look
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    target: Target,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let mut view = View::new(&args.target)?;
    let term = Term::stdout();
    let live = !args.json && std::io::stdout().is_terminal();
    // Given back as it was, however this ends.
    let _terminal = (live && std::io::stdin().is_terminal()).then(|| {
        let terminal = Terminal::keep();
        watch_keys(&term);
        terminal
    });
    let mut looks = 0;
    loop {
        let rows = view.look()?;
        if args.json {
            output::line(&json!(rows.iter().map(Row::json).collect::<Vec<_>>()).to_string())?;
        } else {
            if live {
                term.clear_screen()?;
            }
            output::line(&text(&rows))?;
            if live {
                output::line("\nFWD: keys of other nodes. P99: of requests and commands. q ends this.")?;
            }
        }
        looks += 1;
        if args.count.is_some_and(|count| looks >= count) {
            return Ok(());
        }
        thread::sleep(args.interval.0);
    }
}

/// The table, and whose figures it lacks.
fn text(rows: &[Row]) -> String {
    let head = ["NAME", "STATE", "OPS/S", "FWD", "HITS", "P99", "CLIENTS", "SLOTS", "SIZE"];
    let table = output::render(head, rows.iter().map(Row::cells).collect(), &[2, 3, 4, 5, 6, 7, 8]);
    let lacking = |row: &&Row| row.member.state == "alive" && row.figures.is_none();
    let names: Vec<&str> = rows.iter().filter(lacking).map(|row| &*row.member.name).collect();
    if names.is_empty() { table } else { format!("{table}\n\n{}", note(&names)) }
}

/// Of whom there are no figures, and why.
fn note(names: &[&str]) -> String {
    let more = names.len().saturating_sub(NAMES_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!(
        "No figures of {}{more}:\nno answer in time to the node that is asked (boato reachability), a version that\n\
         tells none, or not among the first 64 by name.",
        names[..names.len().min(NAMES_MAX)].join(", ")
    )
}

impl Row {
    /// That of the member, or in a word why a live one does not serve.
    fn state(&self) -> String {
        let reason = self.figures.as_ref().and_then(|figures| figures.reason.as_deref());
        let word = match reason.map(|reason| reason.split_once(':').map_or(reason, |(word, _)| word)) {
            None => &self.member.state,
            Some(word) if word.contains(' ') => "unready",
            Some(word) => word,
        };
        word.to_owned()
    }

    fn cells(&self) -> [String; 9] {
        let unknown = || "-".to_owned();
        let percent = |share: f64| format!("{:.0}%", share * 100.0);
        let figures = self.figures.as_ref();
        let load = self.member.load.as_ref();
        [
            self.member.name.clone(),
            self.state(),
            figures.and_then(|it| it.operations_per_s).map_or_else(unknown, |rate| format!("{rate:.0}")),
            figures.and_then(|it| it.forwarded).map_or_else(unknown, percent),
            figures.and_then(|it| it.hits).map_or_else(unknown, percent),
            figures.and_then(|it| it.p99_s).map_or_else(unknown, short),
            figures.map_or_else(unknown, |it| it.connections.to_string()),
            load.map_or_else(unknown, |load| load.slots.to_string()),
            load.map_or_else(unknown, |load| output::size(load.bytes)),
        ]
    }

    fn json(&self) -> Value {
        let Member { id, name, state, load, .. } = &self.member;
        let (slots, bytes) = load.as_ref().map(|load| (load.slots, load.bytes)).unzip();
        json!({ "id": id, "name": name, "state": state, "slots": slots, "bytes": bytes, "figures": self.figures })
    }
}

/// A time in three digits or so.
fn short(seconds: f64) -> String {
    match seconds {
        s if s < 0.001 => format!("{:.0}us", s * 1e6),
        s if s < 1.0 => format!("{:.1}ms", s * 1e3),
        s => format!("{s:.1}s"),
    }
}

#[cfg(test)]
mod tests {
    use boato_api::Figures;

    use super::*;

    #[test]
    fn a_member_that_does_not_serve_is_told_with_why_in_a_word() {
        let state = |reason: Option<&str>| {
            let member = json!({ "id": "1", "name": "web1", "state": "alive" });
            let figures = Figures { reason: reason.map(str::to_owned), ..Figures::default() };
            Row { member: serde_json::from_value(member).unwrap(), figures: Some(figures) }.state()
        };
        assert_eq!(
            [None, Some("drained: its keys"), Some("leaving")].map(state),
            ["alive", "drained", "leaving"]
        );
        assert_eq!(state(Some("looking for other nodes")), "unready");
    }

    #[test]
    fn times_are_short() {
        assert_eq!([0.00025, 0.0025, 1.5].map(short), ["250us", "2.5ms", "1.5s"]);
    }

    #[test]
    fn a_note_names_a_few_and_fits_a_terminal() {
        let note = |count| note(&["web1", "web2", "web3", "web4", "web5"][..count]);
        assert!(note(5).starts_with("No figures of web1, web2, web3 and 2 more:\n"), "{}", note(5));
        assert!(note(5).lines().all(|line| line.len() <= 80), "{}", note(5));
        assert!(note(1).starts_with("No figures of web1:\n"));
    }
}
