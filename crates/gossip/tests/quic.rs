//! Members over real QUIC on loopback.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use boato_gossip::quic::{BULK, CHANNEL, Handle, QueryEvent, Replies, spawn};
use boato_gossip::{
    Config, Event, Gossip, Identity, InputError, Member, NodeId, PROTOCOL, Query, RESPONSE_BYTES_MAX, Reply,
    Signature, State,
};
use boato_transport::{Channel, Handler, NodeKey, Peer, Responder, Transport};
use bytes::Bytes;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::time::{sleep, timeout};

/// Far more than anything takes, also where many others want the machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// Ten times as quick as on a local network.
fn config() -> Config {
    Config {
        probe_interval: Duration::from_millis(200),
        probe_timeout: Duration::from_millis(80),
        gossip_interval: Duration::from_millis(20),
        suspicion_multiplier: 5,
        suspicion_floor: 5,
        ..Config::lan()
    }
}

struct Dispatch(Handle);

impl Handler for Dispatch {
    fn datagram(&self, from: Peer, payload: Bytes) {
        self.0.datagram(from, payload);
    }

    fn message(&self, from: Peer, channel: Channel, payload: Bytes) {
        assert!(channel == CHANNEL || channel == BULK);
        self.0.message(from, payload);
    }

    fn request(&self, _: Peer, _: Channel, _: Bytes, _: Responder) {}
}

struct Node {
    handle: Handle,
    transport: Transport,
    addr: SocketAddr,
}

fn key(n: u8) -> NodeKey {
    NodeKey::from_seed(&[n; 32])
}

fn id(n: u8) -> NodeId {
    NodeId(key(n).node())
}

fn start(n: u8, gossip: Config) -> Node {
    start_at(Ipv4Addr::LOCALHOST.into(), n, gossip)
}

fn start_at(ip: IpAddr, n: u8, gossip: Config) -> Node {
    let bind = SocketAddr::new(ip, 0);
    // Of two neighbours one knows the version before only.
    let (protocol, previous) =
        if n.is_multiple_of(2) { (PROTOCOL - 1, None) } else { (PROTOCOL, Some(PROTOCOL - 1)) };
    let config =
        boato_transport::Config { previous, ..boato_transport::Config::new("test", key(n), bind, protocol) };
    let transport = Transport::bind(config).expect("a socket");
    let addr = transport.local_addr();
    let identity = Identity { id: id(n), boot: 1, addr, name: format!("node-{n}"), tags: Vec::new() };
    let gossip = Gossip::new(gossip, identity, 7, Duration::ZERO).expect("sound settings");
    let handle = spawn(gossip.with_signer(Arc::new(key(n))), transport.clone());
    transport.serve(Arc::new(Dispatch(handle.clone())));
    Node { handle, transport, addr }
}

fn cluster(n: u8) -> Vec<Node> {
    cluster_with(n, &config())
}

fn cluster_with(n: u8, gossip: &Config) -> Vec<Node> {
    cluster_at(Ipv4Addr::LOCALHOST.into(), n, gossip)
}

fn cluster_at(ip: IpAddr, n: u8, gossip: &Config) -> Vec<Node> {
    let nodes: Vec<Node> = (1..=n).map(|n| start_at(ip, n, gossip.clone())).collect();
    for node in &nodes[1..] {
        node.handle.join(nodes[0].addr);
    }
    nodes
}

