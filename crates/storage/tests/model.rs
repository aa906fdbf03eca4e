//! Random operations against a plain ordered map.

use std::collections::BTreeMap;

use boato_storage::{
    Clock, Condition, Config, Delete, Entries, EntryRef, Put, Store, Value, Version, Writer,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

const NODE: u128 = 1 << 100;

/// What the model keeps under a key.
#[derive(Clone, Debug, PartialEq)]
struct Stored {
    value: Vec<u8>,
    content_type: Vec<u8>,
    version: Version,
    expires_at_ms: Option<u64>,
    tombstone: bool,
}

impl Stored {
    fn due(&self, now_ms: u64) -> bool {
        self.expires_at_ms.is_some_and(|at| at <= now_ms)
    }

    fn live(&self, now_ms: u64) -> bool {
        !self.tombstone && !self.due(now_ms)
    }

    fn entry<'a>(&'a self, key: &'a [u8]) -> EntryRef<'a> {
        let Self { value, content_type, version, expires_at_ms, tombstone } = self;
        EntryRef {
            key,
            value,
            content_type,
            version: *version,
            expires_at_ms: *expires_at_ms,
            tombstone: *tombstone,
        }
    }
}

impl From<EntryRef<'_>> for Stored {
    fn from(entry: EntryRef<'_>) -> Self {
        Self {
            value: entry.value.into(),
            content_type: entry.content_type.into(),
            version: entry.version,
            expires_at_ms: entry.expires_at_ms,
            tombstone: entry.tombstone,
        }
    }
}

type Model = BTreeMap<Vec<u8>, Stored>;

/// Which version a condition names.
#[derive(Clone, Debug)]
enum Demand {
    Always,
    Absent,
    Present,
    Current(bool),
    Other(bool),
}

impl Demand {
    fn condition(&self, current: Option<Version>) -> Condition {
        let other = Version { hlc: 1, node: 1 };
        match self {
            Self::Always => Condition::Always,
            Self::Absent => Condition::Absent,
            Self::Present => Condition::Present,
            Self::Current(true) => Condition::Is(vec![other, current.unwrap_or(other)]),
            Self::Current(false) => Condition::IsNot(vec![other, current.unwrap_or(other)]),
            Self::Other(true) => Condition::Is(vec![other]),
            Self::Other(false) => Condition::IsNot(vec![other]),
        }
    }

    /// What the condition comes to, said in another way than the code under test does.
    fn holds(&self, exists: bool) -> bool {
        match self {
            Self::Always | Self::Other(false) => true,
            Self::Present | Self::Current(true) => exists,
            Self::Absent | Self::Current(false) => !exists,
            Self::Other(true) => false,
        }
    }
}

#[derive(Clone, Debug)]
enum Op {
    Put { key: Vec<u8>, value: Vec<u8>, content_type: Vec<u8>, ttl_ms: Option<u64>, demand: Demand },
    Delete { key: Vec<u8>, keep_ms: u64, demand: Demand },
    Merge { key: Vec<u8>, stored: Stored },
    Advance { ms: u64 },
    Sweep,
    Clear,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        20 => (0u16..60).prop_map(|n| format!("key {n}").into_bytes()),
        2 => (0u16..4).prop_map(|n| vec![b'k'; 250 + usize::from(n) * 4]),
        1 => Just(vec![]),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![8 => vec(any::<u8>(), 0..100), 4 => vec(any::<u8>(), 64..=64), 2 => vec(any::<u8>(), 200..600)]
}

fn content_type() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![Just(b"".to_vec()), Just(b"text/plain".to_vec()), vec(any::<u8>(), 255..=255)]
}

fn demand() -> impl Strategy<Value = Demand> {
    prop_oneof![
        4 => Just(Demand::Always),
        1 => Just(Demand::Absent),
        1 => Just(Demand::Present),
        1 => any::<bool>().prop_map(Demand::Current),
        1 => any::<bool>().prop_map(Demand::Other),
    ]
}

