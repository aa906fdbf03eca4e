//! One simulated node: the production gossip core and cluster machine, wired as the product wires them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use boato_cluster::{
    Answer, Canary, Event, Frame, Input, Liveness, Machine, Now, Output, Pid, Slots, Superseded,
};
use boato_gossip::{Gossip, Identity, Member, NewError, NodeId};
use fastrand::Rng;

use super::batch::Sending;
use super::clock::Clock;
use super::errand::Errand;
use super::message::{Body, Command, Message};
use super::placement::Placement;
use crate::membership::{addr_of, host_of};
use crate::signer::Key;
use crate::{Host, Outbox, Process, Way};

/// How often everything that gossip knows is read.
const RESYNC: Duration = Duration::from_secs(5);
/// All slots are swept for expired entries once in so many steps of this length.
const SWEEP: Duration = Duration::from_secs(2);
const SWEEP_STEPS: u16 = 5;

/// What a node is started with.
#[derive(Clone)]
pub(super) struct Setup {
    pub(super) pid: Pid,
    pub(super) weight: u16,
    pub(super) clock: Clock,
    /// Whom to join, in turn; nobody: it begins a cluster.
    pub(super) joins: Vec<Host>,
    /// Whether it may begin a cluster though there are others to join, as nodes may that find each other by themselves.
    pub(super) founder: bool,
    pub(super) gossip: boato_gossip::Config,
    pub(super) slots: u16,
    pub(super) healing: Duration,
    pub(super) handoff_rate: Option<u64>,
    pub(super) chunk_bytes: usize,
    pub(super) min_members: usize,
    pub(super) canary: Option<Canary>,
    pub(super) strategy: Placement,
    /// Whether the network may lose, overtake and duplicate frames.
    pub(super) unruly: bool,
    /// Probability that a connection breaks before a request on it is answered.
    pub(super) breaks: f64,
}

/// What a node tells the observer.
#[derive(Debug)]
pub(super) enum Note {
    /// A client's operation has an outcome, or none.
    Answered { call: u64, result: Result<(boato_cluster::Outcome, Pid), boato_cluster::Failure> },
    /// The states of slots changed.
    Stirred,
    /// Membership says that a process is no more.
    Dead(Pid),
    /// Merges gave something up.
    Superseded(Vec<Superseded>),
    /// The machine has something to tell.
    Event(Event),
    /// It lets go of whatever it still has, because its leave is over.
    Abandons,
    /// It ends its leave before time with so many slots, though others could take them.
    LeavesSlots(usize),
    /// An operation of its client was sent more often than it may.
    Wanders,
    /// It has said goodbye: the process ends.
    Ended,
    /// A core refused the message of a peer, which no correct peer sends.
    Refused(String),
    /// It refused a write, as it has too few members in view.
    TooFew,
    /// It applied a write with so many members in view, which are too few.
    WroteAmongFew(usize),
}

/// How far a leave has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Departure {
    Staying,
    HandingOff,
    Goodbye,
}

/// What a node does by itself, beside its cores.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Alarm {
    Join,
    Resync,
    News,
    Sweep,
    LeaveDeadline,
    Errand(u64),
    Batch(u64),
}

/// Who gets the answer to an operation in the machine's hands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Waiter {
    Errand(u64),
    Batch(u64),
    Peer { host: Host, number: u64 },
}

/// A node.
pub(super) struct Node {
    pub(super) setup: Setup,
    pub(super) gossip: Gossip,
    pub(super) machine: Machine,
    pub(super) slots: Arc<Slots>,
    pub(super) rng: Rng,
    pub(super) addresses: BTreeMap<Pid, Host>,
    /// Boxed: they are large, and a map moves what it keeps.
    pub(super) errands: BTreeMap<u64, Box<Errand>>,
    pub(super) sendings: BTreeMap<u64, Sending>,
    pub(super) waiting: BTreeMap<u64, Waiter>,
    /// The last number given to a token or a request.
    pub(super) number: u64,
    alarms: BTreeSet<(Duration, Alarm)>,
    pub(super) next_join: usize,
    /// Whether it has yet to look for other founders.
    pub(super) looks_later: bool,
    next_sweep: u16,
    departure: Departure,
    /// Until then the machine does not hear what gossip says of members.
    unaware_until: Duration,
    transitions: u64,
    /// When the cores want to be woken.
    gossip_at: Option<Duration>,
    machine_at: Option<Duration>,
}

