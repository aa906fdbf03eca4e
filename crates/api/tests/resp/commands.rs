//! What a door for any client answers, where Redis has no part in it or its replies are not the same each time.

use std::time::Duration;

use boato_api::http::AccessLog;
use boato_api::resp::{Config, Limits, SlowLog};

use crate::client::TestDoor;

#[tokio::test]
async fn keys_held_elsewhere_are_answered_as_those_held_here() {
    let door = TestDoor::open().await;
    let mut client = door.client().await;
    for folder in ["near", "far"] {
        let key = format!("{folder}/key");
        assert_eq!(client.ask(&format!("SET {key} 1 GET")).await, "$-1\r\n");
        assert_eq!(client.ask(&format!("INCRBY {key} 41")).await, ":42\r\n");
        assert_eq!(client.ask(&format!("GET {key}")).await, "$2\r\n42\r\n");
        assert_eq!(client.ask(&format!("SET {key} 7 IFEQ 41")).await, "$-1\r\n");
        assert_eq!(client.ask(&format!("SET {key} 7 IFEQ 42 GET")).await, "$2\r\n42\r\n");
        assert_eq!(client.ask(&format!("OBJECT ENCODING {key}")).await, "$3\r\nint\r\n");
        assert_eq!(client.ask(&format!("DEL {key}")).await, ":1\r\n");
        assert_eq!(client.ask(&format!("GETDEL {key}")).await, "$-1\r\n");
    }
}

#[tokio::test]
async fn commands_on_keys_of_several_slots_fan_out() {
    let door = TestDoor::open().await;
    let mut client = door.client().await;
    assert_eq!(client.ask("MSET a 1 far/b 2 far/c 3").await, "+OK\r\n");
    assert_eq!(
        client.ask("MGET far/b missing a far/c").await,
        "*4\r\n$1\r\n2\r\n$-1\r\n$1\r\n1\r\n$1\r\n3\r\n"
    );
    assert_eq!(client.ask("EXISTS a far/b a missing").await, ":3\r\n");
    assert_eq!(client.ask("TOUCH a far/b missing").await, ":2\r\n");
    assert_eq!(client.ask("UNLINK a far/b a").await, ":2\r\n");
    let cross_slot = "-CROSSSLOT Keys in request don't hash to the same slot\r\n";
    for command in ["MSETNX a 1 b 2", "RENAME far/c a", "COPY far/c a", "RENAMENX far/c a"] {
        assert_eq!(client.ask(command).await, cross_slot, "{command}");
    }
}

#[tokio::test]
async fn a_failure_says_whether_the_command_was_applied() {
    let door = TestDoor::open().await;
    let mut client = door.client().await;
    for (key, error) in [
        ("busy/key", "-TRYAGAIN the slot is moving\r\n"),
        ("lost/key", "-UNKNOWN the holder did not answer in time: the operation may have been applied\r\n"),
        ("full/key", "-OOM command not allowed when used memory > 'maxmemory'.\r\n"),
    ] {
        assert_eq!(client.ask(&format!("SET {key} x")).await, error);
        assert_eq!(client.ask(&format!("MSET a 1 {key} x")).await, error);
        assert_eq!(client.ask(&format!("MSET {{{key}}}1 1 {{{key}}}2 x")).await, error);
        assert_eq!(client.ask(&format!("INCR {key}")).await, error);
    }
    let large = vec![b'x'; (8 << 20) + 1];
    let too_large = b"-ERR string exceeds maximum allowed size (8388608 bytes)\r\n";
    assert_eq!(client.ask_words(&[b"SET", &b"key"[..], &large]).await, too_large);
    assert_eq!(client.ask_words(&[b"SETRANGE", &b"key"[..], b"8388608", b"x"]).await, too_large);
    assert_eq!(client.ask("GET key").await, "$-1\r\n");
}

