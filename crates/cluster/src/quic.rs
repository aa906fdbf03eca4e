//! The driver: moves bytes and time between a [`Machine`] and a [`Transport`].

mod course;
mod execute;
mod handler;
mod together;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use boato_placement::SLOTS;
use boato_transport::{Channel, Peer, Responder, Transport};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, broadcast, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::machine::{Config, Event, Input, Limits, Machine, Output, Progress, Stats};
use crate::message::{Answer, Frame, Lane, Load, Request, Response, Standing, Status};
use crate::pid::{Epoch, Pid};
use crate::shared::Slots;
use crate::time::Now;
use crate::trace::Trace;
use crate::view::Liveness;

/// Small messages about slots.
pub const CONTROL: Channel = Channel(1);
/// Requests: operations of clients, and status.
pub const OPERATIONS: Channel = Channel(2);
/// Requests of operations that their clients trace, [`Trace`] first.
pub const TRACED: Channel = Channel(3);
/// Entries on their way to another node: the last channel, as everything else goes first.
pub const BULK: Channel = Channel(7);

/// Events kept for a subscriber that is slow; the oldest are dropped beyond it.
const EVENTS: usize = 4096;

/// All slots are swept for expired entries in this time, in this many steps.
const SWEEP: Duration = Duration::from_secs(10);
const SWEEP_STEPS: u32 = 128;

/// A step of the machine that takes longer is followed by a turn for others.
const LONG_STEP: Duration = Duration::from_micros(100);

/// How long a peer may take to say what it holds.
const STATUS_TIMEOUT: Duration = Duration::from_millis(500);

/// What to do about a message that cannot be read.
const UNREADABLE: &str =
    "if it happens again, see with boato members whether the peer's version is near this one's";

/// A node's part in the cluster. Cheap to clone.
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

/// A [`Cluster`] that does not keep it running: for the transport's handler, which the cluster's own transport keeps.
#[derive(Clone)]
pub struct WeakCluster(Weak<Inner>);

impl WeakCluster {
    /// The cluster, unless it has ended.
    pub fn upgrade(&self) -> Option<Cluster> {
        self.0.upgrade().map(Cluster)
    }
}

struct Inner {
    slots: Arc<Slots>,
    machine: Mutex<Machine>,
    transport: Transport,
    addresses: RwLock<HashMap<Pid, SocketAddr>>,
    waiting: Mutex<HashMap<u64, Waiter>>,
    tokens: AtomicU64,
    origin: Instant,
    /// How long a client's operation may take.
    patience: Duration,
    timer: watch::Sender<Option<Duration>>,
    events: broadcast::Sender<Event>,
    departed: watch::Sender<Option<usize>>,
    /// Whoever waits to try again elsewhere is told when this node's routes change.
    rerouted: Notify,
    /// Entries and tombstones that the sweep has removed.
    expired: AtomicU64,
}

/// Who gets the answer to an operation in the machine's hands.
enum Waiter {
    Here(oneshot::Sender<Answer>),
    Peer(Reply),
}

/// The way back to a peer that asked.
struct Reply {
    responder: Responder,
    /// Kept until the answer is on its way.
    _watch: Option<Watch>,
}

impl Reply {
    fn send(self, response: &Response) {
        self.responder.send(response.encode().into());
    }
}

/// What is dropped once a traced operation has been answered.
pub type Watch = Box<dyn Send>;

impl Cluster {
    /// Starts a node's part. `patience` bounds a client's operation, waiting for a slot in hand-over included.
    /// Runs until `stop`. The caller passes on what the transport receives on [`CONTROL`], [`BULK`] and
    /// [`OPERATIONS`].
    pub fn spawn(config: Config, transport: Transport, patience: Duration, stop: CancellationToken) -> Self {
        let origin = now_instant();
        let machine = Machine::new(config, now_since(origin));
        let cluster = Self(Arc::new(Inner {
            slots: machine.slots(),
            machine: Mutex::new(machine),
            transport,
            addresses: RwLock::default(),
            waiting: Mutex::default(),
            tokens: AtomicU64::new(0),
            origin,
            patience,
            timer: watch::Sender::new(None),
            events: broadcast::Sender::new(EVENTS),
            departed: watch::Sender::new(None),
            rerouted: Notify::new(),
            expired: AtomicU64::new(0),
        }));
        let (timed, swept) = (Arc::clone(&cluster.0), Arc::clone(&cluster.0));
        tokio::spawn(async move {
            tokio::select! {
                () = timed.keep_time() => {}
                () = swept.sweep() => {}
                () = stop.cancelled() => {}
            }
        });
        cluster
    }

    /// A handle that does not keep it running.
    pub fn downgrade(&self) -> WeakCluster {
        WeakCluster(Arc::downgrade(&self.0))
    }

    /// The slots of this node.
    pub fn slots(&self) -> &Slots {
        &self.0.slots
    }

    /// The wall clock as operations see it: milliseconds since the Unix epoch.
    pub fn unix_ms(&self) -> u64 {
        unix_ms()
    }