impl Node {
    pub(super) fn new(host: Host, setup: Setup, seed: u64, at: Duration) -> Result<Self, NewError> {
        let mut rng = Rng::with_seed(seed);
        let now = setup.clock.read(at);
        let identity = Identity {
            id: NodeId(setup.pid.node),
            boot: setup.pid.boot,
            addr: addr_of(host),
            name: format!("n{}", host.0),
            tags: tags(setup.weight, false),
        };
        let key = Arc::new(Key(identity.id));
        let gossip = Gossip::new(setup.gossip.clone(), identity, rng.u64(..), now.at)?.with_signer(key);
        let config = boato_cluster::Config {
            weight: setup.weight,
            slots: 0..setup.slots,
            healing: setup.healing,
            handoff_rate: setup.handoff_rate,
            chunk_bytes: setup.chunk_bytes,
            min_members: setup.min_members,
            canary: setup.canary,
            strategy: Box::new(setup.strategy),
            ..boato_cluster::Config::new(setup.pid, rng.u64(..))
        };
        let machine = Machine::new(config, now);
        let alarms = [
            (now.at, Alarm::Join),
            (now.at + RESYNC.mul_f64(rng.f64()), Alarm::Resync),
            (now.at + SWEEP.mul_f64(rng.f64()), Alarm::Sweep),
        ];
        Ok(Self {
            slots: machine.slots(),
            // No answer to a request of an earlier boot answers one of this.
            number: setup.pid.boot << 32,
            looks_later: setup.founder,
            setup,
            gossip,
            machine,
            rng,
            addresses: BTreeMap::new(),
            errands: BTreeMap::new(),
            sendings: BTreeMap::new(),
            waiting: BTreeMap::new(),
            alarms: alarms.into(),
            next_join: 0,
            next_sweep: 0,
            departure: Departure::Staying,
            unaware_until: Duration::ZERO,
            transitions: 0,
            gossip_at: None,
            machine_at: None,
        })
    }

    /// This process.
    pub(super) fn pid(&self) -> Pid {
        self.setup.pid
    }

    /// Whether it has been told to leave.
    fn is_leaving(&self) -> bool {
        self.departure != Departure::Staying
    }

    /// Whether it is as good as gone.
    pub(super) fn has_left(&self) -> bool {
        self.departure == Departure::Goodbye
    }

    /// What its clocks read.
    pub(super) fn now(&self, outbox: &Outbox<Self>) -> Now {
        self.setup.clock.read(outbox.now())
    }

    pub(super) fn set_alarm(&mut self, at: Duration, alarm: Alarm) {
        self.alarms.insert((at, alarm));
    }

    pub(super) fn cancel_alarm(&mut self, at: Duration, alarm: Alarm) {
        self.alarms.remove(&(at, alarm));
    }

    fn obey(&mut self, command: Command, outbox: &mut Outbox<Self>) {
        match command {
            Command::Execute { call, operation } => self.execute(call, operation, outbox),
            Command::ExecuteAll(all) => self.execute_all(all, outbox),
            Command::Leave(timeout) => {
                self.departure = Departure::HandingOff;
                self.set_alarm(self.now(outbox).at + timeout, Alarm::LeaveDeadline);
                self.announce(outbox);
                self.drive(Input::Leave, outbox);
            }
            Command::Weight(weight) => {
                self.setup.weight = weight;
                self.announce(outbox);
            }
            Command::Join(host) => self.gossip(boato_gossip::Input::Join(addr_of(host)), outbox),
            Command::Unaware(span) => {
                self.unaware_until = self.now(outbox).at + span;
                self.set_alarm(self.unaware_until, Alarm::News);
            }
            Command::Wall(ahead_ms) => self.setup.clock.ahead_ms = ahead_ms,
        }
    }

    /// Tells everybody the weight, and whether this node wants no more slots.
    fn announce(&mut self, outbox: &mut Outbox<Self>) {
        let tags = tags(self.setup.weight, self.is_leaving());
        self.gossip(boato_gossip::Input::SetTags(tags), outbox);
    }

