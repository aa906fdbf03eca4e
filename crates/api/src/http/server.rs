//! The listener of the HTTP door.

use std::sync::Arc;

use tokio::net::TcpListener;

use super::config::Config;
use super::connection::{protocols, serve};
use super::door::Door;
use crate::Backend;
use crate::accept::Acceptor;

const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/problem+json\r\n\
    content-length: 119\r\n\
    retry-after: 1\r\n\
    connection: close\r\n\
    \r\n\
    {\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\"detail\":\"too many connections to this node are open\"}";

/// Serves HTTP/1.1 and HTTP/2 (by prior knowledge) on `listener` until `shutdown` completes; then accepts no
/// more, lets requests finish for at most [`Limits::drain_timeout`](super::Limits::drain_timeout) and
/// returns.
pub async fn run(
    listener: TcpListener,
    backend: Arc<dyn Backend>,
    config: Config,
    shutdown: impl Future<Output = ()>,
) {
    let door = Arc::new(Door::new(backend, config));
    let protocols = Arc::new(protocols(&door.limits));
    let acceptor = Acceptor {
        protocol: "HTTP",
        connections: door.limits.connections,
        refusal: REFUSAL,
        closing: door.closing.clone(),
        drain_timeout: door.limits.drain_timeout,
    };
    let metrics = door.metrics.clone();
    let serve = |stream, _| serve(stream, Arc::clone(&door), Arc::clone(&protocols));
    acceptor.run(listener, shutdown, serve, || metrics.traffic.refused()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_announces_its_length() {
        let refusal = std::str::from_utf8(REFUSAL).unwrap();
        let (head, body) = refusal.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())));
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
    }
}
