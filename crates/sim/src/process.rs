//! What the engine hosts, and what it gives a hosted process to act with.

use std::time::Duration;

/// A place in the simulated network, numbered from 0. It outlives the process that runs there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(pub u32);

impl Host {
    /// The number as an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// How a message travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// May get lost or overtaken.
    Datagram,
    /// Arrives in order if it arrives; losses cost time. A cut path loses it.
    Stream,
}

/// A message on the simulated network: encoded bytes, as in production.
pub trait Payload: Clone {
    /// How it travels.
    fn way(&self) -> Way;
    /// Which of the streams between two hosts it takes, if it takes one: each keeps its own order.
    fn stream(&self) -> u8 {
        0
    }
    /// What it consists of; its length counts as traffic, its content enters the trace.
    fn bytes(&self) -> &[u8];
}

/// One participant: a node, or a client. Deterministic, without a clock: the engine calls it, one call at a time.
pub trait Process: Sized {
    /// What it sends and receives.
    type Message: Payload;
    /// What it tells the observer of the run.
    type Note;

    /// It has just been put on a host.
    fn start(&mut self, outbox: &mut Outbox<Self>);
    /// A message arrived.
    fn receive(&mut self, from: Host, message: Self::Message, outbox: &mut Outbox<Self>);
    /// The time of [`wake_at`](Process::wake_at) has come.
    fn wake(&mut self, outbox: &mut Outbox<Self>);
    /// When it wants to be woken; asked after each call.
    fn wake_at(&self) -> Option<Duration>;
}

/// The way out of a process during one call, and the time of that call.
#[derive(Debug)]
pub struct Outbox<P: Process> {
    pub(crate) now: Duration,
    pub(crate) sent: Vec<(Host, P::Message)>,
    pub(crate) notes: Vec<P::Note>,
}

impl<P: Process> Outbox<P> {
    pub(crate) fn new() -> Self {
        Self { now: Duration::ZERO, sent: Vec::new(), notes: Vec::new() }
    }

    /// Virtual time since the start of the run.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Hands a message to the network.
    pub fn send(&mut self, to: Host, message: P::Message) {
        self.sent.push((to, message));
    }

    /// Tells the observer of the run.
    pub fn note(&mut self, note: P::Note) {
        self.notes.push(note);
    }
}
