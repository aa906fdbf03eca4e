//! The door for cluster clients: who asks the wrong node is told the right one. In the map's topology slots from 16000 on are
//! another node's.

use crate::client::TestDoor;
use crate::map::{ELSEWHERE, slot};

/// A key of a slot that another node has, and held elsewhere.
fn foreign() -> String {
    (0..100_000)
        .map(|number| format!("far/{number}"))
        .find(|key| ELSEWHERE.contains(&slot(key.as_bytes())))
        .unwrap()
}

#[tokio::test]
async fn a_key_of_another_node_is_answered_by_its_address() {
    let door = TestDoor::for_cluster_clients().await;
    let mut client = door.client().await;
    let key = foreign();
    let moved = format!("-MOVED {} 127.0.0.1:7002\r\n", slot(key.as_bytes()));
    for command in [format!("GET {key}"), format!("MSET {{{key}}}a 1 {{{key}}}b 2"), format!("WATCH {key}")] {
        assert_eq!(client.ask(&command).await, moved, "{command}");
    }
    client.ask("MULTI").await;
    assert_eq!(client.ask(&format!("SET {key} 1")).await, moved);
    assert!(client.ask("EXEC").await.starts_with("-EXECABORT"));
    // A key that is held elsewhere but by nobody else's right is fetched.
    assert_eq!(client.ask("SET far/1 x").await, "+OK\r\n");
    assert_eq!(client.ask("SET near x").await, "+OK\r\n");
}

#[tokio::test]
async fn keys_of_several_slots_are_refused() {
    let door = TestDoor::for_cluster_clients().await;
    let mut client = door.client().await;
    let cross_slot = "-CROSSSLOT Keys in request don't hash to the same slot\r\n";
    for command in ["MGET a b", "DEL a b", "MSET a 1 b 2", "RENAME a b", "WATCH a b", "EXISTS a b"] {
        assert_eq!(client.ask(command).await, cross_slot, "{command}");
    }
    assert_eq!(client.ask("MSET {t}a 1 {t}b 2").await, "+OK\r\n");
    assert_eq!(client.ask("EXISTS {t}a {t}b").await, ":2\r\n");
}

#[tokio::test]
async fn there_is_one_database() {
    let door = TestDoor::for_cluster_clients().await;
    let mut client = door.client().await;
    assert_eq!(client.ask("SELECT 0").await, "+OK\r\n");
    for number in ["1", "-1", "99"] {
        let said = client.ask(&format!("SELECT {number}")).await;
        assert_eq!(said, "-ERR SELECT is not allowed in cluster mode\r\n", "{number}");
    }
    assert_eq!(client.ask("SELECT x").await, "-ERR value is not an integer or out of range\r\n");
}

#[tokio::test]
async fn a_node_lists_only_its_own_keys() {
    let door = TestDoor::for_cluster_clients().await;
    let mut client = door.client().await;
    let foreign = foreign();
    // Through the other door's eyes it is there.
    let mut proxied = TestDoor::over(&door).await.client().await;
    assert_eq!(proxied.ask(&format!("SET {foreign} x")).await, "+OK\r\n");
    assert_eq!(client.ask("SET near x").await, "+OK\r\n");
    assert_eq!(client.ask("KEYS *").await, "*1\r\n$4\r\nnear\r\n");
    assert_eq!(client.ask("SCAN 0").await, "*2\r\n$1\r\n0\r\n*1\r\n$4\r\nnear\r\n");
    assert_eq!(proxied.ask("DBSIZE").await, ":2\r\n");
}

#[tokio::test]
async fn the_topology_is_told_in_each_of_its_forms() {
    let door = TestDoor::for_cluster_clients().await;
    let mut client = door.client().await;
    assert_eq!(client.ask("CLUSTER MYID").await, format!("$40\r\n{}\r\n", "a".repeat(40)));
    assert!(
        client
            .ask("CLUSTER SLOTS")
            .await
            .starts_with("*2\r\n*3\r\n:0\r\n:15999\r\n*4\r\n$9\r\n127.0.0.1\r\n:7001\r\n")
    );
    assert!(
        client
            .ask("CLUSTER SHARDS")
            .await
            .starts_with("*2\r\n*4\r\n$5\r\nslots\r\n*2\r\n:0\r\n:15999\r\n$5\r\nnodes\r\n")
    );
    let nodes = client.ask("CLUSTER NODES").await;
    assert!(nodes.contains(" 127.0.0.1:7002@0 master - 0 0 7 connected 16000-16383\n"), "{nodes}");
    let info = client.ask("CLUSTER INFO").await;
    for line in [
        "cluster_state:ok",
        "cluster_slots_assigned:16384",
        "cluster_known_nodes:2",
        "cluster_current_epoch:7",
    ] {
        assert!(info.contains(line), "{line} in {info}");
    }
    assert_eq!(client.ask("CLUSTER LINKS").await, "*0\r\n");
    assert!(client.ask("INFO").await.contains("cluster_enabled:1"));
    for command in ["READONLY", "READWRITE", "ASKING"] {
        assert_eq!(client.ask(command).await, "+OK\r\n");
    }
}

#[tokio::test]
async fn a_slot_tells_its_keys() {
    let door = TestDoor::for_cluster_clients().await;
    let mut client = door.client().await;
    let slot = slot(b"t");
    client.ask("MSET {t}a 1 {t}b 2 {t}c 3").await;
    assert_eq!(client.ask("CLUSTER KEYSLOT {t}a").await, format!(":{slot}\r\n"));
    assert_eq!(client.ask(&format!("CLUSTER COUNTKEYSINSLOT {slot}")).await, ":3\r\n");
    assert_eq!(
        client.ask(&format!("CLUSTER GETKEYSINSLOT {slot} 2")).await,
        "*2\r\n$4\r\n{t}a\r\n$4\r\n{t}b\r\n"
    );
    assert_eq!(client.ask("CLUSTER COUNTKEYSINSLOT 16384").await, "-ERR Invalid slot\r\n");
    assert_eq!(client.ask("CLUSTER GETKEYSINSLOT 1 -1").await, "-ERR Invalid slot or number of keys\r\n");
}
