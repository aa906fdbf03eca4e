//! Anything at all, sent to a door: it answers or closes, and goes on serving others.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::{PATIENCE, TestDoor, encoded};

/// Commands with any arguments, whole or cut off, and bytes between them.
fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let names = prop::sample::select(vec![
        "GET", "SET", "MGET", "DEL", "INCR", "GETRANGE", "SETRANGE", "SETBIT", "EXPIRE", "SCAN", "KEYS",
        "MULTI", "EXEC", "WATCH", "HELLO", "CLIENT", "COMMAND", "CONFIG", "CLUSTER", "RENAME", "COPY",
        "OBJECT", "INFO",
    ]);
    let word = prop_oneof![
        prop::sample::select(vec![
            "k",
            "far/k",
            "{k}",
            "0",
            "-1",
            "9223372036854775807",
            "EX",
            "GET",
            "*",
            "LIST"
        ])
        .prop_map(|word| word.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..10),
    ];
    let command = (names, prop::collection::vec(word, 0..5)).prop_map(|(name, mut words)| {
        words.insert(0, name.as_bytes().to_vec());
        encoded(&words)
    });
    let piece = prop_oneof![
        8 => command.clone(),
        1 => (command, any::<prop::sample::Index>()).prop_map(|(mut bytes, end)| {
            bytes.truncate(end.index(bytes.len()));
            bytes
        }),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ];
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

#[test]
fn whatever_is_sent_is_answered_or_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let door = runtime.block_on(TestDoor::open());
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    runner
        .run(&garbage(), |bytes| {
            runtime.block_on(async {
                let mut stream = TcpStream::connect(door.addr).await.unwrap();
                // It may close in the middle.
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
                let mut replies = Vec::new();
                let _ = timeout(PATIENCE, stream.read_to_end(&mut replies)).await.expect("the end in time");
                assert_eq!(door.client().await.ask("PING").await, "+PONG\r\n");
            });
            Ok(())
        })
        .unwrap();
}
