//! A backend of one node in a map, with keys that behave on request: `cluster/...` is answered by another
//! node, `busy/...`, `unknown/...`, `full/...` and `large/...` fail, `never/...` is not answered at all.

use std::collections::BTreeMap;
use std::future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use boato_api::{
    Backend, Command, Condition, Event, Execution, Failure, KeysPage, KeysQuery, Load, MemberInfo, Outcome,
    Owner, Readiness, Reply, SlotMap, SlotRun, Source, Status, Version,
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::broadcast;

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
    pub(crate) ready: AtomicBool,
    pub(crate) left: AtomicBool,
    pub(crate) events: broadcast::Sender<Event>,
}

impl Memory {
    pub(crate) fn new() -> Arc<Memory> {
        Arc::new(Memory {
            entries: Mutex::default(),
            clock: AtomicU64::new(0),
            ready: AtomicBool::new(true),
            left: AtomicBool::new(false),
            events: broadcast::channel(16).0,
        })
    }

    fn tick(&self) -> Version {
        Version { hlc: self.clock.fetch_add(1, Relaxed) + 1, node: 0xb0a }
    }

    fn apply(&self, command: Command<'_>) -> Outcome {
        let mut entries = self.entries.lock().unwrap();
        entries.retain(|_, entry| entry.expires.is_none_or(|at| at > Instant::now()));
        match command {
            Command::Get { key } => entries.get(key).map_or(Outcome::Missing, |entry| Outcome::Value {
                value: entry.value.clone(),
                content_type: entry.content_type.clone(),
                version: entry.version,
                ttl_left: entry.expires.map(|at| at - Instant::now()),
            }),
            Command::Put { key, value, content_type, ttl, condition } => {
                let current = entries.get(key).map(|entry| entry.version);
                if !holds(&condition, current) {
                    return Outcome::Refused(current);
                }
                let version = self.tick();
                let entry = Entry {
                    value: Bytes::copy_from_slice(value),
                    content_type: Bytes::copy_from_slice(content_type),
                    version,
                    expires: ttl.map(|ttl| Instant::now() + ttl),
                };
                entries.insert(key.to_vec(), entry);
                if current.is_some() { Outcome::Replaced(version) } else { Outcome::Created(version) }
            }
            Command::Delete { key, condition } => {
                let current = entries.get(key).map(|entry| entry.version);
                if !holds(&condition, current) {
                    return Outcome::Refused(current);
                }
                if entries.remove(key).is_some() { Outcome::Deleted } else { Outcome::Missing }
            }
        }
    }
}

fn holds(condition: &Condition, current: Option<Version>) -> bool {
    match condition {
        Condition::Always => true,
        Condition::Absent => current.is_none(),
        Condition::Present => current.is_some(),
        Condition::Is(versions) => current.is_some_and(|current| versions.contains(&current)),
        Condition::IsNot(versions) => current.is_none_or(|current| !versions.contains(&current)),
    }
}

fn key_of<'a>(command: &Command<'a>) -> &'a [u8] {
    match command {
        Command::Get { key } | Command::Put { key, .. } | Command::Delete { key, .. } => key,
    }
}

impl Backend for Memory {
    fn execute(&self, command: Command<'_>) -> Execution {
        let later = |result| {
            Execution::Pending(Box::pin(async {
                tokio::task::yield_now().await;
                result
            }))
        };
        let reply = |source, holder: &str, outcome| Ok(Reply { source, holder: holder.into(), outcome });
        let key = key_of(&command);
        match key.split(|b| *b == b'/').next().unwrap() {
            b"cluster" => later(reply(Source::Cluster, "another", self.apply(command))),
            b"busy" => later(Err(Failure::Unavailable {
                reason: "the slot is moving".into(),
                retry_after: Duration::from_millis(1500),
            })),
            b"unknown" => later(Err(Failure::OutcomeUnknown)),
            b"full" => later(reply(Source::Cluster, "another", Outcome::Full)),
            b"large" => Execution::Ready(Err(Failure::TooLarge { limit: 5 })),
            b"never" => Execution::Pending(Box::pin(future::pending())),
            _ => Execution::Ready(reply(Source::Local, "this one", self.apply(command))),
        }
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
            members: 1,
            slots: 16384,
            entries: 0,
            bytes: 0,
            max_memory: None,
            moving: None,
        }
    }

    fn members(&self) -> BoxFuture<'static, Vec<MemberInfo>> {
        let member = MemberInfo {
            id: "b0a".into(),
            name: "this one".into(),
            state: "alive",
            quic: "127.0.0.1:7400".into(),
            http: Some("127.0.0.1:7480".into()),
            weight: 1,
            version: "0".into(),
            load: Some(Load { slots: 16384, bytes: 0 }),
        };
        Box::pin(future::ready(vec![member]))
    }

    fn slots(&self) -> BoxFuture<'static, SlotMap> {
        let run = SlotRun { from: 0, to: 16383, holder: Some("this one".into()), state: "held" };
        Box::pin(future::ready(SlotMap { lost: 0, runs: vec![run] }))
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

    fn events(&self) -> BoxStream<'static, Event> {
        stream::unfold(self.events.subscribe(), |mut events| async {
            events.recv().await.ok().map(|event| (event, events))
        })
        .boxed()
    }

    fn leave(&self) -> Result<(), Failure> {
        self.left.store(true, Relaxed);
        Ok(())
    }
}
