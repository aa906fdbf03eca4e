//! The listener: accepts up to the cap, turns away beyond it, drains at the end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::config::Config;
use super::connection::{protocols, serve};
use super::door::Door;
use crate::Backend;

/// Connections being turned away at once; one more is closed without a word.
const REFUSALS: usize = 64;

/// How long a connection that is turned away may take to read why.
const REFUSAL_TIME: Duration = Duration::from_millis(500);

/// After a failed accept, which mostly means that the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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
    let mut connections = JoinSet::new();
    let mut refusals = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            () = shutdown.as_mut() => break,
            Some(_) = connections.join_next() => {}
            Some(_) = refusals.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < door.limits.connections => {
                    // Without it a small answer may wait for the acknowledgement of the one before.
                    let _ = stream.set_nodelay(true);
                    connections.spawn(serve(stream, Arc::clone(&door), Arc::clone(&protocols)));
                }
                Ok((stream, _)) => {
                    door.metrics.refused();
                    if refusals.len() < REFUSALS {
                        refusals.spawn(timeout(REFUSAL_TIME, refuse(stream)));
                    }
                }
                Err(error) => pause_after(&error).await,
            },
        }
    }
    drop(listener);
    door.closing.cancel();
    let drained =
        timeout(door.limits.drain_timeout, async { while connections.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::warn!(
            connections = connections.len(),
            "dropped HTTP connections that did not finish in time"
        );
    }
}

/// Says 503 and waits for the client to close, so that the answer is not lost in a reset.
async fn refuse(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(REFUSAL).await?;
    stream.shutdown().await?;
    let mut scratch = [0; 1024];
    while stream.read(&mut scratch).await? > 0 {}
    Ok(())
}

async fn pause_after(error: &io::Error) {
    if error.kind() == io::ErrorKind::ConnectionAborted {
        return;
    }
    tracing::warn!(%error, "cannot accept an HTTP connection; is the limit of open files reached?");
    sleep(ACCEPT_PAUSE).await;
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
