//! Commands on keys that the node holds, counted against the allocator: reading takes no memory, nor does writing what is as long
//! as what was there. Alone in its process, whose allocator
//! it counts; what the node does meanwhile for itself is far less than a command in ten.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::alloc::System;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use node::config::Discover;
use node::{Config, Node, Settings};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Commands in one write, and how often they are written.
const TOGETHER: usize = 64;
const ROUNDS: usize = 300;

/// Each with its reply.
const COMMANDS: [(&str, &str); 17] = [
    ("GET {t}a", "$8\r\nfoobar21\r\n"),
    ("GET none", "$-1\r\n"),
    ("GETRANGE {t}a 3 -3", "$3\r\nbar\r\n"),
    ("GETBIT {t}a 1", ":1\r\n"),
    ("BITCOUNT {t}a 1 1", ":6\r\n"),
    ("STRLEN {t}a", ":8\r\n"),
    ("EXISTS {t}a", ":1\r\n"),
    ("TTL {t}a", ":-1\r\n"),
    ("MGET {t}a {t}b {t}c", "*3\r\n$8\r\nfoobar21\r\n$1\r\nb\r\n$-1\r\n"),
    ("MGET {t}a b none", "*3\r\n$8\r\nfoobar21\r\n$1\r\n2\r\n$-1\r\n"),
    ("EXISTS {t}a b none", ":2\r\n"),
    ("TOUCH {t}a {t}b", ":2\r\n"),
    // A value of the length of the one that it replaces.
    ("SET {t}a foobar21", "+OK\r\n"),
    ("MSET {t}a foobar21 {t}b b", "+OK\r\n"),
    ("DEL {t}none {t}nobody", ":0\r\n"),
    ("UNLINK {t}none {t}nobody {t}nothing", ":0\r\n"),
    ("EXISTS {t}a {t}b {t}c", ":2\r\n"),
];

/// Sends a command so often, in one write, and checks every reply.
fn ask(stream: &mut TcpStream, (commands, replies): &(Vec<u8>, Vec<u8>), read: &mut Vec<u8>) {
    stream.write_all(commands).unwrap();
    read.resize(replies.len(), 0);
    stream.read_exact(read).unwrap();
    assert!(read == replies, "{}", read.escape_ascii());
}

fn encoded(line: &str) -> Vec<u8> {
    let words: Vec<&str> = line.split(' ').collect();
    let words_encoded = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
    (format!("*{}\r\n", words.len()) + &words_encoded.collect::<String>()).into_bytes()
}

async fn start() -> (Node, SocketAddr) {
    let settings = Settings {
        cluster: Some(format!("allocations-{}", std::process::id())),
        quic: Some("127.0.0.1:0".parse().unwrap()),
        http: Some("127.0.0.1:0".parse().unwrap()),
        resp: Some("127.0.0.1:0".parse().unwrap()),
        resp_cluster: Some("none".parse().unwrap()),
        discover: Some(Discover::Off),
        ..Settings::default()
    };
    let node = Node::start(Config::new(&settings).unwrap()).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while node.backend().status().slots < 16384 {
        assert!(Instant::now() < deadline, "one node has all slots: not within 30 seconds");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let addr = node.backend().status().resp.unwrap().parse().unwrap();
    (node, addr)
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_on_what_is_held_here_take_no_memory() {
    let (node, addr) = start().await;
    let asking = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut read = Vec::new();
        let fill = (encoded("MSET {t}a foobar21 {t}b b"), b"+OK\r\n".to_vec());
        ask(&mut stream, &fill, &mut read);
        ask(&mut stream, &(encoded("SET b 2"), b"+OK\r\n".to_vec()), &mut read);
        for (command, reply) in COMMANDS {
            let all = (encoded(command).repeat(TOGETHER), reply.repeat(TOGETHER).into_bytes());
            // Until buffers have their sizes.
            (0..10).for_each(|_| ask(&mut stream, &all, &mut read));
            let before = ALLOCATOR.stats();
            (0..ROUNDS).for_each(|_| ask(&mut stream, &all, &mut read));
            let stats = ALLOCATOR.stats();
            let taken = stats.allocations + stats.reallocations - before.allocations - before.reallocations;
            assert!(
                taken < ROUNDS * TOGETHER / 10,
                "{command}: {taken} allocations for {} commands",
                ROUNDS * TOGETHER
            );
        }
    });
    asking.await.unwrap();
    node.leave().await;
}
