//! `boato top`: the cluster, live.

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::thread;
use std::time::{Duration, Instant};

use console::{Key, Term};
use serde::Deserialize;
use serde_json::{Value, json};

use super::failure::Failure;
use super::figures::Figures;
use super::output;
use super::target::Target;
use crate::client::Client;
use crate::config::Period;

/// Members asked at a time, and in all: as many as a terminal shows.
const AT_A_TIME: usize = 16;
const ASKED_MAX: usize = 128;

/// How long a door that has not answered is left alone.
const REST: Duration = Duration::from_secs(30);

/// From which node, how often.
#[derive(clap::Args)]
pub(super) struct Args {
    /// How often to look
    #[arg(long, value_name = "TIME", default_value = "1s")]
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

#[derive(Clone, Deserialize)]
struct Member {
    id: String,
    name: String,
    state: String,
    http: Option<String>,
    load: Option<Load>,
}

#[derive(Clone, Deserialize)]
struct Load {
    slots: u32,
    bytes: u64,
}

/// What a member does, per second since the look before.
struct Row {
    member: Member,
    activity: Option<Activity>,
}

struct Activity {
    operations: f64,
    forwarded: f64,
    hits: Option<f64>,
    p99_s: Option<f64>,
    clients: f64,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let mut view = View {
        client: args.target.client()?,
        target: &args.target,
        peers: Vec::new(),
        before: HashMap::new(),
        silent: HashMap::new(),
    };
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
            let head = ["NAME", "STATE", "OPS/S", "FWD", "HITS", "P99", "CLIENTS", "SLOTS", "SIZE"];
            let table = output::render(head, rows.iter().map(Row::cells).collect(), &[2, 3, 4, 5, 6, 7, 8]);
            if live {
                term.clear_screen()?;
            }
            output::line(&table)?;
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

/// The terminal's settings, which are set again when this is dropped: a thread that waits for a key has changed them.
struct Terminal {
    #[cfg(unix)]
    settings: Option<rustix::termios::Termios>,
}

impl Terminal {
    fn keep() -> Self {
        Self {
            #[cfg(unix)]
            settings: rustix::termios::tcgetattr(std::io::stdin()).ok(),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(settings) = &self.settings {
            // Whoever has closed the terminal does not miss it.
            let _ =
                rustix::termios::tcsetattr(std::io::stdin(), rustix::termios::OptionalActions::Now, settings);
        }
    }
}

/// Ends the process at q. A key that has been read leaves the terminal as it was.
fn watch_keys(term: &Term) {
    let term = term.clone();
    thread::spawn(move || {
        loop {
            match term.read_key() {
                Ok(Key::Char('q') | Key::Escape) => std::process::exit(0),
                // Ctrl-C.
                Err(_) => std::process::exit(130),
                Ok(_) => {}
            }
        }
    });
}

struct View<'a> {
    client: Client,
    target: &'a Target,
    /// Doors of members, to go on with when a node is gone.
    peers: Vec<String>,
    before: HashMap<String, (Instant, Figures)>,
    /// Members whose doors did not answer, and when.
    silent: HashMap<String, Instant>,
}

impl View<'_> {
    fn look(&mut self) -> Result<Vec<Row>, Failure> {
        let mut members: Vec<Member> = match self.client.json("/_/members") {
            Ok(members) => members,
            Err(error) => self.move_on().ok_or(error)?,
        };
        members.sort_by(|a, b| a.name.cmp(&b.name));
        self.peers = members.iter().filter_map(|member| member.http.clone()).collect();
        self.silent.retain(|_, since| since.elapsed() < REST);
        let mut texts = self.ask(&members).into_iter();
        Ok(members.into_iter().map(|member| self.row(member, texts.next().flatten())).collect())
    }