    /// What happens from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.0.events.subscribe()
    }

    /// Counts and gauges.
    pub fn stats(&self) -> Stats {
        self.0.machine.lock().stats()
    }

    /// Entries removed since the start as their time to live was over.
    pub fn expired(&self) -> u64 {
        self.0.expired.load(Ordering::Relaxed)
    }

    /// What is left to move. Looks at every slot, which takes a third of a millisecond, and holds up the hand-off meanwhile.
    pub fn progress(&self) -> Progress {
        self.0.machine.lock().progress()
    }

    /// How far this node is on its way into a cluster.
    pub fn standing(&self) -> Standing {
        self.0.machine.lock().standing()
    }

    /// Lets this node begin a cluster if it sees nobody who has one for `quiet`.
    pub fn eligible(&self, quiet: Duration) {
        self.0.drive(Input::Eligible { quiet });
    }

    /// Passes on what membership says.
    pub fn member(&self, pid: Pid, addr: SocketAddr, liveness: Liveness, weight: u16) {
        match liveness {
            Liveness::Dead => self.0.addresses.write().remove(&pid),
            Liveness::Alive | Liveness::Leaving => self.0.addresses.write().insert(pid, addr),
        };
        self.0.drive(Input::Member { pid, liveness, weight });
    }

    /// Changes the limits that hold from now on.
    pub fn set_limits(&self, limits: Limits) {
        self.0.drive(Input::Limits(limits));
    }

    /// Hands everything off; returns the number of slots that nobody took. May be dropped and called again.
    pub async fn leave(&self) -> usize {
        let mut departed = self.0.departed.subscribe();
        self.0.drive(Input::Leave);
        // The sender lives in `self`, so the wait ends with a number.
        departed.wait_for(Option::is_some).await.ok().and_then(|left| *left).unwrap_or_default()
    }

    /// Stops serving, whatever has not been handed off: before the others hear that this process is gone.
    pub fn abandon(&self) {
        self.0.drive(Input::Abandon);
    }

    /// Takes a message from the transport.
    pub fn message(&self, from: Peer, payload: &[u8]) {
        match Frame::decode(payload) {
            Ok(frame) if frame.from.node == from.node => self.0.drive(Input::Frame(frame)),
            Ok(frame) => {
                tracing::warn!(
                    peer = %from.addr,
                    claimed = %frame.from,
                    "a frame under another node's id is dropped: stop that peer if it is none of yours, and replace the \
                     secret (boato keys)"
                );
            }
            Err(error) => tracing::warn!(peer = %from.addr, %error, "a frame is dropped: {UNREADABLE}"),
        }
    }

    /// Takes a request from the transport.
    pub fn request(&self, from: Peer, payload: &[u8], responder: Responder) {
        self.answer(from, payload, Reply { responder, _watch: None });
    }

    /// Takes a request that came on [`TRACED`]. What `watch` makes of the trace is dropped once it has been answered.
    pub fn traced(
        &self,
        from: Peer,
        payload: &[u8],
        responder: Responder,
        watch: impl FnOnce(Trace) -> Option<Watch>,
    ) {
        match Trace::split(payload) {
            Some((trace, request)) => {
                self.answer(from, request, Reply { responder, _watch: watch(trace) });
            }
            None => {
                tracing::warn!(peer = %from.addr, "a request without the trace that it has to have is not answered: {UNREADABLE}");
            }
        }
    }

    fn answer(&self, from: Peer, request: &[u8], reply: Reply) {
        match Request::view(request) {
            Ok(Request::Status) => reply.send(&Response::Status(self.own_status())),
            Ok(Request::Load) => reply.send(&Response::Load(self.own_load())),
            Ok(Request::Operate { to, .. }) if to != self.0.slots.me() => respond(reply, Answer::Moved(None)),
            Ok(Request::Operate { used, wait_ms, operation, .. }) => {
                if let Some((effect, epoch)) = self.0.slots.try_apply(&operation, unix_ms()) {
                    respond(reply, Answer::Done { effect, epoch });
                } else {
                    let wait = Duration::from_millis(wait_ms.into()).min(self.0.patience);
                    self.0.operate(Waiter::Peer(reply), used, self.0.now().at + wait, operation.to_bytes());
                }
            }
            Ok(Request::Batch { to, operations }) => {
                let is_meant = to == self.0.slots.me();
                let answers = if is_meant {
                    self.0.slots.apply_all(&operations, unix_ms())
                } else {
                    vec![None; operations.len()]
                };
                reply.send(&Response::Batch(answers));
            }
            Err(error) => {
                tracing::warn!(peer = %from.addr, %error, "a request is not answered: {UNREADABLE}");
            }
        }
    }

    fn own_status(&self) -> Status {
        let slots_lost = self.stats().slots_lost;
        self.0.slots.status(slots_lost)
    }

    fn own_load(&self) -> Load {
        let slots = u32::try_from(self.stats().custody).expect("invariant: 16384 slots");
        Load { slots, bytes: self.0.slots.memory().bytes }
    }

    /// What a node holds, slot by slot; `None` if it does not answer in time. Each node looks at every slot for it.
    pub async fn status(&self, pid: Pid) -> Option<Status> {
        if pid == self.0.slots.me() {
            return Some(self.own_status());
        }
        match self.0.tell(pid, &Request::Status).await? {
            Response::Status(status) => Some(status),
            _ => None,
        }
    }

    /// How much a node holds; `None` if it does not answer in time.
    pub async fn load(&self, pid: Pid) -> Option<Load> {
        if pid == self.0.slots.me() {
            return Some(self.own_load());
        }
        match self.0.tell(pid, &Request::Load).await? {
            Response::Load(load) => Some(load),
            _ => None,
        }
    }
}

