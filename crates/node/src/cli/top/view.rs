//! The members and what they do, as one looks at them again and again.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

use super::super::failure::Failure;
use super::super::figures::Figures;
use super::super::target::Target;
use crate::client::Client;

/// Members asked at a time, and in all: as many as a terminal shows.
const AT_A_TIME: usize = 16;
const ASKED_MAX: usize = 128;

/// How long a door behind which the member was not found is left alone.
const REST: Duration = Duration::from_secs(30);

#[derive(Clone, Deserialize)]
pub(super) struct Member {
    id: String,
    pub(super) name: String,
    pub(super) state: String,
    http: Option<String>,
    pub(super) load: Option<Load>,
}

#[derive(Clone, Deserialize)]
pub(super) struct Load {
    pub(super) slots: u32,
    pub(super) bytes: u64,
}

/// What a member does, per second since the look before.
pub(super) struct Row {
    pub(super) member: Member,
    pub(super) activity: Option<Activity>,
    /// Why nothing is known of what it does.
    pub(super) away: Option<Away>,
}

/// How the door that a member announces keeps one from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Away {
    /// Nobody answers there, or not with figures.
    Silent,
    /// Another node is there: the member's door is one of its own machine only.
    Another,
}

pub(super) struct Activity {
    pub(super) operations: f64,
    pub(super) forwarded: f64,
    pub(super) hits: Option<f64>,
    pub(super) p99_s: Option<f64>,
    pub(super) clients: f64,
}

pub(super) struct View<'a> {
    client: Client,
    target: &'a Target,
    /// Members and their doors, to go on with when a node is gone.
    peers: Vec<(String, String)>,
    before: HashMap<String, (Instant, Figures)>,
    /// Members that were not found behind their doors, and since when.
    away: HashMap<String, (Instant, Away)>,
}

impl<'a> View<'a> {
    pub(super) fn new(target: &'a Target) -> Result<Self, Failure> {
        Ok(Self {
            client: target.client()?,
            target,
            peers: Vec::new(),
            before: HashMap::new(),
            away: HashMap::new(),
        })
    }

    pub(super) fn look(&mut self) -> Result<Vec<Row>, Failure> {
        let mut members: Vec<Member> = match self.client.json("/_/members") {
            Ok(members) => members,
            Err(error) => self.move_on().ok_or(error)?,
        };
        members.sort_by(|a, b| a.name.cmp(&b.name));
        let peer = |member: &Member| Some((member.id.clone(), member.http.clone()?));
        self.peers = members.iter().filter_map(peer).collect();
        self.away.retain(|_, (since, _)| since.elapsed() < REST);
        // The node asked answers for itself, wherever its door seems to be from here.
        let own = Figures::read(&self.client.text("/_/metrics")?);
        let mut figures = self.ask(&members, own.node().unwrap_or_default()).into_iter();
        let mut own = Some(own);
        let rows = members.into_iter().map(|member| {
            let asked = figures.next().flatten();
            let told = if own.as_ref().is_some_and(|own| own.node() == Some(&member.id)) {
                own.take()
            } else {
                asked
            };
            self.row(member, told)
        });
        Ok(rows.collect())
    }

    /// The figures of members alive but `asked`, as far as these answer themselves; some are asked at a time.
    fn ask(&mut self, members: &[Member], asked: &str) -> Vec<Option<Figures>> {
        let wanted = |member: &&Member| {
            member.state == "alive" && member.id != asked && !self.away.contains_key(&member.id)
        };
        let wanted: HashMap<&str, &str> = members
            .iter()
            .filter(wanted)
            .filter_map(|member| Some((member.id.as_str(), member.http.as_deref()?)))
            .take(ASKED_MAX)
            .collect();
        let target = self.target;
        let ask_some = |some: &[Member]| {
            thread::scope(|scope| {
                let asked: Vec<_> = some
                    .iter()
                    .map(|member| {
                        let addr = wanted.get(member.id.as_str())?;
                        Some(scope.spawn(move || figures(target, addr, &member.id)))
                    })
                    .collect();
                let answer = |asked: thread::ScopedJoinHandle<'_, Result<Figures, Away>>| {
                    asked.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                };
                asked.into_iter().map(|asked| asked.map(answer)).collect::<Vec<_>>()
            })
        };
        let answers: Vec<_> = members.chunks(AT_A_TIME).flat_map(ask_some).collect();
        let now = Instant::now();
        let found = members.iter().zip(answers).map(|(member, answer)| match answer {
            Some(Err(away)) => {
                self.away.insert(member.id.clone(), (now, away));
                None
            }
            answer => answer?.ok(),
        });
        found.collect()
    }

    /// The members as another node tells, which is asked from then on.
    fn move_on(&mut self) -> Option<Vec<Member>> {
        self.peers.iter().find_map(|(id, addr)| {
            let client = self.target.client_at(addr).ok()?;
            let status: Value = client.json("/_/status").ok()?;
            if status["id"].as_str() != Some(id) {
                return None;
            }
            let members = client.json("/_/members").ok()?;
            self.client = client;
            Some(members)
        })
    }

    fn row(&mut self, member: Member, figures: Option<Figures>) -> Row {
        let activity = figures.and_then(|figures| {
            let now = Instant::now();
            let before = self.before.insert(member.id.clone(), (now, figures.clone()));
            before.map(|(then, past)| Activity::new(&figures, &past, now - then))
        });
        let away = self.away.get(&member.id).map(|(_, away)| *away);
        Row { activity, away: away.filter(|_| member.state == "alive"), member }
    }
}

/// What is told behind a door, if it is this member that tells it.
fn figures(target: &Target, addr: &str, id: &str) -> Result<Figures, Away> {
    let client = target.client_at(addr).map_err(|_| Away::Silent)?;
    let figures = Figures::read(&client.text("/_/metrics").map_err(|_| Away::Silent)?);
    if figures.node() == Some(id) { Ok(figures) } else { Err(Away::Another) }
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
    }
}
