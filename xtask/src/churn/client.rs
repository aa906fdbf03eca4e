//! A client: calls to keys and nodes by chance, each written down with its answer.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use boato_sim::check::{Action, Call, Stamped, Version};
use fastrand::Rng;

use super::key::{Key, Kind};
use super::load::Load;
use super::tally::Tally;
use crate::nodes::{Answer, CallError, Condition, Http};

/// Rest between two calls: the load is steady, not all that the machine can do.
const REST: Duration = Duration::from_millis(1);
/// Longest wait for an answer. A node bounds its operations well below, but for as long as it is stopped.
const ANSWER_MAX: Duration = Duration::from_secs(15);
/// How long a patient client tries, and its rest between tries.
const PATIENCE: Duration = Duration::from_secs(15);
const RETRY: Duration = Duration::from_millis(20);

/// One client.
pub(super) struct Client<'a> {
    load: &'a Load,
    http: Http,
    rng: Rng,
    tally: Tally,
}

/// What came of a call.
enum Told {
    Answer(Answer),
    /// Certainly nothing was done.
    Refused,
    Unknown,
}

impl<'a> Client<'a> {
    pub(super) fn new(load: &'a Load, seed: u64) -> Self {
        Self { load, http: Http::new(ANSWER_MAX), rng: Rng::with_seed(seed), tally: Tally::new() }
    }

    /// Calls until told to stop.
    pub(super) fn run(mut self) -> Tally {
        while self.load.stage.goes_on() {
            let key = self.load.key(self.rng.usize(..self.load.len()));
            self.use_once(&key);
            thread::sleep(REST);
        }
        self.tally
    }

    /// What it has counted.
    pub(super) fn tally(self) -> Tally {
        self.tally
    }

    fn use_once(&mut self, key: &Key) {
        let dice = self.rng.u8(..10);
        match key.kind {
            Kind::Register if dice < 5 => self.write(key),
            Kind::Erasable if dice < 4 => self.write(key),
            Kind::Erasable if dice < 6 => self.delete(key),
            Kind::Counter if dice < 6 => self.increment(key),
            Kind::Sum if dice < 6 => self.add(key),
            _ => {
                let _recorded = self.read(key);
            }
        }
    }

    /// The value and its entity tag, if there is such a key; an error if there was no answer.
    fn read(&mut self, key: &Key) -> Result<Option<(u64, String)>, ()> {
        let (invoked, told) = self.call(|http, node| http.get(node, &key.path));
        let Told::Answer(answer) = told else { return Err(()) };
        let found = found(&answer).map_err(|()| self.tally.strange("GET", &key.path, &answer))?;
        self.record_read(key, invoked, found.as_ref());
        Ok(found)
    }

