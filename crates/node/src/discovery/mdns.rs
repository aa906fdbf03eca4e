//! Neighbours on the local network: multicast DNS service discovery (RFC 6762, RFC 6763).
//!
//! A node announces an instance of `_boato._udp.local.` named `<hash of the cluster name>-<node id>`, with
//! its QUIC port and address. The hash keeps clusters apart; it protects nothing, as nodes without the secret
//! are refused anyway.

use std::collections::BTreeMap;
use std::net::{SocketAddr, SocketAddrV6};
use std::ops::Range;

use boato_gossip::NodeId;
use mdns_sd::{Receiver, ResolvedService, ScopedIp, ServiceDaemon, ServiceEvent, ServiceInfo};

use super::pace::Pace;
use super::{FOUND_MAX, Sink, Source};

const SERVICE: &str = "_boato._udp.local.";

/// Rest between two reports of a node that has not joined, and of one that has, in milliseconds.
const ALONE_MS: Range<u64> = 500..1_000;
const JOINED_MS: Range<u64> = 5_000..30_000;

/// Rest before asking the network anew after the daemon has dropped a slow subscription, in milliseconds.
const AGAIN_MS: Range<u64> = 1_000..2_000;

/// Announces this node and reports others of `cluster` until it is time to end.
pub(super) async fn run(cluster: String, node: NodeId, addr: SocketAddr, sink: Sink, pace: Pace) {
    let started = ServiceDaemon::new().and_then(|daemon| {
        let service = service(&cluster, node, addr)?;
        let name = service.get_fullname().to_owned();
        daemon.register(service)?;
        Ok((daemon, name))
    });
    let (daemon, name) = match started {
        Ok(started) => started,
        Err(error) => {
            return tracing::warn!(%error, "no multicast DNS on this machine: name other nodes with --join, or allow UDP port 5353");
        }
    };
    let mut neighbours =
        Neighbours { prefix: prefix(&cluster), own: instance(&cluster, node), ..Neighbours::default() };
    loop {
        match daemon.browse(SERVICE) {
            Ok(events) => {
                if !neighbours.follow(&events, &sink, &mut pace.clone()).await {
                    break;
                }
            }
            Err(error) => tracing::debug!(%error, "cannot ask for neighbours"),
        }
        if !pace.rest(AGAIN_MS).await {
            break;
        }
    }
    say_goodbye(&daemon, &name).await;
}

/// Takes the announcement back, so that others forget this node at once.
async fn say_goodbye(daemon: &ServiceDaemon, name: &str) {
    if let Ok(done) = daemon.unregister(name) {
        let _ = done.recv_async().await;
    }
    if let Ok(done) = daemon.shutdown() {
        let _ = done.recv_async().await;
    }
}

/// Nodes of this cluster seen on the network: instance to addresses, at most [`FOUND_MAX`] instances.
#[derive(Default)]
struct Neighbours {
    prefix: String,
    own: String,
    seen: BTreeMap<String, Vec<SocketAddr>>,
}

impl Neighbours {
    /// Follows a subscription and reports. False when it is time to end, true when the subscription ended.
    async fn follow(&mut self, events: &Receiver<ServiceEvent>, sink: &Sink, pace: &mut Pace) -> bool {
        loop {
            tokio::select! {
                event = events.recv_async() => {
                    let Ok(event) = event else { return true };
                    let news = self.learn(event);
                    if !sink.report(news, Source::Mdns).await {
                        return false;
                    }
                }
                go_on = pace.rest_by_membership(ALONE_MS, JOINED_MS) => {
                    let all = self.seen.values().flatten().copied().collect::<Vec<_>>();
                    if !go_on || !sink.report(all, Source::Mdns).await {
                        return false;
                    }
                }
            }
        }
    }

