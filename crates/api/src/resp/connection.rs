//! One connection, from its first byte to its close: read, run every command that is there, write once.

mod writing;

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::ahead::Ahead;
use super::batch::Batch;
use super::client::{Client, Next};
use super::config::Limits;
use super::door::Door;
use super::input::Input;
use super::parser::{Bounds, Frame, Parser, ProtocolError};
use super::request::Request;
use crate::budget::Share;
use writing::{drain, make_way, release, settle, write};

/// With so many bytes of replies waiting, a connection writes before it runs more commands.
const WRITE_BYTES: usize = 256 << 10;

/// So many reads that there was more than room for are answered in one write: a write for each has the client look at a few
/// replies while it still sends.
const READS_TOGETHER: u32 = 16;

/// What a connection may hold of commands, and of replies, without taking from the memory that all share.
const OWN_BYTES: usize = 64 << 10;

/// How long, and for how many bytes, a connection that ends goes on reading what its client is still sending. Closing with
/// bytes unread would reset it and could take the last reply away before the client has read it.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1 << 20;

/// Serves a connection until either side ends it or the door closes.
pub(super) async fn serve(stream: TcpStream, peer: SocketAddr, door: Arc<Door>) {
    let _open = door.metrics.traffic.open();
    let share = door.memory.share();
    let client = Client::new(peer, door);
    let closing = client.session.killed();
    let (parser, input, parts) = (Parser::default(), Input::new(), Vec::new());
    let mut connection =
        Connection { stream, client, parser, input, share, parts, since: Instant::now(), stalled: None };
    // How it ends is the client's business: it has its replies, or it is gone.
    if let Ok(End::Goodbye) = connection.talk(&closing).await {
        let _ = timeout(LINGER, connection.linger()).await;
    }
}

/// How a connection ends.
enum End {
    /// At once.
    Now,
    /// The client may still be sending, and is to see what was written last.
    Goodbye,
}

/// Why no further command is run.
enum Stop {
    /// There is none yet.
    Incomplete,
    /// The client has said goodbye.
    Closed,
    /// What follows cannot be understood.
    Broken(ProtocolError),
}

struct Connection {
    stream: TcpStream,
    client: Client,
    parser: Parser,
    input: Input,
    share: Share,
    /// The memory of a request's parts, without parts.
    parts: Vec<&'static [u8]>,
    since: Instant,
    /// Since when the client has taken none of the replies that wait, and how many bytes it had taken by then.
    stalled: Option<(Instant, u64)>,
}

impl Connection {
    async fn talk(&mut self, closing: &CancellationToken) -> io::Result<End> {
        let mut closed = pin!(closing.cancelled());
        let mut unwritten = 0;
        loop {
            self.input.make_room(self.parser.needed());
            if !self.hold_memory() {
                // Replies that wait for more to come take some of it.
                self.write()?;
                if !self.hold_memory() {
                    return self.refuse_memory();
                }
            }
            if !self.read(closed.as_mut()).await? {
                self.write_all().await?;
                return Ok(if closing.is_cancelled() { End::Goodbye } else { End::Now });
            }
            let read_at = Instant::now();
            let kept = self.client.out.waiting().len();
            let sure = self.client.out.taken_ever() + kept as u64;
            let goes_on = match self.answer(read_at, kept > 0).await {
                Ok(goes_on) => goes_on,
                Err(error) => {
                    self.write_once(sure);
                    return Err(error);
                }
            };
            // What is not written here is written as soon as there is nothing to read, or something is waited for.
            unwritten =
                if self.input.is_drained() || unwritten == READS_TOGETHER { 0 } else { unwritten + 1 };
            if unwritten == 0 {
                self.write()?;
            }
            if !goes_on || closing.is_cancelled() {
                self.write_all().await?;
                return Ok(End::Goodbye);
            }
        }
    }

