//! The task that owns the state machine.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use boato_transport::{Channel, Peer, Transport};
use bytes::Bytes;
use tokio::sync::{Semaphore, broadcast, mpsc};
use tokio::time::{Instant, sleep_until};

use super::{BULK, Board, CHANNEL, Command, Inbound, QueryEvent, RESPONSE_BYTES, Replies, Waiting};
use crate::{Event, Gossip, Input, InputError, Member, NodeId, Output, Pid, Query, Reply};

/// Messages handled between two looks at the timers.
const BATCH: usize = 256;
/// With nothing to wait for, the loop looks around this often.
const IDLE: Duration = Duration::from_hours(1);

pub(super) struct Driver {
    gossip: Gossip,
    transport: Transport,
    board: Arc<Board>,
    events: broadcast::Sender<Event>,
    /// When the driver started, and what the time of `gossip` was then.
    started: Instant,
    base: Duration,
    /// The changes of the list of members that are published.
    published: usize,
    /// The number of the last query, and who waits for what comes of which.
    asked: u64,
    queries: BTreeMap<u64, Asker>,
    /// Bytes for the responses that wait to be read, of all queries.
    room: Arc<Semaphore>,
}

/// Who waits for what comes of a query.
struct Asker {
    events: mpsc::Sender<Waiting>,
    /// Whose response there was no room for.
    unheard: Vec<NodeId>,
}

impl Driver {
    pub(super) fn new(
        gossip: Gossip,
        transport: Transport,
        board: Arc<Board>,
        events: broadcast::Sender<Event>,
    ) -> Driver {
        let base = gossip.now();
        Driver {
            gossip,
            transport,
            board,
            events,
            started: Instant::now(),
            base,
            published: 0,
            asked: 0,
            queries: BTreeMap::new(),
            room: Arc::new(Semaphore::new(RESPONSE_BYTES)),
        }
    }