    /// Takes an event in and gives the addresses that it brought.
    fn learn(&mut self, event: ServiceEvent) -> Vec<SocketAddr> {
        match event {
            ServiceEvent::ServiceResolved(service) => self.resolved(&service),
            ServiceEvent::ServiceRemoved(_, name) => {
                self.seen.remove(&name);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn resolved(&mut self, service: &ResolvedService) -> Vec<SocketAddr> {
        let name = service.get_fullname();
        let ours = name.starts_with(&self.prefix) && !name.starts_with(&self.own);
        if !ours || (self.seen.len() >= FOUND_MAX && !self.seen.contains_key(name)) {
            return Vec::new();
        }
        let addrs = addresses(service);
        self.seen.insert(name.to_owned(), addrs.clone());
        addrs
    }
}

/// The record that announces this node.
fn service(cluster: &str, node: NodeId, addr: SocketAddr) -> mdns_sd::Result<ServiceInfo> {
    let host = format!("boato-{node}.local.");
    let properties: &[(&str, &str)] = &[];
    let mut service =
        ServiceInfo::new(SERVICE, &instance(cluster, node), &host, addr.ip(), addr.port(), properties)?;
    // The name has 128 random bits: nothing to probe for, and 750 ms won.
    service.set_requires_probe(false);
    Ok(service)
}

fn instance(cluster: &str, node: NodeId) -> String {
    format!("{}{node}", prefix(cluster))
}

/// The first 64 bits of the SHA-256 of the cluster's name, and a hyphen.
fn prefix(cluster: &str) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, cluster.as_bytes());
    let head = hash.as_ref().iter().take(8).fold(0_u64, |head, byte| head << 8 | u64::from(*byte));
    format!("{head:016x}-")
}

/// Every address of a node at its port. A link-local IPv6 address keeps the interface it was heard on.
fn addresses(service: &ResolvedService) -> Vec<SocketAddr> {
    let port = service.get_port();
    let addr = |ip: &ScopedIp| match ip {
        ScopedIp::V6(v6) if v6.addr().is_unicast_link_local() => {
            SocketAddrV6::new(*v6.addr(), port, 0, v6.scope_id().index).into()
        }
        ip => SocketAddr::new(ip.to_ip_addr(), port),
    };
    let mut addrs: Vec<_> = service.get_addresses().iter().map(addr).collect();
    addrs.sort_unstable();
    addrs
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(7);

    fn neighbours(cluster: &str, node: NodeId) -> Neighbours {
        Neighbours { prefix: prefix(cluster), own: instance(cluster, node), ..Neighbours::default() }
    }

    fn resolved(cluster: &str, node: NodeId, addr: &str) -> ServiceEvent {
        let service = service(cluster, node, addr.parse().unwrap()).unwrap();
        ServiceEvent::ServiceResolved(Box::new(service.as_resolved_service()))
    }

    #[test]
    fn the_record_fits_dns_labels_and_does_not_tell_the_name_of_the_cluster() {
        let service = service("edge", NODE, "192.0.2.7:7400".parse().unwrap()).unwrap();
        let label = service.get_fullname().split('.').next().unwrap();
        assert!(label.len() <= 63 && !label.contains("edge"), "{label}");
        assert!(label.ends_with("-00000000000000000000000000000007"));
        assert_eq!(service.get_type(), SERVICE);
    }

    #[test]
    fn a_neighbour_of_the_same_cluster_is_learnt_and_forgotten() {
        let mut neighbours = neighbours("edge", NODE);
        for addr in ["192.0.2.8:7401", "[2001:db8::8]:7401"] {
            assert_eq!(
                neighbours.learn(resolved("edge", NodeId(8), addr)),
                [addr.parse::<SocketAddr>().unwrap()]
            );
        }
        assert_eq!(neighbours.seen.len(), 1);
        let name = neighbours.seen.keys().next().unwrap().clone();
        neighbours.learn(ServiceEvent::ServiceRemoved(SERVICE.to_owned(), name));
        assert!(neighbours.seen.is_empty());
    }

    #[test]
    fn this_node_and_other_clusters_are_not_reported() {
        let mut neighbours = neighbours("edge", NODE);
        assert!(neighbours.learn(resolved("edge", NODE, "192.0.2.7:7400")).is_empty());
        assert!(neighbours.learn(resolved("other", NodeId(8), "192.0.2.8:7400")).is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut neighbours = neighbours("edge", NODE);
        for node in 0..FOUND_MAX as u128 + 50 {
            neighbours.learn(resolved("edge", NodeId(1000 + node), "192.0.2.8:7400"));
        }
        assert_eq!(neighbours.seen.len(), FOUND_MAX);
    }
}
