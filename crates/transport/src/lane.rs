//! The outgoing half of a channel: a bounded queue, the stream it is written to, and the answers that come back on it.
//!
//! Between two nodes each channel has one bidirectional stream per direction. Requests and messages flow one way,
//! answers the other, so that a peer that stops reading requests never holds up answers.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use parking_lot::Mutex;
use quinn::{ConnectionError, ReadError, RecvStream, SendStream, WriteError};
use slab::Slab;
use tokio::sync::{Notify, oneshot};

use crate::error::StreamError;
use crate::frame::{Batch, Decoder, Kind};
use crate::session::{Session, code};
use crate::{Channel, RequestError, SendError};

/// Bytes taken from the queue for one write: what a write that fails can turn from "not sent" to "lost".
const BATCH_BYTES: usize = 256 << 10;
/// Frames of one lane that are queued or wait for their answer.
const FRAMES_MAX: usize = 1 << 16;
/// Chunks taken from a stream at once.
pub(crate) const READ_CHUNKS: usize = 32;

type Reply = oneshot::Sender<Result<Bytes, RequestError>>;

/// A request on its way; resolves to the answer. Dropping it forgets the answer, and the request if it is still queued.
#[derive(Debug)]
#[must_use = "dropping it forgets the request"]
pub struct Pending(oneshot::Receiver<Result<Bytes, RequestError>>);

impl Future for Pending {
    type Output = Result<Bytes, RequestError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // A reply that is dropped belonged to a frame that was handed to the network.
        Pin::new(&mut self.0).poll(cx).map(|reply| reply.unwrap_or(Err(RequestError::Lost)))
    }
}

/// A message, or a request with the way back for its answer.
#[derive(Debug)]
pub(crate) struct Outgoing {
    payload: Bytes,
    reply: Option<Reply>,
}

impl Outgoing {
    pub(crate) fn message(payload: Bytes) -> Self {
        Self { payload, reply: None }
    }

    pub(crate) fn request(payload: Bytes) -> (Self, Pending) {
        let (reply, pending) = oneshot::channel();
        (Self { payload, reply: Some(reply) }, Pending(pending))
    }

    pub(crate) fn len(&self) -> usize {
        self.payload.len()
    }

    /// Tells the caller, if one waits, that this never left.
    pub(crate) fn not_sent(self, reason: SendError) {
        if let Some(reply) = self.reply {
            let _ = reply.send(Err(RequestError::NotSent(reason)));
        }
    }

    fn is_forgotten(&self) -> bool {
        self.reply.as_ref().is_some_and(oneshot::Sender::is_closed)
    }
}

/// How far a lane has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    /// No connection yet: frames wait.
    #[default]
    Waiting,
    /// There is a connection; the first frame opens the stream.
    Idle,
    /// The writer is at work and will look at the queue again.
    Writing,
    /// The writer sleeps and must be woken.
    Sleeping,
    /// The connection is gone.
    Ended(SendError),
}

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    queue: VecDeque<Outgoing>,
    queued_bytes: usize,
    /// Handed to the network, by request id. Dropping one tells its caller that it is lost.
    unanswered: Slab<Reply>,
}

/// What the caller of [`Lane::push`] has to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    Queued,
    /// First frame on this connection: run the lane.
    Start,
}

#[derive(Debug, Default)]
pub(crate) struct Lane {
    state: Mutex<State>,
    wake: Notify,
}

impl Lane {
    /// Queues a frame, or gives it back with the reason why not.
    pub(crate) fn push(&self, frame: Outgoing, queue_bytes: usize) -> Result<Pushed, (SendError, Outgoing)> {
        let mut state = self.state.lock();
        if let Phase::Ended(reason) = state.phase {
            return Err((reason, frame));
        }
        // A frame larger than the bound may pass alone.
        let no_room = !state.queue.is_empty() && state.queued_bytes + frame.len() > queue_bytes;
        if no_room || state.queue.len() + state.unanswered.len() >= FRAMES_MAX {
            return Err((SendError::Full, frame));
        }
        state.queued_bytes += frame.len();
        state.queue.push_back(frame);
        match state.phase {
            Phase::Idle => {
                state.phase = Phase::Writing;
                return Ok(Pushed::Start);
            }
            Phase::Sleeping => {
                state.phase = Phase::Writing;
                drop(state);
                self.wake.notify_one();
            }
            Phase::Waiting | Phase::Writing | Phase::Ended(_) => {}
        }
        Ok(Pushed::Queued)
    }

    /// The connection is there. True when frames wait for the lane to run.
    pub(crate) fn connected(&self) -> bool {
        let mut state = self.state.lock();
        let waiting = !state.queue.is_empty();
        state.phase = if waiting { Phase::Writing } else { Phase::Idle };
        waiting
    }

    /// The connection is gone, or the peer takes up nothing more: what is queued is not sent. What was handed to the
    /// network may have been answered by something that has arrived and is not read yet; [`run`] sees to that.
    pub(crate) fn end(&self, reason: SendError) {
        let mut state = self.state.lock();
        if matches!(state.phase, Phase::Ended(_)) {
            return;
        }
        state.phase = Phase::Ended(reason);
        state.queued_bytes = 0;
        let queue = std::mem::take(&mut state.queue);
        drop(state);
        for frame in queue {
            frame.not_sent(reason);
        }
    }

