//! The driver: moves bytes and time between a [`Gossip`] and a [`Transport`].
//!
//! One task owns the state machine. Whoever wants something of it holds a [`Handle`]: it reads the members from a
//! snapshot, hears of changes, and passes on what the transport receives.
//!
//! Nothing here waits: datagrams go out without regard to connections, which the transport dials in the background,
//! and a queue that is full drops what comes.

mod driver;
mod signer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use boato_transport::{Channel, Peer, Transport};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, broadcast, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{Config, Event, Gossip, Input, InputError, Member, NodeId, Pid, Query, QueryId, Reply, Stats};
use driver::Driver;

/// Carries push-pulls and probes by stream.
pub const CHANNEL: Channel = Channel(0);
/// Carries answers to queries, which are in no hurry.
pub const BULK: Channel = Channel(5);
/// Events kept for a subscriber that is slow, beside the user events that one recall can bring at once
/// ([`Config::events_max`](crate::Config::events_max)). One that falls further behind is told so: it has missed user events
/// and queries, and reads the members from the snapshot.
pub const EVENTS: usize = 1024;
/// Most messages that wait for the driver.
const INBOUND: usize = 4096;
/// Most bytes in them.
const INBOUND_BYTES: usize = 64 << 20;
/// Most bytes of responses to the queries of this member that wait to be read; those beyond are dropped, and their senders
/// count as missing.
const RESPONSE_BYTES: usize = 64 << 20;
/// Most commands that wait for the driver.
const COMMANDS: usize = 1024;

/// A running member. Cheap to clone; the driver ends with the last handle, or with [`Handle::stop`].
#[derive(Clone, Debug)]
pub struct Handle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    board: Arc<Board>,
    inbound: mpsc::Sender<Inbound>,
    commands: mpsc::Sender<Command>,
    events: broadcast::Sender<Event>,
    config: Config,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.board.stop.cancel();
    }
}

/// What driver and handles both see.
#[derive(Debug)]
struct Board {
    members: ArcSwap<Arc<[Member]>>,
    stats: Mutex<Stats>,
    inbound_bytes: AtomicUsize,
    dropped: AtomicU64,
    /// The goodbye has spread.
    left: CancellationToken,
    stop: CancellationToken,
}

/// A message on its way to the driver.
#[derive(Debug)]
struct Inbound {
    from: Peer,
    bytes: Bytes,
    stream: bool,
}

#[derive(Debug)]
enum Command {
    /// Hand this in. What it must not be is logged.
    Tell(Input<'static>),
    /// Hand this in and say what came of it.
    Ask(Input<'static>, oneshot::Sender<Result<(), InputError>>),
    Rtt(NodeId, NodeId, oneshot::Sender<Option<Duration>>),
    Query(Query, oneshot::Sender<Result<Replies, InputError>>),
}

/// What comes of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryEvent {
    /// A member has said something.
    Reply {
        /// Who.
        from: Pid,
        /// What.
        reply: Reply,
    },
    /// That was all.
    Done {
        /// Who was meant and has not answered.
        missing: Vec<NodeId>,
    },
}

/// What comes of a query, as it comes.
#[derive(Debug)]
pub struct Replies(mpsc::Receiver<Waiting>);

impl Replies {
    /// The next thing; the last is [`QueryEvent::Done`]. `None` without it: the member has ended.
    pub async fn recv(&mut self) -> Option<QueryEvent> {
        Some(self.0.recv().await?.event)
    }
}

/// Something that waits to be read, and the room that it takes.
#[derive(Debug)]
struct Waiting {
    event: QueryEvent,
    _room: Option<OwnedSemaphorePermit>,
}

/// Starts to drive `gossip`, a fresh one, over `transport`. Must be called within a tokio runtime.
///
/// The caller passes on what the transport receives: every datagram to [`Handle::datagram`], every message on
/// [`CHANNEL`] and [`BULK`] to [`Handle::message`]. The driver tells the transport which peers live ([`Transport::retain`]).
/// Nodes with keys start `gossip` with theirs ([`Gossip::with_signer`]).
pub fn spawn(gossip: Gossip, transport: Transport) -> Handle {
    let board = Arc::new(Board {
        members: ArcSwap::from_pointee(driver::snapshot(&gossip)),
        stats: Mutex::default(),
        inbound_bytes: AtomicUsize::new(0),
        dropped: AtomicU64::new(0),
        left: CancellationToken::new(),
        stop: CancellationToken::new(),
    });
    let (inbound, inbound_receiver) = mpsc::channel(INBOUND);
    let (commands, command_receiver) = mpsc::channel(COMMANDS);
    let config = gossip.config().clone();
    let (events, _) = broadcast::channel(EVENTS + config.events_max());
    let driver = Driver::new(gossip, transport, Arc::clone(&board), events.clone());
    tokio::spawn(driver.run(inbound_receiver, command_receiver));
    Handle(Arc::new(Shared { board, inbound, commands, events, config }))
}

impl Handle {
    /// The settings it was started with.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// All known members, sorted by id: this one, the live, and those that died or left and are not forgotten yet.
    pub fn members(&self) -> Arc<[Member]> {
        Arc::clone(&self.0.board.members.load())
    }

    /// Changes from now on. The snapshot of [`members`](Self::members) is never older than the events received.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.0.events.subscribe()
    }

    /// What this member has done so far.
    pub fn stats(&self) -> Stats {
        *self.0.board.stats.lock()
    }

