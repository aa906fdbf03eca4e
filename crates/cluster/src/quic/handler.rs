//! A cluster alone behind its transport: for programs that have nothing else there.

use boato_transport::{Channel, Handler, Peer, Responder};
use bytes::Bytes;

use super::{BULK, CONTROL, OPERATIONS, WeakCluster};

/// Takes what comes on [`CONTROL`], [`BULK`] and [`OPERATIONS`]; nothing else, and nothing once the cluster has ended.
impl Handler for WeakCluster {
    fn datagram(&self, _from: Peer, _payload: Bytes) {}

    fn message(&self, from: Peer, channel: Channel, payload: Bytes) {
        if let (CONTROL | BULK, Some(cluster)) = (channel, self.upgrade()) {
            cluster.message(from, &payload);
        }
    }

    fn request(&self, from: Peer, channel: Channel, payload: Bytes, reply: Responder) {
        if let (OPERATIONS, Some(cluster)) = (channel, self.upgrade()) {
            cluster.request(from, &payload, reply);
        }
    }
}
