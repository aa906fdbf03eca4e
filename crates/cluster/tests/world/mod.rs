//! A cluster of production machines in virtual time: a network that delays, reorders, duplicates and loses,
//! membership that reaches every node at its own moment, and clients that check what they read.

mod client;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use boato_cluster::{
    Answer, Config, Epoch, Event, Failure, Frame, Input, Liveness, Machine, Now, Operation, Output, Pid,
    Sent, Slots, Standing,
};
use bytes::Bytes;
use client::Client;

/// What the network does to frames and requests.
#[derive(Clone, Copy)]
pub(crate) struct Weather {
    pub(crate) delay_ms_max: u64,
    pub(crate) loss: f64,
    pub(crate) duplication: f64,
}

impl Weather {
    pub(crate) const CALM: Self = Self { delay_ms_max: 2, loss: 0.0, duplication: 0.0 };
    pub(crate) const STORM: Self = Self { delay_ms_max: 40, loss: 0.15, duplication: 0.15 };
}

struct Node {
    pid: Pid,
    machine: Machine,
    slots: Arc<Slots>,
    timer: Option<Duration>,
    left: Option<usize>,
}

enum What {
    Frame { to: Pid, bytes: Vec<u8> },
    Timer { node: Pid },
    View { node: Pid, about: Pid, liveness: Liveness, weight: u16 },
    Request { client: usize, serial: u64, to: Pid, used: Option<Epoch>, operation: Operation },
    Reply { client: usize, serial: u64, sent: Sent },
    Client { client: usize },
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) struct World {
    pub(crate) weather: Weather,
    pub(crate) now: Duration,
    /// Whether two nodes may serve one slot, and acknowledged writes be lost: after a false death.
    pub(crate) lenient: bool,
    /// The slots that there are.
    pub(crate) slots: Range<u16>,
    pub(crate) events: Vec<(Pid, Event)>,
    rng: fastrand::Rng,
    nodes: BTreeMap<Pid, Node>,
    weights: BTreeMap<Pid, u16>,
    agenda: BinaryHeap<Reverse<(Duration, u64)>>,
    whats: BTreeMap<u64, What>,
    count: u64,
    tokens: BTreeMap<(Pid, u64), (usize, u64, bool)>,
    clients: Vec<Client>,
    running: bool,
}

impl World {
    pub(crate) fn new(seed: u64, clients: usize, weather: Weather) -> Self {
        let client = |index: usize| Client {
            key: Bytes::from(format!("key-{index}")),
            possible: vec![None],
            writes: 0,
            serial: 0,
            current: None,
            acknowledged: 0,
            failed: 0,
        };
        let mut world = Self {
            weather,
            now: Duration::ZERO,
            lenient: false,
            slots: 0..16384,
            events: Vec::new(),
            rng: fastrand::Rng::with_seed(seed),
            nodes: BTreeMap::new(),
            weights: BTreeMap::new(),
            agenda: BinaryHeap::new(),
            whats: BTreeMap::new(),
            count: 0,
            tokens: BTreeMap::new(),
            clients: (0..clients).map(client).collect(),
            running: true,
        };
        for client in 0..clients {
            world.schedule(Duration::from_millis(1), What::Client { client });
        }
        world
    }

    /// Starts a node; everybody learns of it, each at its own moment, and it of everybody.
    pub(crate) fn start(&mut self, node: u128, boot: u64, weight: u16) -> Pid {
        let others: Vec<Pid> = self.nodes.keys().copied().collect();
        let pid = self.start_unannounced(node, boot, weight);
        for other in others {
            self.tell(other, pid, Liveness::Alive, weight);
        }
        pid
    }

    /// Starts a node that knows everybody, and of which nobody knows but by its frames.
    pub(crate) fn start_unannounced(&mut self, node: u128, boot: u64, weight: u16) -> Pid {
        let pid = Pid { node, boot };
        let seed = self.rng.u64(..);
        let now = self.time();
        let machine =
            Machine::new(Config { weight, slots: self.slots.clone(), ..Config::new(pid, seed) }, now);
        let others: Vec<Pid> = self.nodes.keys().copied().collect();
        let slots = machine.slots();
        self.nodes.insert(pid, Node { pid, machine, slots, timer: None, left: None });
        self.weights.insert(pid, weight);
        for other in others {
            let weight_of_other = self.weights[&other];
            let leaving = self.nodes[&other].left.is_some();
            let liveness = if leaving { Liveness::Leaving } else { Liveness::Alive };
            self.tell(pid, other, liveness, weight_of_other);
        }
        self.feed(pid, Input::Eligible { quiet: Duration::from_secs(1) });
        pid
    }

    /// Ends a process at once; the others learn of it after a detection time.
    pub(crate) fn crash(&mut self, pid: Pid) {
        self.remove(pid);
        self.announce(pid, Liveness::Dead, Duration::from_millis(500));
    }

