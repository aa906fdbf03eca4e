//! Datagrams, messages, requests and answers between two nodes, and their bounds.

mod support;

use boato_transport::{Channel, DATAGRAM_MAX, Limits, RequestError, SendError};
use bytes::Bytes;
use support::{config, node, start, until, within};

/// A peer that reads nothing can still have this much under way: its stream window, our send window and one batch.
const UNDER_WAY_MAX: usize = (4 << 20) + (8 << 20) + (1 << 20);

#[tokio::test]
async fn datagrams_messages_and_requests_arrive_with_their_sender() {
    let (a, b) = (node(), node());
    a.transport.datagram(b.addr(), Bytes::from_static(b"datagram"));
    a.transport.send(b.addr(), Channel(0), Bytes::from_static(b"message")).unwrap();
    assert_eq!(a.ask(b.addr(), "request").await.unwrap(), "request");
    until("all three arrived", || b.seen.datagrams.lock().len() == 1 && b.seen.frames.lock().len() == 2)
        .await;

    let (from, datagram) = b.seen.datagrams.lock()[0].clone();
    assert_eq!((from.addr, from.node, &*datagram), (a.addr(), a.id, &b"datagram"[..]));
    for (from, _, _) in b.seen.frames.lock().iter() {
        assert_eq!((from.addr, from.node), (a.addr(), a.id));
    }
    assert_eq!(b.seen.payloads(Channel(0)), ["message"]);
    assert!(a.transport.rtt(b.addr()).is_some());
    assert!(a.transport.rtt("127.0.0.1:1".parse().unwrap()).is_none());
}

