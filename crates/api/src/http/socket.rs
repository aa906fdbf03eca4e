//! A connection's socket: counts bytes, notes activity, and answers plain requests.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;

use super::activity::Activity;
use super::door::Door;
use super::metrics::Metrics;
use super::outgoing::Outgoing;
use super::plain::{Plain, Rest};

/// How much is read at a time while requests are plain, and how often before others have their turn.
const PLAIN_BYTES: usize = 8 << 10;
const PLAIN_READS: usize = 16;

pub(super) struct Socket {
    stream: OwnedReadHalf,
    outgoing: Arc<Outgoing>,
    activity: Arc<Activity>,
    metrics: Metrics,
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
        Socket { stream, outgoing, activity, metrics, plain, ahead: Vec::new() }
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
                Rest::Wrong => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
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

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.poll_end(context)
    }
}