    pub(super) async fn run(
        mut self,
        mut inbound: mpsc::Receiver<Inbound>,
        mut commands: mpsc::Receiver<Command>,
    ) {
        // Whoever waits for this driver learns of its end, even if that is a panic.
        let _end = self.board.stop.clone().drop_guard();
        let stop = self.board.stop.clone();
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            self.flush();
            let timeout = self.gossip.poll_timeout().map_or(IDLE, |at| at.saturating_sub(self.base));
            tokio::select! {
                // What has arrived comes before the timers, which after a stall would take it for silence.
                biased;
                () = stop.cancelled() => return,
                Some(command) = commands.recv() => self.obey(command),
                _ = inbound.recv_many(&mut batch, BATCH) => batch.drain(..).for_each(|message| self.take(&message)),
                () = sleep_until(self.started + timeout) => {}
            }
            // Whatever it was that woke the loop: a flood of messages must not hold up the timers.
            if self.gossip.poll_timeout().is_some_and(|at| at <= self.now()) {
                self.handle(Input::Timeout, None);
            }
        }
    }

    fn now(&self) -> Duration {
        self.base + self.started.elapsed()
    }

    fn take(&mut self, message: &Inbound) {
        let Inbound { from: peer, ref bytes, stream } = *message;
        let from = peer.addr;
        self.board.inbound_bytes.fetch_sub(bytes.len(), Ordering::Relaxed);
        let input = if stream { Input::Stream { from, bytes } } else { Input::Datagram { from, bytes } };
        self.handle(input, Some(peer));
    }

    fn obey(&mut self, command: Command) {
        // Where an answer is not taken, nobody waits for it any more.
        match command {
            Command::Tell(input) => self.handle(input, None),
            Command::Ask(input, answer) => {
                let taken = self.gossip.handle(input, self.now());
                // Whoever asked finds the change among the members.
                self.flush();
                _ = answer.send(taken);
            }
            Command::Rtt(one, other, answer) => _ = answer.send(self.rtt(one, other)),
            Command::Query(query, answer) => _ = answer.send(self.ask(query)),
        }
    }

    fn ask(&mut self, query: Query) -> Result<Replies, InputError> {
        self.forget_abandoned();
        self.asked += 1;
        let number = self.asked;
        // Room for all that can come: an acknowledgement and an answer of everybody who may join meanwhile, and the end.
        let (events, receiver) = mpsc::channel(4 * self.gossip.live().count() + 64);
        self.gossip.handle(Input::Query { number, query }, self.now())?;
        self.queries.insert(number, Asker { events, unheard: Vec::new() });
        Ok(Replies(receiver))
    }

    /// Passes on what a member said to a query; who cannot be heard for want of room is missing at the end.
    fn tell_reply(&mut self, number: u64, from: Pid, reply: Reply) {
        let Some(asker) = self.queries.get_mut(&number) else { return };
        let bytes = if let Reply::Response(bytes) = &reply { bytes.len() } else { 0 };
        let bytes = u32::try_from(bytes).expect("invariant: a response has a megabyte at most");
        let room = Arc::clone(&self.room).try_acquire_many_owned(bytes);
        let told = room.map(|room| {
            asker.events.try_send(Waiting { event: QueryEvent::Reply { from, reply }, _room: Some(room) })
        });
        if !matches!(told, Ok(Ok(()))) {
            asker.unheard.push(from.id);
        }
    }

    fn tell_done(&mut self, number: u64, mut missing: Vec<NodeId>) {
        let Some(Asker { events, unheard }) = self.queries.remove(&number) else { return };
        missing.extend(unheard);
        missing.sort_unstable();
        missing.dedup();
        // An error says that nobody waits for it any more.
        let _ = events.try_send(Waiting { event: QueryEvent::Done { missing }, _room: None });
    }

    /// Ends the queries for which nobody waits any more.
    fn forget_abandoned(&mut self) {
        let abandoned = self.queries.extract_if(.., |_, asker| asker.events.is_closed());
        let abandoned: Vec<u64> = abandoned.map(|(number, _)| number).collect();
        for number in abandoned {
            self.handle(Input::Forget { number }, None);
        }
    }

    fn rtt(&self, one: NodeId, other: NodeId) -> Option<Duration> {
        Some(self.gossip.coordinate(one)?.rtt(&self.gossip.coordinate(other)?))
    }

    fn handle(&mut self, input: Input<'_>, peer: Option<Peer>) {
        let now = self.now();
        let result = match peer {
            Some(peer) => self.gossip.handle_from(NodeId(peer.node), input, now),
            None => self.gossip.handle(input, now),
        };
        match (result, peer) {
            (Ok(()), _) => {}
            (Err(error), Some(peer)) => {
                tracing::debug!(peer = %peer.addr, %error, "gossip refused a message");
            }
            (Err(error @ (InputError::JoinsFull(_) | InputError::Ended)), None) => {
                tracing::debug!(%error, "gossip refused a command");
            }
            (Err(error), None) => {
                tracing::error!(%error, "gossip refused a command: this is a fault of boato, please report it");
            }
        }
    }

    /// Does what the state machine asks for. The snapshot is published before the events that speak of it.
    fn flush(&mut self) {
        let mut events = Vec::new();
        while let Some(output) = self.gossip.poll_output() {
            match output {
                Output::Datagram { to, bytes } => self.transport.datagram(to, bytes.into()),
                Output::Stream { to, bytes } => self.send(to, CHANNEL, bytes.into()),
                Output::Bulk { to, bytes } => self.send(to, BULK, bytes.into()),
                Output::Event(Event::Reply { number, from, reply }) => self.tell_reply(number, from, reply),
                Output::Event(Event::QueryDone { number, missing }) => self.tell_done(number, missing),
                Output::Event(event) => events.push(event),
            }
        }
        *self.board.stats.lock() = self.gossip.stats();
        // Not every change is an event: a record whose time is over goes without a sound.
        if !events.is_empty() || self.gossip.changes() != self.published {
            self.publish();
        }
        for event in events {
            if event == Event::LeaveDone {
                self.board.left.cancel();
            }
            // An error says that nobody listens.
            let _ = self.events.send(event);
        }
    }

    fn send(&self, to: SocketAddr, channel: Channel, bytes: Bytes) {
        if let Err(error) = self.transport.send(to, channel, bytes) {
            tracing::debug!(peer = %to, %error, "gossip by stream was not sent");
        }
    }

    fn publish(&mut self) {
        self.published = self.gossip.changes();
        self.board.members.store(Arc::new(snapshot(&self.gossip)));
        let live: Vec<SocketAddr> = self.gossip.live().skip(1).map(|member| member.addr).collect();
        self.transport.retain(&live);
    }
}

pub(super) fn snapshot(gossip: &Gossip) -> Arc<[Member]> {
    let mut members: Vec<Member> = gossip.members().cloned().collect();
    members.sort_unstable_by_key(|member| member.id);
    members.into()
}
