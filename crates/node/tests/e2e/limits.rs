//! Limits that an operator sets on what a node does for the cluster.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Bulk, Cluster, Launch, Node, Starting, ensure, wait};

fn settled(launches: [Launch; 3]) -> [Node; 3] {
    let nodes = launches.map(Launch::spawn).map(Starting::listening);
    Cluster::settle(&nodes.each_ref());
    nodes
}

#[test]
fn with_too_few_members_writes_are_refused_and_reads_go_on() {
    let cluster = Cluster::new("few");
    let launch = |name: &str| cluster.node(name).arg("--min-members", "2");
    let [a, mut b, mut c] = settled(["a", "b", "c"].map(launch));
    let bulk = Bulk { count: 200, bytes: 100, crowded: false };
    bulk.write(&a);
    let on_a: Vec<bool> = bulk.read(&a).iter().map(|(holder, _)| holder == "a").collect();
    let (one_on_a, one_lost) = (place(&on_a, true), place(&on_a, false));
    b.kill();
    c.kill();
    let mut http = a.client();
    let refused = wait("a refuses to write", || {
        let answer = http.put(&bulk.path(one_on_a), "new");
        ensure(answer.status == 503, || format!("it answered {}", answer.status)).map(|()| answer)
    });
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    let problem: Value = serde_json::from_slice(&refused.body).unwrap();
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("1 of the 2 live members"), "{detail}");
    let deleted = http.request("DELETE", &bulk.path(one_on_a), "", "");
    assert_eq!(deleted.status, 503, "{}", deleted.text());
    for (i, _) in on_a.iter().enumerate().filter(|(_, on_a)| **on_a) {
        assert_eq!(http.get(&bulk.path(i)).status, 200, "{i}");
    }
    wait("the slots of the others begin anew", || {
        let status = http.get(&bulk.path(one_lost)).status;
        ensure(status == 404, || format!("{status}"))
    });
    assert_eq!(http.put(&bulk.path(one_lost), "new").status, 503);
    let again = launch("again").start();
    Cluster::settle(&[&a, &again]);
    assert_eq!(http.put(&bulk.path(one_on_a), "new").status, 200);
    assert_eq!(again.client().put(&bulk.path(one_lost), "new").status, 201);
}

fn place(on_a: &[bool], wanted: bool) -> usize {
    on_a.iter().position(|on_a| *on_a == wanted).expect("200 keys are on all nodes")
}

#[test]
fn a_limited_hand_off_takes_its_time_shows_how_far_it_is_and_loses_nothing() {
    const RATE: u64 = 1 << 20;
    let cluster = Cluster::new("rate");
    let a = cluster.node("a").arg("--handoff-rate", RATE.to_string()).start();
    Cluster::settle(&[&a]);
    let bulk = Bulk { count: 1024, bytes: 8 << 10, crowded: true };
    bulk.write(&a);
    let (start, before) = (Instant::now(), a.view().metric("boato_handoff_bytes_total"));
    let b = cluster.node("b").start();
    let mut view = a.view();
    let moving = wait("a tells what moves", || {
        let moving = view.json("/_/status")["moving"].take();
        ensure(moving["slots_to_give"].as_u64() > Some(0), || moving.to_string()).map(|()| moving)
    });
    assert!(moving["bytes_to_give"].as_u64() > Some(0), "{moving}");
    bulk.read(&b);
    Cluster::settle(&[&a, &b]);
    let took = start.elapsed();
    let bytes = view.metric("boato_handoff_bytes_total") - before;
    assert!(bytes > 3 * RATE, "{bytes} bytes went over, about half of 8 MiB");
    // What is left of a slot when it is frozen goes out at once, so that some of the move is ahead of its rate.
    let least = Duration::from_secs(bytes / RATE) / 2;
    assert!(took >= least, "{bytes} bytes in {took:?}");
    wait("a tells that nothing moves", || {
        let moving = view.json("/_/status")["moving"].take();
        ensure(moving.is_null(), || moving.to_string())
    });
    assert_eq!((view.metric("boato_slots_to_give"), view.metric("boato_handoff_bytes_left")), (0, 0));
    let log = a.log();
    assert!(log.contains("slots are moving") && log.contains("the slots have moved"), "{log}");
    let held_by_b = bulk.read(&a).into_iter().filter(|(holder, _)| holder == "b").count();
    assert!(held_by_b > 0);
    bulk.read(&b);
}