    /// Reads what there is, meanwhile writing what is left to write. False: the client sends no more, or nothing has come and
    /// the connection is to end.
    async fn read(&mut self, mut closed: Pin<&mut impl Future<Output = ()>>) -> io::Result<bool> {
        let limits = self.client.door.limits;
        loop {
            let waiting = self.client.out.waiting().len();
            let end = self.end(waiting, &limits);
            let closing = &self.client.door.closing;
            let (mut reader, writer) = self.stream.split();
            let read = async {
                tokio::select! {
                    biased;
                    read = self.input.read(&mut reader), if waiting <= limits.reply_bytes / 2 => read.map(Some),
                    () = closed.as_mut(), if waiting == 0 || !closing.is_cancelled() => {
                        if waiting > 0 {
                            return Ok(None);
                        }
                        // Whether something has arrived the runtime knows only once it has looked again.
                        tokio::task::yield_now().await;
                        self.input.read_now(&reader).map(Some)
                    }
                    writable = writer.writable(), if waiting > 0 => writable.map(|()| None),
                }
            };
            let read = match end {
                None => read.await?,
                Some(end) => timeout_at(end, read).await??,
            };
            if let Some(bytes) = read {
                self.client.door.metrics.traffic.received(bytes);
                return Ok(bytes > 0);
            }
            self.write()?;
            if self.client.is_killed() && !self.client.out.waiting().is_empty() {
                return Err(killed());
            }
        }
    }

    /// When the time for what is next is over: for a password, for the command that has begun, for taking replies.
    fn end(&mut self, waiting: usize, limits: &Limits) -> Option<Instant> {
        let password = (!self.client.session.authenticated()).then(|| self.since + limits.password_timeout);
        let replies = self.stalled.map(|(since, _)| since + limits.write_timeout);
        let reads = waiting <= limits.reply_bytes / 2;
        let command = if reads { self.input.deadline(limits.command_timeout) } else { None };
        let idle = limits.idle_timeout.filter(|_| waiting == 0 && command.is_none());
        let idle = idle.map(|limit| Instant::now() + limit);
        [password, replies, command, idle].into_iter().flatten().min()
    }

    /// Runs every command that has arrived with what was read then. False: the connection ends here.
    ///
    /// `kept`: replies to earlier reads wait to be written together with these, unless these take time.
    async fn answer(&mut self, read_at: Instant, mut kept: bool) -> io::Result<bool> {
        let Connection { stream, client, parser, input, share, .. } = self;
        let bytes = input.bytes();
        let mut bounds = bounds(&client.door);
        let mut batch = Batch::default();
        let mut parts: Vec<&[u8]> = std::mem::take(&mut self.parts);
        let (mut at, mut ahead) = (0, Ahead::default());
        let stop = loop {
            bounds.stranger = !client.session.authenticated();
            if !bounds.stranger && ahead.fetch(bytes, at, &*client.door.backend) {
                client.session.now_ms = client.door.backend.now_ms();
            }
            let next = match parser.next(&bytes[at..], &bounds, &mut parts) {
                Ok(Some(Frame::Command(length))) => {
                    at += length;
                    let request = Request::new(parts);
                    let next = client.start(&request, length, &mut batch);
                    parts = request.into_parts();
                    parts.clear();
                    next
                }
                Ok(Some(Frame::Line(line, length))) => {
                    at += length;
                    settle(stream, client, &mut batch, share, &mut kept).await?;
                    release(stream, client, &mut kept)?;
                    // What was looked at before anything was waited for is no longer so.
                    ahead = Ahead::default();
                    client.session.now_ms = client.door.backend.now_ms();
                    match client.run_line(line).await {
                        Ok(next) => next,
                        Err(error) => break Stop::Broken(error),
                    }
                }
                Ok(Some(Frame::Nothing(length))) => {
                    at += length;
                    continue;
                }
                Ok(None) => break Stop::Incomplete,
                Err(error) => break Stop::Broken(error),
            };
            let much = client.out.waiting().len() > WRITE_BYTES;
            if batch.is_full() || much || !matches!(next, Next::GoOn) {
                ahead = Ahead::default();
                settle(stream, client, &mut batch, share, &mut kept).await?;
            }
            match next {
                Next::GoOn => {}
                Next::Later(reply) => {
                    release(stream, client, &mut kept)?;
                    client.finish(reply).await;
                }
                Next::Close => break Stop::Closed,
            }
            if client.out.overflown() {
                return Err(too_long());
            }
            if much {
                make_way(stream, client, share).await?;
            }
        };
        settle(stream, client, &mut batch, share, &mut kept).await?;
        drop(batch);
        let took = read_at.elapsed();
        let commands = client.pass_on_counts(took);
        client.note_slow(&bytes[..at], commands, took);
        self.parts = recycle(parts);
        self.input.forget(at);
        self.go_on(&stop)
    }

