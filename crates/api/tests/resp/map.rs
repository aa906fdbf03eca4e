//! A complete backend of one node in a map. Keys that begin with `far/` are held elsewhere, so they are answered only
//! through `execute_all` and `transact`; those of `flip/` are held here every other time only; those of `busy/`, `lost/`
//! and `full/` fail.

use std::collections::BTreeMap;
use std::future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use boato_api::{
    Action, Backend, Command, Entry, Event, Failure, KeysPage, KeysQuery, MemberInfo, Operations, Outcome,
    Owner, Readiness, Reply, ScanPage, ScanQuery, SlotMap, Source, Status, Topology, TopologyNode,
    Transaction, Version,
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};

use crate::glob;
use crate::value::{self, Value};

/// The largest value it takes.
pub(crate) const VALUE_BYTES_MAX: u64 = 8 << 20;

/// Slots of the node that is not this one, in its topology.
pub(crate) const ELSEWHERE: std::ops::RangeInclusive<u16> = 16000..=16383;

pub(crate) type Values = BTreeMap<Vec<u8>, Value>;

pub(crate) struct Map {
    values: Mutex<Values>,
    clock: AtomicU64,
    topology: Arc<Topology>,
    /// How often `execute_all` was called, and with how many commands in all.
    pub(crate) batches: AtomicUsize,
    pub(crate) commands: AtomicUsize,
    /// How many keys were told of by `read_all`.
    pub(crate) told: AtomicUsize,
    /// Whoever holds it delays answers from elsewhere.
    pub(crate) away: Arc<tokio::sync::Mutex<()>>,
    /// How often a key of `flip/` was asked for.
    flips: AtomicUsize,
}

impl Map {
    pub(crate) fn new() -> Arc<Map> {
        let node = |id: &str, port: u16| TopologyNode {
            id: id.repeat(40),
            name: id.into(),
            addr: ([127, 0, 0, 1], port).into(),
            me: id == "a",
        };
        let nodes = vec![node("a", 7001), node("b", 7002)];
        let runs = vec![(0, ELSEWHERE.start() - 1, 0), (*ELSEWHERE.start(), *ELSEWHERE.end(), 1)];
        Arc::new(Map {
            values: Mutex::default(),
            clock: AtomicU64::new(0),
            topology: Arc::new(Topology { epoch: 7, nodes, runs }),
            batches: AtomicUsize::new(0),
            commands: AtomicUsize::new(0),
            told: AtomicUsize::new(0),
            away: Arc::default(),
            flips: AtomicUsize::new(0),
        })
    }

    fn tick(&self) -> Version {
        Version { hlc: self.clock.fetch_add(1, Relaxed) + 1, node: 0xa }
    }

    /// All values that have not expired.
    fn values(&self) -> MutexGuard<'_, Values> {
        let mut values = self.values.lock().unwrap();
        let now = now_ms();
        values.retain(|_, value| value.expires_at_ms.is_none_or(|at| at > now));
        values
    }

    fn apply(&self, command: &Command<'_>) -> Result<Outcome, Failure> {
        match folder(command.key) {
            b"busy" => Err(Failure::Unavailable {
                reason: "the slot is moving".into(),
                retry_after: Duration::from_secs(1),
            }),
            b"lost" => Err(Failure::OutcomeUnknown),
            b"full" if command.action != Action::Get => Ok(Outcome::Full),
            _ => value::apply(&mut self.values(), command, self.tick()),
        }
    }

    fn is_here(&self, key: &[u8]) -> bool {
        match folder(key) {
            b"far" | b"busy" | b"lost" | b"full" => false,
            b"flip" => self.flips.fetch_add(1, Relaxed) % 2 == 1,
            _ => true,
        }
    }

    fn reply(&self, command: &Command<'_>, source: Source) -> Result<Reply, Failure> {
        self.apply(command).map(|outcome| Reply { source, holder: "a".into(), outcome })
    }
}

/// The part of a key that says how it behaves.
fn folder(key: &[u8]) -> &[u8] {
    let key = key.strip_prefix(b"{").unwrap_or(key);
    key.split(|byte| *byte == b'/').next().unwrap()
}

fn entry(value: &Value) -> Entry<'_> {
    Entry { value: &value.bytes, content_type: b"", ttl_left: value.ttl_left() }
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

/// CRC16-XMODEM of the key or its tag, bit by bit.
pub(crate) fn slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        rest.iter().position(|byte| *byte == b'}').filter(|close| *close > 0).map(|close| &rest[..close])
    });
    let crc = tag.unwrap_or(key).iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| crc << 1 ^ if crc >> 15 == 1 { 0x1021 } else { 0 })
    });
    crc % 16384
}

impl Backend for Map {
    fn try_execute(&self, command: &Command<'_>, _: u64) -> Option<Result<Outcome, Failure>> {
        self.is_here(command.key).then(|| self.apply(command))
    }

