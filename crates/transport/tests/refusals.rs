//! Who is not let in, and that both sides say so.

mod support;

use std::io::Write;
use std::sync::{Arc, OnceLock};

use boato_transport::{Config, Refusal, RequestError, Secret, SendError, Transport};
use parking_lot::Mutex;
use support::{config, start, until};

/// All log lines of this process.
fn log() -> &'static Arc<Mutex<Vec<u8>>> {
    static LOG: OnceLock<Arc<Mutex<Vec<u8>>>> = OnceLock::new();
    LOG.get_or_init(|| {
        let log = Arc::new(Mutex::new(Vec::new()));
        let writer = Arc::clone(&log);
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || Writer(Arc::clone(&writer)));
        subscriber.init();
        log
    })
}

struct Writer(Arc<Mutex<Vec<u8>>>);

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn lines_with(text: &str) -> usize {
    String::from_utf8_lossy(&log().lock()).lines().filter(|line| line.contains(text)).count()
}

async fn refuses(one: Config, other: Config, refusal: Refusal) {
    log();
    let (a, b) = (start(one), start(other));
    // A port may have been another node's before.
    let said = |addr| lines_with(&format!("the node at {addr}: {refusal}"));
    let before = [a.addr(), b.addr()].map(said);
    let error = Err(RequestError::NotSent(SendError::Refused(refusal)));
    assert_eq!(a.ask(b.addr(), "let me in").await, error);
    // The first refusal stands for a while: no second handshake, no second line.
    assert_eq!(a.ask(b.addr(), "let me in").await, error);
    until("both counted it", || a.transport.stats().refused == 1 && b.transport.stats().refused == 1).await;
    assert!(b.seen.frames.lock().is_empty());
    for (addr, before) in [a.addr(), b.addr()].into_iter().zip(before) {
        until("both said so", || said(addr) > before).await;
        assert_eq!(said(addr), before + 1);
    }
    // The other way round.
    assert_eq!(b.ask(a.addr(), "let me in").await, error);
}

fn secret() -> Option<Secret> {
    Secret::parse(&Secret::generate()).ok()
}

#[tokio::test]
async fn another_secret_is_refused() {
    refuses(
        Config { secret: secret(), ..config() },
        Config { secret: secret(), ..config() },
        Refusal::Secret,
    )
    .await;
}

#[tokio::test]
async fn no_secret_does_not_open_a_cluster_that_has_one() {
    refuses(config(), Config { secret: secret(), ..config() }, Refusal::Secret).await;
}

#[tokio::test]
async fn another_cluster_name_is_refused() {
    refuses(config(), Config { cluster: "other".into(), ..config() }, Refusal::Cluster).await;
}

#[tokio::test]
async fn another_cluster_name_is_refused_under_the_same_secret() {
    let secret = secret();
    let one = Config { secret: secret.clone(), ..config() };
    refuses(one, Config { cluster: "other".into(), secret, ..config() }, Refusal::Cluster).await;
}

#[tokio::test]
async fn another_protocol_version_is_refused() {
    refuses(config(), Config { protocol: 2, ..config() }, Refusal::Protocol).await;
    refuses(config(), Config { protocol: 3, previous: Some(2), ..config() }, Refusal::Protocol).await;
}

#[tokio::test]
async fn two_nodes_speak_the_newest_version_that_both_know() {
    let speaks = |protocol, previous| Config { protocol, previous, ..config() };
    let versions = [(1, None), (2, Some(1)), (3, Some(2)), (2, None)];
    for (one, other, agreed) in [(0, 1, 1), (1, 1, 2), (1, 2, 2), (2, 3, 2), (2, 2, 3)] {
        for (dials, is_dialled) in [(one, other), (other, one)] {
            let [a, b] = [dials, is_dialled].map(|n: usize| start(speaks(versions[n].0, versions[n].1)));
            a.ask(b.addr(), "hello").await.unwrap();
            assert_eq!(a.transport.protocol(b.addr()), Some(agreed));
            assert_eq!(b.transport.protocol(a.addr()), Some(agreed));
        }
    }
}

#[tokio::test]
async fn the_same_secret_lets_in() {
    let secret = secret();
    let (a, b) = (start(Config { secret: secret.clone(), ..config() }), start(Config { secret, ..config() }));
    assert_eq!(a.ask(b.addr(), "hello").await.unwrap(), "hello");
    assert_eq!((a.transport.stats().refused, b.transport.stats().refused), (0, 0));
}

#[tokio::test]
async fn a_source_with_too_many_connections_is_turned_away() {
    let mut narrow = config();
    narrow.limits.max_connections_per_ip = 1;
    let (server, first, second) = (start(narrow), start(config()), start(config()));
    first.ask(server.addr(), "hello").await.unwrap();
    let busy = Err(RequestError::NotSent(SendError::Refused(Refusal::Busy)));
    log();
    assert_eq!(second.ask(server.addr(), "hello").await, busy);
    until("it is said why", || lines_with("127.0.0.1 may have 1 connections to this node") == 1).await;
    first.transport.close().await;
    second.ask_until_answered(server.addr()).await;
}

/// The dial is refused at home: a datagram, which has no other way to tell, leaves a warning, but one, not one each.
#[tokio::test]
async fn a_node_without_room_for_another_connection_says_so() {
    log();
    let mut narrow = config();
    narrow.limits.max_connections = 1;
    let (full, first, second) = (start(narrow), start(config()), start(config()));
    full.ask(first.addr(), "hello").await.unwrap();
    for _ in 0..3 {
        full.transport.datagram(second.addr(), "probe".into());
    }
    let too_many = Err(RequestError::NotSent(SendError::TooManyConnections));
    assert_eq!(full.ask(second.addr(), "hello").await, too_many);
    assert_eq!(full.transport.stats().datagrams_dropped, 3);
    let told = format!(
        "no room for a connection with the node at {}: this node may have 1 connections",
        second.addr()
    );
    assert_eq!(lines_with(&told), 1);
}

#[tokio::test]
async fn without_a_secret_the_network_is_not_bound() {
    let error = Transport::bind(Config { bind: "0.0.0.0:0".parse().unwrap(), ..config() }).unwrap_err();
    assert!(error.to_string().contains("boato keygen"), "{error}");
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let a = start(config());
    let error = Transport::bind(Config { bind: a.addr(), ..config() }).unwrap_err();
    assert!(error.to_string().contains(&a.addr().to_string()), "{error}");
}
