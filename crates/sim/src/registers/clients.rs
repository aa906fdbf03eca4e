//! Clients: each has one key, does one operation at a time at a random node, and notes what it was told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use boato_cluster::{self as cluster, Expiry, Failure, Guard, Operation, Outcome, Superseded};
use bytes::Bytes;
use fastrand::Rng;

use super::errand::Answered;
use super::keys::{Key, Role, decode};
use super::report::{Operations, Outcomes, Waits};
use crate::Host;
use crate::check::{Action, Call, Given, Stamped, Value, Version};

/// The longest pause of a client between two operations during a burst, in microseconds.
const BURST_THINK_US: u64 = 4_000;

/// For so long clients only write a key before it is deleted at last.
const CLOSING: Duration = Duration::from_secs(1);

/// All clients of a run, and their keys.
pub(super) struct Clients {
    pub(super) keys: Vec<Key>,
    each: Vec<Client>,
    /// When which client acts next.
    turns: BTreeSet<(Duration, usize)>,
    pending: BTreeMap<u64, Pending>,
    calls: u64,
    /// Mean pause of a client between two operations.
    think: Duration,
    rng: Rng,
    pub(super) operations: Operations,
    waits_us: Vec<u32>,
    unread: Option<Unread>,
    retired: bool,
}

#[derive(Clone, Default)]
struct Client {
    key: usize,
    /// What the key held when this client last knew it.
    seen: Option<Seen>,
    burst_until: Duration,
    /// When it acts next; `None`: it waits for an answer.
    turn: Option<Duration>,
}

/// A value and its version; `None`: there was none.
type Seen = Option<(Value, Version)>;

/// A call that is not answered yet.
struct Pending {
    /// `None`: one of the reads at the end.
    client: Option<usize>,
    key: usize,
    entry: Host,
    invoked: Duration,
    intent: Intent,
    /// Whether it is a delete after which nothing is to be written.
    deletes_last: bool,
}

#[derive(Clone, Copy)]
enum Intent {
    Get,
    Put(Value),
    Delete,
    Swap(Seen, Value),
    Add,
}

/// What an answer says about a key.
#[derive(Clone, Copy)]
struct Told {
    action: Action,
    version: Option<Version>,
}

impl Clients {
    /// `per_key` clients for each key, which all together do `rate` operations per second.
    pub(super) fn new(keys: Vec<Key>, per_key: usize, rate: f64, rng: Rng) -> Self {
        let clients: Vec<Client> = (0..keys.len() * per_key)
            .map(|client| Client { key: client / per_key, ..Client::default() })
            .collect();
        #[expect(clippy::cast_precision_loss, reason = "a handful of clients")]
        let think = Duration::from_secs_f64(clients.len() as f64 / rate);
        let mut all = Self {
            keys,
            each: clients,
            turns: BTreeSet::new(),
            pending: BTreeMap::new(),
            calls: 0,
            think,
            rng,
            operations: Operations::default(),
            waits_us: Vec::new(),
            unread: None,
            retired: false,
        };
        for index in 0..all.each.len() {
            let at = think.mul_f64(all.rng.f64());
            all.set_turn(index, at);
        }
        all
    }

    fn set_turn(&mut self, index: usize, at: Duration) {
        if let Some(old) = self.each[index].turn.replace(at) {
            self.turns.remove(&(old, index));
        }
        self.turns.insert((at, index));
    }

    /// When the next client acts.
    pub(super) fn next_turn(&self) -> Option<Duration> {
        self.turns.first().map(|turn| turn.0)
    }

    /// No client begins anything from now on.
    pub(super) fn retire(&mut self) {
        self.retired = true;
        self.turns.clear();
    }

    /// Where and when a call was made that is not answered yet.
    pub(super) fn invoked(&self, call: u64) -> Option<(Host, Duration)> {
        self.pending.get(&call).map(|pending| (pending.entry, pending.invoked))
    }

    /// The first call that is not answered yet.
    pub(super) fn first_pending(&self) -> Option<u64> {
        self.pending.first_key_value().map(|(call, _)| *call)
    }

