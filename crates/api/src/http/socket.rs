//! A connection's socket: counts bytes, notes activity, and closes so that a refusal can still be read.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::{Sleep, sleep};

use super::activity::Activity;
use super::door::Door;
use super::metrics::Metrics;
use super::outgoing::Outgoing;
use super::plain::{Plain, Rest};

/// How long a closing connection goes on reading what its client is still sending. Closing with bytes unread
/// would reset the connection and could take the answer (413, 429, ...) away before the client has read it.
const LINGER: Duration = Duration::from_secs(2);

/// How much is read at a time while requests are plain, and how often before others have their turn.
const PLAIN_BYTES: usize = 8 << 10;
const PLAIN_READS: usize = 16;

pub(super) struct Socket {
    stream: OwnedReadHalf,
    outgoing: Arc<Outgoing>,
    activity: Arc<Activity>,
    metrics: Metrics,
    linger: Option<Pin<Box<Sleep>>>,
    /// As long as all requests have been plain: they are answered before anyone else reads them.
    plain: Option<Plain>,
    /// What was read before it is asked for.
    ahead: Vec<u8>,
}

impl Socket {
    pub(super) fn new(
        stream: OwnedReadHalf,
        outgoing: Arc<Outgoing>,
        activity: Arc<Activity>,
        door: Arc<Door>,
    ) -> Socket {
        let (metrics, plain) = (door.metrics.clone(), Some(Plain::new(door)));
        Socket { stream, outgoing, activity, metrics, linger: None, plain, ahead: Vec::new() }
    }

    /// Reads and answers plain requests; completes when something else has come, which is then what was read ahead.
    fn poll_plain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        for _ in 0..PLAIN_READS {
            match self.answer_plain() {
                Rest::Open => {}
                Rest::Waits => {
                    ready!(self.outgoing.poll_room(context))?;
                    continue;
                }
                Rest::Other => return Poll::Ready(Ok(())),
            }
            let mut room = [const { MaybeUninit::uninit() }; PLAIN_BYTES];
            let mut buffer = ReadBuf::uninit(&mut room);
            ready!(self.poll_some(context, &mut buffer))?;
            if buffer.filled().is_empty() {
                self.plain = None;
                return Poll::Ready(Ok(()));
            }
            self.ahead.extend_from_slice(buffer.filled());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Answers the plain requests that have been read; they are the last ones if something else follows.
    fn answer_plain(&mut self) -> Rest {
        let Some(plain) = &mut self.plain else { return Rest::Other };
        let (bytes, rest) = self.outgoing.fill(|out| plain.answer(&self.ahead, out));
        if bytes > 0 {
            self.ahead.drain(..bytes);
            drop(self.activity.begin(false));
            if !self.ahead.is_empty() {
                self.activity.received();
            }
        }
        if rest == Rest::Other {
            self.plain = None;
        }
        rest
    }

    /// Reads what there is.
    fn poll_some(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let bytes = buffer.filled().len() - before;
        if bytes > 0 {
            self.activity.received();
            self.metrics.traffic.received(bytes);
        }
        Poll::Ready(Ok(()))
    }

    /// Reads and forgets until the client has closed its side or the time is over.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let end = self.linger.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        if end.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        let mut scratch = [0; 8192];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            let read = ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(());
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.plain.is_some() {
            ready!(self.poll_plain(context))?;
        }
        if self.ahead.is_empty() {
            return self.poll_some(context, buffer);
        }
        let bytes = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(&self.ahead[..bytes]);
        self.ahead.drain(..bytes);
        if self.ahead.is_empty() {
            self.ahead = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.outgoing.poll_write(context, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.outgoing.poll_write(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Does nothing: what was written leaves when the connection has nothing more to do.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            ready!(self.outgoing.poll_shutdown(context))?;
        }
        if self.activity.has_unread() {
            ready!(self.poll_linger(context));
        }
        Poll::Ready(Ok(()))
    }
}
