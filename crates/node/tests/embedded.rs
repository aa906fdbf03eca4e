//! A node inside another program: it starts, serves and ends without a trace.

use std::time::{Duration, Instant};

use boato_api::{Action, Command, Execution, Readiness};
use bytes::Bytes;
use futures_util::StreamExt as _;
use node::config::Discover;
use node::{Config, Node, Settings};
use tokio::time::timeout;

fn settings(cluster: &str, quic: &str) -> Settings {
    Settings {
        cluster: Some(format!("{cluster}-{}", std::process::id())),
        quic: Some(quic.parse().expect("an address")),
        http: Some("127.0.0.1:0".parse().expect("an address")),
        ..Settings::default()
    }
}

async fn start(cluster: &str, quic: &str) -> Result<Node, node::StartError> {
    Node::start(Config::new(&settings(cluster, quic)).expect("these settings are complete")).await
}

/// Until `done`, at most ten seconds.
async fn wait(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done().await {
        assert!(Instant::now() < deadline, "{what}: not within ten seconds");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_left_has_given_its_ports_back() {
    let node = start("ports", "127.0.0.1:0").await.expect("loopback can be bound");
    let quic = node.quic().to_string();
    let backend = node.backend();
    wait("ready", async || backend.readiness() == Readiness::Ready).await;
    assert!(matches!(
        backend.execute(&Command { key: b"none", action: Action::Get }),
        Execution::Ready(Ok(_))
    ));
    drop(backend);
    assert_eq!(node.leave().await, 0, "the last node of a cluster leaves nothing to others");
    wait("the port is free", async || match start("ports", &quic).await {
        Ok(again) => {
            again.leave().await;
            true
        }
        Err(_) => false,
    })
    .await;
}

#[tokio::test]
async fn what_only_the_program_boato_can_follow_is_refused() {
    let started = async |change: fn(&mut Settings)| {
        let ports = settings("refused", "127.0.0.1:0");
        let all = |settings: &mut Settings| {
            *settings = ports;
            change(settings);
        };
        match Node::builder().settings(all).start().await {
            Ok(node) => node.leave().await.to_string(),
            Err(error) => error.to_string(),
        }
    };
    let idle = started(|settings| settings.exit_on_idle = Some("1s".parse().expect("a time"))).await;
    assert!(idle.contains("exit-on-idle") && idle.contains("Node::leave"), "{idle}");
    let log = started(|settings| settings.log = Some("debug".to_owned())).await;
    assert!(log.contains("log is for `boato run`") && log.contains("logging::init"), "{log}");
    let config = Config::new(&Settings { log: Some("debug".to_owned()), ..Settings::default() });
    let refused = Node::start(config.expect("it can be read")).await;
    assert!(refused.is_err_and(|error| error.to_string() == log));

    node::logging::init("warn").expect("this program has no log yet");
    assert!(!tracing::enabled!(tracing::Level::INFO));
    assert_eq!(started(|settings| settings.log = Some("boato=info,embedded=info".to_owned())).await, "0");
    assert!(tracing::enabled!(tracing::Level::INFO), "the log follows what the node is told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_does_not_start_leaves_nothing_running() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback can be bound");
    let quic = taken.local_addr().expect("bound").to_string();
    drop(taken);
    let mut settings = settings("unwritable", &quic);
    settings.ready_file = Some("/nowhere/to/be/found/ready".into());
    let failed = Node::start(Config::new(&settings).expect("these settings are complete")).await;
    assert!(failed.is_err_and(|error| error.to_string().contains("ready file")));
    wait("the port is free", async || std::net::UdpSocket::bind(&quic).is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_replays_tells_of_all_events_that_members_keep() {
    const COUNT: usize = 1500;
    let start = async |replay| {
        let settings = Settings {
            discover: Some(Discover::Off),
            replay: Some(replay),
            ..settings("replay", "127.0.0.1:0")
        };
        Node::start(Config::new(&settings).expect("these settings are complete")).await.expect("it starts")
    };
    let (old, new) = (start(false).await, start(true).await);
    let (sender, reader) = (old.backend(), new.backend());
    for n in 0..COUNT {
        wait("the event is taken", async || {
            sender.membership().expect("a member").event(n.to_string(), Bytes::new()).await.is_ok()
        })
        .await;
    }
    let (_, mut events) = reader.events();
    reader.membership().expect("a member").join(old.quic().to_string()).await.expect("it is there");
    let mut told = 0;
    while told < COUNT {
        let event = timeout(Duration::from_mins(1), events.next()).await.expect("all come").expect("it runs");
        assert_ne!(event.kind, "missed", "after {told}: {}", event.data);
        told += usize::from(event.kind == "user");
    }
    drop((sender, reader, events));
    new.leave().await;
    old.leave().await;
}
