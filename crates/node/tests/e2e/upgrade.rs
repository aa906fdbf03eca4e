//! Nodes that speak this build's wire version and nodes that speak the one before only, in one cluster.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::harness::{Cluster, Node};

/// A key that `holder` does not hold, written through it.
fn key_elsewhere(holder: &Node) -> String {
    let mut client = holder.client();
    (0..1000)
        .map(|n| format!("/key-{n}"))
        .find(|path| client.put(path, "1").header("x-source") == Some("cluster"))
        .unwrap()
}

#[test]
fn old_and_new_nodes_are_one_cluster() {
    let cluster = Cluster::new("upgrade");
    let new = [cluster.node("new-1").start(), cluster.node("new-2").start()];
    let old = cluster.node("old").env("BOATO_PREVIOUS_WIRE", "true").start();
    let nodes = [&new[0], &new[1], &old];
    Cluster::settle(&nodes);
    for node in nodes {
        let path = key_elsewhere(node);
        for reader in nodes {
            assert_eq!(reader.client().get(&path).text(), "1");
        }
        let told: BTreeMap<String, Value> =
            serde_json::from_str(&node.client().get("/_/figures").text()).unwrap();
        assert_eq!(told.values().filter(|figures| !figures.is_null()).count(), 3, "{told:?}");
    }
}
