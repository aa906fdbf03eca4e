//! The connections of a node: one per peer, from whichever side and however often it was dialled.
//!
//! All decisions are made under one lock, that of [`Mesh::entries`]. Two rules keep it at one connection per pair:
//!
//! - A dialled connection is used only after the other side welcomed it (with an empty stream). So a peer that refuses
//!   our certificate is known before anything was sent, and of two connections dialled at once the unused one can be
//!   closed without losing anything.
//! - When both dial at once, the connection dialled by the lower node id wins: the lower side holds the other one back
//!   until its own dial succeeded or failed, the higher side gives up its own dial before it welcomes. A dial given up
//!   can therefore have reached the lower side only before the welcome did, which tells it from a new one.

use std::collections::hash_map::Entry as Slot;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use quinn::{Connection, ConnectionError};
use tokio::runtime::Handle;
use tokio::sync::{SetOnce, watch};
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use crate::endpoint::canonical;
use crate::gate::{Gate, NoRoom, Place};
use crate::handshake::HandshakeError;
use crate::lane::{self, Outgoing, Pushed};
use crate::refusal::{RefusalLog, classify};
use crate::session::{Link, Session, Shared, code};
use crate::stats::{Counters, Path};
use crate::{Channel, Config, Handler, Refusal, SendError, identity, serve};

/// Pause after a first failed dial; it doubles with every further one.
const REST_MIN: Duration = Duration::from_millis(100);
/// Longest pause between two dials of one peer.
const REST_MAX: Duration = Duration::from_secs(5);
/// How long after its pause a failed dial is remembered.
const REST_FORGOTTEN: Duration = Duration::from_mins(1);
/// A connection that ended sooner counts as a failed dial, so that a quarrel does not become a storm of handshakes.
const SHORT_LIFE: Duration = Duration::from_secs(1);
/// Pause after a peer said goodbye: until membership knows, at the latest as it does of a crash, nobody is to wait for an
/// answer to a dial. A process that takes over the address dials by itself.
const REST_GOODBYE: Duration = Duration::from_secs(10);

/// How long a connection stays after its secret was removed, so that the removal itself is told.
const REMOVED_GRACE: Duration = Duration::from_secs(1);
/// Then it is closed once nothing was said for so long, so that as few requests as can be lose their answers,
const REMOVED_PAUSE: Duration = Duration::from_millis(20);
/// or after so long.
const REMOVED_PATIENCE: Duration = Duration::from_secs(4);

/// What is known of one address.
enum Entry {
    /// Being dialled; `held` is a connection that the peer dialled meanwhile.
    Dialling { session: Arc<Session>, held: Option<Accepted> },
    /// Connected.
    Up(Arc<Session>),
    /// Dialling failed, or the peer said goodbye; until the time is over frames are turned away at once.
    Resting { until: Instant, failures: u32, reason: SendError },
}

/// A connection that the peer dialled.
pub(crate) struct Accepted {
    pub(crate) link: Link,
    pub(crate) place: Place,
    /// When its handshake began.
    pub(crate) begun: Instant,
}

/// What it takes to dial, and whom to stay connected with.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) client: quinn::ClientConfig,
    /// Whom to ask for.
    pub(crate) server_name: String,
    /// Names of the authorities whose certificates are accepted.
    pub(crate) authorities: Arc<[Vec<u8>]>,
}

pub(crate) struct Mesh {
    pub(crate) shared: Arc<Shared>,
    pub(crate) endpoint: quinn::Endpoint,
    pub(crate) config: Config,
    pub(crate) credentials: watch::Sender<Credentials>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) refusals: RefusalLog,
    pub(crate) handler: SetOnce<Arc<dyn Handler>>,
    /// Dials, lanes and served streams: what has to come to an end before a close is clean.
    pub(crate) tasks: TaskTracker,
    runtime: Handle,
    entries: RwLock<HashMap<SocketAddr, Entry>>,
    live: Mutex<HashSet<SocketAddr>>,
}

