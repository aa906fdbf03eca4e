//! Two nodes behind the trait of their doors: whichever is asked, operations have the same effect.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use boato_api::{Action, Backend, Command, Execution, Failure, Outcome, ScanQuery, Transaction};
use node::{Config, Node, Settings};

async fn start(join: &[std::net::SocketAddr]) -> Node {
    let loopback = || Some("127.0.0.1:0".parse().expect("an address"));
    let settings = Settings {
        cluster: Some(format!("backend-{}", std::process::id())),
        quic: loopback(),
        http: loopback(),
        resp_cluster: Some("none".parse().expect("no door")),
        join: join.iter().map(|addr| addr.to_string().parse().expect("an address")).collect(),
        ..Settings::default()
    };
    Node::start(Config::new(&settings).expect("these settings are complete")).await.expect("it starts")
}

/// Until each holds a part of the slots and nothing moves.
async fn settled(nodes: &[Arc<dyn Backend>; 2]) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let held = nodes.each_ref().map(|node| node.status().slots);
        if held.iter().sum::<usize>() == 16384 && held.iter().all(|slots| *slots > 4096) {
            return;
        }
        assert!(Instant::now() < deadline, "not settled within 20 s: {held:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn all_keys(node: &dyn Backend, pattern: Option<&[u8]>, slot: Option<u16>) -> Vec<String> {
    let (mut keys, mut cursor) = (Vec::new(), 0);
    loop {
        let page = node
            .scan(ScanQuery { cursor, pattern, count: 7, slot, mine: false })
            .await
            .expect("every slot is held");
        keys.extend(page.keys.iter().map(|key| String::from_utf8_lossy(key).into_owned()));
        if page.cursor == 0 {
            return keys;
        }
        cursor = page.cursor;
    }
}

async fn execute(node: &dyn Backend, key: &str, action: Action<'_>) -> Outcome {
    let reply = match node.execute(&Command { key: key.as_bytes(), action }) {
        Execution::Ready(reply) => reply,
        Execution::Pending(reply) => reply.await,
    };
    reply.expect("the slot is held").outcome
}

/// Keys of one slot each; about half are held by either node.
fn names() -> Vec<String> {
    (0..60).map(|number| format!("key-{number}")).collect()
}

/// Three increments of every key in one go: each key's in their order.
async fn increment(node: &dyn Backend, names: &[String], base: i64) {
    let commands: Vec<Command<'_>> = (0..3)
        .flat_map(|_| {
            names.iter().map(|key| Command { key: key.as_bytes(), action: Action::Add { by: 1, ttl: None } })
        })
        .collect();
    let results = node.execute_all(&commands).await;
    for (place, result) in (0_i64..).zip(results) {
        let round = place / i64::try_from(names.len()).expect("few");
        let outcome = result.expect("the slot is held").outcome;
        assert!(
            matches!(outcome, Outcome::Integer { value, .. } if value == base + round + 1),
            "{outcome:?}"
        );
    }
}

async fn transactions(node: &dyn Backend, tag: &str) {
    let keys = [format!("{{{tag}}}1"), format!("{{{tag}}}2")];
    let [one, two] = keys.each_ref().map(String::as_bytes);
    let commands = [
        Command { key: one, action: Action::put(b"5") },
        Command { key: two, action: Action::Append { bytes: b"x" } },
        Command { key: one, action: Action::Add { by: 2, ttl: None } },
        Command { key: two, action: Action::Add { by: 2, ttl: None } },
    ];
    let transaction = Transaction { watched: &[(one, None)], commands: &commands };
    let outcomes = node.transact(transaction).await.expect("the slot is held").expect("nothing has changed");
    let outcomes: Vec<Outcome> = outcomes.into_iter().map(|outcome| outcome.expect("applied")).collect();
    assert!(
        matches!(
            outcomes[..],
            [
                Outcome::Created(_),
                Outcome::Length(1),
                Outcome::Integer { value: 7, .. },
                Outcome::NotAnInteger
            ]
        ),
        "{outcomes:?}"
    );
    assert_eq!(node.transact(transaction).await, Ok(None), "the watched key exists now");
    let elsewhere = [Command { key: b"elsewhere", action: Action::Get }];
    let crossing = Transaction { watched: &[(one, None)], commands: &elsewhere };
    assert_eq!(node.transact(crossing).await, Err(Failure::CrossSlot));
}

#[tokio::test(flavor = "multi_thread")]
async fn whichever_node_is_asked_operations_have_the_same_effect() {
    let first = start(&[]).await;
    let second = start(&[first.quic()]).await;
    let nodes = [first.backend(), second.backend()];
    settled(&nodes).await;
    let names = names();
    increment(&*nodes[0], &names, 0).await;
    increment(&*nodes[1], &names, 3).await;
    for (node, tag) in nodes.iter().zip(["a", "b"]) {
        for tag in [tag, &format!("{tag}2"), &format!("{tag}3"), &format!("{tag}4")] {
            transactions(&**node, tag).await;
        }
    }
    for node in &nodes {
        assert_eq!(node.count(None).await, Ok(76));
        let keys = all_keys(&**node, None, None).await;
        assert_eq!((keys.len(), keys.iter().collect::<BTreeSet<_>>().len()), (76, 76), "each once in peace");
        let mut some = all_keys(&**node, Some(b"key-?"), None).await;
        some.sort();
        assert!(some.iter().eq(&names[..10]));
        let slot = node.slot(b"key-0");
        assert_eq!(all_keys(&**node, None, Some(slot)).await, ["key-0"]);
        assert_eq!(node.count(Some(slot)).await, Ok(1));
        assert_eq!(node.redirect(slot), None, "nobody has a door for cluster clients");
    }
    let rename = Action::Rename { to: b"key-2", replace: true, keep: true };
    let crossing = nodes[0].execute_all(&[Command { key: b"key-1", action: rename }]).await;
    assert!(matches!(crossing[..], [Err(Failure::CrossSlot)]));
    assert_eq!(nodes[1].flush().await, Ok(76));
    assert_eq!(nodes[0].count(None).await, Ok(0));
    let outcome = execute(&*nodes[0], "key-1", Action::Get).await;
    assert_eq!(outcome, Outcome::Missing);
    drop(nodes);
    second.leave().await;
    first.leave().await;
}