    fn remove(&mut self, pid: Pid) {
        self.nodes.remove(&pid);
        for index in 0..self.clients.len() {
            if self.clients[index].current.as_ref().is_some_and(|current| current.entry == pid) {
                // What was on its way from there may still be applied: give it time.
                self.finish(index, Err(Failure::OutcomeUnknown), seconds(5));
            }
        }
    }

    pub(crate) fn leave(&mut self, pid: Pid) {
        if let Some(node) = self.nodes.get_mut(&pid) {
            node.left = Some(usize::MAX);
            self.feed(pid, Input::Leave);
            self.announce(pid, Liveness::Leaving, Duration::ZERO);
        }
    }

    pub(crate) fn set_weight(&mut self, pid: Pid, weight: u16) {
        self.weights.insert(pid, weight);
        self.tell(pid, pid, Liveness::Alive, weight);
        self.announce(pid, Liveness::Alive, Duration::ZERO);
    }

    /// Makes one node believe something of another.
    pub(crate) fn believe(&mut self, node: Pid, about: Pid, liveness: Liveness) {
        let weight = self.weights[&about];
        self.tell(node, about, liveness, weight);
    }

    /// Makes one node see a member come and go.
    pub(crate) fn outlive(&mut self, node: Pid, about: Pid) {
        for liveness in [Liveness::Alive, Liveness::Dead] {
            self.feed(node, Input::Member { pid: about, liveness, weight: 1 });
        }
    }

    fn announce(&mut self, about: Pid, liveness: Liveness, after: Duration) {
        let weight = self.weights[&about];
        for node in self.nodes.keys().copied().collect::<Vec<_>>() {
            let at = after + Duration::from_millis(self.rng.u64(0..300));
            self.schedule(at, What::View { node, about, liveness, weight });
        }
    }

    fn tell(&mut self, node: Pid, about: Pid, liveness: Liveness, weight: u16) {
        let at = Duration::from_millis(self.rng.u64(0..300));
        self.schedule(at, What::View { node, about, liveness, weight });
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(&Reverse((at, id))) = self.agenda.peek()
            && at <= end
        {
            self.agenda.pop();
            self.now = self.now.max(at);
            if let Some(what) = self.whats.remove(&id) {
                self.act(what);
            }
        }
        self.now = end;
    }

    /// Lets time pass until every node holds just what the table gives it. Panics after `limit`.
    pub(crate) fn settle(&mut self, limit: Duration) {
        let end = self.now + limit;
        while !self.is_settled() {
            assert!(self.now < end, "not settled after {limit:?}: {}", self.describe());
            self.run(Duration::from_millis(100));
        }
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.nodes.values().filter(|node| node.left.is_none()).all(|node| node.machine.is_settled())
            && self.nodes.values().all(|node| node.left.is_none_or(|left| left == 0))
    }

    /// The number of slots that each node holds.
    pub(crate) fn custody(&self) -> Vec<(Pid, usize)> {
        self.nodes.values().map(|node| (node.pid, node.machine.stats().custody)).collect()
    }

    /// The slots of each node.
    pub(crate) fn slots(&self) -> impl Iterator<Item = &Slots> {
        self.nodes.values().map(|node| &*node.slots)
    }

    pub(crate) fn stats(&self, pid: Pid) -> boato_cluster::Stats {
        self.nodes[&pid].machine.stats()
    }

    pub(crate) fn standing(&self, pid: Pid) -> Standing {
        self.nodes[&pid].machine.standing()
    }

    fn describe(&self) -> String {
        let mut text = String::new();
        for node in self.nodes.values() {
            let stats = node.machine.stats();
            let runs = node.slots.status(0).runs;
            let odd: Vec<String> = runs
                .iter()
                .filter(|run| run.state != "held")
                .take(5)
                .map(|run| format!("{}-{} {}", run.from, run.to, run.state))
                .collect();
            let standing = node.machine.standing();
            let _ = write!(text, "\n{} {standing:?} {stats:?} {odd:?} left {:?}", node.pid, node.left);
        }
        text
    }

    fn time(&self) -> Now {
        let unix_ms = 1_700_000_000_000 + u64::try_from(self.now.as_millis()).unwrap();
        Now { at: self.now, unix_ms }
    }

    fn schedule(&mut self, after: Duration, what: What) {
        self.count += 1;
        self.agenda.push(Reverse((self.now + after, self.count)));
        self.whats.insert(self.count, what);
    }

    fn delay(&mut self) -> Duration {
        Duration::from_micros(self.rng.u64(50..self.weather.delay_ms_max * 1000))
    }

