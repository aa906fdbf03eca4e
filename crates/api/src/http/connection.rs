//! One connection, from its first byte to its close.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use super::activity::{Activity, Expired, Patience};
use super::config::Limits;
use super::door::Door;
use super::outgoing::Outgoing;
use super::session::Session;
use super::socket::Socket;

/// How many bytes an HTTP/2 client may send ahead on a stream, and on the connection.
const HTTP2_STREAM_WINDOW: u32 = 256 * 1024;
const HTTP2_CONNECTION_WINDOW: u32 = 1024 * 1024;

/// How often a silent HTTP/2 client with open streams is asked whether it is still there, and how long it may
/// take.
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(30);
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(20);

/// A connection is so old when the door shuts down before it is closed between two requests: the first one of a client that
/// has just come is on its way, and nobody would answer it.
const FRESH: Duration = Duration::from_millis(500);

/// HTTP/1.1 and HTTP/2 by prior knowledge, within limits. The timeouts of a head and of idleness are
/// [`Activity`]'s.
pub(super) fn protocols(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().half_close(true).header_read_timeout(None).max_buf_size(limits.head_bytes);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.http2_streams)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(HTTP2_STREAM_WINDOW)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
        .keep_alive_interval(HTTP2_PING_INTERVAL)
        .keep_alive_timeout(HTTP2_PING_TIMEOUT);
    builder
}

/// Serves a connection until it is closed, has been idle or stuck for too long, or the door shuts down.
pub(super) async fn serve(stream: TcpStream, door: Arc<Door>, protocols: Arc<Builder<TokioExecutor>>) {
    let _open = door.metrics.traffic.open();
    let limits = &door.limits;
    let patience =
        Patience { head: limits.head_timeout, idle: limits.idle_timeout, write: limits.write_timeout };
    // Without an address it is gone already.
    let Ok(client) = stream.peer_addr() else { return };
    let activity = Activity::new(client.ip());
    let (incoming, outgoing) = stream.into_split();
    let outgoing = Outgoing::new(outgoing, Arc::clone(&activity), door.metrics.clone());
    let socket = Socket::new(incoming, Arc::clone(&outgoing), Arc::clone(&activity), Arc::clone(&door));
    let session = Session { door: Arc::clone(&door), activity: Arc::clone(&activity) };
    let mut connection = pin!(protocols.serve_connection(TokioIo::new(socket), session));
    let closing = async {
        let fresh_until = Instant::now() + FRESH;
        door.closing.cancelled().await;
        sleep_until(fresh_until).await;
    };
    let time_left = tokio::select! {
        biased;
        () = drive(connection.as_mut(), &outgoing) => return,
        () = closing => limits.drain_timeout,
        expired = activity.expired(patience) => match expired {
            Expired::Stuck => return,
            Expired::Idle => limits.head_timeout,
        },
    };
    connection.as_mut().graceful_shutdown();
    // How it ends is the client's business: it has its answers, or it is gone.
    let _ = timeout(time_left, async {
        drive(connection, &outgoing).await;
        poll_fn(|context| outgoing.poll_end(context)).await
    })
    .await;
}

/// Runs a connection to its end, and sends its answers whenever it has nothing more to do. A client that takes none any more has gone,
/// which the connection itself would not notice before much has gathered: its own writes only wait to be sent.
async fn drive(mut connection: Pin<&mut impl Future>, outgoing: &Outgoing) {
    poll_fn(|context| {
        let ended = connection.as_mut().poll(context).map(|_| ());
        match outgoing.poll_send(context) {
            Poll::Ready(Err(_)) => Poll::Ready(()),
            _ => ended,
        }
    })
    .await;
}
