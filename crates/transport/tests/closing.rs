//! A node that closes answers what it has taken up, and leaves no doubt about the rest.

mod support;

use std::collections::HashSet;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use boato_transport::{Channel, Limits, RequestError, SendError};
use bytes::Bytes;
use support::{DEADLINE, Node, config, node, start, until, within};
use tokio::time::timeout;

/// Asks until it is refused: the numbers of all requests, and how each ended.
async fn ask_on(
    asker: Arc<Node>,
    closing: Arc<Node>,
    numbers: Arc<AtomicU32>,
) -> Vec<(Bytes, Result<Bytes, RequestError>)> {
    let mut outcomes = Vec::new();
    loop {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        // A stream is in use for a while, then the next one is opened.
        let channel = Channel((number / 64 % 8) as u8);
        let payload = Bytes::copy_from_slice(&number.to_be_bytes());
        let outcome = within(asker.transport.request(closing.addr(), channel, payload.clone())).await;
        let refused = outcome.is_err();
        outcomes.push((payload, outcome));
        if refused {
            return outcomes;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_closes_under_load_leaves_no_outcome_unknown() {
    for round in 0..10 {
        let mut patient = config();
        patient.limits.drain = DEADLINE;
        let (asker, closing) = (Arc::new(node()), Arc::new(start(patient)));
        let numbers = Arc::new(AtomicU32::new(0));
        let asking: Vec<_> = (0..32)
            .map(|_| tokio::spawn(ask_on(Arc::clone(&asker), Arc::clone(&closing), Arc::clone(&numbers))))
            .collect();
        until("requests are under way", || closing.seen.frames.lock().len() > 200 + 7 * round).await;
        within(closing.transport.close()).await;
        let mut outcomes = Vec::new();
        for asking in asking {
            outcomes.extend(within(asking).await.unwrap());
        }
        let taken: HashSet<Bytes> =
            closing.seen.frames.lock().iter().map(|(_, _, payload)| payload.clone()).collect();
        for (payload, outcome) in outcomes {
            match outcome {
                Ok(answer) => assert_eq!(answer, payload),
                Err(RequestError::NotSent(_)) => assert!(!taken.contains(&payload), "it was taken up"),
                Err(error) => panic!("round {round}: {error}; taken up: {}", taken.contains(&payload)),
            }
        }
    }
}

#[tokio::test]
async fn a_request_in_service_when_the_time_to_close_is_over_is_lost_and_never_not_sent() {
    let asker = node();
    let mut config = config();
    config.limits.drain = Duration::from_millis(20);
    let closing = start(config);
    let answered = asker.transport.request(closing.addr(), Channel(1), "hold".into());
    let dropped = asker.transport.request(closing.addr(), Channel(2), "drop".into());
    until("they are taken up", || closing.seen.frames.lock().len() == 2).await;
    within(closing.transport.close()).await;
    // Now it answers, which is too late.
    for (payload, reply) in closing.seen.held.lock().drain(..) {
        reply.send(payload);
    }
    assert_eq!(within(answered).await, Err(RequestError::Lost));
    assert_eq!(within(dropped).await, Err(RequestError::NoAnswer));
    let refused = within(asker.transport.request(closing.addr(), Channel(3), "more".into())).await;
    assert!(matches!(refused, Err(RequestError::NotSent(_))), "{refused:?}");
}

#[tokio::test]
async fn what_is_meant_for_a_peer_that_said_goodbye_is_turned_away_at_once() {
    let (asker, mut other) = (node(), config());
    let closing = start(other.clone());
    let addr = closing.addr();
    asker.ask_until_answered(addr).await;
    let connected = Instant::now();
    // A shorter life would count as a failed dial anyway.
    until("the connection has lived", || connected.elapsed() > Duration::from_millis(1100)).await;
    closing.transport.close().await;
    drop(closing);
    until("the goodbye was heard", || asker.transport.stats().connections == 0).await;
    // Nobody is at the address any more: a dial would wait for the handshake.
    let patience = Limits::default().handshake_timeout / 4;
    let refused = timeout(patience, asker.transport.request(addr, Channel(1), "more".into())).await;
    assert_eq!(refused, Ok(Err(RequestError::NotSent(SendError::Disconnected))));
    assert_eq!(asker.transport.stats().dial_failures, 0);
    // Whoever takes over the address is reached as soon as it dials.
    until("the socket is closed", || UdpSocket::bind(addr).is_ok()).await;
    other.bind = addr;
    let reborn = start(other);
    reborn.ask_until_answered(asker.addr()).await;
    assert_eq!(asker.ask(addr, "hello").await, Ok("hello".into()));
}