async fn until(what: &str, done: impl Fn() -> bool) {
    let waiting = async {
        while !done() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(timeout(PATIENCE, waiting).await.is_ok(), "not in time: {what}");
}

fn member(node: &Node, n: u8) -> Option<Member> {
    node.handle.members().iter().find(|member| member.id == id(n)).cloned()
}

fn state(node: &Node, n: u8) -> Option<State> {
    member(node, n).map(|member| member.state)
}

fn live(node: &Node) -> usize {
    node.handle.members().iter().filter(|member| member.is_live()).count()
}

#[tokio::test]
async fn members_find_each_other_and_hear_of_changes() {
    let nodes = cluster(3);
    until("all know all", || nodes.iter().all(|node| live(node) == 3)).await;
    let mut events = nodes[0].handle.subscribe();
    nodes[2].handle.set_tags(vec![("http".into(), "127.0.0.1:7480".into())]).await.unwrap();
    let event = timeout(PATIENCE, events.recv()).await.unwrap().unwrap();
    assert!(matches!(&event, Event::Updated(m) if m.id == id(3)), "{event:?}");
    let known = member(&nodes[0], 3).expect("known");
    assert_eq!(known.tags.get("http"), Some("127.0.0.1:7480"), "the snapshot is as new as the event");
    assert!(nodes.iter().all(|node| node.handle.stats().signatures_refused == 0));
    let own = |n: u8| member(&nodes[usize::from(n) - 1], n).map(|member| member.signature);
    until("all have the last words of all, signed", || {
        let signed = |node, n| member(node, n).map(|member| member.signature) == own(n);
        nodes.iter().all(|node| (1..=3).all(|n| signed(node, n)))
    })
    .await;
    assert_ne!(own(3), Some(Signature::default()));
}

#[tokio::test]
async fn who_left_long_ago_is_not_listed_any_more() {
    let nodes = cluster_with(3, &Config { reclaim_left: Duration::from_secs(3), ..config() });
    until("all know all", || nodes.iter().all(|node| live(node) == 3)).await;
    nodes[2].handle.leave().await;
    nodes[2].transport.close().await;
    until("nobody lists it", || nodes[..2].iter().all(|node| state(node, 3).is_none())).await;
}

#[tokio::test]
async fn a_leave_is_seen_as_such_and_completes() {
    let nodes = cluster(3);
    until("all know all", || nodes.iter().all(|node| live(node) == 3)).await;
    timeout(PATIENCE, nodes[2].handle.leave()).await.unwrap();
    nodes[2].handle.stop();
    nodes[2].transport.close().await;
    until("all know of the leave", || nodes[..2].iter().all(|node| state(node, 3) == Some(State::Left)))
        .await;
}

#[tokio::test]
async fn a_member_that_vanishes_is_declared_dead() {
    let mut nodes = cluster(3);
    until("all know all", || nodes.iter().all(|node| live(node) == 3)).await;
    let gone = nodes.pop().unwrap();
    gone.handle.stop();
    gone.transport.close().await;
    until("all know of the death", || nodes.iter().all(|node| state(node, 3) == Some(State::Dead))).await;
    assert!(nodes.iter().all(|node| live(node) == 2));
}

/// The addresses are IPv6 from the socket to what members tell of each other.
#[tokio::test]
async fn over_ipv6_members_find_each_other_hear_of_changes_and_notice_who_vanishes_and_who_leaves() {
    if let Err(error) = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)) {
        return eprintln!(
            "SKIPPED: this machine has no IPv6 loopback ({error}), so nothing of IPv6 was tested"
        );
    }
    let mut nodes = cluster_at(Ipv6Addr::LOCALHOST.into(), 4, &config());
    until("all know all", || nodes.iter().all(|node| live(node) == 4)).await;
    for (n, to) in (1..).zip(&nodes) {
        assert!(to.addr.is_ipv6());
        assert!(nodes.iter().all(|node| member(node, n).is_some_and(|member| member.addr == to.addr)));
    }
    nodes[1].handle.set_tags(vec![("http".into(), "[::1]:7480".into())]).await.unwrap();
    let told = |node| member(node, 2).is_some_and(|member| member.tags.get("http") == Some("[::1]:7480"));
    until("all hear of the tag", || nodes.iter().all(told)).await;
    let gone = nodes.pop().unwrap();
    gone.handle.stop();
    gone.transport.close().await;
    until("all know of the death", || nodes.iter().all(|node| state(node, 4) == Some(State::Dead))).await;
    timeout(PATIENCE, nodes[2].handle.leave()).await.unwrap();
    nodes[2].handle.stop();
    nodes[2].transport.close().await;
    until("all know of the leave", || nodes[..2].iter().all(|node| state(node, 3) == Some(State::Left)))
        .await;
}

