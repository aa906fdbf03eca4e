//! The commands over a map, compared with a redis-server's.

use crate::client::TestDoor;
use crate::oracle::{Redis, compare_commands, compare_transactions};
use crate::wire::TestClient;

#[tokio::test]
async fn thousands_of_commands_are_answered_as_redis_answers_them() {
    let Some(redis) = Redis::start().await else { return };
    let door = TestDoor::open().await;
    let seed = std::env::var("BOATO_SEED").ok().map_or(1, |seed| seed.parse().unwrap());
    compare_commands(door.addr, &redis, seed, 2, 4000).await;
    compare_commands(door.addr, &redis, seed + 1, 3, 4000).await;
}

#[tokio::test]
async fn transactions_are_answered_as_redis_answers_them() {
    let Some(redis) = Redis::start().await else { return };
    let door = TestDoor::open().await;
    compare_transactions(door.addr, &redis, 3, 300).await;
}

#[tokio::test]
async fn the_command_table_says_what_redis_says() {
    let Some(redis) = Redis::start().await else { return };
    let door = TestDoor::open().await;
    let mut ours = door.client().await;
    let mut theirs = TestClient::connect(redis.addr).await;
    let names = ours.ask("COMMAND LIST FILTERBY PATTERN *").await;
    let names = names.split("\r\n").filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase()));
    let (mut compared, mut different) = (0, Vec::new());
    for name in names {
        let ask = format!("COMMAND INFO {name}");
        let (ours, theirs) = (ours.ask(&ask).await, theirs.ask(&ask).await);
        // CLIENT SETINFO and NO-TOUCH are younger.
        if theirs != "*1\r\n$-1\r\n" {
            let (ours, theirs) = (essence(&ours, name), essence(&theirs, name));
            if ours != theirs {
                different.push(format!("ours   {ours:?}\ntheirs {theirs:?}"));
            }
            compared += 1;
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert!(compared > 100, "{compared} commands");
}

/// Name, arity, flags, positions and categories, in no order; then tips and what is done with the keys, but no notes on that. What
/// follows are subcommands, which are compared by themselves.
fn essence(info: &str, name: &str) -> (Vec<String>, Vec<String>) {
    let info = info.split(&format!("\r\n{name}|")).next().unwrap();
    let mut lines: Vec<String> = info.split("\r\n").map(str::to_owned).collect();
    if let Some(notes) = lines.iter().position(|line| line == "notes") {
        lines.drain(notes - 1..notes + 3);
    }
    // The second set of statuses, the categories, ends where an aggregate or a string begins.
    let categories = lines.iter().position(|line| line.starts_with("+@")).unwrap();
    let end = lines[categories..].iter().position(|line| !line.starts_with("+@")).unwrap();
    let mut hints = lines.split_off(categories + end);
    if hints.last().is_some_and(|line| line.starts_with('$')) {
        hints.truncate(hints.len() - 1);
    }
    hints.retain(|line| !line.starts_with('*'));
    lines.retain(|line| line != "+no_multi" && line != "+movablekeys" && !line.starts_with('*'));
    lines.sort();
    (lines, hints)
}

#[tokio::test]
async fn wrong_arguments_and_rare_forms_are_answered_as_redis_answers_them() {
    let Some(redis) = Redis::start().await else { return };
    let door = TestDoor::open().await;
    for protocol in [2, 3] {
        let (mut ours, mut theirs) = (door.client().await, TestClient::connect(redis.addr).await);
        for line in RARE {
            let hello = format!("HELLO {protocol}");
            for client in [&mut ours, &mut theirs] {
                client.ask(&hello).await;
            }
            assert_eq!(ours.ask(line).await, theirs.ask(line).await, "{line} in RESP{protocol}");
        }
    }
}

/// In their order: `WATCH` and `MULTI` are in force for what follows.
const RARE: &[&str] = &[
    "EXEC x",
    "SET k abc",
    "WATCH k",
    "MULTI",
    "SET k 1",
    "EXEC x",
    "EXEC",
    "DISCARD x",
    "FUNCTION FLUSH ASYNC SYNC",
    "FUNCTION FLUSH NOW",
    "FUNCTION LIST",
    "FUNCTION LIST WITHCODE libraryname x",
    "FUNCTION LIST WITHCODE WITHCODE",
    "FUNCTION LIST LIBRARYNAME",
    "CLIENT KILL USER nope",
    "CLIENT KILL USER default ID 4294967295",
    "CLIENT UNBLOCK 1 FOO",
    "CLIENT UNBLOCK x FOO",
    "CLIENT UNBLOCK x ERROR",
    "CLIENT UNBLOCK -1",
    "CLIENT UNBLOCK 9999 timeout",
    "CLIENT UNBLOCK 9999 ERROR x",
    "CLIENT CACHING foo",
    "CLIENT CACHING YES",
    "SLOWLOG GET x",
    "SLOWLOG GET -2",
    "SLOWLOG GET 1 2",
    "SLOWLOG GET 0",
    "CONFIG SET timeout 0 timeout 0",
    "CONFIG SET timeout 0 TimeOut 0",
    "CONFIG SET timeout 0 timeout 0 nope 1",
    "CONFIG SET timeout 0 nope 1",
    "CONFIG SET nope 1 nope 1",
    "CONFIG SET timeout 0 maxmemory",
    "CONFIG SET TimeOut 0",
    "CONFIG GET MaxMemory",
    "CONFIG GET MaxMemory maxmemory",
    "CONFIG GET m?xmemory MaxMemory",
    "CONFIG GET nope",
    "BITCOUNT k a b X",
    "BITCOUNT k 0 b X",
    "BITCOUNT k 0 1 X",
    "BITCOUNT k 0 1 bit",
    "BITCOUNT k a",
    "SCAN -",
    "SCAN -x",
    "SCAN x",
    "SCAN 1x",
    "SCAN 00",
    "SCAN +0",
    "SCAN -0",
    "SCAN 18446744073709551616",
    "SCAN -18446744073709551616",
    // Where a key lies in Redis' table depends on a seed of its own.
    "DEL k",
    "SCAN 18446744073709551615",
    "SCAN -1",
    "COMMAND INFO nope",
    "COMMAND LIST FILTERBY PATTERN getd*",
    "COMMAND LIST FILTERBY PATTERN nope*",
];

#[tokio::test]
async fn a_stranger_is_turned_away_as_redis_does_it() {
    let Some(redis) = Redis::start().await else { return };
    let door = TestDoor::locked("secret").await;
    TestClient::connect(redis.addr).await.ask("CONFIG SET requirepass secret").await;
    let (mut ours, mut theirs) = (door.client().await, TestClient::connect(redis.addr).await);
    for line in [
        "HELLO",
        "HELLO 3",
        "HELLO 3 SETNAME me",
        "HELLO 4",
        "HELLO 3 AUTH default wrong",
        "PING",
        "EXEC",
        "EXEC x",
        "AUTH wrong",
        "AUTH secret",
        "PING",
    ] {
        assert_eq!(ours.ask(line).await, theirs.ask(line).await, "{line}");
    }
}