    /// Messages of peers dropped because the driver did not keep up.
    pub fn dropped(&self) -> u64 {
        self.0.board.dropped.load(Ordering::Relaxed)
    }

    /// Exchanges state with whoever is at `addr`, unless a live member is known there. Success shows in the members;
    /// repeat it until then.
    pub fn join(&self, addr: SocketAddr) {
        self.command(Command::Tell(Input::Join(addr)));
    }

    /// Tells all members something ([`Event::User`]).
    ///
    /// # Errors
    /// It is too large, too many wait to be told, or this member has left.
    pub async fn event(&self, name: String, payload: Vec<u8>) -> Result<(), InputError> {
        self.ask(Input::Event { name, payload }).await
    }

    /// Asks some members for the recent events that they keep; those that are news here follow as [`Event::User`].
    pub fn recall(&self) {
        self.command(Command::Tell(Input::Recall));
    }

    /// Asks members something. The query ends when nobody waits for what comes of it any more.
    ///
    /// # Errors
    /// It is too large, too many are under way, or this member has left.
    pub async fn query(&self, query: Query) -> Result<Replies, InputError> {
        let (sender, receiver) = oneshot::channel();
        self.0.commands.send(Command::Query(query, sender)).await.map_err(|_| InputError::Ended)?;
        receiver.await.unwrap_or(Err(InputError::Ended))
    }

    /// Answers a query that [`Event::Query`] told of; `None`: there is nothing to answer.
    ///
    /// # Errors
    /// The response is too large, or nobody waits for it any more.
    pub async fn answer(&self, query: QueryId, response: Option<Vec<u8>>) -> Result<(), InputError> {
        self.ask(Input::Answer { query, response }).await
    }

    /// How long a round trip between two nodes takes, as their coordinates say. `None` while either is unknown or has not
    /// answered a probe of this member yet.
    pub async fn rtt(&self, one: NodeId, other: NodeId) -> Option<Duration> {
        let (sender, receiver) = oneshot::channel();
        self.command(Command::Rtt(one, other, sender));
        receiver.await.ok().flatten()
    }

    /// Has everybody take a dead member for one that left, or with `prune` forget it ([`Input::Remove`]).
    ///
    /// # Errors
    /// It lives or is not known, or this member has left.
    pub async fn remove(&self, id: NodeId, prune: bool) -> Result<(), InputError> {
        self.ask(Input::Remove { id, prune }).await
    }

    /// Announces another name.
    ///
    /// # Errors
    /// It does not fit, or this member has left.
    pub async fn set_name(&self, name: String) -> Result<(), InputError> {
        self.ask(Input::SetName(name)).await
    }

    /// Announces other tags, in place of all former ones.
    ///
    /// # Errors
    /// They do not fit ([`ATTRIBUTE_BYTES_MAX`](crate::ATTRIBUTE_BYTES_MAX)), or this member has left.
    pub async fn set_tags(&self, tags: Vec<(String, String)>) -> Result<(), InputError> {
        self.ask(Input::SetTags(tags)).await
    }

    /// Announces another address.
    ///
    /// # Errors
    /// Nobody could send to it, or this member has left.
    pub async fn set_addr(&self, addr: SocketAddr) -> Result<(), InputError> {
        self.ask(Input::SetAddr(addr)).await
    }

    /// Says goodbye, and completes when that has spread: within
    /// [`Config::leave_timeout`](crate::Config::leave_timeout), or at once if the driver has ended.
    pub async fn leave(&self) {
        let board = &self.0.board;
        tokio::select! {
            _ = self.0.commands.send(Command::Tell(Input::Leave)) => {}
            () = board.stop.cancelled() => {}
        }
        tokio::select! {
            () = board.left.cancelled() => {}
            () = board.stop.cancelled() => {}
        }
    }

    /// Ends the driver, without a goodbye. Needed where a handle is part of the transport's handler: driver and
    /// transport then keep each other alive.
    pub fn stop(&self) {
        self.0.board.stop.cancel();
    }

    /// Hands something in and waits for what comes of it.
    async fn ask(&self, input: Input<'static>) -> Result<(), InputError> {
        let (sender, receiver) = oneshot::channel();
        self.0.commands.send(Command::Ask(input, sender)).await.map_err(|_| InputError::Ended)?;
        receiver.await.unwrap_or(Err(InputError::Ended))
    }

    fn command(&self, command: Command) {
        if let Err(error) = self.0.commands.try_send(command) {
            tracing::warn!(%error, "gossip does not take commands: if this node is not ending, its process is starved: give it more CPU");
        }
    }

    /// Passes on a datagram; dropped and counted if the driver does not keep up.
    pub fn datagram(&self, from: Peer, bytes: Bytes) {
        self.pass_on(Inbound { from, bytes, stream: false });
    }

    /// Passes on a message on [`CHANNEL`] or [`BULK`]; dropped and counted if the driver does not keep up.
    pub fn message(&self, from: Peer, bytes: Bytes) {
        self.pass_on(Inbound { from, bytes, stream: true });
    }

    fn pass_on(&self, inbound: Inbound) {
        let board = &self.0.board;
        let bytes = inbound.bytes.len();
        let queued = board.inbound_bytes.fetch_add(bytes, Ordering::Relaxed);
        if queued + bytes > INBOUND_BYTES || self.0.inbound.try_send(inbound).is_err() {
            board.inbound_bytes.fetch_sub(bytes, Ordering::Relaxed);
            board.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}