    /// Whether the connection goes on; tells the client why not.
    fn go_on(&mut self, stop: &Stop) -> io::Result<bool> {
        let out = &mut self.client.out;
        match stop {
            _ if out.overflown() => Err(too_long()),
            Stop::Incomplete => Ok(true),
            Stop::Closed => Ok(false),
            Stop::Broken(ProtocolError::Http) => Err(io::Error::other("HTTP")),
            Stop::Broken(error) => {
                out.error(&format!("ERR {error}"));
                Ok(false)
            }
        }
    }

    /// Writes what the client takes now.
    fn write(&mut self) -> io::Result<()> {
        write(&self.stream, &mut self.client)?;
        let out = &self.client.out;
        self.stalled = match self.stalled {
            _ if out.waiting().is_empty() => None,
            // What it took while its commands were run counts, too.
            Some((since, taken)) if taken == out.taken_ever() => Some((since, taken)),
            _ => Some((Instant::now(), out.taken_ever())),
        };
        Ok(())
    }

    /// Writes what the client takes now of the first `until` bytes of all replies so far: those behind are not whole.
    fn write_once(&mut self, until: u64) {
        let out = &self.client.out;
        let left = usize::try_from(until.saturating_sub(out.taken_ever())).unwrap_or(usize::MAX);
        let sure = &out.waiting()[..left.min(out.waiting().len())];
        // The connection ends for another reason.
        let _ = self.stream.try_write(sure);
    }

    /// Writes everything.
    async fn write_all(&mut self) -> io::Result<()> {
        drain(&self.stream, &mut self.client, 0).await
    }

    /// Takes what this connection needs of the shared memory; false: there is not enough.
    fn hold_memory(&mut self) -> bool {
        let own = |bytes: usize| bytes.saturating_sub(OWN_BYTES);
        let parser = own(self.parser.held_bytes());
        self.share.hold(own(self.input.held_bytes()) + own(self.client.out.held_bytes()) + parser)
    }

    /// Ends a connection for whose command there is no memory. One whose replies take it all is told nothing: what it was told
    /// would come in the middle of a reply.
    fn refuse_memory(&mut self) -> io::Result<End> {
        self.write()?;
        let out = &mut self.client.out;
        if !out.waiting().is_empty() {
            return Ok(End::Now);
        }
        out.error(
            "ERR the commands and replies of all clients take up the memory set aside for them; try again",
        );
        self.write()?;
        Ok(End::Goodbye)
    }

    /// Ends the stream and reads on until the client has ended its own.
    async fn linger(&mut self) -> io::Result<()> {
        self.stream.shutdown().await?;
        let (mut scratch, mut left) = ([0; 4096], LINGER_BYTES);
        loop {
            let bytes = self.stream.read(&mut scratch).await?;
            if bytes == 0 || bytes > left {
                return Ok(());
            }
            left -= bytes;
        }
    }
}

/// What was left out would shift all later replies, and who gets none should have nothing done.
fn too_long() -> io::Error {
    io::Error::other("a reply is longer than may wait")
}

/// Another client has ended the connection, and this one is not taking its replies.
fn killed() -> io::Error {
    io::Error::other("ended by CLIENT KILL")
}

fn bounds(door: &Door) -> Bounds {
    let limits = &door.limits;
    let (arguments, bulk_bytes, command_bytes) = (limits.arguments, limits.bulk_bytes, limits.command_bytes);
    Bounds { arguments, bulk_bytes, command_bytes, stranger: true }
}

/// The memory of `parts`, for parts of another buffer.
fn recycle<'a>(mut parts: Vec<&[u8]>) -> Vec<&'a [u8]> {
    parts.clear();
    // Collects in place: the memory stays where it is.
    parts.into_iter().map(|_| &[][..]).collect()
}