    /// The metrics of members alive, as far as they answer; some are asked at a time.
    fn ask(&mut self, members: &[Member]) -> Vec<Option<String>> {
        let wanted = |member: &&Member| member.state == "alive" && !self.silent.contains_key(&member.id);
        let wanted: HashMap<&str, &str> = members
            .iter()
            .filter(wanted)
            .filter_map(|member| Some((member.id.as_str(), member.http.as_deref()?)))
            .take(ASKED_MAX)
            .collect();
        let target = self.target;
        let metrics = |addr: &str| target.client_at(addr).ok()?.text("/_/metrics").ok();
        let ask_some = |some: &[Member]| {
            thread::scope(|scope| {
                let asked: Vec<_> = some
                    .iter()
                    .map(|member| {
                        wanted.get(member.id.as_str()).map(|addr| scope.spawn(move || metrics(addr)))
                    })
                    .collect();
                let answer = |asked: thread::ScopedJoinHandle<'_, Option<String>>| {
                    asked.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                };
                asked.into_iter().map(|asked| asked.and_then(answer)).collect::<Vec<_>>()
            })
        };
        let texts: Vec<_> = members.chunks(AT_A_TIME).flat_map(ask_some).collect();
        let silent = members
            .iter()
            .zip(&texts)
            .filter(|(member, text)| text.is_none() && wanted.contains_key(member.id.as_str()));
        let silent: Vec<String> = silent.map(|(member, _)| member.id.clone()).collect();
        self.silent.extend(silent.into_iter().map(|id| (id, Instant::now())));
        texts
    }

    /// The members as another node tells, which is asked from then on.
    fn move_on(&mut self) -> Option<Vec<Member>> {
        self.peers.iter().find_map(|addr| {
            let client = self.target.client_at(addr).ok()?;
            let members = client.json("/_/members").ok()?;
            self.client = client;
            Some(members)
        })
    }

    fn row(&mut self, member: Member, text: Option<String>) -> Row {
        let activity = text.and_then(|text| {
            let (now, figures) = (Instant::now(), Figures::read(&text));
            let before = self.before.insert(member.id.clone(), (now, figures.clone()));
            before.map(|(then, past)| Activity::new(&figures, &past, now - then))
        });
        Row { member, activity }
    }
}

impl Activity {
    fn new(now: &Figures, past: &Figures, time: Duration) -> Self {
        let grown = |name: &str| now.grown(past, name);
        let (own, others) = (
            grown("boato_operations_total{holder=\"self\"}"),
            grown("boato_operations_total{holder=\"other\"}"),
        );
        let (hit, miss) =
            (grown("boato_reads_total{outcome=\"hit\"}"), grown("boato_reads_total{outcome=\"miss\"}"));
        let share = |part: f64, whole: f64| (whole > 0.0).then(|| part / whole);
        Self {
            operations: (own + others) / time.as_secs_f64().max(0.001),
            forwarded: share(others, own + others).unwrap_or_default(),
            hits: share(hit, hit + miss),
            p99_s: now.quantile(past, 0.99),
            clients: now.get("boato_http_connections") + now.get("boato_resp_connections"),
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
            "name": name, "state": state,
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
    fn activity_is_what_was_added_per_second() {
        let figures = |own, others, hit| {
            Figures::read(&format!(
                "boato_operations_total{{holder=\"self\"}} {own}\nboato_operations_total{{holder=\"other\"}} {others}\n\
                 boato_reads_total{{outcome=\"hit\"}} {hit}\nboato_http_connections 2\nboato_resp_connections 3\n"
            ))
        };
        let activity = Activity::new(&figures(110, 40, 7), &figures(10, 20, 7), Duration::from_secs(2));
        assert_eq!((activity.operations, activity.hits, activity.clients), (60.0, None, 5.0));
        assert_eq!(format!("{:.2}", activity.forwarded), "0.17");
        assert_eq!([0.00025, 0.0025, 1.5, f64::INFINITY].map(short), ["250us", "2.5ms", "1.5s", ">10s"]);
    }
}
