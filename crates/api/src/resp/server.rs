//! The listener of a RESP door.

use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};

use super::config::Config;
use super::connection::serve;
use super::door::Door;
use crate::Backend;
use crate::accept::Acceptor;

const REFUSAL: &[u8] = b"-ERR max number of clients reached\r\n";

/// How long a connection may be silent before TCP asks whether the client is still there, and how often it asks then.
const KEEPALIVE: Duration = Duration::from_mins(5);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// Serves RESP on `listener` until `shutdown` completes; then accepts no more, runs the commands that have arrived, for at
/// most [`Limits::drain_timeout`](super::Limits::drain_timeout), and returns.
#[expect(clippy::missing_panics_doc, reason = "a listener that is bound has an address")]
pub async fn run(
    listener: TcpListener,
    backend: Arc<dyn Backend>,
    config: Config,
    shutdown: impl Future<Output = ()>,
) {
    let addr = listener.local_addr().expect("invariant: a listener is bound");
    let door = Arc::new(Door::new(backend, addr, config));
    let acceptor = Acceptor {
        protocol: "RESP",
        connections: door.limits.connections,
        refusal: REFUSAL,
        closing: door.closing.clone(),
        drain_timeout: door.limits.drain_timeout,
    };
    let metrics = door.metrics.clone();
    let serve = |stream: TcpStream, peer| {
        // Without it a client that is gone without a word would keep its place.
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_INTERVAL);
        let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
        serve(stream, peer, Arc::clone(&door))
    };
    acceptor.run(listener, shutdown, serve, || metrics.traffic.refused()).await;
}