impl Mesh {
    pub(crate) fn new(
        shared: Arc<Shared>,
        endpoint: quinn::Endpoint,
        config: Config,
        credentials: Credentials,
    ) -> Arc<Self> {
        Arc::new(Self {
            gate: Gate::new(&shared.limits),
            shared,
            endpoint,
            config,
            credentials: watch::Sender::new(credentials),
            refusals: RefusalLog::default(),
            handler: SetOnce::new(),
            tasks: TaskTracker::new(),
            runtime: Handle::current(),
            entries: RwLock::default(),
            live: Mutex::default(),
        })
    }

    /// Queues a frame for a peer, or gives it back with the reason why not.
    pub(crate) fn submit(
        self: &Arc<Self>,
        to: SocketAddr,
        channel: Channel,
        frame: Outgoing,
    ) -> Result<(), (SendError, Outgoing)> {
        let session = match self.session(to) {
            Ok(session) => session,
            Err(reason) => return Err((reason, frame)),
        };
        if session.push(channel, frame)? == Pushed::Start {
            self.run_lane(&session, channel);
        }
        Ok(())
    }

    /// The session with a peer; begins one by dialling if there is none.
    pub(crate) fn session(self: &Arc<Self>, to: SocketAddr) -> Result<Arc<Session>, SendError> {
        if self.shared.closing.is_cancelled() {
            return Err(SendError::Closed);
        }
        let to = canonical(to);
        if let Some(Entry::Up(session) | Entry::Dialling { session, .. }) = self.entries.read().get(&to) {
            return Ok(Arc::clone(session));
        }
        self.begin(to)
    }

    fn begin(self: &Arc<Self>, to: SocketAddr) -> Result<Arc<Session>, SendError> {
        let mut entries = self.entries.write();
        let failures = match entries.get(&to) {
            Some(Entry::Up(session) | Entry::Dialling { session, .. }) => return Ok(Arc::clone(session)),
            Some(Entry::Resting { until, reason, .. }) if Instant::now() < *until => return Err(*reason),
            Some(Entry::Resting { failures, .. }) => *failures,
            None if entries.len() >= self.shared.limits.max_connections => {
                drop(entries);
                self.refusals.warn_full(to, NoRoom::Total(self.shared.limits.max_connections));
                return Err(SendError::TooManyConnections);
            }
            None => 0,
        };
        let session = Session::new(Arc::clone(&self.shared), to, failures);
        entries.insert(to, Entry::Dialling { session: Arc::clone(&session), held: None });
        self.tasks.spawn_on(Arc::clone(self).dial(Arc::clone(&session)), &self.runtime);
        Ok(session)
    }

    /// A dial came to its end.
    pub(crate) fn dialled(self: &Arc<Self>, session: &Arc<Session>, outcome: Result<Link, HandshakeError>) {
        let mut entries = self.entries.write();
        let Some(Entry::Dialling { held, .. }) = entries.get_mut(&session.addr) else {
            unreachable!("an address stays in dialling until its dial ends");
        };
        let held = held.take();
        match (outcome, held) {
            (Ok(link), held) => {
                if let Some(held) = held {
                    held.link.connection.close(code::DUPLICATE, b"duplicate");
                }
                Counters::add(&self.shared.counters.dialled, 1);
                self.connect(&mut entries, session, link, None);
            }
            (Err(_), Some(held)) if held.link.connection.close_reason().is_none() => {
                self.connect(&mut entries, session, held.link, Some(held.place));
            }
            (Err(error), _) => {
                Counters::add(&self.shared.counters.dial_failures, 1);
                let reason = self.judge(session.addr, &error);
                rest(&mut entries, session, reason);
                session.end(reason);
            }
        }
    }

