use std::net::SocketAddr;
use std::time::Duration;

use super::*;

const WAIT: Duration = Duration::from_secs(10);

fn plan(join: &[&str]) -> Plan {
    Plan {
        cluster: "discovery-tests".to_owned(),
        node: NodeId(1),
        addr: SocketAddr::from(([127, 0, 0, 1], 7400)),
        discover: Discover::Off,
        join: join.iter().map(|text| text.parse().unwrap()).collect(),
    }
}

async fn next(discovery: &mut Discovery) -> Option<Found> {
    tokio::time::timeout(WAIT, discovery.found()).await.unwrap()
}

#[test]
fn the_ways_to_others_are_told() {
    assert_eq!(plan(&[]).ways(0), "no way; others may find this node");
    let mut plan = plan(&["127.0.0.1:7401", "dns://boato:7400"]);
    plan.discover = Discover::Mdns;
    let ways = "those on this network, by multicast DNS, 127.0.0.1:7401, dns://boato:7400, 3 known from the start before";
    assert_eq!(plan.ways(3), ways);
}

#[tokio::test]
async fn joins_are_reported_again_and_again() {
    let mut discovery = Discovery::start(plan(&["127.0.0.1:7401"]), &CancellationToken::new()).unwrap();
    let found = Found { addr: SocketAddr::from(([127, 0, 0, 1], 7401)), source: Source::Join };
    for _ in 0..2 {
        assert_eq!(next(&mut discovery).await, Some(found));
    }
    discovery.stop().await;
}

#[tokio::test]
async fn who_has_joined_looks_seldom() {
    let mut discovery = Discovery::start(plan(&["127.0.0.1:7401"]), &CancellationToken::new()).unwrap();
    discovery.set_joined(true);
    next(&mut discovery).await;
    // The source rests for 5 s at least now, and for 1 s at most while it is alone.
    let quiet = tokio::time::timeout(Duration::from_millis(1_200), discovery.found()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    discovery.stop().await;
}

#[tokio::test]
async fn without_sources_or_after_shutdown_there_is_nothing_more() {
    let shutdown = CancellationToken::new();
    assert_eq!(next(&mut Discovery::start(plan(&[]), &shutdown).unwrap()).await, None);
    let mut discovery = Discovery::start(plan(&["127.0.0.1:7401"]), &shutdown).unwrap();
    shutdown.cancel();
    while next(&mut discovery).await.is_some() {}
}

#[tokio::test]
async fn ending_the_sources_ends_nothing_else() {
    let shutdown = CancellationToken::new();
    Discovery::start(plan(&["127.0.0.1:7401"]), &shutdown).unwrap().stop().await;
    assert!(!shutdown.is_cancelled());
}
