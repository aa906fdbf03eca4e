//! Members that come and go under load: every acknowledged write stays, and no read is older than one.

use std::time::{Duration, Instant};

use crate::harness::{Bulk, Cluster, Load, Node, boato, ensure, wait};

/// Requests before and after each change.
const WARM_UP: u64 = 1_000;

/// Keys in the same slots as those of the load: half a megabyte each, so that copying them takes its time.
const BULK: Bulk = Bulk { count: 512, bytes: 64 << 10, crowded: true };

#[test]
fn a_node_joins_under_load() {
    let cluster = Cluster::new("join");
    let [a, b, c] = cluster.start(["a", "b", "c"]);
    BULK.write(&a);
    let load = Load::start(&[&a, &b, &c]);
    load.run(WARM_UP);
    let d = cluster.node("d").start();
    load.add(&d);
    Cluster::settle(&[&a, &b, &c, &d]);
    load.run(WARM_UP);
    load.finish(&[&a, &b, &c, &d]);
    let held_by_d = BULK.read(&d).into_iter().filter(|(_, source)| source == "local").count();
    assert!(held_by_d > 0);
    BULK.read(&a);
}

#[test]
fn a_node_leaves_under_load() {
    let cluster = Cluster::new("leave");
    let [a, b, mut c] = cluster.start(["a", "b", "c"]);
    BULK.write(&a);
    let load = Load::start(&[&a, &b, &c]);
    load.run(WARM_UP);
    load.going(&c);
    c.terminate();
    assert_eq!(c.ended(), 0);
    assert_eq!(a.view().members()["c"], "left");
    Cluster::settle(&[&a, &b]);
    load.run(WARM_UP);
    load.finish(&[&a, &b]);
    BULK.read(&b);
    for node in [&a, &b] {
        assert_eq!(node.view().metric("boato_slots_lost_total"), 0);
    }
}

#[test]
fn two_nodes_leave_together_under_load() {
    let cluster = Cluster::new("two-leave");
    let [a, b, mut c, mut d] = cluster.start(["a", "b", "c", "d"]);
    BULK.write(&a);
    let load = Load::start(&[&a, &b, &c, &d]);
    load.run(WARM_UP);
    load.going(&c);
    load.going(&d);
    c.terminate();
    let left = boato(["leave", "--http", &d.http.to_string()]);
    assert!(left.status.success(), "{left:?}");
    assert_eq!((c.ended(), d.ended()), (0, 0));
    Cluster::settle(&[&a, &b]);
    load.run(WARM_UP);
    load.finish(&[&a, &b]);
    BULK.read(&b);
}

#[test]
fn nodes_restart_one_after_another_under_load() {
    let cluster = Cluster::new("rolling");
    let start =
        |name: &str| cluster.node(name).arg("--data-dir", cluster.dir().join(format!("{name}.d"))).spawn();
    let mut nodes = ["a", "b", "c"].map(start).map(crate::harness::Starting::listening);
    Cluster::settle(&nodes.each_ref());
    BULK.write(&nodes[0]);
    let load = Load::start(&nodes.each_ref());
    load.run(WARM_UP);
    for i in 0..nodes.len() {
        load.going(&nodes[i]);
        nodes[i].terminate();
        assert_eq!(nodes[i].ended(), 0);
        let again = start(&nodes[i].name).listening();
        assert_eq!(again.id, nodes[i].id, "the data directory keeps the key");
        assert!(boato_transport::is_key_id(again.id), "the id is that of the key");
        nodes[i] = again;
        load.add(&nodes[i]);
        Cluster::settle(&nodes.each_ref());
        load.run(WARM_UP);
    }
    load.finish(&nodes.each_ref());
    BULK.read(&nodes[1]);
}

#[test]
fn the_last_node_leaves_at_once() {
    let cluster = Cluster::new("last");
    let [mut a] = cluster.start(["a"]);
    a.client().put("/k", "v");
    let start = Instant::now();
    a.terminate();
    assert_eq!(a.ended(), 0);
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_second_signal_ends_a_node_at_once() {
    let cluster = Cluster::new("signals");
    let [mut a, b] = cluster.start(["a", "b"]);
    // Nobody takes the slots of a, so that it would wait.
    b.freeze();
    a.terminate();
    wait("a begins to leave", || ensure(a.log().contains("SIGTERM"), || "nothing in its log".to_owned()));
    assert!(a.runs());
    a.terminate();
    assert_eq!(a.ended(), 1);
    assert!(a.log().contains("ending without a hand-off"), "{}", a.log());
}

#[test]
fn what_cannot_be_handed_off_in_time_is_reported() {
    let cluster = Cluster::new("timeout");
    let mut a = cluster.node("a").arg("--leave-timeout", "500ms").start();
    let b = cluster.node("b").start();
    Cluster::settle(&[&a, &b]);
    Bulk { count: 500, bytes: 100, crowded: false }.write(&a);
    b.freeze();
    a.terminate();
    a.ended();
    let log = a.log();
    let line = log.lines().find(|line| line.contains("slots that nobody took over")).expect(&log);
    let slots = |line: &str| {
        let said: serde_json::Value = serde_json::from_str(line).unwrap();
        said["slots_left"].as_u64().unwrap()
    };
    assert!((1..16_384).contains(&slots(line)), "{line}");
}

#[test]
fn a_node_of_weight_zero_holds_nothing_and_serves_every_key() {
    let cluster = Cluster::new("weight");
    let [a] = cluster.start(["a"]);
    let zero: Node = cluster.node("zero").arg("--weight", "0").start();
    wait("zero is ready", || zero.view().readiness());
    let bulk = Bulk { count: 200, bytes: 10, crowded: false };
    bulk.write(&zero);
    assert!(bulk.read(&zero).iter().all(|place| *place == ("a".to_owned(), "cluster".to_owned())));
    assert!(bulk.read(&a).iter().all(|place| *place == ("a".to_owned(), "local".to_owned())));
}