    fn goodbye(&mut self, outbox: &mut Outbox<Self>) {
        if self.departure == Departure::HandingOff {
            self.departure = Departure::Goodbye;
            outbox.note(Note::Abandons);
            self.drive(Input::Abandon, outbox);
            self.gossip(boato_gossip::Input::Leave, outbox);
        }
    }

    /// Whether anybody is there to take slots over, who is not known to be dead from what peers say.
    fn has_heir(&self) -> bool {
        let routes = self.slots.routes();
        let lives = |member: &Member| routes.is_live(Pid { node: member.id.0, boot: member.boot });
        self.gossip.live().skip(1).any(|member| member.tags.get("leaving").is_none() && lives(member))
    }

    pub(super) fn gossip(&mut self, input: boato_gossip::Input<'_>, outbox: &mut Outbox<Self>) {
        use boato_gossip::InputError::{Ended, JoinsFull};
        match self.gossip.handle(input, self.setup.clock.local(outbox.now())) {
            Ok(()) | Err(Ended | JoinsFull(_)) => {}
            Err(error) => outbox.note(Note::Refused(error.to_string())),
        }
        while let Some(output) = self.gossip.poll_output() {
            match output {
                boato_gossip::Output::Datagram { to, bytes } => send(outbox, to, Way::Datagram, bytes),
                boato_gossip::Output::Stream { to, bytes } | boato_gossip::Output::Bulk { to, bytes } => {
                    send(outbox, to, Way::Stream, bytes);
                }
                boato_gossip::Output::Event(event) => self.pass_on(&event, outbox),
            }
        }
        self.gossip_at = self.gossip.poll_timeout();
    }

    fn pass_on(&mut self, event: &boato_gossip::Event, outbox: &mut Outbox<Self>) {
        use boato_gossip::Event::{Failed, Joined, LeaveDone, Left, Recovered, Replaced, Suspected, Updated};
        match event {
            Joined(member) | Updated(member) | Suspected(member) | Recovered(member) | Failed(member)
            | Left(member) => self.tell(member, outbox),
            LeaveDone | Replaced { .. } => outbox.note(Note::Ended),
            _ => {}
        }
    }

    /// Passes on to the machine what gossip says of a member.
    fn tell(&mut self, member: &Member, outbox: &mut Outbox<Self>) {
        if !self.is_aware(outbox) {
            return;
        }
        let leaving = member.tags.get("leaving").is_some();
        let weight = member.tags.get("weight").and_then(|text| text.parse().ok()).unwrap_or(0);
        let liveness = match (member.is_live(), leaving) {
            (false, _) => Liveness::Dead,
            (true, true) => Liveness::Leaving,
            (true, false) => Liveness::Alive,
        };
        let pid = Pid { node: member.id.0, boot: member.boot };
        if liveness == Liveness::Dead {
            self.addresses.remove(&pid);
            outbox.note(Note::Dead(pid));
        } else if let Some(host) = host_of(member.addr) {
            self.addresses.insert(pid, host);
        }
        self.drive(Input::Member { pid, liveness, weight }, outbox);
    }

    fn tell_all(&mut self, outbox: &mut Outbox<Self>) {
        let members: Vec<Member> = self.gossip.members().cloned().collect();
        for member in &members {
            self.tell(member, outbox);
        }
    }

    /// Whether the machine hears what gossip says of members.
    fn is_aware(&self, outbox: &Outbox<Self>) -> bool {
        self.now(outbox).at >= self.unaware_until
    }

