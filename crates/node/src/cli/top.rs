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
use view::{Activity, Away, Member, Row, View};

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
    let notes = [Away::Another, Away::Silent].into_iter().filter_map(|away| {
        let names: Vec<&str> =
            rows.iter().filter(|row| row.away == Some(away)).map(|row| &*row.member.name).collect();
        (!names.is_empty()).then(|| away.note(&names))
    });
    std::iter::once(table).chain(notes).collect::<Vec<_>>().join("\n\n")
}

impl Away {
    /// Of whom there are no figures, why, and what to do.
    fn note(self, names: &[&str]) -> String {
        let more = names.len().saturating_sub(NAMES_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let names = names[..names.len().min(NAMES_MAX)].join(", ");
        match self {
            Self::Another => format!(
                "No figures of {names}{more}:\nthe HTTP door announced leads elsewhere from here. Start such a node with\n\
                 --http ADDR, an address of its machine, and --client-secret-file."
            ),
            Self::Silent => format!(
                "No figures of {names}{more}:\nthe HTTP door announced does not answer here. Is there a way to it, and is it\n\
                 the same client secret?"
            ),
        }
    }

    /// The same as a word.
    fn word(self) -> &'static str {
        match self {
            Self::Another => "door leads elsewhere",
            Self::Silent => "door does not answer",
        }
    }
}

impl Row {
    fn cells(&self) -> [String; 9] {
        let unknown = || "-".to_owned();
        let percent = |share: f64| format!("{:.0}%", share * 100.0);
        let activity = self.activity.as_ref();
        let load = self.member.load.as_ref();
        [
            self.member.name.clone(),
            self.member.state.clone(),
            activity.map_or_else(unknown, |it| format!("{:.0}", it.operations)),
            activity.map_or_else(unknown, |it| percent(it.forwarded)),
            activity.and_then(|it| it.hits).map_or_else(unknown, percent),
            activity.and_then(|it| it.p99_s).map_or_else(unknown, short),
            activity.map_or_else(unknown, |it| format!("{:.0}", it.clients)),
            load.map_or_else(unknown, |load| load.slots.to_string()),
            load.map_or_else(unknown, |load| output::size(load.bytes)),
        ]
    }

    fn json(&self) -> Value {
        let Member { name, state, load, .. } = &self.member;
        let mut row = json!({
            "name": name, "state": state, "away": self.away.map(Away::word),
            "slots": load.as_ref().map(|load| load.slots), "bytes": load.as_ref().map(|load| load.bytes),
        });
        if let Some(Activity { operations, forwarded, hits, p99_s, clients }) = &self.activity {
            let more = json!({
                "operations_per_s": operations, "forwarded": forwarded, "hits": hits,
                "p99_s": p99_s.filter(|s| s.is_finite()), "clients": clients,
            });
            if let (Value::Object(row), Value::Object(more)) = (&mut row, more) {
                row.extend(more);
            }
        }
        row
    }
}

/// A time in three digits or so.
fn short(seconds: f64) -> String {
    match seconds {
        s if s.is_infinite() => ">10s".to_owned(),
        s if s < 0.001 => format!("{:.0}us", s * 1e6),
        s if s < 1.0 => format!("{:.1}ms", s * 1e3),
        s => format!("{s:.1}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        assert_eq!([0.00025, 0.0025, 1.5, f64::INFINITY].map(short), ["250us", "2.5ms", "1.5s", ">10s"]);
    }

    #[test]
    fn a_note_names_a_few_and_fits_a_terminal() {
        for away in [Away::Another, Away::Silent] {
            let note = away.note(&["web1", "web2", "web3", "web4", "web5"]);
            assert!(note.starts_with("No figures of web1, web2, web3 and 2 more:\n"), "{note}");
            assert!(note.lines().all(|line| line.len() <= 80), "{note}");
        }
        assert!(Away::Silent.note(&["web1"]).starts_with("No figures of web1:\n"));
    }
}
