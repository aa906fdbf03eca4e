//! Who begins a cluster: one of those who start, never two.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Cluster, Http, Launch, Node, wait};

#[test]
fn three_nodes_started_in_the_same_instant_become_one_cluster_fifty_times() {
    const CLUSTERS: usize = 50;
    const AT_A_TIME: usize = 2;
    let (next, start) = (AtomicUsize::new(0), Instant::now());
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let i @ ..CLUSTERS = next.fetch_add(1, SeqCst) {
                    let cluster = Cluster::new(&format!("instant-{i}"));
                    become_one(["a", "b", "c"].map(|name| cluster.node(name)));
                }
            });
        }
    });
    println!("{CLUSTERS} clusters in {:?}", start.elapsed());
}

/// Starts three nodes at once and checks that one of them began the cluster, and that it serves.
fn become_one(launches: [Launch; 3]) {
    let together = Barrier::new(launches.len());
    let nodes: Vec<Node> = thread::scope(|scope| {
        let starts = launches.map(|launch| {
            let together = &together;
            scope.spawn(move || {
                together.wait();
                launch.start()
            })
        });
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    let all: Vec<_> = nodes.iter().collect();
    Cluster::settle(&all);
    assert_eq!(nodes[0].client().put("/k", "v").status, 201);
    assert!(nodes.iter().all(|node| node.client().get("/k").text() == "v"));
    let began = nodes.iter().filter(|node| node.log().contains("beginning")).count();
    assert_eq!(began, 1);
    let minted: u64 = nodes.iter().map(|node| node.view().metric("boato_slots_minted_total")).sum();
    assert_eq!(minted, 16_384);
}

/// A UDP port that is free now and that the system gives to nobody who does not ask for it.
fn free_port() -> SocketAddr {
    wait("a port is free", || {
        let addr = SocketAddr::from(([127, 0, 0, 1], fastrand::u16(15_000..30_000)));
        UdpSocket::bind(addr).map(|_| addr).map_err(|error| error.to_string())
    })
}

/// How to start a node at `addr` that is told to join all of `peers`.
fn joining(cluster: &Cluster, name: &str, addr: SocketAddr, peers: &[SocketAddr]) -> Launch {
    let launch = cluster.node(name).arg("--discover", "off").arg("--quic", addr.to_string());
    peers.iter().fold(launch, |launch, peer| launch.arg("--join", peer.to_string()))
}

#[test]
fn replicas_told_to_join_all_of_themselves_become_one_cluster() {
    let cluster = Cluster::new("service");
    let addrs: [SocketAddr; 3] = std::array::from_fn(|_| free_port());
    let mut names = ["a", "b", "c"].into_iter();
    become_one(addrs.map(|addr| joining(&cluster, names.next().unwrap(), addr, &addrs)));
}

#[test]
fn a_name_that_resolves_to_the_node_itself_lets_it_begin() {
    let cluster = Cluster::new("name");
    let addr = free_port();
    let join = format!("dns://localhost:{}", addr.port());
    let a = joining(&cluster, "a", addr, &[]).arg("--join", &join).start();
    Cluster::settle(&[&a]);
    let b = cluster.node("b").arg("--discover", "off").arg("--join", &join).start();
    Cluster::settle(&[&a, &b]);
}

#[test]
fn a_node_whose_joins_all_fail_waits_for_its_peer() {
    let cluster = Cluster::new("waiting");
    let [here, there] = [free_port(), free_port()];
    let a = joining(&cluster, "a", here, &[there]).start();
    // Longer than any node looks around before it begins a cluster.
    let (start, mut view) = (Instant::now(), a.view());
    while start.elapsed() < Duration::from_secs(5) {
        let reason = view.readiness().expect_err("a node that found nobody must not serve");
        assert!(reason.contains("join"), "{reason}");
        let answer = a.client().get("/k");
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.header("retry-after").is_some());
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    }
    assert_eq!(Http::new(a.http).get("/_/livez").status, 200);
    wait("its log says whom it does not reach", || {
        let told = a.log().contains(&format!("nobody answers at {there}: "));
        if told { Ok(()) } else { Err(a.log()) }
    });
    let b = joining(&cluster, "b", there, &[there, here]).start();
    Cluster::settle(&[&a, &b]);
}
