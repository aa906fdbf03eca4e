//! The loop of a listener: accepts up to the cap, turns away beyond it, drains at the end.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Connections being turned away at once; one more is closed without a word.
const REFUSALS: usize = 64;

/// How long a connection that is turned away may take to read why.
const REFUSAL_TIME: Duration = Duration::from_millis(500);

/// After a failed accept, which mostly means that the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a listener's connections are told and how many there may be.
pub(crate) struct Acceptor {
    /// The protocol, for the log.
    pub(crate) protocol: &'static str,
    /// Open connections; one more is turned away.
    pub(crate) connections: usize,
    /// What those that are turned away are told.
    pub(crate) refusal: &'static [u8],
    /// Cancelled when no more are accepted.
    pub(crate) closing: CancellationToken,
    /// How long connections may then go on before they are dropped.
    pub(crate) drain_timeout: Duration,
}

impl Acceptor {
    /// Runs `serve` as a task for every connection until `shutdown` completes and they have ended; tells `refused` of those
    /// that are turned away.
    pub(crate) async fn run<Serve: Future<Output = ()> + Send + 'static>(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
        mut serve: impl FnMut(TcpStream, SocketAddr) -> Serve,
        refused: impl Fn(),
    ) {
        let mut connections = JoinSet::new();
        let mut refusals = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                () = shutdown.as_mut() => break,
                Some(_) = connections.join_next() => {}
                Some(_) = refusals.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) if connections.len() < self.connections => {
                        // Without it a small answer may wait for the acknowledgement of the one before.
                        let _ = stream.set_nodelay(true);
                        connections.spawn(serve(stream, peer));
                    }
                    Ok((stream, _)) => {
                        refused();
                        if refusals.len() < REFUSALS {
                            refusals.spawn(timeout(REFUSAL_TIME, refuse(stream, self.refusal)));
                        }
                    }
                    Err(error) => self.pause_after(&error).await,
                },
            }
        }
        drop(listener);
        self.closing.cancel();
        let ended = async { while connections.join_next().await.is_some() {} };
        if timeout(self.drain_timeout, ended).await.is_err() {
            let (protocol, connections) = (self.protocol, connections.len());
            tracing::warn!(
                protocol,
                connections,
                "dropped connections of clients that did not end in time: have them close, or reconnect, when a node leaves"
            );
        }
    }

    async fn pause_after(&self, error: &io::Error) {
        if error.kind() == io::ErrorKind::ConnectionAborted {
            return;
        }
        let protocol = self.protocol;
        tracing::warn!(protocol, %error, "cannot accept a connection: if the limit of open files is reached, raise it (LimitNOFILE=, ulimit -n)");
        sleep(ACCEPT_PAUSE).await;
    }
}

/// Says why and waits for the client to close, so that the answer is not lost in a reset.
async fn refuse(mut stream: TcpStream, refusal: &[u8]) -> io::Result<()> {
    stream.write_all(refusal).await?;
    stream.shutdown().await?;
    let mut scratch = [0; 1024];
    while stream.read(&mut scratch).await? > 0 {}
    Ok(())
}