    fn act(&mut self, what: What) {
        let moves_slots = matches!(what, What::Frame { .. } | What::Timer { .. } | What::View { .. });
        match what {
            What::Frame { to, bytes } => {
                let frame = Frame::decode(&bytes).expect("frames survive the wire");
                self.feed(to, Input::Frame(frame));
            }
            What::Timer { node } => {
                if self.nodes.get(&node).is_some_and(|it| it.timer.is_some_and(|at| at <= self.now)) {
                    self.nodes.get_mut(&node).unwrap().timer = None;
                    self.feed(node, Input::Timeout);
                }
            }
            What::View { node, about, liveness, weight } => {
                self.feed(node, Input::Member { pid: about, liveness, weight });
            }
            What::Request { client, serial, to, used, operation } => {
                self.arrive(client, serial, to, used, operation);
            }
            What::Reply { client, serial, sent } => self.reply(client, serial, sent),
            What::Client { client } => self.client_turn(client),
        }
        if moves_slots && !self.lenient {
            self.check_single_holder();
        }
    }

    fn feed(&mut self, pid: Pid, input: Input) {
        let now = self.time();
        let Some(node) = self.nodes.get_mut(&pid) else { return };
        node.machine.handle(input, now);
        while let Some(output) = self.nodes.get_mut(&pid).and_then(|node| node.machine.poll_output()) {
            self.obey(pid, output);
        }
        let Some(node) = self.nodes.get_mut(&pid) else { return };
        let timeout = node.machine.poll_timeout().map(|at| at.max(now.at));
        if let Some(at) = timeout
            && node.timer.is_none_or(|timer| at < timer)
        {
            node.timer = Some(at);
            self.schedule(at.saturating_sub(now.at), What::Timer { node: pid });
        }
    }

    fn obey(&mut self, pid: Pid, output: Output) {
        match output {
            Output::Send { to, frame, .. } => {
                let bytes = frame.encode();
                let copies = 1 + usize::from(self.rng.f64() < self.weather.duplication);
                for _ in 0..copies {
                    if self.rng.f64() >= self.weather.loss {
                        let delay = self.delay();
                        self.schedule(delay, What::Frame { to, bytes: bytes.clone() });
                    }
                }
            }
            Output::Answer { token, answer } => {
                if let Some((client, serial, local)) = self.tokens.remove(&(pid, token)) {
                    self.send_reply(client, serial, local, Sent::Answered(answer));
                }
            }
            Output::Event(event) => self.events.push((pid, event)),
            Output::LeaveDone { slots_left } => {
                self.nodes.get_mut(&pid).unwrap().left = Some(slots_left);
                self.schedule(
                    Duration::ZERO,
                    What::View { node: pid, about: pid, liveness: Liveness::Dead, weight: 0 },
                );
                self.announce(pid, Liveness::Dead, Duration::ZERO);
            }
        }
    }

    /// Removes the nodes that have left.
    pub(crate) fn bury_left(&mut self) -> usize {
        let gone: Vec<Pid> = self
            .nodes
            .values()
            .filter(|node| node.left.is_some_and(|left| left == 0))
            .map(|node| node.pid)
            .collect();
        for &pid in &gone {
            self.remove(pid);
        }
        gone.len()
    }

    fn send_reply(&mut self, client: usize, serial: u64, local: bool, sent: Sent) {
        let delay = if local { Duration::ZERO } else { self.delay() };
        let lost = !local && self.rng.f64() < self.weather.loss / 4.0;
        let (after, sent) = if lost { (Duration::from_millis(200), Sent::Lost) } else { (delay, sent) };
        self.schedule(after, What::Reply { client, serial, sent });
    }

    fn arrive(&mut self, client: usize, serial: u64, to: Pid, used: Option<Epoch>, operation: Operation) {
        let now = self.time();
        let local = self.clients[client].current.as_ref().is_some_and(|current| current.entry == to);
        let Some(node) = self.nodes.get_mut(&to) else {
            return self
                .schedule(Duration::from_millis(50), What::Reply { client, serial, sent: Sent::NotSent });
        };
        if let Some((effect, epoch)) = node.slots.try_apply(&operation, now.unix_ms) {
            return self.send_reply(client, serial, local, Sent::Answered(Answer::Done { effect, epoch }));
        }
        self.count += 1;
        let token = self.count;
        self.tokens.insert((to, token), (client, serial, local));
        let deadline = now.at + Duration::from_secs(3);
        self.feed(to, Input::Operate { token, used, deadline, operation });
    }

    fn check_single_holder(&self) {
        let unix_ms = self.time().unix_ms;
        for Client { key, .. } in &self.clients {
            let serves = |node: &&Node| node.slots.try_read(key, unix_ms, |_| ()).is_some();
            let holders: Vec<Pid> = self.nodes.values().filter(serves).map(|node| node.pid).collect();
            assert!(holders.len() <= 1, "at {:?} the slot of {key:?} is served by {holders:?}", self.now);
        }
    }
}
