//! The task that owns the state machine.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use boato_transport::{Peer, Transport};
use bytes::Bytes;
use tokio::sync::{broadcast, mpsc};
use tokio::time::{Instant, sleep_until};

use super::{Board, CHANNEL, Command, Inbound, QueryEvent};
use crate::{Event, Gossip, Input, InputError, Member, NodeId, Output, Query};

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
    /// The number of the last query, and who waits for what comes of which.
    asked: u64,
    queries: BTreeMap<u64, mpsc::Sender<QueryEvent>>,
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
            asked: 0,
            queries: BTreeMap::new(),
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
            Command::Ask(input, answer) => _ = answer.send(self.gossip.handle(input, self.now())),
            Command::Rtt(one, other, answer) => _ = answer.send(self.rtt(one, other)),
            Command::Query(query, answer) => _ = answer.send(self.ask(query)),
        }
    }

    fn ask(&mut self, query: Query) -> Result<mpsc::Receiver<QueryEvent>, InputError> {
        self.asked += 1;
        let number = self.asked;
        // Room for all that can come: an acknowledgement and an answer of everybody who may join meanwhile, and the end.
        let (sender, receiver) = mpsc::channel(4 * self.gossip.live().count() + 64);
        self.gossip.handle(Input::Query { number, query }, self.now())?;
        self.queries.insert(number, sender);
        Ok(receiver)
    }

    /// Passes on what came of a query. An error says that nobody waits for it any more.
    fn tell_asker(&mut self, number: u64, event: QueryEvent) {
        let done = matches!(event, QueryEvent::Done { .. });
        if let Some(sender) = self.queries.get(&number)
            && (sender.try_send(event).is_err() || done)
        {
            self.queries.remove(&number);
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
            (Err(error), None) => tracing::error!(%error, "gossip refused a command"),
        }
    }

    /// Does what the state machine asks for. The snapshot is published before the events that speak of it.
    fn flush(&mut self) {
        let mut events = Vec::new();
        while let Some(output) = self.gossip.poll_output() {
            match output {
                Output::Datagram { to, bytes } => self.transport.datagram(to, bytes.into()),
                Output::Stream { to, bytes } => self.send(to, bytes.into()),
                Output::Event(Event::Reply { number, from, reply }) => {
                    self.tell_asker(number, QueryEvent::Reply { from, reply });
                }
                Output::Event(Event::QueryDone { number, missing }) => {
                    self.tell_asker(number, QueryEvent::Done { missing });
                }
                Output::Event(event) => events.push(event),
            }
        }
        *self.board.stats.lock() = self.gossip.stats();
        if !events.is_empty() {
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

    fn send(&self, to: SocketAddr, bytes: Bytes) {
        if let Err(error) = self.transport.send(to, CHANNEL, bytes) {
            tracing::debug!(peer = %to, %error, "gossip by stream was not sent");
        }
    }

    fn publish(&self) {
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