    /// The peer dialled and proved who it is.
    pub(crate) fn accepted(self: &Arc<Self>, accepted: Accepted) {
        let (addr, node) = (accepted.link.peer.addr, accepted.link.peer.node);
        let mut entries = self.entries.write();
        match entries.get_mut(&addr) {
            // This node dialled itself: the dialled end is in the pool, this one only serves.
            _ if node == self.config.key.node() => {
                let session = Session::new(Arc::clone(&self.shared), addr, 0);
                self.start(&session, accepted.link, Some(accepted.place));
            }
            Some(Entry::Dialling { session, held }) => {
                if let Some(older) = held.replace(accepted) {
                    older.link.connection.close(code::REPLACED, b"replaced");
                }
                if self.config.key.node() > node {
                    session.give_way.notify_one();
                }
            }
            // Its dial was given up when both dialled at once.
            Some(Entry::Up(session)) if accepted.begun < session.connected_at() => {
                accepted.link.connection.close(code::DUPLICATE, b"duplicate");
            }
            current => {
                if let Some(Entry::Up(session)) = current {
                    // Who has a connection does not dial: the peer lost the old one, or started anew.
                    session.close(code::REPLACED, "replaced");
                }
                let session = Session::new(Arc::clone(&self.shared), addr, 0);
                self.connect(&mut entries, &session, accepted.link, Some(accepted.place));
            }
        }
    }

    /// Takes a connection into use for its address.
    fn connect(
        self: &Arc<Self>,
        entries: &mut HashMap<SocketAddr, Entry>,
        session: &Arc<Session>,
        link: Link,
        place: Option<Place>,
    ) {
        entries.insert(session.addr, Entry::Up(Arc::clone(session)));
        self.start(session, link, place);
    }

    fn start(self: &Arc<Self>, session: &Arc<Session>, link: Link, place: Option<Place>) {
        let protocol = link.peer.protocol;
        tracing::debug!(peer = %session.addr, accepted = place.is_some(), protocol, "connected");
        for channel in session.connect(link) {
            self.run_lane(session, channel);
        }
        self.runtime.spawn(Arc::clone(self).supervise(Arc::clone(session), place));
    }

    fn run_lane(&self, session: &Arc<Session>, channel: Channel) {
        self.tasks.spawn_on(lane::run(Arc::clone(session), channel), &self.runtime);
    }

    /// Watches over a connection until it ends. `place`: the peer dialled it.
    async fn supervise(self: Arc<Self>, session: Arc<Session>, place: Option<Place>) {
        let connection = session.connection();
        if place.is_some() {
            Counters::add(&self.shared.counters.accepted, 1);
            welcome(connection).await;
        }
        let error = tokio::select! {
            error = connection.closed() => error,
            error = self.serve(&session) => error,
            () = self.outlived(&session) => {
                tracing::info!(peer = %session.addr, "closing a connection made with a secret that has been removed");
                session.close(code::REMOVED, "secret removed");
                connection.closed().await
            }
        };
        let path = connection.stats().path;
        tracing::debug!(
            peer = %session.addr,
            %error,
            packets_sent = path.sent_packets,
            packets_lost = path.lost_packets,
            rtt_us = path.rtt.as_micros(),
            "disconnected"
        );
        self.disconnected(&session, &error);
    }

    /// Hands what arrives to the handler.
    async fn serve(&self, session: &Arc<Session>) -> ConnectionError {
        let handler = self.handler.wait().await;
        let connection = session.connection();
        loop {
            tokio::select! {
                stream = connection.accept_bi() => match stream {
                    Ok((send, recv)) => {
                        let serve = serve::run(Arc::clone(session), Arc::clone(handler), send, recv);
                        self.tasks.spawn_on(serve, &self.runtime);
                    }
                    Err(error) => return error,
                },
                datagram = connection.read_datagram() => match datagram {
                    Ok(payload) => {
                        session.touch();
                        Counters::add(&self.shared.counters.datagrams_received, 1);
                        handler.datagram(session.peer(), payload);
                    }
                    Err(error) => return error,
                },
            }
        }
    }

    /// Waits until the secret that the peer showed when it connected has been removed, and then for a pause in what is
    /// said, for a while.
    async fn outlived(&self, session: &Session) {
        let Some(issuer) = identity::peer_issuer(session.connection()) else { return };
        let mut credentials = self.credentials.subscribe();
        let removed = credentials.wait_for(|now| !now.authorities.contains(&issuer)).await.is_ok();
        debug_assert!(removed, "the mesh that has the sender is borrowed");
        sleep(REMOVED_GRACE).await;
        let end = Instant::now() + REMOVED_PATIENCE;
        while session.idle() < REMOVED_PAUSE && Instant::now() < end {
            sleep(REMOVED_PAUSE).await;
        }
    }