#[tokio::test]
async fn the_accepted_connection_carries_the_other_direction_too() {
    let (a, b) = (node(), node());
    a.ask(b.addr(), "there").await.unwrap();
    assert_eq!(b.ask(a.addr(), "and back").await.unwrap(), "and back");
    b.transport.datagram(a.addr(), Bytes::from_static(b"datagram"));
    until("the datagram arrived", || a.seen.datagrams.lock().len() == 1).await;
    assert_eq!(b.transport.stats().dialled, 0);
    assert_eq!(a.transport.stats().connections, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_keeps_the_order_of_calls() {
    let (a, b) = (node(), node());
    let number = |n: u32| Bytes::copy_from_slice(&n.to_be_bytes());
    let mut answers = Vec::new();
    for n in 0..10_000 {
        for channel in [Channel(2), Channel(7)] {
            if n % 3 == 0 {
                answers.push(a.transport.request(b.addr(), channel, number(n)));
            } else {
                a.transport.send(b.addr(), channel, number(n)).unwrap();
            }
        }
    }
    for answer in answers {
        within(answer).await.unwrap();
    }
    until("everything arrived", || b.seen.frames.lock().len() == 20_000).await;
    let expected: Vec<_> = (0..10_000).map(number).collect();
    assert_eq!(b.seen.payloads(Channel(2)), expected);
    assert_eq!(b.seen.payloads(Channel(7)), expected);
}

// On one thread, so that nothing is on its way before all is queued.
#[tokio::test]
async fn a_lower_channel_goes_first() {
    let (a, b) = (node(), node());
    a.ask(b.addr(), "hello").await.unwrap();
    let payload = Bytes::from(vec![0; 64 << 10]);
    for channel in [Channel(7), Channel(2)] {
        for _ in 0..60 {
            a.transport.send(b.addr(), channel, payload.clone()).unwrap();
        }
    }
    until("everything arrived", || b.seen.frames.lock().len() == 121).await;
    let order: Vec<Channel> = b.seen.frames.lock().iter().map(|(_, channel, _)| *channel).collect();
    let last = order.iter().rposition(|channel| *channel == Channel(2)).unwrap();
    let overtook = order[last..].iter().filter(|channel| **channel == Channel(7)).count();
    assert!(overtook > 15, "{overtook} of 60 messages of channel 7 came after the last of channel 2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_pipelined_requests_get_their_own_answers() {
    let (a, b) = (node(), node());
    let answers: Vec<_> = (0..10_000_u32)
        .map(|n| (n, a.transport.request(b.addr(), Channel(3), Bytes::from(n.to_string()))))
        .collect();
    for (n, answer) in answers {
        assert_eq!(within(answer).await.unwrap(), n.to_string());
    }
}

#[tokio::test]
async fn answers_may_come_late_and_in_any_order() {
    let (a, b) = (node(), node());
    let pending: Vec<_> =
        ["hold 1", "hold 2"].map(|text| a.transport.request(b.addr(), Channel(1), text.into())).into();
    assert_eq!(a.ask(b.addr(), "quick").await.unwrap(), "quick");
    let held = std::mem::take(&mut *b.seen.held.lock());
    assert_eq!(held.len(), 2);
    for (payload, reply) in held.into_iter().rev() {
        reply.send([&*payload, b" answered"].concat().into());
    }
    for (answer, n) in pending.into_iter().zip(1..) {
        assert_eq!(within(answer).await.unwrap(), format!("hold {n} answered"));
    }
}

#[tokio::test]
async fn large_and_empty_frames_arrive() {
    let (a, b) = (node(), node());
    let large: Vec<u8> = (0..=250).cycle().take(16 << 20).collect();
    assert_eq!(a.ask(b.addr(), large.clone()).await.unwrap(), large);
    assert_eq!(a.ask(b.addr(), "").await.unwrap(), "");
}

#[tokio::test]
async fn a_dropped_responder_tells_the_caller() {
    let (a, b) = (node(), node());
    assert_eq!(a.ask(b.addr(), "drop").await, Err(RequestError::NoAnswer));
    assert_eq!(a.ask(b.addr(), "next").await.unwrap(), "next");
}

#[tokio::test]
async fn a_frame_over_the_limit_is_not_sent() {
    let (a, b) = (node(), node());
    let limit = Limits::default().max_frame;
    let large = Bytes::from(vec![0; limit + 1]);
    assert_eq!(a.transport.send(b.addr(), Channel(0), large.clone()), Err(SendError::TooLarge));
    assert_eq!(a.ask(b.addr(), large).await, Err(RequestError::NotSent(SendError::TooLarge)));
}

#[tokio::test]
async fn a_peer_that_sends_frames_over_the_limit_is_cut_off() {
    let mut small = config();
    small.limits.max_frame = 1000;
    let (a, b) = (node(), start(small));
    assert_eq!(a.ask(b.addr(), vec![0; 1001]).await, Err(RequestError::Lost));
    until("the connection is gone", || a.transport.rtt(b.addr()).is_none()).await;
    assert!(b.seen.frames.lock().is_empty());
    // The peer itself may go on.
    a.ask_until_answered(b.addr()).await;
}

#[tokio::test]
async fn an_answer_over_the_limit_becomes_no_answer() {
    let mut small = config();
    small.limits.max_frame = 1000;
    let (a, b) = (node(), start(small));
    let pending = a.transport.request(b.addr(), Channel(1), "hold".into());
    until("the request arrived", || !b.seen.held.lock().is_empty()).await;
    let (_, reply) = b.seen.held.lock().pop().unwrap();
    reply.send(vec![0; 1001].into());
    assert_eq!(within(pending).await, Err(RequestError::NoAnswer));
}

#[tokio::test]
async fn a_queue_that_the_peer_does_not_empty_fills_up_and_only_that_one() {
    let mut bounded = config();
    bounded.limits.queue_bytes = 1 << 20;
    let (a, b) = (start(bounded), node());
    let payload = Bytes::from(vec![0; 64 << 10]);
    // Held requests are in service, and their bytes are bounded, so that the peer stops reading.
    let mut hold = b"hold".to_vec();
    hold.resize(64 << 10, 0);
    let (hold, mut pending, mut accepted) = (Bytes::from(hold), Vec::new(), 0);
    let full = loop {
        let mut answer = a.transport.request(b.addr(), Channel(1), hold.clone());
        match tokio::time::timeout(std::time::Duration::from_millis(1), &mut answer).await {
            Err(_) => pending.push(answer),
            Ok(outcome) => break outcome,
        }
        accepted += hold.len();
        assert!(accepted < 100 << 20, "never full");
    };
    assert_eq!(full, Err(RequestError::NotSent(SendError::Full)));
    let serving = Limits::default().serving_bytes;
    assert!(accepted <= serving + (1 << 20) + UNDER_WAY_MAX, "{accepted} bytes were taken");
    // Another channel to the same peer is free.
    assert_eq!(within(a.transport.request(b.addr(), Channel(5), payload.clone())).await.unwrap(), payload);
    // And the full one goes on where it stopped.
    let answer_all = async {
        while !pending.is_empty() {
            for (payload, reply) in std::mem::take(&mut *b.seen.held.lock()) {
                reply.send(payload.slice(..4));
            }
            if let Ok(answer) =
                tokio::time::timeout(std::time::Duration::from_millis(1), &mut pending[0]).await
            {
                assert_eq!(answer.unwrap(), "hold");
                drop(pending.remove(0));
            }
        }
    };
    within(answer_all).await;
}

#[tokio::test]
async fn datagrams_have_a_largest_size() {
    let (a, b) = (node(), node());
    a.transport.datagram(b.addr(), vec![1; DATAGRAM_MAX + 1].into());
    assert_eq!(a.transport.stats().datagrams_dropped, 1);
    a.transport.datagram(b.addr(), vec![2; DATAGRAM_MAX].into());
    until("the largest one arrived", || b.seen.datagrams.lock().len() == 1).await;
    assert_eq!(b.seen.datagrams.lock()[0].1.len(), DATAGRAM_MAX);
    assert_eq!(a.transport.stats().datagrams_dropped, 1);
}
