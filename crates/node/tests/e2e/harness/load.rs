//! Clients that read and write while a cluster changes, and judge every answer.
//!
//! A key has one writer, which numbers its writes from 1; each eighth is a deletion. An answer of 503 says that nothing was
//! done. After 504, or when a connection to a node that goes breaks, the write may have been applied or may yet be, once.
//! Anything else but success is a failure. What a read may find follows for the writer, which knows the whole history of its
//! keys; other readers check that nothing older comes than what was acknowledged before they asked, or than they have seen.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::http::{CallError, Http};
use super::{Node, ensure, tag, wait};

const WRITERS: usize = 3;
const READERS: usize = 2;
const KEYS_PER_WRITER: usize = 200;

/// Rest of a client between two requests: the load is steady, not all that the machine can do.
const REST: Duration = Duration::from_millis(1);

/// A running load.
pub(crate) struct Load {
    shared: Arc<Shared>,
    writers: Vec<JoinHandle<Vec<History>>>,
    readers: Vec<JoinHandle<()>>,
}

struct Shared {
    doors: RwLock<Vec<Arc<Door>>>,
    keys: Vec<Key>,
    stop: AtomicBool,
    done: AtomicU64,
    refused: AtomicU64,
    unknown: AtomicU64,
    broken: AtomicU64,
    slowest_us: AtomicU64,
}

/// Where to ask.
struct Door {
    addr: SocketAddr,
    /// Its connections may break.
    going: AtomicBool,
}

/// What readers know of a key.
struct Key {
    path: String,
    attempted: AtomicU64,
    acknowledged: AtomicU64,
    /// The outcome of a write is unknown: readers judge it no more.
    uncertain: AtomicBool,
}

impl Load {
    /// Starts clients of `nodes`.
    pub(crate) fn start(nodes: &[&Node]) -> Self {
        let keys = (0..WRITERS * KEYS_PER_WRITER).map(|i| Key {
            path: format!("/load/{}/{i}", tag(i)),
            attempted: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            uncertain: AtomicBool::new(false),
        });
        let shared = Arc::new(Shared {
            doors: RwLock::default(),
            keys: keys.collect(),
            stop: AtomicBool::new(false),
            done: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
            broken: AtomicU64::new(0),
            slowest_us: AtomicU64::new(0),
        });
        let load = Self { shared, writers: Vec::new(), readers: Vec::new() };
        for node in nodes {
            load.add(node);
        }
        let client = |seed| Client::new(Arc::clone(&load.shared), seed);
        let writers = (0..WRITERS).map(|i| {
            let client = client(i as u64);
            thread::spawn(move || client.write_on(i * KEYS_PER_WRITER))
        });
        let readers = (0..READERS).map(|i| {
            let client = client((WRITERS + i) as u64);
            thread::spawn(move || client.read_on())
        });
        let (writers, readers) = (writers.collect(), readers.collect());
        Self { writers, readers, ..load }
    }

    /// From now on `node` is asked, too.
    pub(crate) fn add(&self, node: &Node) {
        let door = Door { addr: node.http, going: AtomicBool::new(false) };
        self.shared.doors.write().unwrap().push(Arc::new(door));
    }

    /// From now on connections to `node` may break; it is asked until they do.
    pub(crate) fn going(&self, node: &Node) {
        for door in self.shared.doors.read().unwrap().iter().filter(|door| door.addr == node.http) {
            door.going.store(true, SeqCst);
        }
    }

    /// Waits until another `count` requests have been answered.
    pub(crate) fn run(&self, count: u64) {
        let goal = self.shared.done.load(SeqCst) + count;
        wait("the load goes on", || {
            let failed = self.writers.iter().any(JoinHandle::is_finished)
                || self.readers.iter().any(JoinHandle::is_finished);
            assert!(!failed, "a client failed");
            let done = self.shared.done.load(SeqCst);
            ensure(done >= goal, || format!("{done} of {goal} requests are done"))
        });
    }

