//! Nodes that must not become one cluster.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use boato_transport::Secret;

use crate::harness::{Cluster, Http, Launch, Node, ensure, wait};

fn secret_file(cluster: &Cluster, name: &str) -> PathBuf {
    let path = cluster.dir().join(name);
    fs::write(&path, Secret::generate()).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path
}

fn alone(launch: Launch) -> Launch {
    launch.arg("--discover", "off")
}

/// Both say in their logs who refused whom and why; neither knows the other; only `here`, which was told to join nobody,
/// serves.
fn refused(here: &Node, there: &Node, cause: &str) {
    for (node, peer) in [(here, there), (there, here)] {
        let peer = format!("the node at {}", peer.quic);
        wait(&format!("{} says that {peer} has {cause}", node.name), || {
            let log = node.log();
            let said = log.lines().any(|line| {
                line.contains("\"WARN\"")
                    && line.contains("refused")
                    && line.contains(&peer)
                    && line.contains(cause)
            });
            ensure(said, || log)
        });
        assert_eq!(node.view().members().into_keys().collect::<Vec<_>>(), [node.name.as_str()]);
    }
    wait("the first node serves", || here.view().readiness());
    assert!(there.view().readiness().is_err());
    assert_eq!(there.client().put("/k", "v").status, 503);
    assert_eq!(here.client().get("/k").status, 404);
}

#[test]
fn a_node_with_another_secret_is_refused() {
    let cluster = Cluster::new("secrets");
    let [ours, theirs] = ["ours", "theirs"].map(|name| secret_file(&cluster, name));
    let here = alone(cluster.node("here")).arg("--secret-file", &ours).start();
    let there = cluster.node("there").arg("--secret-file", &theirs).arg("--join", here.quic.to_string());
    let there = alone(there).start();
    refused(&here, &there, "other cluster secret");
}

#[test]
fn a_node_of_another_cluster_is_refused() {
    let (cluster, other) = (Cluster::new("one"), Cluster::new("another"));
    let secret = secret_file(&cluster, "secret");
    let here = alone(cluster.node("here")).arg("--secret-file", &secret).start();
    let there = other.node("there").arg("--secret-file", &secret).arg("--join", here.quic.to_string());
    let there = alone(there).start();
    refused(&here, &there, "other cluster name");
}

#[test]
fn a_node_without_a_secret_is_refused_by_one_with() {
    let cluster = Cluster::new("half");
    let secret = secret_file(&cluster, "secret");
    let here = alone(cluster.node("here")).arg("--secret-file", &secret).start();
    let there = alone(cluster.node("there")).arg("--join", here.quic.to_string()).start();
    refused(&here, &there, "other cluster secret");
}

#[test]
fn nodes_with_one_secret_are_a_cluster_and_its_administration_needs_the_token() {
    let cluster = Cluster::new("secured");
    let secret = secret_file(&cluster, "secret");
    let a = alone(cluster.node("a")).arg("--secret-file", &secret).start();
    let b = cluster.node("b").arg("--secret-file", &secret).arg("--join", a.quic.to_string());
    let mut b = alone(b).start();
    Cluster::settle(&[&a, &b]);
    assert_eq!(b.client().request("POST", "/_/leave", "", "").status, 401);
    assert_eq!(b.client().request("POST", "/_/leave", "authorization: Bearer guess\r\n", "").status, 401);
    let token = Secret::parse(&fs::read_to_string(&secret).unwrap()).unwrap().admin_token(cluster.name());
    let header = format!("authorization: Bearer {token}\r\n");
    assert_eq!(b.client().request("POST", "/_/leave", &header, "").status, 202);
    assert_eq!(b.ended(), 0);
    Cluster::settle(&[&a]);
}

#[test]
fn a_client_secret_is_asked_of_clients_and_not_of_probes() {
    let cluster = Cluster::new("clients");
    let path = cluster.dir().join("client-secret");
    fs::write(&path, "s3cret").unwrap();
    let a = cluster.node("a").arg("--client-secret-file", &path).start();
    let mut http = Http::new(a.http);
    wait("a serves", || a.view().readiness());
    assert_eq!(http.put("/k", "v").status, 401);
    assert_eq!(http.get("/_/members").status, 401);
    assert_eq!(http.request("PUT", "/k", "authorization: Bearer s3cret\r\n", "v").status, 201);
}