    pub(super) fn drive(&mut self, input: Input, outbox: &mut Outbox<Self>) {
        self.machine.handle(input, self.now(outbox));
        if !self.machine.superseded().is_empty() {
            outbox.note(Note::Superseded(self.machine.superseded().to_vec()));
        }
        let mut answers = Vec::new();
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Send { to, lane, frame } => {
                    if let Some(&host) = self.addresses.get(&to) {
                        let body = Body::Frame { lane, unruly: self.setup.unruly };
                        outbox.send(host, Message::new(body, frame.encode()));
                    }
                }
                Output::Answer { token, answer } => {
                    if let Answer::Done { effect, .. } = &answer {
                        self.watch_limit(effect, outbox);
                    }
                    answers.push((token, answer));
                }
                Output::Event(event) => outbox.note(Note::Event(event)),
                Output::LeaveDone { slots_left } => {
                    if slots_left > 0 && self.is_aware(outbox) && self.has_heir() {
                        outbox.note(Note::LeavesSlots(slots_left));
                    }
                    self.goodbye(outbox);
                }
            }
        }
        self.machine_at = self.machine.poll_timeout();
        let transitions = self.machine.stats().transitions;
        if std::mem::replace(&mut self.transitions, transitions) != transitions {
            outbox.note(Note::Stirred);
        }
        for (token, answer) in answers {
            self.deliver(token, answer, outbox);
        }
    }

    fn ring(&mut self, at: Duration, alarm: Alarm, outbox: &mut Outbox<Self>) {
        match alarm {
            Alarm::Join => self.join(at, outbox),
            Alarm::News => self.tell_all(outbox),
            Alarm::Resync => {
                self.tell_all(outbox);
                self.set_alarm(self.now(outbox).at + RESYNC, Alarm::Resync);
            }
            Alarm::Sweep => {
                let now = self.now(outbox);
                for slot in (self.next_sweep..self.setup.slots).step_by(SWEEP_STEPS.into()) {
                    self.slots.sweep(slot, now);
                }
                self.next_sweep = (self.next_sweep + 1) % SWEEP_STEPS;
                self.set_alarm(now.at + SWEEP, Alarm::Sweep);
            }
            Alarm::LeaveDeadline => self.goodbye(outbox),
            Alarm::Errand(id) => self.errand_due(id, outbox),
            Alarm::Batch(number) => self.batch_lost(number, outbox),
        }
    }
}

fn tags(weight: u16, leaving: bool) -> Vec<(String, String)> {
    let mut tags = vec![("weight".to_owned(), weight.to_string())];
    tags.extend(leaving.then(|| ("leaving".to_owned(), "1".to_owned())));
    tags
}

fn send(outbox: &mut Outbox<Node>, to: std::net::SocketAddr, way: Way, bytes: Vec<u8>) {
    if let Some(host) = host_of(to) {
        outbox.send(host, Message::new(Body::Gossip(way), bytes));
    }
}

impl Process for Node {
    type Message = Message;
    type Note = Note;

    fn start(&mut self, outbox: &mut Outbox<Self>) {
        self.gossip(boato_gossip::Input::Timeout, outbox);
    }

    fn receive(&mut self, from: Host, message: Message, outbox: &mut Outbox<Self>) {
        let bytes = crate::Payload::bytes(&message);
        match message.body {
            Body::Gossip(way) => {
                let from = addr_of(from);
                let input = match way {
                    Way::Datagram => boato_gossip::Input::Datagram { from, bytes },
                    Way::Stream => boato_gossip::Input::Stream { from, bytes },
                };
                self.gossip(input, outbox);
            }
            Body::Frame { .. } => match Frame::decode(bytes) {
                Ok(frame) => self.drive(Input::Frame(frame), outbox),
                Err(error) => outbox.note(Note::Refused(error.to_string())),
            },
            Body::Request { number } => self.request(from, number, bytes, outbox),
            Body::Response { number } => self.response(number, bytes, outbox),
            Body::Command(command) => self.obey(*command, outbox),
        }
    }

    fn wake(&mut self, outbox: &mut Outbox<Self>) {
        let now = self.setup.clock.local(outbox.now());
        if self.gossip_at.is_some_and(|at| at <= now) {
            self.gossip(boato_gossip::Input::Timeout, outbox);
        }
        if self.machine_at.is_some_and(|at| at <= now) {
            self.drive(Input::Timeout, outbox);
        }
        while let Some(&(at, alarm)) = self.alarms.first()
            && at <= now
        {
            self.alarms.pop_first();
            self.ring(at.max(now), alarm, outbox);
        }
    }

    fn wake_at(&self) -> Option<Duration> {
        let alarm = self.alarms.first().map(|(at, _)| *at);
        let at = [alarm, self.gossip_at, self.machine_at].into_iter().flatten().min();
        at.map(|at| self.setup.clock.moment(at))
    }
}
