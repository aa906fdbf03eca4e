//! A backend of one node in a map, with keys that behave on request: `cluster/...` is answered by another
//! node, `busy/...`, `unknown/...`, `full/...` and `large/...` fail, `never/...` is not answered at all.

use std::collections::BTreeMap;
use std::future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use boato_api::{
    Action, Backend, Command, Condition, Declined, Event, Expiry, Failure, KeysPage, KeysQuery, Load, Logged,
    MemberInfo, Membership, Outcome, Owner, Readiness, Reply, ScanPage, ScanQuery, Shown, SlotMap, SlotRun,
    Source, Status, Topology, Transaction, Version,
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::broadcast;

use crate::membership::Member;

#[derive(Clone)]
struct Entry {
    value: Bytes,
    content_type: Bytes,
    version: Version,
    expires: Option<Instant>,
}

pub(crate) struct Memory {
    entries: Mutex<BTreeMap<Vec<u8>, Entry>>,
    clock: AtomicU64,
    /// Operations that were answered.
    pub(crate) answered: AtomicU64,
    pub(crate) ready: AtomicBool,
    pub(crate) left: AtomicBool,
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) log: broadcast::Sender<Logged>,
    pub(crate) member: Member,
}

impl Memory {
    pub(crate) fn new() -> Arc<Memory> {
        Arc::new(Memory {
            entries: Mutex::default(),
            clock: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            ready: AtomicBool::new(true),
            left: AtomicBool::new(false),
            events: broadcast::channel(16).0,
            log: broadcast::channel(16).0,
            member: Member::default(),
        })
    }

    fn tick(&self) -> Version {
        Version { hlc: self.clock.fetch_add(1, Relaxed) + 1, node: 0xb0a }
    }

    fn apply(&self, command: &Command<'_>) -> Outcome {
        self.answered.fetch_add(1, Relaxed);
        let mut entries = self.entries.lock().unwrap();
        entries.retain(|_, entry| entry.expires.is_none_or(|at| at > Instant::now()));
        let key = command.key;
        match &command.action {
            Action::Get => entries.get(key).map_or(Outcome::Missing, |entry| Outcome::Value {
                value: entry.value.clone(),
                content_type: entry.content_type.clone(),
                version: entry.version,
                ttl_left: entry.expires.map(|at| at - Instant::now()),
            }),
            Action::Put { value, content_type, expiry, condition, .. } => {
                let current = entries.get(key).map(|entry| entry.version);
                if !holds(condition, current) {
                    return Outcome::Refused { version: current, previous: None };
                }
                let version = self.tick();
                let expires = match expiry {
                    Expiry::After(ttl) => Some(Instant::now() + *ttl),
                    _ => None,
                };
                let entry = Entry {
                    value: Bytes::copy_from_slice(value),
                    content_type: Bytes::copy_from_slice(content_type),
                    version,
                    expires,
                };
                entries.insert(key.to_vec(), entry);
                match current {
                    Some(_) => Outcome::Replaced { version, previous: None },
                    None => Outcome::Created(version),
                }
            }
            Action::Delete { condition, .. } => {
                let current = entries.get(key).map(|entry| entry.version);
                if !holds(condition, current) {
                    return Outcome::Refused { version: current, previous: None };
                }
                match entries.remove(key) {
                    Some(_) => Outcome::Deleted { version: self.tick(), previous: None },
                    None => Outcome::Missing,
                }
            }
            Action::Add { by, ttl } => self.add(&mut entries, key, *by, *ttl),
            other => panic!("the HTTP door asks for {other:?}"),
        }
    }

    fn add(
        &self,
        entries: &mut BTreeMap<Vec<u8>, Entry>,
        key: &[u8],
        by: i64,
        ttl: Option<Duration>,
    ) -> Outcome {
        let new = Entry {
            value: "0".into(),
            content_type: Bytes::new(),
            version: self.tick(),
            expires: ttl.map(|ttl| Instant::now() + ttl),
        };
        let mut entry = entries.get(key).cloned().unwrap_or(new);
        let Some(old) = std::str::from_utf8(&entry.value).ok().and_then(|text| text.parse::<i64>().ok())
        else {
            return Outcome::NotAnInteger;
        };
        let Some(value) = old.checked_add(by) else { return Outcome::Overflow };
        entry.value = value.to_string().into();
        entry.version = self.tick();
        let version = entry.version;
        entries.insert(key.to_vec(), entry);
        Outcome::Integer { value, version }
    }
}

