//! Nodes that speak this build's wire version and nodes that speak the one before only, in one cluster.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::harness::{Cluster, Node, ensure, wait};

/// A key that `holder` does not hold, written through it.
fn key_elsewhere(holder: &Node) -> String {
    let mut client = holder.client();
    (0..1000)
        .map(|n| format!("/key-{n}"))
        .find(|path| client.put(path, "1").header("x-source") == Some("cluster"))
        .unwrap()
}

#[test]
fn old_and_new_nodes_are_one_cluster_and_what_is_new_is_said_to_new_ones_only() {
    let cluster = Cluster::new("upgrade");
    let launch = |name: &str| cluster.node(name).arg("--access-log", "1000000");
    let new = [launch("new-1").start(), launch("new-2").start()];
    let old = launch("old").env("BOATO_PREVIOUS_WIRE", "true").start();
    Cluster::settle(&[&new[0], &new[1], &old]);

    for node in [&new[0], &new[1], &old] {
        let path = key_elsewhere(node);
        assert_eq!(node.client().get(&path).text(), "1");
    }

    // Operations that their clients trace, at each of them, on keys of all.
    let carried = |node: &Node| node.log().matches("an operation from another node").count();
    let mut asked: u128 = 0;
    let mut at_old = [false; 3];
    wait("a new node logs what another new one traces", || {
        for (node, at_old) in [&new[0], &new[1], &old].into_iter().zip(&mut at_old) {
            asked += 1;
            let trace = format!("traceparent: 00-{asked:032x}-00f067aa0ba902b7-01\r\n");
            let answer = node.client().call("GET", &format!("/nothing-{asked}"), &trace, b"").unwrap();
            assert_eq!(answer.status, 404, "{}", answer.text());
            *at_old |= answer.header("x-hostname") == Some("old");
        }
        ensure(at_old[0] && at_old[1], || "the old one was not asked".to_owned())?;
        ensure(carried(&new[0]) > 0 && carried(&new[1]) > 0, || "no trace arrived".to_owned())
    });
    assert_eq!(carried(&old), 0, "it knows no traces");

    // What each of them does is told among those that know how.
    let silent = |node: &Node| {
        let told: BTreeMap<String, Value> =
            serde_json::from_str(&node.client().get("/_/figures").text()).unwrap();
        assert_eq!(told.len(), 3, "{told:?}");
        told.values().filter(|figures| figures.is_null()).count()
    };
    assert_eq!([&new[0], &new[1], &old].map(silent), [1, 1, 2]);
}