    /// Ends the load and checks every key through each of `nodes`.
    pub(crate) fn finish(self, nodes: &[&Node]) {
        let shared = &self.shared;
        shared.stop.store(true, SeqCst);
        let mut histories: Vec<_> =
            self.writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        self.readers.into_iter().for_each(|reader| reader.join().unwrap());
        println!(
            "{} requests: {} refused (503), {} unknown (504), {} broken; the slowest took {} ms",
            shared.done.load(SeqCst),
            shared.refused.load(SeqCst),
            shared.unknown.load(SeqCst),
            shared.broken.load(SeqCst),
            shared.slowest_us.load(SeqCst) / 1000,
        );
        for node in nodes {
            let mut http = node.client();
            for (key, history) in shared.keys.iter().zip(&mut histories) {
                let seen = wait(&key.path, || match http.get(&key.path) {
                    answer if answer.status == 503 => Err(answer.text()),
                    answer => Ok(Seen::of(&key.path, answer.status, &answer.body)),
                });
                history.judge(seen, &key.path);
            }
        }
    }
}

/// What a read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Absent,
    Write(u64),
}

impl Seen {
    /// Panics unless the body is exactly what one of the writes wrote.
    fn of(path: &str, status: u16, body: &[u8]) -> Self {
        match status {
            404 => Self::Absent,
            200 => {
                let text = std::str::from_utf8(body).unwrap();
                let number = text.split(' ').nth(1).and_then(|number| number.parse().ok());
                let number = number.unwrap_or_else(|| panic!("{path} is {text:?}"));
                assert_eq!(text, value(path, number), "{path} is damaged");
                Self::Write(number)
            }
            _ => panic!("GET {path} answered {status}: {}", String::from_utf8_lossy(body)),
        }
    }

    fn is_after(self, write: u64) -> bool {
        self == if is_deletion(write) { Self::Absent } else { Self::Write(write) }
    }
}

/// Key and number of a write, again and again, to a length that varies.
fn value(path: &str, number: u64) -> String {
    let text = format!("{path} {number} ");
    let length = text.len() + usize::try_from(number * 97 % 1500).unwrap();
    text.chars().cycle().take(length).collect()
}

/// Number 0 is no write: the key is not there yet.
fn is_deletion(write: u64) -> bool {
    write.is_multiple_of(8)
}

/// The writes of a key that a read may find.
#[derive(Default)]
struct History {
    current: u64,
    /// Writes of unknown outcome: each may have come, or may yet come, once.
    uncertain: Vec<u64>,
}

impl History {
    fn judge(&mut self, seen: Seen, path: &str) {
        if seen.is_after(self.current) {
            return;
        }
        let found = self.uncertain.iter().position(|&write| seen.is_after(write));
        let found = found.unwrap_or_else(|| {
            panic!("{path}: {seen:?} after write {} (uncertain: {:?})", self.current, self.uncertain)
        });
        self.current = self.uncertain.swap_remove(found);
    }

    /// Write `number` was acknowledged with `status`.
    fn acknowledged(&mut self, number: u64, status: u16, path: &str) {
        if self.uncertain.is_empty() {
            let existed = matches!(status, 200 | 204);
            assert_eq!(
                existed,
                !is_deletion(self.current),
                "{path}: {status} to write {number} after {}",
                self.current
            );
        }
        self.current = number;
    }
}

/// What came of a request.
enum Told {
    /// Status and body.
    Done(u16, Vec<u8>),
    /// Certainly nothing was done.
    Refused,
    Unknown,
}

struct Client {
    shared: Arc<Shared>,
    rng: fastrand::Rng,
    connections: HashMap<SocketAddr, Http>,
}

impl Client {
    fn new(shared: Arc<Shared>, seed: u64) -> Self {
        Self { shared, rng: fastrand::Rng::with_seed(seed), connections: HashMap::new() }
    }

