//! Redis' commands at two real nodes, compared with a redis-server's byte by byte: one of the two holds the keys, the other asks it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../api/tests/resp/generator.rs"]
mod generator;
#[path = "../../api/tests/resp/oracle.rs"]
mod oracle;
#[expect(dead_code, reason = "other tests send what these do not")]
#[path = "../../api/tests/resp/wire.rs"]
mod wire;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use node::{Config, Node, Settings};

use oracle::{Redis, compare_commands, compare_transactions};

async fn start() -> Node {
    let settings = Settings {
        cluster: Some(format!("redis-{}", std::process::id())),
        quic: Some("127.0.0.1:0".parse().unwrap()),
        http: Some("127.0.0.1:0".parse().unwrap()),
        resp: Some("127.0.0.1:0".parse().unwrap()),
        resp_cluster: Some("none".parse().unwrap()),
        ..Settings::default()
    };
    Node::start(Config::new(&settings).unwrap()).await.unwrap()
}

/// Until each of two nodes has its share, at most 30 seconds.
async fn shared(nodes: [&Node; 2]) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let settled = |node: &Node| {
        let status = node.backend().status();
        status.ready && status.members == 2 && status.slots > 4096 && status.moving.is_none()
    };
    while !nodes.into_iter().all(settled) {
        assert!(Instant::now() < deadline, "two nodes share the slots: not within 30 seconds");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn resp(node: &Node) -> SocketAddr {
    node.backend().status().resp.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_answer_as_redis_answers_whoever_holds_the_key() {
    let Some(redis) = Redis::start().await else { return };
    let (first, second) = (start().await, start().await);
    shared([&first, &second]).await;
    for (node, seed) in [(&first, 5), (&second, 6)] {
        compare_commands(resp(node), &redis, seed, 3, 1500).await;
        compare_transactions(resp(node), &redis, seed, 100).await;
    }
    second.leave().await;
    compare_commands(resp(&first), &redis, 7, 2, 300).await;
    first.leave().await;
}