#[tokio::test]
async fn scan_walks_all_keys() {
    let door = TestDoor::open().await;
    let mut client = door.client().await;
    for place in 0..25 {
        client.ask(&format!("SET key:{place:02} x")).await;
    }
    client.ask("SET other x").await;
    let (mut cursor, mut seen) = ("0".to_owned(), Vec::new());
    loop {
        let page = client.ask(&format!("SCAN {cursor} MATCH key:* COUNT 7 TYPE string")).await;
        let mut texts = page.split("\r\n").filter(|line| !line.starts_with(['*', '$']) && !line.is_empty());
        cursor = texts.next().unwrap().to_owned();
        seen.extend(texts.map(str::to_owned));
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen, (0..25).map(|place| format!("key:{place:02}")).collect::<Vec<_>>());
    assert_eq!(client.ask("SCAN 0 TYPE list").await, "*2\r\n$1\r\n0\r\n*0\r\n");
    for (wrong, error) in [
        ("SCAN x", "-ERR invalid cursor\r\n"),
        ("SCAN -", "-ERR invalid cursor\r\n"),
        ("SCAN 0 COUNT 0", "-ERR syntax error\r\n"),
        ("SCAN 0 COUNT x", "-ERR value is not an integer or out of range\r\n"),
        ("SCAN 0 MATCH", "-ERR syntax error\r\n"),
    ] {
        assert_eq!(client.ask(wrong).await, error, "{wrong}");
    }
    assert_eq!(client.ask("KEYS *er").await, "*1\r\n$5\r\nother\r\n");
    assert_eq!(client.ask("DBSIZE").await, ":26\r\n");
    assert_eq!(client.ask("FLUSHALL SYNC").await, "+OK\r\n");
    assert_eq!(client.ask("FLUSHDB now").await, "-ERR syntax error\r\n");
    assert_eq!(client.ask("KEYS *").await, "*0\r\n");
    assert_eq!(client.ask("RANDOMKEY").await, "$-1\r\n");
    client.ask("SET only x").await;
    assert_eq!(client.ask("RANDOMKEY").await, "$4\r\nonly\r\n");
}

#[tokio::test]
async fn keys_are_listed_only_as_far_as_a_reply_may_go() {
    let door = TestDoor::limited(Limits { reply_bytes: 4096, ..Limits::default() }).await;
    let mut client = door.client().await;
    for place in 0..20 {
        client.ask(&format!("SET key:{place} x")).await;
    }
    assert_eq!(client.ask("KEYS *").await, "-ERR too many keys match for one reply, use SCAN\r\n");
    assert_eq!(client.ask("KEYS key:7").await, "*1\r\n$5\r\nkey:7\r\n");
}

