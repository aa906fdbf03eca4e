//! What a connection has to send: kept together until it has nothing more to do, so that the answers to a pipeline
//! of requests leave in one write.
//!
//! hyper flushes after each answer. With its own `pipeline_flush` it would not while it has bytes of a next request, whole
//! or not, and would forget the answers when it closes the connection for what these bytes are.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::time::{Sleep, sleep};

use super::activity::Activity;
use super::metrics::Metrics;

/// Most bytes that wait.
pub(super) const BYTES_MAX: usize = 64 * 1024;
/// So many at once are sent at once, without a copy.
const BYTES_LARGE: usize = 16 * 1024;
/// A connection with nothing to send keeps room for this many bytes.
const BYTES_KEPT: usize = 4 * 1024;

/// How long a closing connection goes on reading what its client is still sending. Closing with bytes unread would reset the
/// connection and could take the answer (413, 429, ...) away before the client has read it.
const LINGER: Duration = Duration::from_secs(2);

/// The sending half of a connection, which the HTTP implementation fills and the connection's task empties.
pub(super) struct Outgoing {
    queue: Mutex<Queue>,
    activity: Arc<Activity>,
    metrics: Metrics,
}

struct Queue {
    stream: OwnedWriteHalf,
    bytes: Vec<u8>,
    /// How many of them have been sent.
    sent: usize,
    /// The end has been sent; what still comes is read until then.
    linger: Option<Pin<Box<Sleep>>>,
}

impl Outgoing {
    pub(super) fn new(stream: OwnedWriteHalf, activity: Arc<Activity>, metrics: Metrics) -> Arc<Outgoing> {
        let queue = Mutex::new(Queue { stream, bytes: Vec::new(), sent: 0, linger: None });
        Arc::new(Outgoing { queue, activity, metrics })
    }

    /// Sends what waits.
    pub(super) fn poll_send(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.send(&mut self.queue(), context)
    }

    /// Takes bytes of these pieces, or sends them if they are large, after what waits.
    pub(super) fn poll_write(
        &self,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut queue = self.queue();
        let large = pieces.iter().map(|piece| piece.len()).sum::<usize>() >= BYTES_LARGE;
        if large || queue.bytes.len() >= BYTES_MAX {
            ready!(self.send(&mut queue, context))?;
        }
        if large {
            let result = Pin::new(&mut queue.stream).poll_write_vectored(context, pieces);
            return self.note(result);
        }
        let before = queue.bytes.len();
        for piece in pieces {
            let room = BYTES_MAX - queue.bytes.len();
            queue.bytes.extend_from_slice(&piece[..piece.len().min(room)]);
        }
        Poll::Ready(Ok(queue.bytes.len() - before))
    }

    /// Completes when more may wait; sends what waits until then.
    pub(super) fn poll_room(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut queue = self.queue();
        if queue.bytes.len() < BYTES_MAX { Poll::Ready(Ok(())) } else { self.send(&mut queue, context) }
    }

    /// Has `more` added behind what waits.
    pub(super) fn fill<R>(&self, more: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        more(&mut self.queue().bytes)
    }

    /// Sends what waits and then the end; after that reads and forgets what the client is still sending, until it has ended its own
    /// side or [`LINGER`] is over.
    pub(super) fn poll_end(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut queue = self.queue();
        if queue.linger.is_none() {
            ready!(self.send(&mut queue, context))?;
            ready!(Pin::new(&mut queue.stream).poll_shutdown(context))?;
            if !self.activity.has_unread() {
                return Poll::Ready(Ok(()));
            }
        }
        let Queue { stream, linger, .. } = &mut *queue;
        if linger.get_or_insert_with(|| Box::pin(sleep(LINGER))).as_mut().poll(context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let mut scratch = [0; 8192];
        loop {
            ready!(stream.as_ref().poll_read_ready(context))?;
            match stream.as_ref().try_read(&mut scratch) {
                Ok(0) => return Poll::Ready(Ok(())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn send(&self, queue: &mut Queue, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while queue.sent < queue.bytes.len() {
            let result = Pin::new(&mut queue.stream).poll_write(context, &queue.bytes[queue.sent..]);
            let bytes = ready!(self.note(result))?;
            if bytes == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            queue.sent += bytes;
        }
        queue.sent = 0;
        queue.bytes.clear();
        queue.bytes.shrink_to(BYTES_KEPT);
        Poll::Ready(Ok(()))
    }

    fn note(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &result {
            Poll::Ready(Ok(bytes)) => {
                self.activity.sent();
                self.metrics.traffic.sent(*bytes);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.activity.stalled(),
        }
        result
    }

    /// Only the connection's own task locks it.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