#[tokio::test]
async fn joining_the_own_address_is_reported() {
    let node = start(1, config());
    let mut events = node.handle.subscribe();
    node.handle.join(node.addr);
    let event = timeout(PATIENCE, events.recv()).await.unwrap().unwrap();
    assert_eq!(event, Event::SelfJoin { addr: node.addr });
}

#[tokio::test]
async fn a_stopped_driver_leaves_at_once_and_ends_subscriptions() {
    let node = start(1, config());
    let mut events = node.handle.subscribe();
    node.handle.stop();
    timeout(PATIENCE, node.handle.leave()).await.unwrap();
    drop(node);
    assert!(timeout(PATIENCE, events.recv()).await.unwrap().is_err());
}

#[tokio::test]
async fn a_recall_brings_more_events_than_a_slow_subscriber_may_be_behind_and_none_is_missed() {
    const COUNT: usize = 1500;
    let old = start(1, config());
    for n in 0..COUNT {
        while old.handle.event(n.to_string(), Vec::new()).await.is_err() {
            // Others have yet to be told.
            sleep(Duration::from_millis(5)).await;
        }
    }
    until("none waits to be told", || old.handle.stats().queue_bytes == 0).await;
    let new = start(3, config());
    new.handle.join(old.addr);
    until("both know both", || live(&old) == 2 && live(&new) == 2).await;
    let mut events = new.handle.subscribe();
    new.handle.recall();
    until("all have come", || events.len() >= COUNT).await;
    let mut told = 0;
    while let Ok(event) = events.try_recv().inspect_err(|error| assert_eq!(*error, TryRecvError::Empty)) {
        told += usize::from(matches!(event, Event::User(_)));
    }
    assert_eq!(told, COUNT);
}

/// Asks, and answers so; nothing of it has been read yet.
async fn ask(node: &Node, response: Option<Vec<u8>>) -> Result<Replies, InputError> {
    let mut events = node.handle.subscribe();
    let timeout = Some(Duration::from_mins(1));
    let replies = node.handle.query(Query { name: "load".into(), timeout, ..Query::default() }).await?;
    if let Some(response) = response {
        let Ok(Event::Query(question)) = events.recv().await else { panic!("a question") };
        node.handle.answer(question.id, Some(response)).await?;
    }
    Ok(replies)
}

#[tokio::test]
async fn a_query_that_nobody_waits_for_gives_its_place_back() {
    let node = start(1, config());
    let mut waiting = Vec::new();
    let full = loop {
        match ask(&node, None).await {
            Ok(replies) => waiting.push(replies),
            Err(error) => break error,
        }
    };
    assert!(matches!(full, InputError::QueriesFull), "{full}");
    waiting.pop();
    assert!(ask(&node, None).await.is_ok());
}

#[tokio::test]
async fn responses_that_nobody_reads_take_bounded_memory_and_who_was_not_heard_is_missing() {
    let node = start(1, config());
    let mut all = Vec::new();
    for _ in 0..65 {
        all.push(ask(&node, Some(vec![0; RESPONSE_BYTES_MAX])).await.unwrap());
    }
    let mut last = all.pop().unwrap();
    assert_eq!(last.recv().await, Some(QueryEvent::Done { missing: vec![id(1)] }));
    assert!(matches!(all[0].recv().await, Some(QueryEvent::Reply { reply: Reply::Response(_), .. })));
    let mut next = ask(&node, Some(vec![0; RESPONSE_BYTES_MAX])).await.unwrap();
    assert!(matches!(next.recv().await, Some(QueryEvent::Reply { .. })), "there is room again");
    assert_eq!(next.recv().await, Some(QueryEvent::Done { missing: vec![] }));
    assert_eq!(next.recv().await, None);
}