impl Inner {
    fn now(&self) -> Now {
        now_since(self.origin)
    }

    fn address(&self, pid: Pid) -> Option<SocketAddr> {
        self.addresses.read().get(&pid).copied()
    }

    /// What a peer says of itself, if it does so in time.
    async fn tell(&self, pid: Pid, request: &Request) -> Option<Response> {
        let to = self.address(pid)?;
        let pending = self.transport.request(to, OPERATIONS, request.encode().into());
        let bytes = timeout(STATUS_TIMEOUT, pending).await.ok()?.ok()?;
        Response::decode(&bytes).ok()
    }

    /// Takes a step of the machine. What waits for a core meanwhile has its turn after a long one: of many short
    /// operations and few long steps none is to wait for more than a step.
    fn drive(&self, input: Input) {
        let (what, begun) = (input.name(), self.now().at);
        let routes = self.slots.routes();
        self.step(input);
        if !Arc::ptr_eq(&routes, &self.slots.routes()) {
            self.rerouted.notify_waiters();
        }
        let took = self.now().at.saturating_sub(begun);
        if took >= LONG_STEP {
            std::thread::yield_now();
        }
        if took >= course::SLOW {
            tracing::debug!(what, took_us = micros(took), "a long step");
        }
    }

    fn step(&self, input: Input) {
        let mut machine = self.machine.lock();
        machine.handle(input, self.now());
        machine.superseded().iter().for_each(course::superseded);
        // Sent under the lock, so that the frames of one lane keep their order.
        while let Some(output) = machine.poll_output() {
            self.obey(output);
        }
        let due = machine.poll_timeout();
        self.timer.send_if_modified(|timer| std::mem::replace(timer, due) != due);
    }

    fn obey(&self, output: Output) {
        match output {
            Output::Send { to, lane, frame } => {
                // What cannot be sent is as good as lost on the way: the machine says it again.
                if let Some(addr) = self.address(to) {
                    let channel = if lane == Lane::Bulk { BULK } else { CONTROL };
                    if let Err(error) = self.transport.send(addr, channel, frame.encode().into()) {
                        tracing::debug!(peer = %to, %error, "a frame was not sent");
                    }
                }
            }
            Output::Answer { token, answer } => match self.waiting.lock().remove(&token) {
                // A client that has gone away wants no answer.
                Some(Waiter::Here(waiter)) => drop(waiter.send(answer)),
                Some(Waiter::Peer(reply)) => respond(reply, answer),
                None => {}
            },
            // Nobody may be listening.
            Output::Event(event) => drop(self.events.send(event)),
            Output::LeaveDone { slots_left } => drop(self.departed.send_replace(Some(slots_left))),
        }
    }

    fn operate(&self, waiter: Waiter, used: Option<Epoch>, deadline: Duration, operation: crate::Operation) {
        let token = self.tokens.fetch_add(1, Ordering::Relaxed);
        self.waiting.lock().insert(token, waiter);
        self.drive(Input::Operate { token, used, deadline, operation });
    }

    async fn keep_time(&self) {
        let mut timer = self.timer.subscribe();
        loop {
            let due = *timer.borrow_and_update();
            let sleep = async {
                match due {
                    Some(at) => sleep_until((self.origin + at).into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = sleep => self.drive(Input::Timeout),
                changed = timer.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn sweep(&self) {
        let step = u16::try_from(SLOTS / SWEEP_STEPS as usize).expect("invariant: 16384 slots");
        let mut ticks = interval(SWEEP / SWEEP_STEPS);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let slots = u16::try_from(SLOTS).expect("invariant: 16384 slots");
        for first in (0..slots).step_by(step.into()).cycle() {
            ticks.tick().await;
            let now = self.now();
            for slot in first..first + step {
                let expired = self.slots.sweep(slot, now);
                self.expired.fetch_add(expired as u64, Ordering::Relaxed);
            }
        }
    }
}

fn respond(reply: Reply, answer: Answer) {
    reply.send(&Response::Operate(answer));
}

/// For the log, which takes no larger numbers.
fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[expect(clippy::disallowed_methods, reason = "the driver is where the clocks are read")]
fn now_instant() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the driver is where the clocks are read")]
fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn now_since(origin: Instant) -> Now {
    Now { at: now_instant() - origin, unix_ms: unix_ms() }
}