    fn execute_all(&self, commands: &[Command<'_>]) -> BoxFuture<'static, Vec<Result<Reply, Failure>>> {
        self.batches.fetch_add(1, Relaxed);
        self.commands.fetch_add(commands.len(), Relaxed);
        let results = commands.iter().map(|command| self.reply(command, Source::Cluster)).collect();
        let away = Arc::clone(&self.away);
        Box::pin(async move {
            tokio::task::yield_now().await;
            drop(away.lock().await);
            results
        })
    }

    fn read(&self, key: &[u8], _: u64, found: &mut dyn FnMut(Option<Entry<'_>>)) -> bool {
        let here = self.is_here(key);
        if here {
            found(self.values().get(key).map(entry));
        }
        here
    }

    fn read_all(&self, keys: &[&[u8]], _: u64, found: &mut dyn FnMut(Option<Entry<'_>>) -> bool) -> bool {
        let values = self.values();
        keys.iter().all(|key| {
            self.is_here(key) && {
                self.told.fetch_add(1, Relaxed);
                found(values.get(*key).map(entry))
            }
        })
    }

    fn write_all<'a>(
        &self,
        count: usize,
        write: &dyn Fn(usize) -> Command<'a>,
        _: u64,
        done: &mut dyn FnMut(Result<Outcome, Failure>),
    ) -> bool {
        let first = write(0);
        let together = (1..count).all(|place| slot(write(place).key) == slot(first.key));
        let here = together && self.is_here(first.key);
        (0..count).filter(|_| here).for_each(|place| done(self.apply(&write(place))));
        here
    }

    fn transact(
        &self,
        transaction: Transaction<'_>,
    ) -> BoxFuture<'static, Result<Option<Vec<Result<Outcome, Failure>>>, Failure>> {
        let keys = transaction.watched.iter().map(|(key, _)| *key);
        let mut slots = keys.chain(transaction.commands.iter().map(|command| command.key)).map(slot);
        let first = slots.next();
        if slots.any(|other| Some(other) != first) {
            return Box::pin(future::ready(Err(Failure::CrossSlot)));
        }
        let current = |key: &[u8]| self.values().get(key).map(|value| value.version);
        let unchanged = transaction.watched.iter().all(|(key, version)| current(key) == *version);
        let outcomes =
            unchanged.then(|| transaction.commands.iter().map(|command| self.apply(command)).collect());
        Box::pin(future::ready(Ok(outcomes)))
    }

    fn scan(&self, query: ScanQuery<'_>) -> BoxFuture<'static, Result<ScanPage, Failure>> {
        let wanted = |key: &[u8]| {
            let slot = slot(key);
            query.pattern.is_none_or(|pattern| glob::matches(pattern, key, false))
                && query.slot.is_none_or(|only| only == slot)
                && !(query.mine && ELSEWHERE.contains(&slot))
        };
        let start = usize::try_from(query.cursor).unwrap_or(usize::MAX);
        let values = self.values();
        let page = values.keys().skip(start).take(query.count);
        let keys = page.filter(|key| wanted(key)).cloned().map(Bytes::from).collect();
        let end = start.saturating_add(query.count);
        let cursor = if end < values.len() { end as u64 } else { 0 };
        Box::pin(future::ready(Ok(ScanPage { keys, cursor })))
    }

    fn count(&self, only: Option<u16>) -> BoxFuture<'static, Result<u64, Failure>> {
        let values = self.values();
        let count = values.keys().filter(|key| only.is_none_or(|only| only == slot(key))).count();
        let away = Arc::clone(&self.away);
        Box::pin(async move {
            drop(away.lock().await);
            Ok(count as u64)
        })
    }

    fn flush(&self) -> BoxFuture<'static, Result<u64, Failure>> {
        let values = std::mem::take(&mut *self.values());
        Box::pin(future::ready(Ok(values.len() as u64)))
    }

    fn slot(&self, key: &[u8]) -> u16 {
        slot(key)
    }

    fn redirect(&self, slot: u16) -> Option<SocketAddr> {
        ELSEWHERE.contains(&slot).then(|| self.topology.nodes[1].addr)
    }

    fn topology(&self) -> Arc<Topology> {
        Arc::clone(&self.topology)
    }

    fn readiness(&self) -> Readiness {
        Readiness::Ready
    }

    fn status(&self) -> Status {
        Status { ready: true, entries: self.values().len() as u64, expired: 3, ..Status::default() }
    }

    fn operations(&self) -> Operations {
        Operations { hits: 7, misses: 5, ..Operations::default() }
    }

    fn members(&self) -> BoxFuture<'static, Vec<MemberInfo>> {
        panic!("a RESP door asks for no members")
    }

    fn slots(&self) -> BoxFuture<'static, SlotMap> {
        panic!("a RESP door asks for the topology")
    }

    fn owner(&self, _: &[u8]) -> Owner {
        panic!("a RESP door asks for redirections")
    }

    fn keys(&self, _: KeysQuery<'_>) -> BoxFuture<'static, Result<KeysPage, Failure>> {
        panic!("a RESP door scans")
    }

    fn events(&self) -> (Vec<Event>, BoxStream<'static, Event>) {
        (Vec::new(), Box::pin(stream::empty()))
    }

    fn leave(&self) -> Result<(), Failure> {
        panic!("a RESP door has no such command")
    }
}