    /// The peer has answered everything that it took up: the rest is as good as not sent.
    fn refuse_unanswered(&self) {
        let unanswered = std::mem::take(&mut self.state.lock().unanswered);
        for (_, reply) in unanswered {
            let _ = reply.send(Err(SendError::Disconnected.into()));
        }
    }

    /// Moves frames from the queue into `batch`; from here on they count as handed to the network.
    fn take(&self, batch: &mut Batch) {
        let mut state = self.state.lock();
        while batch.bytes() < BATCH_BYTES
            && let Some(frame) = state.queue.pop_front()
        {
            state.queued_bytes -= frame.len();
            if frame.is_forgotten() {
                continue;
            }
            match frame.reply {
                None => batch.push(Kind::Message, 0, frame.payload),
                Some(reply) => {
                    let id = state.unanswered.insert(reply);
                    let id =
                        u32::try_from(id).expect("invariant: fewer than FRAMES_MAX requests are unanswered");
                    batch.push(Kind::Request, id, frame.payload);
                }
            }
        }
        if batch.is_empty() && state.phase == Phase::Writing {
            state.phase = Phase::Sleeping;
        }
    }

    /// Gives answers to their callers.
    fn complete(&self, answers: &mut Vec<(u32, Result<Bytes, RequestError>)>) -> Result<(), StreamError> {
        let mut state = self.state.lock();
        for (id, answer) in answers.drain(..) {
            let reply = state.unanswered.try_remove(id as usize).ok_or(StreamError::UnknownRequest(id))?;
            // The caller may have given up.
            let _ = reply.send(answer);
        }
        Ok(())
    }
}

/// Runs the lane of one channel until its connection ends or, once the transport closes, everything is answered.
pub(crate) async fn run(session: Arc<Session>, channel: Channel) {
    let lane = session.lane(channel);
    let _forget = Forget(lane);
    match run_streams(&session, channel).await {
        Ok(()) => {}
        Err(error) if is_drained(&error) => lane.refuse_unanswered(),
        Err(error) => session.broken(&error),
    }
}

/// Once the task of a lane is gone, however it ended, nobody reads answers any more.
struct Forget<'a>(&'a Lane);

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.0.end(SendError::Disconnected);
        let lost = std::mem::take(&mut self.0.state.lock().unanswered);
        drop(lost);
    }
}

async fn run_streams(session: &Session, channel: Channel) -> Result<(), StreamError> {
    let (send, recv) = session.connection().open_bi().await?;
    send.set_priority(channel.priority())?;
    let lane = session.lane(channel);
    let mut reading = pin!(read_loop(session, lane, recv));
    tokio::select! {
        outcome = &mut reading => return outcome,
        // When the writer has nothing more to do, answers may still come.
        Err(error) = write_loop(session, lane, channel, send) => session.broken(&error),
    }
    // Answers may have arrived before the connection ended.
    reading.await
}

/// Whether the peer ended the connection after it had answered everything that it took up.
fn is_drained(error: &StreamError) -> bool {
    matches!(
        error,
        StreamError::Read(ReadError::ConnectionLost(ConnectionError::ApplicationClosed(close)))
            if close.error_code == code::DRAINED
    )
}

async fn write_loop(
    session: &Session,
    lane: &Lane,
    channel: Channel,
    mut send: SendStream,
) -> Result<(), StreamError> {
    let mut batch = Batch::default();
    batch.push(Kind::Open, u32::from(channel.0), Bytes::new());
    let mut closing = std::pin::pin!(session.closing());
    loop {
        lane.take(&mut batch);
        if !batch.is_empty() {
            match session.write(&mut send, std::mem::take(&mut batch)).await {
                // The peer closes: it takes up nothing more, but answers what it has.
                Err(StreamError::Write(WriteError::Stopped(_))) => return Ok(()),
                outcome => outcome?,
            }
        } else if session.is_closing() {
            send.finish()?;
            send.stopped().await?;
            return Ok(());
        } else {
            tokio::select! {
                () = lane.wake.notified() => {}
                () = &mut closing => {}
            }
        }
    }
}

async fn read_loop(session: &Session, lane: &Lane, mut recv: RecvStream) -> Result<(), StreamError> {
    let mut decoder = Decoder::new(session.limits().max_frame);
    let mut chunks = [const { Bytes::new() }; READ_CHUNKS];
    let (mut answers, mut ended) = (Vec::new(), false);
    while let Some(count) = recv.read_chunks(&mut chunks).await? {
        let mut bytes = 0;
        for chunk in &mut chunks[..count] {
            bytes += chunk.len();
            decoder.push(std::mem::take(chunk));
            while let Some(frame) = decoder.next()? {
                match frame.kind {
                    Kind::Answer => answers.push((frame.id, Ok(frame.payload))),
                    Kind::NoAnswer => answers.push((frame.id, Err(RequestError::NoAnswer))),
                    // The peer closes, or this node does and everything is answered.
                    Kind::End => ended = true,
                    other => return Err(StreamError::OutOfPlace(other)),
                }
            }
        }
        session.received(answers.len(), bytes);
        lane.complete(&mut answers)?;
        if ended {
            lane.end(SendError::Disconnected);
            lane.refuse_unanswered();
        }
    }
    Ok(())
}