#[tokio::test]
async fn hello_greets_names_and_authenticates() {
    let door = TestDoor::locked("secret").await;
    let mut client = door.client().await;
    assert_eq!(client.ask("GET key").await, "-NOAUTH Authentication required.\r\n");
    assert!(client.ask("HELLO 3").await.starts_with("-NOAUTH HELLO must be called with the client already"));
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    for attempt in ["AUTH guess", "AUTH nobody secret", "HELLO 3 AUTH default guess"] {
        assert_eq!(client.ask(attempt).await, wrong, "{attempt}");
    }
    let greeting = client.ask("HELLO 3 SETNAME me AUTH default secret").await;
    assert!(
        greeting.starts_with("%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7."),
        "{greeting}"
    );
    assert!(greeting.contains("$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n"));
    assert_eq!(client.ask("GET key").await, "_\r\n");
    assert_eq!(client.ask("CLIENT GETNAME").await, "$2\r\nme\r\n");
    assert_eq!(client.ask("RESET").await, "+RESET\r\n");
    assert_eq!(client.ask("GET key").await, "-NOAUTH Authentication required.\r\n");
    assert_eq!(client.ask("AUTH secret").await, "+OK\r\n");
    assert_eq!(client.ask("CLIENT GETNAME").await, "$-1\r\n");
    assert_eq!(client.ask("QUIT").await, "+OK\r\n");
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn replies_are_left_out_as_the_client_wishes() {
    let door = TestDoor::open().await;
    let mut client = door.client().await;
    let lines = "CLIENT REPLY OFF\r\nSET a 1\r\nMGET a far/b\r\nGET far/a\r\nKEYS *\r\nNOSUCH\r\nCLIENT REPLY ON\r\n\
                 CLIENT REPLY SKIP\r\nGET a\r\nGET a\r\n";
    client.send(lines.as_bytes()).await;
    assert_eq!(client.reply().await, b"+OK\r\n");
    assert_eq!(client.reply().await, b"$1\r\n1\r\n");
    assert_eq!(client.ask("PING").await, "+PONG\r\n");
}

#[tokio::test]
async fn clients_are_listed_and_ended() {
    let door = TestDoor::open().await;
    let (mut first, mut second) = (door.client().await, door.client().await);
    assert_eq!(first.ask("CLIENT ID").await, ":1\r\n");
    assert_eq!(second.ask("CLIENT SETNAME two").await, "+OK\r\n");
    assert_eq!(second.ask("CLIENT SETINFO lib-name test").await, "+OK\r\n");
    assert!(second.ask("CLIENT SETNAME \u{e4}").await.starts_with("-ERR Client names cannot contain"));
    for name in ["CLIENT SETNAME", "HELLO 3 SETNAME", "CLIENT SETINFO lib-name", "CLIENT SETINFO lib-ver"] {
        let reply = second.ask(&format!("{name} {}", "x".repeat(1025))).await;
        assert!(
            reply.starts_with("-ERR") && reply.ends_with("cannot be longer than 1024 bytes.\r\n"),
            "{reply}"
        );
    }
    let list = first.ask("CLIENT LIST ID 2").await;
    assert!(
        list.contains("id=2 addr=127.0.0.1:")
            && list.contains(" name=two ")
            && list.contains(" lib-name=test ")
    );
    assert_eq!(first.ask("CLIENT LIST TYPE replica").await, "$0\r\n\r\n");
    assert_eq!(first.ask("CLIENT KILL 1.2.3.4:5").await, "-ERR No such client\r\n");
    assert_eq!(first.ask("CLIENT KILL TYPE normal").await, ":1\r\n");
    assert!(second.is_closed().await);
    assert_eq!(first.ask("CLIENT KILL ID 1 SKIPME no").await, ":1\r\n");
    assert!(first.is_closed().await);
}

#[tokio::test]
async fn the_node_tells_what_drivers_read() {
    let door = TestDoor::open().await;
    let mut client = door.client().await;
    client.ask("SET key value").await;
    let info = client.ask("INFO").await;
    for field in [
        "redis_version:7.",
        "redis_mode:standalone",
        "role:master",
        "cluster_enabled:0",
        "loading:0",
        "connected_clients:1",
        "db0:keys=1,bytes=",
        "instantaneous_ops_per_sec:0",
        "expired_keys:3",
        "keyspace_hits:7",
        "keyspace_misses:5",
    ] {
        assert!(info.contains(&format!("\r\n{field}")), "{field} in {info}");
    }
    assert!(!client.ask("INFO replication").await.contains("redis_version"));
    assert_eq!(
        client.ask("CONFIG GET maxmem* nosuch").await,
        "*4\r\n$9\r\nmaxmemory\r\n$1\r\n0\r\n$16\r\nmaxmemory-policy\r\n$10\r\nnoeviction\r\n"
    );
    assert_eq!(client.ask("CONFIG SET maxmemory 0").await, "+OK\r\n");
    assert!(
        client
            .ask("CONFIG SET maxmemory 1")
            .await
            .starts_with("-ERR CONFIG SET failed (possibly related to argument 'maxmemory')")
    );
    assert!(
        client
            .ask("CONFIG SET nosuch 1")
            .await
            .starts_with("-ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'")
    );
    assert_eq!(client.ask("MEMORY USAGE nosuch").await, "$-1\r\n");
    assert!(client.ask("MEMORY USAGE key SAMPLES 0").await.starts_with(':'));
    assert_eq!(client.ask("FUNCTION FLUSH ASYNC").await, "+OK\r\n");
    assert!(client.ask("TIME").await.starts_with("*2\r\n$10\r\n"));
}

#[tokio::test]
async fn the_command_table_can_be_asked() {
    let door = TestDoor::open().await;
    let mut client = door.client().await;
    assert_eq!(client.ask("COMMAND GETKEYS MSET a 1 b 2").await, "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    assert_eq!(client.ask("COMMAND GETKEYS OBJECT ENCODING a").await, "*1\r\n$1\r\na\r\n");
    assert_eq!(client.ask("COMMAND GETKEYS PING a").await, "-ERR The command has no key arguments\r\n");
    assert_eq!(client.ask("COMMAND GETKEYS NOSUCH a").await, "-ERR Invalid command specified\r\n");
    assert!(client.ask("COMMAND INFO get nosuch").await.ends_with("$-1\r\n"));
    assert!(client.ask("COMMAND DOCS set").await.starts_with("*2\r\n$3\r\nset\r\n*6\r\n$7\r\nsummary\r\n"));
    assert_eq!(client.ask("COMMAND LIST FILTERBY PATTERN geta*").await, "*0\r\n");
    assert_eq!(client.ask("COMMAND LIST FILTERBY PATTERN getd*").await, "*1\r\n$6\r\ngetdel\r\n");
    let count: usize = client.ask("COMMAND COUNT").await[1..].trim_end().parse().unwrap();
    assert!(client.ask("COMMAND").await.starts_with(&format!("*{count}\r\n")));
    assert!(
        client.ask("OBJECT HELP").await.starts_with("*7\r\n+OBJECT <subcommand> [<arg> [value] [opt] ...].")
    );
}

#[tokio::test]
async fn what_takes_longer_than_allowed_is_in_the_slow_log() {
    let access_log = AccessLog::default();
    let slow_log = SlowLog::new(access_log.clone());
    let door = TestDoor::with(Config { slow_log, ..Config::default() }).await;
    let mut client = door.client().await;
    assert_eq!(client.ask("CLIENT SETNAME tester").await, "+OK\r\n");
    assert_eq!(client.ask("SET far/key 1").await, "+OK\r\n");
    assert_eq!(client.ask("SLOWLOG GET").await, "*0\r\n");
    assert_eq!(
        client.ask("CONFIG GET slowlog-log-slower-than").await,
        "*2\r\n$23\r\nslowlog-log-slower-than\r\n$2\r\n-1\r\n"
    );

    access_log.set(None, Some(Duration::ZERO));
    assert_eq!(client.ask("GET far/key").await, "$1\r\n1\r\n");
    let shown = client.ask("SLOWLOG GET 1").await;
    let peer = client.addr().to_string();
    let end = format!("*2\r\n$3\r\nGET\r\n$7\r\nfar/key\r\n${}\r\n{peer}\r\n$6\r\ntester\r\n", peer.len());
    assert!(shown.starts_with("*1\r\n*6\r\n:0\r\n:") && shown.ends_with(&end), "{shown:?}");
    assert_eq!(client.ask("SLOWLOG LEN").await, ":2\r\n", "the one before is slow, too");
    assert_eq!(client.ask("SLOWLOG GET -2").await, "-ERR count should be greater than or equal to -1\r\n");

    access_log.set(None, None);
    assert_eq!(client.ask("SLOWLOG RESET").await, "+OK\r\n");
    assert_eq!(client.ask("SLOWLOG LEN").await, ":0\r\n");
}
