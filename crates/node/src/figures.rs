//! What members tell each other of their load, so that each of them can show all of it: who can reach one door needs no other.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use boato_api::Figures;
use boato_api::http::Gauges;
use boato_gossip::{Member, NodeId};
use boato_transport::{Channel, Responder, Transport};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use tokio::time::timeout;

/// Carries the id of the node that is meant, and its figures as JSON.
pub(crate) const CHANNEL: Channel = Channel(4);

/// How long a member may take to answer.
const PATIENCE: Duration = Duration::from_millis(500);
/// Members asked at a time, and in all.
const CONCURRENCY: usize = 32;
const MEMBERS_MAX: usize = 64;
/// Longest answer that is read, in bytes.
const BYTES_MAX: usize = 4096;

/// What this node tells, from when its doors are open until they are closed.
pub(crate) struct Told {
    me: NodeId,
    gauges: OnceLock<Weak<Gauges>>,
}

impl Told {
    pub(crate) fn new(me: NodeId) -> Self {
        Self { me, gauges: OnceLock::new() }
    }

    /// The doors are open.
    pub(crate) fn read_from(&self, gauges: &Arc<Gauges>) {
        self.gauges.get_or_init(|| Arc::downgrade(gauges));
    }

    /// Answers a peer, unless it means another node.
    pub(crate) fn answer(&self, meant: &[u8], reply: Responder) {
        let gauges = self.gauges.get().and_then(Weak::upgrade);
        let Some(gauges) = gauges.filter(|_| meant == self.me.0.to_be_bytes()) else { return };
        match serde_json::to_vec(&gauges.look()) {
            Ok(text) => reply.send(text.into()),
            Err(error) => {
                tracing::warn!(%error, "this node cannot tell its figures: its /_/metrics has them; report this defect");
            }
        }
    }
}

/// What the members alive but `me` say, by their ids.
pub(crate) fn of(
    transport: Transport,
    me: NodeId,
    members: &[Member],
) -> impl Future<Output = BTreeMap<String, Option<Figures>>> + Send + 'static {
    let mut others: Vec<&Member> =
        members.iter().filter(|member| member.is_live() && member.id != me).collect();
    others.sort_by_key(|member| &member.name);
    others.truncate(MEMBERS_MAX);
    let others: Vec<(NodeId, SocketAddr)> =
        others.into_iter().map(|member| (member.id, member.addr)).collect();
    let asked = others.into_iter().map(move |(id, at)| {
        let asked = ask(transport.clone(), id, at);
        async move { (id.to_string(), asked.await) }
    });
    stream::iter(asked).buffer_unordered(CONCURRENCY).collect()
}

/// `None`: there was no answer in time.
async fn ask(transport: Transport, id: NodeId, at: SocketAddr) -> Option<Figures> {
    let meant = Bytes::copy_from_slice(&id.0.to_be_bytes());
    let text = timeout(PATIENCE, transport.request(at, CHANNEL, meant)).await.ok()?.ok()?;
    serde_json::from_slice(&text).ok().filter(|_| text.len() <= BYTES_MAX)
}
