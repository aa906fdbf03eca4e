//! A client that calls as fast as it can and knows what it must find.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use fastrand::Rng;

use super::super::stage::Stage;
use super::super::tally::Tally;
use super::LONGEST;
use super::model::Model;
use crate::nodes::{Answer, CallError, Condition, Http};

/// Longest wait for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(15);
/// How long a client tries again when it is refused, and its rest between tries.
const PATIENCE: Duration = Duration::from_secs(20);
const RETRY: Duration = Duration::from_millis(2);
/// Contradictions kept for the report.
const WRONG_MAX: usize = 100;
/// Slow operations kept for the report.
const SLOW_MAX: usize = 20;

/// Part of a run, by when an operation begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Before,
    During,
    After,
}

/// The part that a run is in.
#[derive(Default)]
pub(super) struct Phases(AtomicU8);

impl Phases {
    pub(super) fn enter(&self, phase: Phase) {
        self.0.store(phase as u8, Relaxed);
    }
}

/// One client and its own keys.
pub(super) struct Client<'a> {
    stage: &'a Stage,
    phases: &'a Phases,
    model: Model,
    http: Http,
    rng: Rng,
    tallies: [Tally; 3],
    /// How long each part lasted.
    times: [Duration; 3],
    wrong: Vec<String>,
    slow: Vec<Slow>,
}

/// An operation during the moves that took longer than the goal allows.
pub(super) struct Slow {
    took: Duration,
    pub(super) over_at: Duration,
    tries: u32,
    /// The node that was asked last.
    node: Option<SocketAddr>,
}

impl fmt::Display for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at_s, took_ms) = (self.over_at.as_secs_f64(), 1000.0 * self.took.as_secs_f64());
        write!(f, "{at_s:.3} s  {took_ms:.1} ms in {} tries", self.tries)?;
        self.node.map_or(Ok(()), |node| write!(f, ", the last at {node}"))
    }
}

enum Told {
    Answer(Answer),
    Refused,
    Unknown,
}

impl<'a> Client<'a> {
    pub(super) fn new(stage: &'a Stage, phases: &'a Phases, model: Model, seed: u64) -> Self {
        Self {
            stage,
            phases,
            model,
            http: Http::new(ANSWER_MAX),
            rng: Rng::with_seed(seed),
            tallies: [(); 3].map(|()| Tally::new()),
            times: [Duration::ZERO; 3],
            wrong: Vec::new(),
            slow: Vec::new(),
        }
    }

    /// Puts every key once, and forgets how long that took.
    pub(super) fn fill(&mut self) {
        (0..self.model.len()).for_each(|key| self.put(key));
        self.tallies = [(); 3].map(|()| Tally::new());
    }

    /// Calls until told to stop: half puts, four tenths gets, one tenth deletes.
    pub(super) fn run(&mut self) {
        while self.stage.goes_on() {
            let (phase, begin) = (self.phase(), self.stage.now());
            let key = self.rng.usize(..self.model.len());
            match self.rng.u8(..10) {
                0..5 => self.put(key),
                5 => self.delete(key),
                _ => self.get(key),
            }
            self.times[phase] += self.stage.now().saturating_sub(begin);
        }
    }

    /// Reads every key.
    pub(super) fn check(&mut self) {
        (0..self.model.len()).for_each(|key| self.get(key));
    }

    pub(super) fn tally(&self, phase: Phase) -> &Tally {
        &self.tallies[phase as usize]
    }

    /// How long a part lasted.
    pub(super) fn lasted(&self, phase: Phase) -> Duration {
        self.times[phase as usize]
    }

    /// Answers that contradict the model.
    pub(super) fn wrong(&self) -> &[String] {
        &self.wrong
    }

    /// Operations during the moves that took longer than the goal allows.
    pub(super) fn slow(&self) -> &[Slow] {
        &self.slow
    }

    fn phase(&self) -> usize {
        usize::from(self.phases.0.load(Relaxed))
    }

    fn put(&mut self, key: usize) {
        let (path, (number, value)) = (self.model.path(key), self.model.put(key));
        match self.call(|http, node| http.put(node, &path, &Condition::Always, &value)) {
            Told::Answer(answer) => {
                let right = match answer.status {
                    200 | 201 => self.model.wrote(key, number, answer.status == 200),
                    _ => false,
                };
                self.note(right, "PUT", &path, &answer);
            }
            Told::Unknown => self.model.may_have_written(key, number),
            Told::Refused => {}
        }
    }

    fn delete(&mut self, key: usize) {
        let (path, number) = (self.model.path(key), self.model.delete(key));
        match self.call(|http, node| http.delete(node, &path)) {
            Told::Answer(answer) => {
                let right = match answer.status {
                    204 | 404 => self.model.wrote(key, number, answer.status == 204),
                    _ => false,
                };
                self.note(right, "DELETE", &path, &answer);
            }
            Told::Unknown => self.model.may_have_written(key, number),
            Told::Refused => {}
        }
    }

    fn get(&mut self, key: usize) {
        let path = self.model.path(key);
        let Told::Answer(answer) = self.call(|http, node| http.get(node, &path)) else { return };
        let right = match answer.status {
            200 => self.model.read(key, Some(&answer.body)),
            404 => self.model.read(key, None),
            _ => false,
        };
        self.note(right, "GET", &path, &answer);
    }

    fn note(&mut self, right: bool, method: &str, path: &str, answer: &Answer) {
        if !right && self.wrong.len() < WRONG_MAX {
            let body: String = String::from_utf8_lossy(&answer.body).chars().take(40).collect();
            self.wrong.push(format!("{method} {path} was answered {} {body:?}", answer.status));
        }
    }

    /// Calls nodes by chance until one does not refuse.
    fn call(&mut self, send: impl Fn(&Http, SocketAddr) -> Result<Answer, CallError>) -> Told {
        let (phase, begin, mut tries) = (self.phase(), self.stage.now(), 0);
        loop {
            let node = self.stage.doors.pick(&mut self.rng);
            let told = self.try_once(phase, node, &send);
            tries += 1;
            let now = self.stage.now();
            let took = now.saturating_sub(begin);
            if matches!(told, Told::Refused) && took < PATIENCE {
                thread::sleep(RETRY);
                continue;
            }
            if matches!(told, Told::Refused) {
                self.wrong.push(format!("refused for {} s", PATIENCE.as_secs()));
            }
            if phase == Phase::During as usize && took > LONGEST && self.slow.len() < SLOW_MAX {
                self.slow.push(Slow { took, over_at: now, tries, node });
            }
            self.tallies[phase].over(took, now, matches!(told, Told::Refused));
            self.stage.count_call();
            return told;
        }
    }

    fn try_once(
        &mut self,
        phase: usize,
        node: Option<SocketAddr>,
        send: impl Fn(&Http, SocketAddr) -> Result<Answer, CallError>,
    ) -> Told {
        let tally = &mut self.tallies[phase];
        let Some(node) = node else { return Told::Refused };
        match send(&self.http, node) {
            Ok(answer) if answer.status == 503 => {
                tally.unavailable += 1;
                Told::Refused
            }
            Ok(answer) if answer.status == 504 => {
                tally.unknown += 1;
                Told::Unknown
            }
            Ok(answer) => Told::Answer(answer),
            Err(CallError::NotSent) => {
                tally.unreachable += 1;
                Told::Refused
            }
            Err(CallError::Lost) => {
                tally.broken += 1;
                Told::Unknown
            }
        }
    }
}