fn reply(source: Source, holder: &str, outcome: Outcome) -> Reply {
    Reply { source, holder: holder.into(), outcome }
}

fn holds(condition: &Condition<'_>, current: Option<Version>) -> bool {
    match condition {
        Condition::Always => true,
        Condition::Absent => current.is_none(),
        Condition::Present => current.is_some(),
        Condition::Is(versions) => current.is_some_and(|current| versions.contains(&current)),
        Condition::IsNot(versions) => current.is_none_or(|current| !versions.contains(&current)),
        Condition::ValueIs(_) => panic!("the HTTP door compares versions"),
    }
}

/// The part of a key that says how it behaves.
fn kind<'a>(command: &Command<'a>) -> &'a [u8] {
    command.key.split(|b| *b == b'/').next().unwrap()
}

impl Backend for Memory {
    fn try_execute(&self, command: &Command<'_>, _: u64) -> Option<Result<Outcome, Failure>> {
        match kind(command) {
            b"cluster" | b"busy" | b"unknown" | b"full" | b"never" => None,
            b"large" => Some(Err(Failure::TooLarge { limit: 5 })),
            _ => Some(Ok(self.apply(command))),
        }
    }

    fn execute_all(&self, commands: &[Command<'_>]) -> BoxFuture<'static, Vec<Result<Reply, Failure>>> {
        let result = |command: &Command<'_>| match kind(command) {
            b"cluster" => Some(Ok(reply(Source::Cluster, "another", self.apply(command)))),
            b"busy" => Some(Err(Failure::Unavailable {
                reason: "the slot is moving".into(),
                retry_after: Duration::from_millis(1500),
            })),
            b"unknown" => Some(Err(Failure::OutcomeUnknown)),
            b"full" => Some(Ok(reply(Source::Cluster, "another", Outcome::Full))),
            _ => {
                let result = self.try_execute(command, 0);
                result.map(|result| result.map(|outcome| reply(Source::Local, "this one", outcome)))
            }
        };
        let results: Option<Vec<_>> = commands.iter().map(result).collect();
        Box::pin(async {
            tokio::task::yield_now().await;
            match results {
                Some(results) => results,
                None => future::pending().await,
            }
        })
    }

    fn read(&self, _: &[u8], _: u64, _: &mut dyn FnMut(Option<boato_api::Entry<'_>>)) -> bool {
        false
    }

    fn show(&self, key: &[u8], found: &mut dyn FnMut(&str, Option<Shown<'_>>) -> bool) -> bool {
        let command = Command { key, action: Action::Get };
        if matches!(kind(&command), b"cluster" | b"busy" | b"unknown" | b"full" | b"never" | b"large") {
            return false;
        }
        let entries = self.entries.lock().unwrap();
        let now = Instant::now();
        let entry = entries.get(key).filter(|entry| entry.expires.is_none_or(|at| at > now));
        let answered = found(
            "this one",
            entry.map(|entry| Shown {
                entry: boato_api::Entry {
                    value: &entry.value,
                    content_type: &entry.content_type,
                    ttl_left: entry.expires.map(|at| at - now),
                },
                version: entry.version,
            }),
        );
        self.answered.fetch_add(answered.into(), Relaxed);
        answered
    }

    fn transact(
        &self,
        _: Transaction<'_>,
    ) -> BoxFuture<'static, Result<Option<Vec<Result<Outcome, Failure>>>, Failure>> {
        panic!("the HTTP door has no transactions")
    }

    fn scan(&self, _: ScanQuery<'_>) -> BoxFuture<'static, Result<ScanPage, Failure>> {
        panic!("the HTTP door lists keys by prefix")
    }

    fn count(&self, _: Option<u16>) -> BoxFuture<'static, Result<u64, Failure>> {
        panic!("the HTTP door does not count")
    }

    fn flush(&self) -> BoxFuture<'static, Result<u64, Failure>> {
        panic!("the HTTP door does not flush")
    }

    fn slot(&self, _: &[u8]) -> u16 {
        0
    }

    fn redirect(&self, _: u16) -> Option<SocketAddr> {
        None
    }

    fn topology(&self) -> Arc<Topology> {
        Arc::default()
    }

    fn readiness(&self) -> Readiness {
        if self.ready.load(Relaxed) {
            return Readiness::Ready;
        }
        Readiness::Unready { reason: "joining".into() }
    }

    fn status(&self) -> Status {
        Status {
            id: "b0a".into(),
            name: "this one".into(),
            cluster: "test".into(),
            version: "0".into(),
            ready: true,
            reason: None,
            uptime_s: 1,
            quic: "127.0.0.1:7400".into(),
            http: "127.0.0.1:7480".into(),
            resp: None,
            resp_cluster: None,
            members: 1,
            slots: 16384,
            entries: 0,
            expired: 0,
            bytes: 0,
            max_memory: None,
            moving: None,
        }
    }

    fn membership(&self) -> Option<&dyn Membership> {
        Some(&self.member)
    }

    fn members(&self) -> BoxFuture<'static, Vec<MemberInfo>> {
        let member = MemberInfo {
            id: "b0a".into(),
            name: "this one".into(),
            state: "alive",
            quic: "127.0.0.1:7400".into(),
            http: Some("127.0.0.1:7480".into()),
            resp: None,
            resp_cluster: None,
            weight: 1,
            version: "0".into(),
            tags: BTreeMap::new(),
            load: Some(Load { slots: 16384, bytes: 0 }),
        };
        Box::pin(future::ready(vec![member]))
    }