    fn disconnected(&self, session: &Arc<Session>, error: &ConnectionError) {
        // A dialler looks at this node's id after it was welcome.
        let reason = classify(error).map_or(SendError::Disconnected, |(by, refusal)| {
            self.refusals.record(session.addr, by, refusal);
            SendError::Refused(refusal)
        });
        let mut entries = self.entries.write();
        if let Slot::Occupied(slot) = entries.entry(session.addr)
            && matches!(slot.get(), Entry::Up(current) if Arc::ptr_eq(current, session))
        {
            slot.remove();
            if code::is_goodbye(error) {
                rest_for(&mut entries, session, SendError::Disconnected, REST_GOODBYE);
            } else if session.created.elapsed() < SHORT_LIFE {
                rest(&mut entries, session, reason);
            }
        }
        drop(entries);
        session.end(reason);
    }

    /// What a failed dial means for those who wait for it.
    fn judge(&self, addr: SocketAddr, error: &HandshakeError) -> SendError {
        tracing::debug!(peer = %addr, %error, "dialling failed");
        match error.refusal() {
            Some((by, refusal)) => {
                self.refusals.record(addr, by, refusal);
                SendError::Refused(refusal)
            }
            None => SendError::Unreachable,
        }
    }

    /// Sets the peers whose connections are kept.
    pub(crate) fn retain(&self, live: &[SocketAddr]) {
        *self.live.lock() = live.iter().copied().map(canonical).collect();
    }

    pub(crate) fn rtt(&self, to: SocketAddr) -> Option<Duration> {
        match self.entries.read().get(&canonical(to)) {
            Some(Entry::Up(session)) => session.rtt(),
            _ => None,
        }
    }

    pub(crate) fn protocol(&self, to: SocketAddr) -> Option<u32> {
        match self.entries.read().get(&canonical(to)) {
            Some(Entry::Up(session)) => Some(session.peer().protocol),
            _ => None,
        }
    }

    pub(crate) fn paths(&self) -> Vec<Path> {
        let entries = self.entries.read();
        let up = entries.iter().filter_map(|(&to, entry)| match entry {
            Entry::Up(session) => session.path(to),
            _ => None,
        });
        up.collect()
    }

    /// Closes idle connections and forgets old failures, again and again until the transport closes.
    pub(crate) async fn sweep(self: Arc<Self>) {
        let pause =
            (self.shared.limits.idle_grace / 4).clamp(Duration::from_millis(20), Duration::from_secs(1));
        while tokio::time::timeout(pause, self.shared.closing.cancelled()).await.is_err() {
            let live = self.live.lock();
            let now = Instant::now();
            self.entries.write().retain(|addr, entry| match entry {
                Entry::Up(session)
                    if !live.contains(addr) && session.idle() >= self.shared.limits.idle_grace =>
                {
                    session.close(code::IDLE, "idle");
                    false
                }
                Entry::Resting { until, .. } => now < *until + REST_FORGOTTEN,
                Entry::Up(_) | Entry::Dialling { .. } => true,
            });
        }
    }
}

/// Lets an address rest after a failure.
fn rest(entries: &mut HashMap<SocketAddr, Entry>, session: &Session, reason: SendError) {
    let pause = match reason {
        // Only a change of configuration helps.
        SendError::Refused(Refusal::Cluster | Refusal::Secret | Refusal::Protocol | Refusal::Identity) => {
            REST_MAX
        }
        _ => REST_MIN.saturating_mul(1 << session.failures.min(16)).min(REST_MAX),
    };
    rest_for(entries, session, reason, pause);
}

fn rest_for(entries: &mut HashMap<SocketAddr, Entry>, session: &Session, reason: SendError, pause: Duration) {
    let failures = session.failures.saturating_add(1);
    entries.insert(session.addr, Entry::Resting { until: Instant::now() + pause, failures, reason });
}

/// Tells the dialler that its connection is taken into use.
async fn welcome(connection: &Connection) {
    if let Ok(mut stream) = connection.open_uni().await {
        // Fails only with the connection, which is noticed elsewhere.
        let _ = stream.finish();
    }
}