    /// Whether every call has been answered.
    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    /// Keys that are deleted in the end soon are, when they have been written at many nodes.
    pub(super) fn close(&mut self, now: Duration) {
        for index in 0..self.keys.len() {
            if self.keys[index].deleted_last {
                self.keys[index].written_until = self.keys[index].written_until.min(now + CLOSING);
                self.burst(self.keys[index].slot, now, now + CLOSING / 10);
            }
        }
    }

    /// Lets the clients of the keys in a slot go without pauses for a while.
    pub(super) fn burst(&mut self, slot: u16, now: Duration, until: Duration) {
        for index in 0..self.each.len() {
            if self.keys[self.each[index].key].slot == slot {
                self.each[index].burst_until = until;
                if self.each[index].turn.is_some() {
                    self.set_turn(index, now);
                }
            }
        }
    }

    /// The operation of the client whose turn it is, to be carried out at `entry`: its number and itself.
    pub(super) fn act(&mut self, entry: Host, now: Duration) -> Option<(u64, Operation)> {
        let (_, index) = self.turns.pop_first()?;
        self.each[index].turn = None;
        let (intent, operation) = self.choose(index, now);
        Some((self.begin(Some(index), self.each[index].key, entry, now, intent), operation))
    }

    /// A read of a key for its own sake.
    pub(super) fn read(&mut self, key: usize, entry: Host, now: Duration) -> (u64, Operation) {
        let operation = Operation::get(self.keys[key].name.clone());
        (self.begin(None, key, entry, now, Intent::Get), operation)
    }

    fn begin(
        &mut self,
        client: Option<usize>,
        key: usize,
        entry: Host,
        invoked: Duration,
        intent: Intent,
    ) -> u64 {
        self.calls += 1;
        let deletes_last = matches!(intent, Intent::Delete) && invoked >= self.keys[key].written_until;
        self.pending.insert(self.calls, Pending { client, key, entry, invoked, intent, deletes_last });
        self.calls
    }

    fn choose(&mut self, index: usize, now: Duration) -> (Intent, Operation) {
        let Client { key, seen, .. } = self.each[index];
        let dice = self.rng.u8(..20);
        let key = &mut self.keys[key];
        let name = key.name.clone();
        let put = |key: &Key, value, guard, ttl_ms: Option<u64>| {
            let expiry = ttl_ms.map_or(Expiry::Never, Expiry::After);
            let (value, content_type) = (key.encode(value), Bytes::new());
            let action = cluster::Action::Put { value, content_type, expiry, guard, previous: false };
            Operation::on(key.name.clone(), action)
        };
        let guard = |seen: Seen| seen.map_or(Guard::Absent, |it| Guard::Is(vec![it.1]));
        match (key.role, seen) {
            _ if now >= key.written_until && std::mem::take(&mut key.deleted_last) => {
                (Intent::Delete, Operation::on(name, cluster::Action::DELETE))
            }
            _ if now >= key.written_until => (Intent::Get, Operation::get(name)),
            _ if key.deleted_last && now + CLOSING >= key.written_until => {
                key.writes += 1;
                (Intent::Put(key.writes), put(key, key.writes, Guard::Always, None))
            }
            (Role::Counter, Some(seen)) => {
                let value = seen.map_or(0, |(value, _)| value) + 1;
                (Intent::Swap(seen, value), put(key, value, guard(seen), None))
            }
            (Role::Sum, _) if dice < 14 => {
                (Intent::Add, Operation::on(name, cluster::Action::Add { by: 1, ttl_ms: None }))
            }
            (Role::Mixed, Some(seen)) if dice < 4 => {
                key.writes += 1;
                (Intent::Swap(seen, key.writes), put(key, key.writes, guard(seen), None))
            }
            (Role::Mixed, _) if dice < 9 => (Intent::Delete, Operation::on(name, cluster::Action::DELETE)),
            (Role::Plain | Role::Mixed | Role::Expiring(_), _) if dice < 14 => {
                key.writes += 1;
                let ttl_ms = match key.role {
                    Role::Expiring(ttl) => u64::try_from(ttl.as_millis()).ok(),
                    _ => None,
                };
                (Intent::Put(key.writes), put(key, key.writes, Guard::Always, ttl_ms))
            }
            _ => (Intent::Get, Operation::get(name)),
        }
    }

