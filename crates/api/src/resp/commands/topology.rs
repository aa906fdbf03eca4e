//! `CLUSTER SLOTS`, `SHARDS` and `NODES`, encoded once per table.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use crate::resp::replies::{Protocol, Replies};
use crate::{Backend, Topology, TopologyNode};

/// The encoded topology of a door.
#[derive(Debug, Default)]
pub(in crate::resp) struct TopologyCache(Mutex<Option<Arc<Encoded>>>);

/// A topology as it is answered.
#[derive(Debug)]
pub(super) struct Encoded {
    topology: Arc<Topology>,
    /// The same in both versions of the protocol.
    pub(super) slots: Vec<u8>,
    shards: [Vec<u8>; 2],
    /// The lines of `CLUSTER NODES`.
    pub(super) nodes: String,
}

impl TopologyCache {
    /// The backend's present topology.
    pub(super) fn of(&self, backend: &dyn Backend) -> Arc<Encoded> {
        let topology = backend.topology();
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*cached {
            Some(encoded) if Arc::ptr_eq(&encoded.topology, &topology) => Arc::clone(encoded),
            _ => Arc::clone(cached.insert(Arc::new(Encoded::of(topology)))),
        }
    }
}

impl Encoded {
    fn of(topology: Arc<Topology>) -> Encoded {
        let slots = encode(Protocol::V2, |out| slots(&topology, out));
        let shards =
            [Protocol::V2, Protocol::V3].map(|version| encode(version, |out| shards(&topology, out)));
        let nodes = nodes(&topology);
        Encoded { topology, slots, shards, nodes }
    }

    /// `CLUSTER SHARDS` in a version of the protocol.
    pub(super) fn shards(&self, protocol: Protocol) -> &[u8] {
        match protocol {
            Protocol::V2 => &self.shards[0],
            Protocol::V3 => &self.shards[1],
        }
    }
}

/// Bounded by the number of nodes and slots.
fn encode(protocol: Protocol, write: impl FnOnce(&mut Replies)) -> Vec<u8> {
    let mut out = Replies::new(usize::MAX);
    out.set_protocol(protocol);
    write(&mut out);
    out.split_off(0)
}

fn slots(topology: &Topology, out: &mut Replies) {
    out.array(topology.runs.len());
    for (first, last, node) in &topology.runs {
        let node = &topology.nodes[*node];
        out.array(3);
        out.integer((*first).into());
        out.integer((*last).into());
        out.array(4);
        out.bulk(node.addr.ip().to_string().as_bytes());
        out.integer(node.addr.port().into());
        out.bulk(node.id.as_bytes());
        out.array(0);
    }
}

fn runs_of(topology: &Topology, node: usize) -> impl Iterator<Item = (u16, u16)> {
    topology.runs.iter().filter(move |run| run.2 == node).map(|(first, last, _)| (*first, *last))
}

fn shards(topology: &Topology, out: &mut Replies) {
    out.array(topology.nodes.len());
    for (place, node) in topology.nodes.iter().enumerate() {
        out.map(2);
        out.bulk(b"slots");
        out.array(2 * runs_of(topology, place).count());
        for (first, last) in runs_of(topology, place) {
            out.integer(first.into());
            out.integer(last.into());
        }
        out.bulk(b"nodes");
        out.array(1);
        member(node, out);
    }
}

fn member(node: &TopologyNode, out: &mut Replies) {
    let ip = node.addr.ip().to_string();
    out.map(7);
    out.bulk(b"id");
    out.bulk(node.id.as_bytes());
    out.bulk(b"port");
    out.integer(node.addr.port().into());
    out.bulk(b"ip");
    out.bulk(ip.as_bytes());
    out.bulk(b"endpoint");
    out.bulk(ip.as_bytes());
    out.bulk(b"role");
    out.bulk(b"master");
    out.bulk(b"replication-offset");
    out.integer(0);
    out.bulk(b"health");
    out.bulk(b"online");
}

fn nodes(topology: &Topology) -> String {
    let mut text = String::new();
    for (place, node) in topology.nodes.iter().enumerate() {
        let flags = if node.me { "myself,master" } else { "master" };
        let (ip, port) = (node.addr.ip(), node.addr.port());
        // Writing to a string cannot fail. There is no bus of its own: its port is given as 0.
        let _ = write!(text, "{} {ip}:{port}@0 {flags} - 0 0 {} connected", node.id, topology.epoch);
        for (first, last) in runs_of(topology, place) {
            let _ = if first == last { write!(text, " {first}") } else { write!(text, " {first}-{last}") };
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topology() -> Topology {
        let node = |id: &str, port: u16, me| TopologyNode {
            id: id.repeat(40),
            name: id.into(),
            addr: ([127, 0, 0, 1], port).into(),
            me,
        };
        let nodes = vec![node("a", 1, true), node("b", 2, false)];
        Topology { epoch: 3, nodes, runs: vec![(0, 99, 0), (100, 100, 1), (200, 16383, 0)] }
    }

    #[test]
    fn nodes_are_lines_of_their_slots() {
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        assert_eq!(
            nodes(&topology()),
            format!(
                "{a} 127.0.0.1:1@0 myself,master - 0 0 3 connected 0-99 200-16383\n\
                 {b} 127.0.0.1:2@0 master - 0 0 3 connected 100\n"
            )
        );
    }

    #[test]
    fn slots_are_runs_with_their_node() {
        let text = String::from_utf8(encode(Protocol::V2, |out| slots(&topology(), out))).unwrap();
        let b = "b".repeat(40);
        assert!(
            text.starts_with("*3\r\n*3\r\n:0\r\n:99\r\n*4\r\n$9\r\n127.0.0.1\r\n:1\r\n$40\r\naaa"),
            "{text}"
        );
        assert!(
            text.contains(&format!(
                "*3\r\n:100\r\n:100\r\n*4\r\n$9\r\n127.0.0.1\r\n:2\r\n$40\r\n{b}\r\n*0\r\n"
            ))
        );
    }

    #[test]
    fn shards_are_maps_in_the_third_version_only() {
        let encoded = Encoded::of(Arc::new(topology()));
        assert!(
            encoded
                .shards(Protocol::V2)
                .starts_with(b"*2\r\n*4\r\n$5\r\nslots\r\n*4\r\n:0\r\n:99\r\n:200\r\n")
        );
        assert!(
            encoded
                .shards(Protocol::V3)
                .starts_with(b"*2\r\n%2\r\n$5\r\nslots\r\n*4\r\n:0\r\n:99\r\n:200\r\n")
        );
    }
}
