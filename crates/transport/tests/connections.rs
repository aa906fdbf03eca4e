//! One connection per pair, through simultaneous dials, restarts, dead peers and idleness.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod support;

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use boato_transport::{Channel, Config, Handler, RequestError, SendError};
use bytes::Bytes;
use support::{Node, Recorder, config, node, start, until, within};

/// A node on a runtime of its own that can vanish without a goodbye, as a killed process does.
struct Mortal {
    runtime: Option<tokio::runtime::Runtime>,
    addr: SocketAddr,
    seen: Arc<Recorder>,
    transport: Option<boato_transport::Transport>,
}

impl Mortal {
    fn start(config: Config) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let Node { transport, seen, .. } = {
            let _guard = runtime.enter();
            start(config)
        };
        Self { runtime: Some(runtime), addr: transport.local_addr(), seen, transport: Some(transport) }
    }

    /// The tasks go first, so that nobody is left to say goodbye; then the socket.
    fn kill(&mut self) {
        let runtime = self.runtime.take().unwrap();
        std::thread::spawn(|| runtime.shutdown_timeout(support::DEADLINE)).join().unwrap();
        self.seen.held.lock().clear();
        self.transport = None;
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        if self.runtime.is_some() {
            self.kill();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simultaneous_dials_end_in_one_connection_and_lose_nothing() {
    let pairs: Vec<_> = (0..30).map(|_| tokio::spawn(dial_each_other(node(), node()))).collect();
    for pair in pairs {
        pair.await.unwrap();
    }
}

async fn dial_each_other(a: Node, b: Node) {
    let number = |n: u32| Bytes::copy_from_slice(&n.to_be_bytes());
    let talk = |node: &Node, to| {
        let transport = node.transport.clone();
        tokio::spawn(async move {
            for n in 0..100 {
                transport.send(to, Channel(4), number(n)).unwrap();
                within(transport.request(to, Channel(4), number(n + 1000))).await.unwrap();
            }
        })
    };
    let (one, other) = (talk(&a, b.addr()), talk(&b, a.addr()));
    one.await.unwrap();
    other.await.unwrap();
    let expected: Vec<_> = (0..100).flat_map(|n| [number(n), number(n + 1000)]).collect();
    assert_eq!(a.seen.payloads(Channel(4)), expected);
    assert_eq!(b.seen.payloads(Channel(4)), expected);
    let stats = || (a.transport.stats(), b.transport.stats());
    until("one connection is left", || stats().0.connections == 1 && stats().1.connections == 1).await;
    let (a, b) = stats();
    assert_eq!((a.dialled + b.dialled, a.accepted + b.accepted), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_restarted_at_the_same_address_is_reached_again_long_before_the_idle_timeout() {
    let a = node();
    let mut b = Mortal::start(config());
    a.ask_until_answered(b.addr).await;
    b.kill();
    let reborn = start(Config { bind: b.addr, ..config() });
    let begun = std::time::Instant::now();
    a.ask_until_answered(reborn.addr()).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "took {:?}", begun.elapsed());
    assert_eq!(reborn.seen.frames.lock().last().unwrap().0.node, a.id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_peer_that_dials_replaces_the_connection_of_its_former_boot() {
    let a = node();
    let mut b = Mortal::start(config());
    a.ask_until_answered(b.addr).await;
    let lost = a.transport.request(b.addr, Channel(1), "hold".into());
    until("the request arrived", || !b.seen.held.lock().is_empty()).await;
    b.kill();
    let reborn = start(Config { bind: b.addr, ..config() });
    reborn.ask_until_answered(a.addr()).await;
    assert_eq!(within(lost).await, Err(RequestError::Lost));
    a.ask_until_answered(reborn.addr()).await;
    assert_eq!(a.transport.stats().accepted, 1);
    until("the old connection is gone", || a.transport.stats().connections == 1).await;
}

#[tokio::test]
async fn requests_in_flight_are_lost_when_the_peer_goes() {
    let (a, b) = (node(), node());
    let addr = b.addr();
    let pending: Vec<_> = (0..10).map(|_| a.transport.request(addr, Channel(1), "hold".into())).collect();
    until("they arrived", || b.seen.held.lock().len() == 10).await;
    let Node { transport, seen, .. } = b;
    drop(transport);
    for answer in pending {
        assert_eq!(within(answer).await, Err(RequestError::Lost));
    }
    drop(seen);
}

#[tokio::test]
async fn a_handler_that_panics_costs_the_connection_and_nothing_else() {
    let (a, b) = (node(), node());
    let pending = a.transport.request(b.addr(), Channel(1), "hold".into());
    assert_eq!(a.ask(b.addr(), "panic").await, Err(RequestError::Lost));
    assert_eq!(within(pending).await, Err(RequestError::Lost));
    a.ask_until_answered(b.addr()).await;
}

#[tokio::test]
async fn a_crowd_gets_in() {
    let (server, crowd) = (node(), (0..100).map(|_| node()).collect::<Vec<_>>());
    let answers: Vec<_> =
        crowd.iter().map(|node| node.transport.request(server.addr(), Channel(1), "hello".into())).collect();
    for answer in answers {
        assert_eq!(within(answer).await.unwrap(), "hello");
    }
    assert_eq!(server.transport.stats().accepted, 100);
}

#[tokio::test]
async fn a_request_to_a_dead_address_is_not_sent_and_the_next_one_fails_at_once() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut impatient = config();
    impatient.limits.handshake_timeout = Duration::from_millis(100);
    let (a, to) = (start(impatient), silent.local_addr().unwrap());
    a.transport.datagram(to, Bytes::from_static(b"lost"));
    let unreachable = Err(RequestError::NotSent(SendError::Unreachable));
    // After each failure no dial is made for twice as long: in the end for longer than a busy machine stands still.
    let begun = std::time::Instant::now();
    while a.transport.stats().dial_failures < 5 {
        assert_eq!(a.ask(to, "anyone?").await, unreachable);
        assert!(begun.elapsed() < support::DEADLINE, "not dialled again");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Without another dial, see below.
    assert_eq!(a.ask(to, "anyone?").await, unreachable);
    assert_eq!(a.transport.send(to, Channel(0), Bytes::new()), Err(SendError::Unreachable));
    a.transport.datagram(to, Bytes::from_static(b"lost"));
    let stats = a.transport.stats();
    assert_eq!((stats.datagrams_dropped, stats.dial_failures, stats.datagrams_sent), (2, 5, 0));
}

#[tokio::test]
async fn frames_queued_while_dialling_are_sent_in_order_once_the_peer_is_there() {
    // The peer's socket exists, but the node that accepts starts later.
    let late = config();
    let seen = Arc::new(Recorder::default());
    let b = boato_transport::Transport::bind(late).unwrap();
    let a = node();
    for n in 0..100_u8 {
        a.transport.send(b.local_addr(), Channel(0), vec![n].into()).unwrap();
    }
    a.transport.datagram(b.local_addr(), Bytes::from_static(b"datagram"));
    let answer = a.transport.request(b.local_addr(), Channel(1), "request".into());
    tokio::task::yield_now().await;
    b.serve(Arc::clone(&seen) as Arc<dyn Handler>);
    assert_eq!(within(answer).await.unwrap(), "request");
    until("all messages arrived", || seen.payloads(Channel(0)).len() == 100).await;
    assert_eq!(seen.payloads(Channel(0)), (0..100_u8).map(|n| Bytes::from(vec![n])).collect::<Vec<_>>());
    until("the datagram arrived", || seen.datagrams.lock().len() == 1).await;
}

#[tokio::test]
async fn idle_connections_end_unless_they_are_retained() {
    let mut impatient = config();
    impatient.limits.idle_grace = Duration::from_millis(200);
    let (a, kept, dropped) = (start(impatient), node(), node());
    a.transport.retain(&[kept.addr()]);
    a.ask(kept.addr(), "hello").await.unwrap();
    a.ask(dropped.addr(), "hello").await.unwrap();
    until("the other one is closed", || a.transport.rtt(dropped.addr()).is_none()).await;
    assert!(a.transport.rtt(kept.addr()).is_some());
    until("its peer noticed", || dropped.transport.stats().connections == 0).await;
    a.transport.retain(&[]);
    until("the kept one is closed", || a.transport.rtt(kept.addr()).is_none()).await;
    a.ask_until_answered(dropped.addr()).await;
}

#[tokio::test]
async fn a_node_can_talk_to_itself() {
    let a = node();
    assert_eq!(a.ask(a.addr(), "me").await.unwrap(), "me");
    a.transport.datagram(a.addr(), Bytes::from_static(b"me"));
    until("the datagram arrived", || a.seen.datagrams.lock().len() == 1).await;
    let (from, _, _) = a.seen.frames.lock()[0].clone();
    assert_eq!((from.addr, from.node), (a.addr(), a.id));
    assert_eq!(a.ask(from.addr, "again").await.unwrap(), "again");
    assert_eq!(a.transport.stats().dialled, 1);
}

#[tokio::test]
async fn closing_sends_what_is_queued_and_waits_for_what_is_in_service() {
    let mut patient = config();
    patient.limits.drain = support::DEADLINE;
    let (a, b) = (start(patient), node());
    for n in 0..2000_u32 {
        a.transport.send(b.addr(), Channel(0), Bytes::copy_from_slice(&n.to_be_bytes())).unwrap();
    }
    let asked = a.transport.request(b.addr(), Channel(1), "hold theirs".into());
    let served = b.transport.request(a.addr(), Channel(1), "hold mine".into());
    until("both requests are held", || a.seen.held.lock().len() == 1 && b.seen.held.lock().len() == 1).await;
    let closing = tokio::spawn({
        let a = a.transport.clone();
        async move { a.close().await }
    });
    until("it takes no new work", || {
        a.transport.send(b.addr(), Channel(6), Bytes::new()) == Err(SendError::Closed)
    })
    .await;
    // Its peer may still try: the connection stands until what is in service is answered.
    for _ in 0..3 {
        let late = within(b.transport.request(a.addr(), Channel(3), "late".into())).await;
        assert_eq!(late, Err(RequestError::NotSent(SendError::Disconnected)));
    }
    for node in [&a, &b] {
        for (payload, reply) in std::mem::take(&mut *node.seen.held.lock()) {
            reply.send(payload);
        }
    }
    assert_eq!(within(asked).await.unwrap(), "hold theirs");
    assert_eq!(within(served).await.unwrap(), "hold mine");
    within(closing).await.unwrap();
    assert_eq!(b.seen.payloads(Channel(0)).len(), 2000);
    until("the peer noticed", || b.transport.rtt(a.addr()).is_none()).await;
    assert_eq!(a.ask(b.addr(), "more").await, Err(RequestError::NotSent(SendError::Closed)));
}

#[tokio::test]
async fn closing_does_not_wait_for_ever() {
    let mut hasty = config();
    hasty.limits.drain = Duration::from_millis(100);
    let (a, b) = (start(hasty), node());
    let pending = a.transport.request(b.addr(), Channel(1), "hold".into());
    until("the request arrived", || !b.seen.held.lock().is_empty()).await;
    within(a.transport.close()).await;
    assert_eq!(within(pending).await, Err(RequestError::Lost));
}

#[tokio::test]
async fn ipv6_and_ipv4_nodes_meet_on_a_dual_stack_socket() {
    let secret = boato_transport::Secret::parse(&boato_transport::Secret::generate()).ok();
    let Ok(bound) = std::panic::catch_unwind(|| {
        start(Config { bind: "[::]:0".parse().unwrap(), secret: secret.clone(), ..config() })
    }) else {
        return; // No IPv6 on this machine.
    };
    let v4 = start(Config { secret, ..config() });
    let to = SocketAddr::from(([127, 0, 0, 1], bound.addr().port()));
    assert_eq!(v4.ask(to, "hello").await.unwrap(), "hello");
    let (from, _, _) = bound.seen.frames.lock()[0].clone();
    assert_eq!(from.addr, v4.addr(), "written as IPv4");
    assert_eq!(bound.ask(v4.addr(), "back").await.unwrap(), "back");
    assert_eq!(bound.transport.stats().dialled, 0, "the same connection was used");
}