    /// A call was answered.
    pub(super) fn answered(&mut self, call: u64, result: &Answered, now: Duration) {
        let Some(pending) = self.pending.remove(&call) else { return };
        let told = pending.intent.told(result);
        self.count(&pending, result, now);
        if let Some(Told { action, version }) = told {
            let unknown = matches!(result, Err(Failure::OutcomeUnknown));
            let returned = (!unknown).then_some(now);
            let call = Call { invoked: pending.invoked, returned, action };
            let after = match pending.intent {
                Intent::Swap(seen, _) => seen.map(|(_, version)| version),
                Intent::Get | Intent::Put(_) | Intent::Delete | Intent::Add => None,
            };
            self.keys[pending.key].calls.push(Stamped { call, version, after });
        }
        // The last delete counts where there was something to delete.
        let nothing = !matches!(told, Some(Told { action: Action::Delete { existed: Some(true) }, .. }));
        if pending.deletes_last && nothing {
            self.keys[pending.key].deleted_last = true;
        }
        if let Some(index) = pending.client {
            self.each[index].seen = told.and_then(Told::seen);
            self.rest(index, now);
        } else if told.is_none() {
            self.unread = Some(self.unread_of(&pending, format!("{result:?}")));
        }
    }

    fn unread_of(&self, pending: &Pending, answer: String) -> Unread {
        let key = String::from_utf8_lossy(&self.keys[pending.key].name).into_owned();
        Unread { key, host: pending.entry.0, answer }
    }

    /// What merges gave up of all keys, as far as it counts.
    pub(super) fn given_up(&self) -> u64 {
        self.keys.iter().flat_map(|key| &key.given).map(|given| u64::from(given.counted)).sum()
    }

    /// Merges gave up values, of whatever keys.
    pub(super) fn superseded(&mut self, superseded: Vec<Superseded>) {
        for Superseded { key, kept, gone, sent, winner, loser, again } in superseded {
            if let Some(known) = self.keys.iter_mut().find(|known| known.name == key) {
                known.given.push(Given { kept, gone, sent, merge: (winner, loser), counted: !again });
            }
        }
    }

    /// One of the reads at the end that told nothing.
    pub(super) fn unread(&self) -> Option<Unread> {
        let silent = || self.pending.values().next().map(|it| self.unread_of(it, "no answer".to_owned()));
        self.unread.clone().or_else(silent)
    }

    /// A node has ended: the outcome of what was asked of it is unknown.
    pub(super) fn entry_gone(&mut self, entry: Host, now: Duration) {
        let gone: Vec<u64> = self
            .pending
            .iter()
            .filter(|(_, pending)| pending.entry == entry)
            .map(|(call, _)| *call)
            .collect();
        for call in gone {
            self.answered(call, &Err(Failure::OutcomeUnknown), now);
        }
    }

    /// Lets a client pause before its next operation.
    fn rest(&mut self, index: usize, now: Duration) {
        if self.retired {
            return;
        }
        let burst = self.each[index].burst_until > now;
        let pause = if burst {
            Duration::from_micros(self.rng.u64(..BURST_THINK_US))
        } else {
            2 * self.think.mul_f64(self.rng.f64())
        };
        self.set_turn(index, now + pause);
    }