/// A foreign entry whose version says everything about its contents, as in a cluster.
fn foreign() -> impl Strategy<Value = Stored> {
    (0u64..400, 0u16..300).prop_map(|(ms, node)| Stored {
        value: vec![7; usize::from(node) * 2],
        content_type: vec![],
        version: Version { hlc: (1000 + ms) << 16, node: node.into() },
        expires_at_ms: (node % 3 == 0).then_some(1000 + 2 * ms),
        tombstone: node % 6 == 0,
    })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (key(), value(), content_type(), option::of(0u64..200), demand()).prop_map(
            |(key, value, content_type, ttl_ms, demand)| Op::Put { key, value, content_type, ttl_ms, demand }
        ),
        4 => (key(), 0u64..200, demand()).prop_map(|(key, keep_ms, demand)| Op::Delete { key, keep_ms, demand }),
        4 => (key(), foreign()).prop_map(|(key, stored)| Op::Merge { key, stored }),
        2 => (0u64..60).prop_map(|ms| Op::Advance { ms }),
        1 => Just(Op::Sweep),
        1 => prop_oneof![30 => Just(Op::Sweep), 1 => Just(Op::Clear)],
    ]
}

/// The store under test beside the model; the clock is a number.
struct Pair {
    store: Store,
    model: Model,
    clock: Clock,
    now_ms: u64,
}

impl Pair {
    fn new() -> Self {
        let store = Store::new(Config { slots: 1, hash_seed: 9, max_memory: None }, |_| ());
        Self { store, model: Model::new(), clock: Clock::new(), now_ms: 1000 }
    }

    fn live(&self, key: &[u8]) -> Option<Version> {
        self.model.get(key).filter(|stored| stored.live(self.now_ms)).map(|stored| stored.version)
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Put { key, value, content_type, ttl_ms, demand } => {
                let expires_at_ms = ttl_ms.map(|ttl| self.now_ms + ttl);
                self.put(key, value, content_type, expires_at_ms, &demand);
            }
            Op::Delete { key, keep_ms, demand } => self.delete(key, self.now_ms + keep_ms, &demand),
            Op::Merge { key, stored } => {
                let newer = self.model.get(&key).is_none_or(|old| old.version < stored.version);
                assert_eq!(self.store.lock(0).merge(stored.entry(&key)), newer);
                if newer {
                    self.model.insert(key, stored);
                }
            }
            Op::Advance { ms } => self.now_ms += ms,
            Op::Sweep => {
                let due = |stored: &Stored| stored.due(self.now_ms);
                let expired = self.model.values().filter(|stored| due(stored) && !stored.tombstone).count();
                self.model.retain(|_, stored| !due(stored));
                assert_eq!(self.store.lock(0).sweep(self.now_ms), expired);
            }
            Op::Clear => {
                self.model.clear();
                self.store.lock(0).clear();
            }
        }
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>, content_type: Vec<u8>, at: Option<u64>, demand: &Demand) {
        let current = self.live(&key);
        let writer = Writer { clock: &self.clock, node: NODE, now_ms: self.now_ms };
        let given = Value { bytes: &value, content_type: &content_type, expires_at_ms: at };
        let put = self.store.lock(0).put(&key, given, &demand.condition(current), &writer);
        let version = match put {
            Ok(Put::Created(version)) if current.is_none() => version,
            Ok(Put::Replaced(version)) if current.is_some() => version,
            Ok(Put::Refused(live)) => {
                assert!(!demand.holds(current.is_some()));
                return assert_eq!(live, current);
            }
            wrong => panic!("{wrong:?}, but the live version was {current:?}"),
        };
        assert!(demand.holds(current.is_some()));
        let stored = Stored { value, content_type, version, expires_at_ms: at, tombstone: false };
        let old = self.model.insert(key, stored);
        assert!(old.is_none_or(|old| old.version < version), "a write exceeds what was stored");
    }

    fn delete(&mut self, key: Vec<u8>, until_ms: u64, demand: &Demand) {
        let current = self.live(&key);
        let writer = Writer { clock: &self.clock, node: NODE, now_ms: self.now_ms };
        match self.store.lock(0).delete(&key, &demand.condition(current), &writer, until_ms) {
            Delete::Deleted(version) => {
                assert!(demand.holds(true) && current.is_some_and(|current| current < version));
                let expires_at_ms = Some(until_ms);
                let stored =
                    Stored { value: vec![], content_type: vec![], version, expires_at_ms, tombstone: true };
                self.model.insert(key, stored);
            }
            Delete::Missing => assert!(current.is_none() && demand.holds(false)),
            Delete::Refused(live) => {
                assert!(!demand.holds(current.is_some()));
                assert_eq!(live, current);
            }
        }
    }

    fn compare(&self) {
        let slot = self.store.lock(0);
        assert_eq!(contents(&slot), self.model);
        assert_eq!(slot.len(), self.model.len());
        for (key, stored) in &self.model {
            assert_eq!(slot.peek(key), Some(stored.entry(key)));
            let live = Some(stored.entry(key)).filter(|_| stored.live(self.now_ms));
            assert_eq!(slot.get(key, self.now_ms), live);
            let EntryRef { value: bytes, content_type, expires_at_ms, .. } = stored.entry(key);
            let value = live.map(|_| Value { bytes, content_type, expires_at_ms });
            assert_eq!(slot.value(key, self.now_ms), value);
        }
        assert_eq!(slot.peek(b"never stored"), None);
        let memory = self.store.memory();
        assert_eq!(memory, slot.memory());
        assert_eq!(memory.bytes, slot.bytes() as u64);
        let tombstones = self.model.values().filter(|stored| stored.tombstone).count();
        assert_eq!(memory.tombstones, tombstones as u64);
        assert_eq!(memory.entries, (self.model.len() - tombstones) as u64);
    }
}