    fn slots(&self) -> BoxFuture<'static, SlotMap> {
        let run = SlotRun { from: 0, to: 16383, holder: Some("this one".into()), state: "held" };
        Box::pin(future::ready(SlotMap { lost: 0, silent: Vec::new(), runs: vec![run] }))
    }

    fn owner(&self, key: &[u8]) -> Owner {
        Owner { slot: u16::try_from(key.len()).unwrap(), owner: Some("this one".into()) }
    }

    fn keys(&self, query: KeysQuery<'_>) -> BoxFuture<'static, Result<KeysPage, Failure>> {
        let start: usize = query.cursor.map_or(0, |cursor| cursor.parse().unwrap());
        let entries = self.entries.lock().unwrap();
        let mut matching = entries.keys().filter(|key| key.starts_with(query.prefix)).skip(start);
        let keys: Vec<Bytes> = matching.by_ref().take(query.limit).cloned().map(Bytes::from).collect();
        let cursor = matching.next().map(|_| (start + query.limit).to_string());
        Box::pin(future::ready(Ok(KeysPage { keys, cursor })))
    }

    fn events(&self) -> (Vec<Event>, BoxStream<'static, Event>) {
        let data = serde_json::json!({ "name": "before" });
        let next = stream::unfold(self.events.subscribe(), |mut events| async {
            events.recv().await.ok().map(|event| (event, events))
        });
        (vec![Event { id: 3, kind: "joined".into(), data }], next.boxed())
    }

    fn log(&self, filter: &str) -> Result<BoxStream<'static, Logged>, Declined> {
        match filter {
            "debug,a=info" => {}
            "none" => return Err(Declined::Unknown("no log".to_owned())),
            _ => return Err(Declined::Invalid(filter.to_owned())),
        }
        let next = stream::unfold(self.log.subscribe(), |mut records| async {
            records.recv().await.ok().map(|record| (record, records))
        });
        Ok(next.boxed())
    }

    fn leave(&self) -> Result<(), Failure> {
        self.left.store(true, Relaxed);
        Ok(())
    }
}
