//! The incoming half of a channel: requests and messages from a peer, handed to the handler, and the answers to them.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use quinn::{RecvStream, SendStream};
use tokio::sync::Notify;

use crate::error::StreamError;
use crate::frame::{Batch, Decoder, Frame, Kind};
use crate::lane::READ_CHUNKS;
use crate::session::{Session, code};
use crate::{CHANNELS, Channel, Handler};

/// Answers waiting to be written above which no further request is taken up.
const ANSWER_BYTES: usize = 1 << 20;
/// What a request in service counts beside its payload.
const REQUEST_COST: usize = 256;

/// The duty to answer one request. Dropped without an answer, the caller gets
/// [`RequestError::NoAnswer`](crate::RequestError::NoAnswer).
#[derive(Debug)]
pub struct Responder {
    answers: Arc<Answers>,
    id: u32,
    cost: usize,
    answered: bool,
}

impl Responder {
    /// Answers. Never blocks. An answer larger than [`Limits::max_frame`](crate::Limits::max_frame) becomes "no
    /// answer".
    pub fn send(mut self, payload: Bytes) {
        if payload.len() > self.answers.max_frame {
            tracing::warn!(
                "an answer of {} bytes is over the frame limit and is not sent: this is a fault of boato, please report it",
                payload.len()
            );
            return;
        }
        self.answered = true;
        self.answers.push(Kind::Answer, self.id, payload, self.cost);
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if !self.answered {
            self.answers.push(Kind::NoAnswer, self.id, Bytes::new(), self.cost);
        }
    }
}

/// Answers of one stream on their way back, and what is still in service.
#[derive(Debug)]
struct Answers {
    state: Mutex<AnswerState>,
    wake: Notify,
    max_frame: usize,
}

#[derive(Debug, Default)]
struct AnswerState {
    batch: Batch,
    serving: usize,
    /// The stream's task sleeps and must be woken.
    sleeping: bool,
    /// Nothing will be written any more.
    ended: bool,
}

impl Answers {
    fn new(max_frame: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), wake: Notify::new(), max_frame })
    }

    fn responder(self: &Arc<Self>, id: u32, payload: &Bytes) -> Responder {
        let cost = payload.len() + REQUEST_COST;
        let mut state = self.state.lock();
        state.serving += cost;
        // The stream's task is the one that called: it looks again before it sleeps.
        state.sleeping = false;
        drop(state);
        Responder { answers: Arc::clone(self), id, cost, answered: false }
    }

    fn push(&self, kind: Kind, id: u32, payload: Bytes, cost: usize) {
        let mut state = self.state.lock();
        state.serving -= cost;
        if state.ended {
            return;
        }
        state.batch.push(kind, id, payload);
        if std::mem::take(&mut state.sleeping) {
            drop(state);
            self.wake.notify_one();
        }
    }

    /// What is to be written now, or `None` after noting that the task goes to sleep.
    fn take(&self) -> Option<Batch> {
        let mut state = self.state.lock();
        state.sleeping = state.batch.is_empty();
        (!state.sleeping).then(|| std::mem::take(&mut state.batch))
    }

    fn end(&self) {
        let mut state = self.state.lock();
        state.ended = true;
        state.batch = Batch::default();
    }

    fn serving(&self) -> usize {
        self.state.lock().serving
    }

    fn has_backlog(&self) -> bool {
        self.state.lock().batch.bytes() >= ANSWER_BYTES
    }
}

/// Serves one stream that the peer opened until its connection ends or, once the transport closes, everything taken up
/// is answered.
pub(crate) async fn run(
    session: Arc<Session>,
    handler: Arc<dyn Handler>,
    send: SendStream,
    recv: RecvStream,
) {
    let _guard = PanicGuard(&session);
    let answers = Answers::new(session.limits().max_frame);
    let mut server = Server { session: &session, handler: &*handler, answers: &answers, send, channel: None };
    let outcome = server.run(recv).await;
    answers.end();
    if let Err(error) = outcome {
        session.broken(&error);
    }
}

/// Closes the connection when the handler panicked: a channel that nobody reads would look alive otherwise.
struct PanicGuard<'a>(&'a Session);

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.connection().close(code::PANICKED, b"a handler panicked");
        }
    }
}

struct Server<'a> {
    session: &'a Session,
    handler: &'a dyn Handler,
    answers: &'a Arc<Answers>,
    send: SendStream,
    /// Known from the first frame.
    channel: Option<Channel>,
}

impl Server<'_> {
    async fn run(&mut self, mut recv: RecvStream) -> Result<(), StreamError> {
        let mut decoder = Decoder::new(self.session.limits().max_frame);
        let mut chunks = [const { Bytes::new() }; READ_CHUNKS];
        while let Some(count) = self.read(&mut recv, &mut chunks).await? {
            let (mut frames, mut bytes) = (0, 0);
            for chunk in &mut chunks[..count] {
                bytes += chunk.len();
                decoder.push(std::mem::take(chunk));
                while let Some(frame) = decoder.next()? {
                    frames += 1;
                    self.dispatch(frame)?;
                    if self.answers.has_backlog() {
                        self.write_answers().await?;
                    }
                }
            }
            self.session.received(frames, bytes);
        }
        self.finish().await
    }

    /// Writes what is answered, waits until there is room for more requests, and reads some. `None` when the peer
    /// finished or this transport closes.
    async fn read(
        &mut self,
        recv: &mut RecvStream,
        chunks: &mut [Bytes],
    ) -> Result<Option<usize>, StreamError> {
        let session = self.session;
        let mut closing = std::pin::pin!(session.closing());
        loop {
            self.write_answers().await?;
            let has_room = self.answers.serving() < self.session.limits().serving_bytes;
            tokio::select! {
                biased;
                () = self.answers.wake.notified() => {}
                () = &mut closing => return Ok(None),
                count = recv.read_chunks(chunks), if has_room => return Ok(count?),
            }
        }
    }

    fn dispatch(&mut self, frame: Frame) -> Result<(), StreamError> {
        let from = self.session.peer();
        match (self.channel, frame.kind) {
            (None, Kind::Open) => {
                let channel = channel(frame.id)?;
                self.send.set_priority(channel.priority())?;
                self.channel = Some(channel);
            }
            (Some(channel), Kind::Message) => self.handler.message(from, channel, frame.payload),
            (Some(channel), Kind::Request) => {
                let reply = self.answers.responder(frame.id, &frame.payload);
                self.handler.request(from, channel, frame.payload, reply);
            }
            (_, kind) => return Err(StreamError::OutOfPlace(kind)),
        }
        Ok(())
    }

    async fn write_answers(&mut self) -> Result<(), StreamError> {
        while let Some(batch) = self.answers.take() {
            self.session.write(&mut self.send, batch).await?;
        }
        Ok(())
    }

    /// Waits for what is in service, writes it and that this was all, and makes sure that it arrived.
    async fn finish(&mut self) -> Result<(), StreamError> {
        loop {
            self.write_answers().await?;
            if self.answers.serving() == 0 {
                break;
            }
            self.answers.wake.notified().await;
        }
        // An answer pushed between the last write and the last look.
        self.write_answers().await?;
        let mut end = Batch::default();
        end.push(Kind::End, 0, Bytes::new());
        self.session.write(&mut self.send, end).await?;
        self.send.finish()?;
        self.send.stopped().await?;
        Ok(())
    }
}

fn channel(id: u32) -> Result<Channel, StreamError> {
    u8::try_from(id).ok().filter(|n| *n < CHANNELS).map(Channel).ok_or(StreamError::UnknownChannel(id))
}