    fn count(&mut self, pending: &Pending, result: &Answered, now: Duration) {
        let kind: &mut Outcomes = match pending.intent {
            Intent::Get => &mut self.operations.get,
            Intent::Put(_) => &mut self.operations.put,
            Intent::Delete => &mut self.operations.delete,
            Intent::Swap(..) => &mut self.operations.swap,
            Intent::Add => &mut self.operations.add,
        };
        match result {
            Ok((Outcome::Refused { .. }, _)) => kind.refused += 1,
            Ok(_) => kind.done += 1,
            Err(Failure::OutcomeUnknown) => kind.unknown += 1,
            Err(_) => kind.unavailable += 1,
        }
        if result.is_ok() {
            let wait = now.saturating_sub(pending.invoked);
            self.waits_us.push(u32::try_from(wait.as_micros()).unwrap_or(u32::MAX));
        }
    }

    /// How long acknowledged operations took.
    pub(super) fn waits(&mut self) -> Waits {
        self.waits_us.sort_unstable();
        let at = |percent: usize| {
            let rank = (self.waits_us.len() * percent).div_ceil(100).max(1);
            self.waits_us.get(rank - 1).map(|&us| Duration::from_micros(us.into()))
        };
        Waits { p50: at(50), p99: at(99), max: at(100) }
    }
}

/// One of the reads at the end that told nothing: its key, the host asked, the answer.
#[derive(Clone)]
pub(super) struct Unread {
    pub(super) key: String,
    pub(super) host: u32,
    pub(super) answer: String,
}

impl Intent {
    /// What an answer to this says; `None`: nothing, or that it was certainly not applied.
    fn told(self, result: &Answered) -> Option<Told> {
        let outcome = match result {
            Ok((outcome, _)) => Some(outcome),
            Err(Failure::OutcomeUnknown) => None,
            Err(_) => return None,
        };
        let version = match outcome {
            Some(
                Outcome::Created(version)
                | Outcome::Replaced { version, .. }
                | Outcome::Deleted { version, .. }
                | Outcome::Value { version, .. }
                | Outcome::Integer { version, .. },
            ) => Some(*version),
            _ => None,
        };
        let expected = match self {
            Self::Swap(seen, _) => seen.map(|(value, _)| value),
            Self::Get | Self::Put(_) | Self::Delete | Self::Add => None,
        };
        let action = match (self, outcome) {
            (Self::Get, Some(Outcome::Value { value, .. })) => Action::Read { found: Some(decode(value)) },
            (Self::Get, Some(Outcome::Missing)) => Action::Read { found: None },
            (Self::Put(value), Some(Outcome::Created(_))) => Action::Write { value, replaced: Some(false) },
            (Self::Put(value), Some(Outcome::Replaced { .. })) => {
                Action::Write { value, replaced: Some(true) }
            }
            (Self::Put(value), None) => Action::Write { value, replaced: None },
            (Self::Delete, Some(Outcome::Deleted { .. })) => Action::Delete { existed: Some(true) },
            (Self::Delete, Some(Outcome::Missing)) => Action::Delete { existed: Some(false) },
            (Self::Delete, None) => Action::Delete { existed: None },
            (Self::Swap(_, value), Some(Outcome::Created(_) | Outcome::Replaced { .. })) => {
                Action::Swap { expected, value, done: Some(true) }
            }
            (Self::Swap(_, value), Some(Outcome::Refused { .. })) => {
                Action::Swap { expected, value, done: Some(false) }
            }
            (Self::Swap(_, value), None) => Action::Swap { expected, value, done: None },
            // A sum that is no count is none that was begun.
            (Self::Add, Some(Outcome::Integer { value, .. })) => {
                Action::Add { sum: Some(Value::try_from(*value).unwrap_or(Value::MAX)) }
            }
            (Self::Add, None) => Action::Add { sum: None },
            _ => return None,
        };
        Some(Told { action, version })
    }
}

impl Told {
    /// What the key held when this was told; `None`: unknown.
    fn seen(self) -> Option<Seen> {
        match (self.action, self.version) {
            (
                Action::Read { found: Some(value) }
                | Action::Write { value, .. }
                | Action::Swap { value, done: Some(true), .. },
                Some(version),
            ) => Some(Some((value, version))),
            (Action::Read { found: None } | Action::Delete { existed: Some(_) }, _) => Some(None),
            _ => None,
        }
    }
}