fn contents(slot: &Entries) -> Model {
    let mut contents = Model::new();
    for entry in slot.entries() {
        assert_eq!(contents.insert(entry.key.into(), entry.into()), None, "a key is listed once");
    }
    contents
}

proptest! {
    #[test]
    fn behaves_like_a_map(ops in vec(op(), 1..300)) {
        let mut pair = Pair::new();
        for op in ops {
            pair.apply(op);
            pair.compare();
        }
    }

    #[test]
    fn merging_needs_no_order_and_no_count(
        mut entries in vec((key(), foreign()), 1..80),
        order in any::<prop::sample::Index>(),
    ) {
        let once = merged(&entries);
        entries.reverse();
        prop_assert_eq!(&merged(&entries), &once);
        let at = order.index(entries.len());
        entries.rotate_left(at);
        entries.extend_from_within(..at);
        prop_assert_eq!(&merged(&entries), &once);
        let (left, right) = entries.split_at(at);
        let parts: Vec<_> = [merged(right), merged(left)].into_iter().flatten().collect();
        prop_assert_eq!(&merged(&parts), &once);
    }

    #[test]
    fn lists_live_keys_in_order_page_by_page(
        ops in vec(op(), 1..150),
        prefix in prop_oneof![Just(&b""[..]), Just(&b"key 1"[..]), Just(&b"k"[..])],
        limit in 1usize..20,
    ) {
        let mut pair = Pair::new();
        for op in ops {
            pair.apply(op);
        }
        let slot = pair.store.lock(0);
        let mut listed: Vec<Box<[u8]>> = vec![];
        loop {
            let page = slot.list(prefix, listed.last().map(|key| &**key), limit, pair.now_ms);
            prop_assert!(page.len() <= limit);
            if page.is_empty() {
                break;
            }
            listed.extend(page);
        }
        let live = pair.model.iter().filter(|(key, stored)| key.starts_with(prefix) && stored.live(pair.now_ms));
        prop_assert!(listed.iter().map(|key| &**key).eq(live.map(|(key, _)| &**key)));
    }
}

fn merged(entries: &[(Vec<u8>, Stored)]) -> Vec<(Vec<u8>, Stored)> {
    let store = Store::new(Config { slots: 1, hash_seed: 9, max_memory: None }, |_| ());
    let mut slot = store.lock(0);
    for (key, stored) in entries {
        slot.merge(stored.entry(key));
    }
    contents(&slot).into_iter().collect()
}
