//! The wire versions that a node speaks: its own and the one before, so that a cluster is upgraded node by node.

/// What peers have to agree on: gossip's messages, the slots' frames and the placement; three decimal digits each.
const fn version(gossip: u32, cluster: u32, placement: u32) -> u32 {
    assert!(gossip < 1_000 && cluster < 1_000 && placement < 1_000, "three digits each");
    gossip * 1_000_000 + cluster * 1_000 + placement
}

/// The version of this build.
pub(crate) const NEWEST: u32 =
    version(boato_gossip::PROTOCOL, boato_cluster::PROTOCOL, boato_placement::VERSION);

/// The version before: what it says has to be understood, and nothing that it does not understand be said to a peer
/// that speaks it. Its nodes have ids of chance and sign nothing ([`SINCE_9`]).
pub(crate) const PREVIOUS: u32 = version(8, 6, 1);

/// The first version whose nodes have the ids of their keys and sign what they announce.
pub(crate) const SINCE_9: u32 = version(9, 6, 1);

const _: () = assert!(
    NEWEST == SINCE_9,
    "a new version: PREVIOUS is the one before it now, and docs/protocol.md lists both"
);
const _: () = assert!(PREVIOUS < NEWEST, "versions grow");