    /// Reads the key through `node`, trying again as long as it is refused; false if that took too long.
    pub(super) fn read_at_last(&mut self, key: &Key, node: SocketAddr) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let invoked = self.load.stage.now();
            match self.http.get(node, &key.path) {
                Ok(answer) if matches!(answer.status, 200 | 404) => {
                    let found = found(&answer).map_err(|()| self.tally.strange("GET", &key.path, &answer));
                    let Ok(found) = found else { return true };
                    self.record_read(key, invoked, found.as_ref());
                    return true;
                }
                _ => thread::sleep(RETRY),
            }
        }
        false
    }

    /// Writes every large key once.
    pub(super) fn fill(mut self) -> Tally {
        self.load.ballast().iter().for_each(|key| self.write(key));
        self.tally
    }

    fn write(&mut self, key: &Key) {
        let value = self.load.fresh_value();
        let body = format!("{value:<0$}", key.length_min);
        let (invoked, told) =
            self.call(|http, node| http.put(node, &key.path, &Condition::Always, body.as_bytes()));
        let replaced = match told {
            Told::Answer(ref answer) => match answer.status {
                200 => Some(true),
                201 => Some(false),
                _ => return self.tally.strange("PUT", &key.path, answer),
            },
            Told::Refused => return,
            Told::Unknown => None,
        };
        self.record(key, invoked, Action::Write { value, replaced }, told.version());
    }

    fn delete(&mut self, key: &Key) {
        let (invoked, told) = self.call(|http, node| http.delete(node, &key.path));
        let existed = match told {
            Told::Answer(ref answer) => match answer.status {
                204 => Some(true),
                404 => Some(false),
                _ => return self.tally.strange("DELETE", &key.path, answer),
            },
            Told::Refused => return,
            Told::Unknown => None,
        };
        self.record(key, invoked, Action::Delete { existed }, told.version());
    }

    /// Reads the key and puts one more, on condition that nobody has written since. A counter that is not there any more
    /// begins at a number that it never had.
    fn increment(&mut self, key: &Key) {
        let begun = key.has_begun();
        let Ok(found) = self.read(key) else { return };
        let (expected, etag) = match found {
            Some((value, etag)) => (Some(value), Some(etag)),
            None => (None, None),
        };
        let first = if begun { (self.load.fresh_value() << 32) + 1 } else { 1 };
        let value = expected.map_or(first, |value| value + 1);
        let condition = etag.as_deref().map_or(Condition::Absent, Condition::Is);
        let body = value.to_string();
        let (invoked, told) = self.call(|http, node| http.put(node, &key.path, &condition, body.as_bytes()));
        let done = match told {
            Told::Answer(ref answer) => match answer.status {
                200 | 201 => Some(true),
                412 => Some(false),
                _ => return self.tally.strange("PUT", &key.path, answer),
            },
            Told::Refused => return,
            Told::Unknown => None,
        };
        let call = self.over(invoked, Action::Swap { expected, value, done });
        let version = if done == Some(true) { told.version() } else { None };
        key.record(Stamped { call, version, after: etag.as_deref().and_then(self::version) });
    }

    /// Has the store add one.
    fn add(&mut self, key: &Key) {
        let (invoked, told) = self.call(|http, node| http.add(node, &key.path));
        let sum = match told {
            Told::Answer(ref answer) => match number(&answer.body).filter(|_| answer.status == 200) {
                Some(sum) => Some(sum),
                None => return self.tally.strange("POST", &key.path, answer),
            },
            Told::Refused => return,
            Told::Unknown => None,
        };
        self.record(key, invoked, Action::Add { sum }, told.version());
    }

    fn record_read(&self, key: &Key, invoked: Duration, found: Option<&(u64, String)>) {
        let action = Action::Read { found: found.map(|(value, _)| *value) };
        self.record(key, invoked, action, found.and_then(|(_, etag)| version(etag)));
    }

    fn record(&self, key: &Key, invoked: Duration, action: Action, version: Option<Version>) {
        key.record(Stamped { call: self.over(invoked, action), version, after: None });
    }

    /// A call that is over now.
    fn over(&self, invoked: Duration, action: Action) -> Call {
        Call { invoked, returned: Some(self.load.stage.now()), action }
    }

    /// Calls a node by chance; a patient client tries again when it is refused.
    fn call(&mut self, send: impl Fn(&Http, SocketAddr) -> Result<Answer, CallError>) -> (Duration, Told) {
        let invoked = self.load.stage.now();
        loop {
            let told = self.try_once(&send);
            let now = self.load.stage.now();
            let took = now.saturating_sub(invoked);
            if matches!(told, Told::Refused) && self.load.patient && took < PATIENCE {
                thread::sleep(RETRY);
                continue;
            }
            self.tally.over(took, now, matches!(told, Told::Refused));
            self.load.stage.count_call();
            return (invoked, told);
        }
    }

    fn try_once(&mut self, send: impl Fn(&Http, SocketAddr) -> Result<Answer, CallError>) -> Told {
        let Some(node) = self.load.stage.doors.pick(&mut self.rng) else {
            return Told::Refused;
        };
        match send(&self.http, node) {
            Ok(answer) if answer.status == 503 => {
                self.tally.unavailable += 1;
                Told::Refused
            }
            Ok(answer) if answer.status == 504 => {
                self.tally.unknown += 1;
                Told::Unknown
            }
            Ok(answer) => Told::Answer(answer),
            Err(CallError::NotSent) => {
                self.tally.unreachable += 1;
                Told::Refused
            }
            Err(CallError::Lost) => {
                self.tally.broken += 1;
                Told::Unknown
            }
        }
    }
}

impl Told {
    fn version(&self) -> Option<Version> {
        match self {
            Self::Answer(answer) => version(answer.etag.as_deref()?),
            Self::Refused | Self::Unknown => None,
        }
    }
}

/// What a read found; an error if it is nothing that was ever written.
fn found(answer: &Answer) -> Result<Option<(u64, String)>, ()> {
    match answer.status {
        404 => Ok(None),
        200 => Ok(Some((number(&answer.body).ok_or(())?, answer.etag.clone().ok_or(())?))),
        _ => Err(()),
    }
}

fn number(body: &[u8]) -> Option<u64> {
    std::str::from_utf8(body).ok()?.trim_end().parse().ok()
}

/// An entity tag as a version: `"<time>-<node>"`, hexadecimal.
pub(super) fn version(etag: &str) -> Option<Version> {
    let (time, node) = etag.trim_matches('"').split_once('-')?;
    Some((u64::from_str_radix(time, 16).ok()?, u128::from_str_radix(node, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_tag_is_a_version() {
        assert_eq!(version("\"1a-ff\""), Some((0x1a, 0xff)));
        assert_eq!(version("\"x\""), None);
    }

    #[test]
    fn a_value_that_nobody_can_have_written_is_an_error() {
        let answer = |status, body: &str| Answer {
            status,
            etag: Some("\"1-2\"".to_owned()),
            body: body.as_bytes().to_vec(),
        };
        assert_eq!(found(&answer(200, "17")), Ok(Some((17, "\"1-2\"".to_owned()))));
        assert_eq!(found(&answer(404, "key not found")), Ok(None));
        assert_eq!(found(&answer(200, "17x")), Err(()));
        assert_eq!(found(&answer(500, "")), Err(()));
    }
}
