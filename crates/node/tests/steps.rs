//! What commands on many keys, and on long ones, may take together, at a node's door for Redis' clients.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests send what these do not")]
#[path = "../../api/tests/resp/wire.rs"]
mod wire;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use node::config::Discover;
use node::{Config, Node, Settings};
use wire::TestClient;

const VALUE_TOO_LONG: &str = "-ERR string exceeds maximum allowed size (8388608 bytes)\r\n";
const STEP_TOO_LARGE: &str = "-ERR too many keys or bytes for one step: at most 65536 keys and 12 MiB\r\n";
const FULL: &str = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";

async fn start(max_memory: Option<&str>) -> (Node, TestClient) {
    let loopback = || Some("127.0.0.1:0".parse().unwrap());
    let settings = Settings {
        cluster: Some(format!("steps-{}", std::process::id())),
        discover: Some(Discover::Off),
        quic: loopback(),
        http: loopback(),
        resp: Some("127.0.0.1:0".parse().unwrap()),
        resp_cluster: Some("none".parse().unwrap()),
        max_memory: max_memory.map(|bytes| bytes.parse().unwrap()),
        ..Settings::default()
    };
    let node = Node::start(Config::new(&settings).unwrap()).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while node.backend().status().slots < 16384 {
        assert!(Instant::now() < deadline, "one node has all slots: not within 30 seconds");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let client = TestClient::connect(node.backend().status().resp.unwrap().parse().unwrap()).await;
    (node, client)
}

async fn ask(client: &mut TestClient, words: &[String]) -> String {
    String::from_utf8(client.ask_words(words).await).unwrap()
}

fn long(mib: usize) -> String {
    "x".repeat(mib << 20)
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(String::from).to_vec()
}

fn named(command: &str, keys: usize) -> Vec<String> {
    let keys = (0..keys).map(|key| format!("{{t}}{key}"));
    [command.to_owned()].into_iter().chain(keys).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn several_values_are_stored_or_none_of_them() {
    let (node, mut client) = start(Some("1MiB")).await;
    let value = "x".repeat(400_000);
    let pairs = (0..6).flat_map(|key| [format!("{{q}}{key}"), value.clone()]);
    for command in ["MSET", "MSETNX", "MSETNX"] {
        let told =
            ask(&mut client, &[command.to_owned()].into_iter().chain(pairs.clone()).collect::<Vec<_>>())
                .await;
        assert_eq!(told, FULL, "{command}");
        assert_eq!(client.ask("DBSIZE").await, ":0\r\n", "after {command}");
    }
    for key in 0..6 {
        client.ask("MULTI").await;
        for key in 0..=key {
            assert_eq!(
                ask(&mut client, &words(["SET", &format!("{{q}}{key}"), &value])).await,
                "+QUEUED\r\n"
            );
        }
        let told = client.ask("EXEC").await;
        if key < 2 {
            assert_eq!(told, format!("*{}\r\n{}", key + 1, "+OK\r\n".repeat(key + 1)));
        } else {
            let oom = FULL.strip_prefix('-').unwrap();
            assert_eq!(told, format!("-EXECABORT Transaction discarded because of: {oom}"));
        }
    }
    assert_eq!(client.ask("DBSIZE").await, ":2\r\n");
    node.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_one_step_is_told_so() {
    let (node, mut client) = start(None).await;
    for command in ["DEL", "MGET", "EXISTS"] {
        assert_eq!(ask(&mut client, &named(command, 70_000)).await, STEP_TOO_LARGE, "{command}");
    }
    assert_eq!(ask(&mut client, &named("DEL", 65_536)).await, ":0\r\n");
    let two = [("{t}a", long(1)), ("{t}b", long(9)), ("{t}c", long(1))];
    let pairs = two.into_iter().flat_map(|(key, value)| [key.to_owned(), value]);
    for command in ["MSET", "MSETNX"] {
        let told =
            ask(&mut client, &[command.to_owned()].into_iter().chain(pairs.clone()).collect::<Vec<_>>())
                .await;
        assert_eq!(told, VALUE_TOO_LONG, "{command}");
    }
    let both = words(["MSET", "{t}a", &long(7), "{t}b", &long(7)]);
    assert_eq!(ask(&mut client, &both).await, STEP_TOO_LARGE);
    client.ask("MULTI").await;
    for key in ["{t}a", "{t}b"] {
        ask(&mut client, &words(["SET", key, &long(7)])).await;
    }
    assert_eq!(client.ask("EXEC").await, STEP_TOO_LARGE);
    assert_eq!(client.ask("DBSIZE").await, ":0\r\n");
    node.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_too_long_leaves_the_others_of_its_transaction() {
    let (node, mut client) = start(None).await;
    client.ask("MULTI").await;
    for command in [
        words(["SET", "{t}a", &long(9)]),
        words(["SET", "{t}b", "1"]),
        words(["SETRANGE", "{t}b", "8388608", "x"]),
        words(["SETBIT", "{t}b", "4294967295", "1"]),
        words(["MSET", "{t}c", "1", "{t}d", &long(9)]),
        words(["MGET", "{t}b", "{t}c"]),
    ] {
        assert_eq!(ask(&mut client, &command).await, "+QUEUED\r\n");
    }
    assert_eq!(
        client.ask("EXEC").await,
        format!("*6\r\n{VALUE_TOO_LONG}+OK\r\n{}*2\r\n$1\r\n1\r\n$-1\r\n", VALUE_TOO_LONG.repeat(3))
    );
    node.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_on_two_slots_refuses_its_transaction() {
    let (node, mut client) = start(None).await;
    for command in ["MULTI", "SET {t}a 1", "RENAME {t}a b"] {
        client.ask(command).await;
    }
    assert_eq!(client.ask("EXEC").await, "-CROSSSLOT Keys in request don't hash to the same slot\r\n");
    assert_eq!(client.ask("EXISTS {t}a").await, ":0\r\n");
    node.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_long_keys_is_short() {
    let (node, mut client) = start(None).await;
    let tags =
        (0..).map(|tag| format!("{{{tag}}}")).filter(|tag| boato_placement::slot(tag.as_bytes()) < 4096);
    let keys: BTreeSet<String> = tags.take(300).map(|tag| format!("{tag}{}", "k".repeat(60_000))).collect();
    for key in &keys {
        ask(&mut client, &words(["SET", key, "v"])).await;
    }
    let (mut found, mut cursor) = (BTreeSet::new(), "0".to_owned());
    loop {
        let page = ask(&mut client, &words(["SCAN", &cursor, "COUNT", "1500"])).await;
        assert!(page.len() < 9 << 20, "{} bytes", page.len());
        let mut lines = page.split("\r\n").filter(|line| !line.starts_with(['*', '$']));
        lines.next().unwrap().clone_into(&mut cursor);
        found.extend(lines.filter(|key| !key.is_empty()).map(str::to_owned));
        if cursor == "0" {
            break;
        }
    }
    assert!(found == keys, "{} keys", found.len());
    node.leave().await;
}
