//! The same commands, right and wrong ones, to a RESP door and to a redis-server: the replies must be the same bytes. Skipped, with
//! a line that says so, where redis-server is not installed.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::generator::{Generator, Leeway};
use crate::wire::{PATIENCE, TestClient};

/// A redis-server on a port of its own, until it is dropped.
pub(crate) struct Redis {
    process: Child,
    pub(crate) addr: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Redis {
    /// `None` where there is none to start.
    pub(crate) async fn start() -> Option<Redis> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Whoever is quicker may take the port before redis-server does.
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
            let directory = tempfile::tempdir().unwrap();
            let Ok(process) = command(port, directory.path()).spawn() else {
                eprintln!("SKIPPED: redis-server is not installed, so nothing is compared with it");
                return None;
            };
            let addr = (Ipv4Addr::LOCALHOST, port).into();
            let mut redis = Redis { process, addr, _directory: directory };
            if redis.listens(deadline).await {
                return Some(redis);
            }
        }
    }

    /// Whether it, and not somebody else, answers at its port, once it does or has ended.
    async fn listens(&mut self, deadline: Instant) -> bool {
        let me = format!("\r\nprocess_id:{}\r\n", self.process.id());
        while self.process.try_wait().unwrap().is_none() {
            if TcpStream::connect(self.addr).await.is_ok() {
                return TestClient::connect(self.addr).await.ask("INFO server").await.contains(&me);
            }
            assert!(Instant::now() < deadline, "redis-server does not listen in time");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(Instant::now() < deadline, "redis-server ends, again and again");
        false
    }
}

fn command(port: u16, directory: &Path) -> Command {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command.args(["--databases", "1"]).arg("--dir").arg(directory).stdout(Stdio::null());
    command
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        self.process.wait().unwrap();
    }
}

/// One client of each, which are told the same.
struct Pair {
    ours: TestClient,
    theirs: TestClient,
    history: Vec<String>,
}

impl Pair {
    async fn connect(ours: SocketAddr, redis: &Redis) -> Pair {
        let (ours, theirs) = (TestClient::connect(ours).await, TestClient::connect(redis.addr).await);
        Pair { ours, theirs, history: Vec::new() }
    }

    async fn compare(&mut self, words: &[Vec<u8>], leeway: Leeway) {
        let shown =
            |words: &[Vec<u8>]| words.iter().map(|word| word.escape_ascii().to_string()).collect::<Vec<_>>();
        self.history.push(shown(words).join(" "));
        let ours = self.ours.ask_words(words).await;
        let theirs = self.theirs.ask_words(words).await;
        if !leeway.allows(&ours, &theirs) {
            let before = self.history.len().saturating_sub(12);
            panic!(
                "after\n  {}\nours   {:?}\ntheirs {:?}",
                self.history[before..].join("\n  "),
                String::from_utf8_lossy(&ours),
                String::from_utf8_lossy(&theirs)
            );
        }
        if ours != theirs && matches!(leeway, Leeway::Fraction) {
            // What is stored differs too.
            let words = [b"SET".to_vec(), words[1].clone(), b"1.5".to_vec()];
            assert_eq!(self.ours.ask_words(&words).await, self.theirs.ask_words(&words).await);
        }
    }

    async fn both(&mut self, line: &str) {
        let words: Vec<Vec<u8>> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        self.ours.ask_words(&words).await;
        self.theirs.ask_words(&words).await;
    }
}

/// Compares so many commands by chance, in a version of the protocol; both begin without keys.
pub(crate) async fn compare_commands(ours: SocketAddr, redis: &Redis, seed: u64, protocol: u8, count: usize) {
    let mut pair = Pair::connect(ours, redis).await;
    pair.both(&format!("HELLO {protocol}")).await;
    pair.both("FLUSHALL").await;
    let mut generator = Generator::new(seed);
    for _ in 0..count {
        let (words, leeway) = generator.command();
        pair.compare(&words, leeway).await;
    }
}

/// Compares so many transactions by chance, with another client in between; both begin without keys.
pub(crate) async fn compare_transactions(ours: SocketAddr, redis: &Redis, seed: u64, count: usize) {
    let mut pair = Pair::connect(ours, redis).await;
    let mut other = Pair::connect(ours, redis).await;
    pair.both("FLUSHALL").await;
    let mut generator = Generator::new(seed);
    for round in 0..count {
        if round % 2 == 0 {
            pair.compare(&[b"WATCH".to_vec(), generator.key(), generator.key()], Leeway::None).await;
        }
        if round % 4 == 0 {
            let (words, leeway) = generator.change();
            other.compare(&words, leeway).await;
            pair.history.push(format!("(another client) {}", other.history[other.history.len() - 1]));
        }
        pair.compare(&[b"MULTI".to_vec()], Leeway::None).await;
        for _ in 0..generator.below(5) {
            pair.compare(&generator.queued(), Leeway::None).await;
        }
        let end: &[u8] = if generator.below(8) == 0 { b"DISCARD" } else { b"EXEC" };
        pair.compare(&[end.to_vec()], Leeway::None).await;
    }
}