    /// Reads and writes its own keys, which begin at `first`.
    fn write_on(mut self, first: usize) -> Vec<History> {
        let shared = Arc::clone(&self.shared);
        let keys = &shared.keys[first..first + KEYS_PER_WRITER];
        let mut histories: Vec<History> = keys.iter().map(|_| History::default()).collect();
        while !shared.stop.load(SeqCst) {
            let i = self.rng.usize(..keys.len());
            if self.rng.bool() {
                self.write(&keys[i], &mut histories[i]);
            } else if let Told::Done(status, body) = self.call("GET", &keys[i].path, b"") {
                histories[i].judge(Seen::of(&keys[i].path, status, &body), &keys[i].path);
            }
            thread::sleep(REST);
        }
        histories
    }

    fn write(&mut self, key: &Key, history: &mut History) {
        let number = key.attempted.fetch_add(1, SeqCst) + 1;
        let (method, body) =
            if is_deletion(number) { ("DELETE", String::new()) } else { ("PUT", value(&key.path, number)) };
        match self.call(method, &key.path, body.as_bytes()) {
            Told::Done(status @ (200 | 201 | 204 | 404), _) => {
                history.acknowledged(number, status, &key.path);
                key.acknowledged.store(number, SeqCst);
            }
            Told::Done(status, body) => {
                panic!("{method} {} answered {status}: {}", key.path, String::from_utf8_lossy(&body))
            }
            Told::Refused => {}
            Told::Unknown => {
                history.uncertain.push(number);
                key.uncertain.store(true, SeqCst);
            }
        }
    }

    /// Reads keys of all writers.
    fn read_on(mut self) {
        let shared = Arc::clone(&self.shared);
        let mut seen_before = vec![0; shared.keys.len()];
        while !shared.stop.load(SeqCst) {
            let i = self.rng.usize(..shared.keys.len());
            let key = &shared.keys[i];
            let oldest = key.acknowledged.load(SeqCst).max(seen_before[i]);
            if let Told::Done(status, body) = self.call("GET", &key.path, b"") {
                let found = match Seen::of(&key.path, status, &body) {
                    Seen::Write(number) => number,
                    Seen::Absent => oldest.next_multiple_of(8),
                };
                let attempted = key.attempted.load(SeqCst);
                if !key.uncertain.load(SeqCst) {
                    let allowed = oldest..=attempted;
                    assert!(
                        allowed.contains(&found),
                        "{}: write {found} ({status}), not {allowed:?}",
                        key.path
                    );
                    seen_before[i] = found;
                }
            }
            thread::sleep(REST);
        }
    }

    /// Asks a node by chance.
    fn call(&mut self, method: &str, path: &str, body: &[u8]) -> Told {
        let door = {
            let doors = self.shared.doors.read().unwrap();
            Arc::clone(&doors[self.rng.usize(..doors.len())])
        };
        let http = self.connections.entry(door.addr).or_insert_with(|| Http::new(door.addr));
        let start = Instant::now();
        let result = http.call(method, path, "", body);
        let took_us = u64::try_from(start.elapsed().as_micros()).unwrap();
        self.shared.slowest_us.fetch_max(took_us, SeqCst);
        self.shared.done.fetch_add(1, SeqCst);
        match result {
            Ok(answer) if answer.status == 503 => {
                self.shared.refused.fetch_add(1, SeqCst);
                Told::Refused
            }
            Ok(answer) if answer.status == 504 => {
                self.shared.unknown.fetch_add(1, SeqCst);
                Told::Unknown
            }
            Ok(answer) => Told::Done(answer.status, answer.body),
            Err(error) => {
                assert!(door.going.load(SeqCst), "{method} {path} at {}: {error}", door.addr);
                self.shared.doors.write().unwrap().retain(|other| other.addr != door.addr);
                match error {
                    CallError::NotSent(_) => Told::Refused,
                    CallError::Lost(_) => {
                        self.shared.broken.fetch_add(1, SeqCst);
                        Told::Unknown
                    }
                }
            }
        }
    }
}
