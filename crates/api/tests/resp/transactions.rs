//! `MULTI` to `EXEC`, where it differs from a single Redis server: slots, other nodes, failures.

use crate::client::TestDoor;

#[tokio::test]
async fn commands_without_keys_are_answered_in_their_places() {
    let door = TestDoor::open().await;
    let mut client = door.client().await;
    for command in [
        "MULTI",
        "PING",
        "SET {far/t}a 1",
        "CLIENT SETNAME me",
        "INCR {far/t}a",
        "MGET {far/t}a {far/t}b",
        "ECHO x",
    ] {
        let expected = if command == "MULTI" { "+OK\r\n" } else { "+QUEUED\r\n" };
        assert_eq!(client.ask(command).await, expected, "{command}");
    }
    assert_eq!(
        client.ask("EXEC").await,
        "*6\r\n+PONG\r\n+OK\r\n+OK\r\n:2\r\n*2\r\n$1\r\n2\r\n$-1\r\n$1\r\nx\r\n"
    );
    assert_eq!(client.ask("CLIENT GETNAME").await, "$2\r\nme\r\n");
}

#[tokio::test]
async fn a_watched_key_held_elsewhere_ends_the_transaction_when_it_changes() {
    let door = TestDoor::open().await;
    let (mut client, mut other) = (door.client().await, door.client().await);
    for (change, expected) in [("GET {far/t}w", "*1\r\n+OK\r\n"), ("SET {far/t}w 1", "*-1\r\n")] {
        assert_eq!(client.ask("WATCH {far/t}w {far/t}v").await, "+OK\r\n");
        other.ask(change).await;
        client.ask("MULTI").await;
        client.ask("SET {far/t}a 1").await;
        assert_eq!(client.ask("EXEC").await, expected, "{change}");
    }
    // Without a command on a key, too.
    client.ask("WATCH {far/t}w").await;
    other.ask("DEL {far/t}w").await;
    client.ask("MULTI").await;
    client.ask("PING").await;
    assert_eq!(client.ask("EXEC").await, "*-1\r\n");
}

#[tokio::test]
async fn keys_of_several_slots_are_no_transaction() {
    let door = TestDoor::open().await;
    let mut client = door.client().await;
    for command in ["MULTI", "SET a 1", "SET b 2"] {
        client.ask(command).await;
    }
    assert_eq!(client.ask("EXEC").await, "-CROSSSLOT Keys in request don't hash to the same slot\r\n");
    assert_eq!(client.ask("GET a").await, "$-1\r\n");
    client.ask("WATCH a").await;
    client.ask("MULTI").await;
    client.ask("SET b 2").await;
    assert_eq!(client.ask("EXEC").await, "-CROSSSLOT Keys in request don't hash to the same slot\r\n");
    assert_eq!(client.ask("EXEC").await, "-ERR EXEC without MULTI\r\n");
}

#[tokio::test]
async fn what_cannot_wait_spoils_the_transaction() {
    let door = TestDoor::open().await;
    let mut client = door.client().await;
    for command in ["KEYS *", "SCAN 0", "FLUSHALL", "DBSIZE", "MSETNX {t}a 1 {t}b 2", "NOSUCH", "GET"] {
        client.ask("MULTI").await;
        assert!(client.ask(command).await.starts_with("-ERR "), "{command}");
        assert_eq!(client.ask("SET a 1").await, "+QUEUED\r\n");
        assert_eq!(
            client.ask("EXEC").await,
            "-EXECABORT Transaction discarded because of previous errors.\r\n"
        );
    }
    assert_eq!(client.ask("GET a").await, "$-1\r\n");
    client.ask("MULTI").await;
    assert_eq!(client.ask("MULTI").await, "-ERR MULTI calls can not be nested\r\n");
    assert_eq!(client.ask("WATCH a").await, "-ERR WATCH inside MULTI is not allowed\r\n");
    assert_eq!(client.ask("EXEC").await, "*0\r\n");
}

#[tokio::test]
async fn one_command_that_fails_leaves_the_others_applied() {
    let door = TestDoor::open().await;
    let mut client = door.client().await;
    for command in
        ["MULTI", "SET {t}a x", "INCR {t}a", "SET {t}b 1 EX 0", "SETRANGE {t}b 8388608 x", "GET {t}a"]
    {
        client.ask(command).await;
    }
    assert_eq!(
        client.ask("EXEC").await,
        "*5\r\n+OK\r\n-ERR value is not an integer or out of range\r\n-ERR invalid expire time in 'set' command\r\n\
         -ERR string exceeds maximum allowed size (8388608 bytes)\r\n$1\r\nx\r\n"
    );
}

#[tokio::test]
async fn a_transaction_that_memory_does_not_suffice_for_is_refused_as_redis_does() {
    let door = TestDoor::open().await;
    let mut client = door.client().await;
    for command in ["MULTI", "SET {full/t}a x", "PING", "MSET {full/t}b 1 {full/t}c 2"] {
        client.ask(command).await;
    }
    assert_eq!(
        client.ask("EXEC").await,
        "-EXECABORT Transaction discarded because of: OOM command not allowed when used memory > 'maxmemory'.\r\n"
    );
    for command in ["MULTI", "GET {full/t}a", "SET {full/t}a x"] {
        client.ask(command).await;
    }
    let one_refused = "*2\r\n$-1\r\n-OOM command not allowed when used memory > 'maxmemory'.\r\n";
    assert_eq!(client.ask("EXEC").await, one_refused, "what was applied is told");
}

#[tokio::test]
async fn keys_of_one_slot_are_set_in_one_step_or_not_at_all() {
    let door = TestDoor::open().await;
    let mut client = door.client().await;
    assert_eq!(client.ask("MSETNX {far/t}a 1 {far/t}b 2").await, ":1\r\n");
    assert_eq!(client.ask("MSETNX {far/t}c 1 {far/t}b 3").await, ":0\r\n");
    assert_eq!(client.ask("MGET {far/t}a {far/t}b {far/t}c").await, "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$-1\r\n");
    assert_eq!(client.ask("DEL {far/t}a {far/t}a {far/t}b").await, ":2\r\n");
}
