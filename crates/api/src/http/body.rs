//! Bodies: requests are read whole within bounds, responses are one piece or a stream.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::time::{Instant, timeout_at};

use super::activity::Exchange;
use super::problem::Problem;
use crate::budget::{Budget, Share};

/// A body must bring this much (or its end) within each body timeout.
const PROGRESS_BYTES: usize = 16 * 1024;

/// A response body, with what is held until it is written or dropped.
pub(super) struct Body {
    payload: Payload,
    share: Option<Share>,
    exchange: Option<Exchange>,
}

enum Payload {
    /// At most one piece; never an empty one.
    Full(Option<Bytes>),
    Stream(BoxStream<'static, Bytes>),
}

impl Body {
    pub(super) fn empty() -> Body {
        Body::full(Bytes::new())
    }

    pub(super) fn full(bytes: impl Into<Bytes>) -> Body {
        let bytes = bytes.into();
        Body {
            payload: Payload::Full(Some(bytes).filter(|bytes| !bytes.is_empty())),
            share: None,
            exchange: None,
        }
    }

    pub(super) fn stream(stream: BoxStream<'static, Bytes>) -> Body {
        Body { payload: Payload::Stream(stream), share: None, exchange: None }
    }

    /// Keeps a share of the memory for responses until the body is gone.
    pub(super) fn holding(mut self, share: Share) -> Body {
        self.share = Some(share);
        self
    }

    /// Keeps the connection counted as busy until the body is gone.
    pub(super) fn during(&mut self, exchange: Exchange) {
        self.exchange = Some(exchange);
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match &mut self.payload {
            Payload::Full(bytes) => Poll::Ready(bytes.take()),
            Payload::Stream(stream) => stream.poll_next_unpin(context),
        };
        next.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.payload, Payload::Full(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.payload {
            Payload::Full(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Payload::Stream(_) => SizeHint::default(),
        }
    }
}

/// Reads request bodies within bounds.
pub(super) struct Reader {
    /// Largest body, in bytes.
    pub(super) limit: usize,
    /// A body brings 16 KiB or its end within this time, again and again.
    pub(super) timeout: Duration,
    /// What all request bodies of the door share.
    pub(super) budget: Arc<Budget>,
}

impl Reader {
    /// Judges a body by its announced length, before a byte of it (or the 100 that asks for it) has moved.
    pub(super) fn admit(&self, incoming: &Incoming) -> Result<(), Problem> {
        let announced = usize::try_from(incoming.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > self.limit {
            return Err(self.too_large());
        }
        if self.budget.has(announced) { Ok(()) } else { Err(Problem::too_many_bodies()) }
    }

    /// Reads a body to its end. The share keeps its bytes counted until it is dropped.
    pub(super) async fn read(&self, mut incoming: Incoming) -> Result<(Bytes, Share), Problem> {
        let mut share = self.budget.share();
        let mut whole = Pieces::default();
        let mut fresh = 0;
        let mut deadline = Instant::now() + self.timeout;
        while let Some(frame) = timeout_at(deadline, incoming.frame()).await.map_err(|_| too_slow())? {
            let Ok(data) = frame.map_err(|_| broken_off())?.into_data() else { continue };
            if whole.len() + data.len() > self.limit {
                return Err(self.too_large());
            }
            if !share.grow(data.len()) {
                return Err(Problem::too_many_bodies());
            }
            fresh += data.len();
            if fresh >= PROGRESS_BYTES {
                fresh = 0;
                deadline = Instant::now() + self.timeout;
            }
            whole.push(data);
        }
        Ok((whole.into_bytes(), share))
    }

    fn too_large(&self) -> Problem {
        Problem::too_large(self.limit as u64)
    }
}

/// The pieces of a body; a body of one piece is not copied.
#[derive(Default)]
struct Pieces {
    first: Bytes,
    joined: BytesMut,
}

impl Pieces {
    fn len(&self) -> usize {
        self.first.len() + self.joined.len()
    }

    fn push(&mut self, data: Bytes) {
        if self.len() == 0 {
            self.first = data;
            return;
        }
        let first = std::mem::take(&mut self.first);
        self.joined.extend_from_slice(&first);
        self.joined.extend_from_slice(&data);
    }

    fn into_bytes(self) -> Bytes {
        if self.joined.is_empty() { self.first } else { self.joined.freeze() }
    }
}

fn too_slow() -> Problem {
    Problem::request_timeout("the request body came too slowly")
}

fn broken_off() -> Problem {
    Problem::bad_request("the request body broke off or is not well-formed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_joined_in_order_and_one_piece_is_not_copied() {
        let only = Bytes::from_static(b"one");
        let mut pieces = Pieces::default();
        pieces.push(Bytes::new());
        pieces.push(only.clone());
        assert_eq!(pieces.first.as_ptr(), only.as_ptr());
        pieces.push(Bytes::from_static(b" two"));
        pieces.push(Bytes::from_static(b" three"));
        assert_eq!(pieces.len(), 13);
        assert_eq!(pieces.into_bytes(), "one two three");
    }

    #[test]
    fn an_empty_body_is_at_its_end() {
        assert!(Body::empty().is_end_stream());
        assert_eq!(Body::full("x").size_hint().exact(), Some(1));
    }
}
