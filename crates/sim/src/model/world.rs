//! A state: a whole cluster, what is on its way, and what its clients were told.

use std::sync::Arc;

use boato_cluster::{Config, Epoch, Event, Input, Liveness, Machine, Now, Output, Pid, Standing, State};
use boato_placement::{Candidate, RANGES, SLOTS_PER_RANGE, Strategy};

use super::client::Client;
use super::packet::{Body, Packet, fingerprint};
use super::register::{Effect, Register};
use super::script::{FIRST_SLOT, Script, keys, nth};

/// The heaviest node owns everything, among equals the one with the highest id; or, where slots are apart, the second
/// slot belongs to the second of that order.
struct Heaviest {
    apart: bool,
}

/// The range of the second slot.
const SECOND_RANGE: usize = (FIRST_SLOT as usize + 1) / SLOTS_PER_RANGE;

impl Strategy for Heaviest {
    fn assign(&self, nodes: &[Candidate]) -> Vec<u128> {
        let mut order: Vec<_> = nodes.iter().map(|node| (node.weight, node.id)).collect();
        order.sort_unstable();
        let (_, first) = order.pop().expect("invariant: there is one");
        let second = order.pop().filter(|_| self.apart).map_or(first, |(_, node)| node);
        (0..RANGES).map(|range| if range == SECOND_RANGE { second } else { first }).collect()
    }
}

pub(super) struct Node {
    pub(super) pid: Pid,
    pub(super) machine: Machine,
    pub(super) weight: u16,
    pub(super) leaving: bool,
    /// Whom it knew when it began to look for slots; nobody while it has to do with none.
    pub(super) knew: Vec<Pid>,
    pub(super) hash: u64,
}

impl Node {
    pub(super) fn new(machine: Machine, weight: u16, leaving: bool, knew: Vec<Pid>) -> Self {
        let hash = fingerprint((&machine, weight, leaving, &knew));
        Self { pid: machine.slots().me(), machine, weight, leaving, knew, hash }
    }
}

/// What membership is about to tell a process.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct News {
    pub(super) to: Pid,
    pub(super) about: Pid,
    pub(super) liveness: Liveness,
    pub(super) weight: u16,
}

/// What the search varies, beside the script.
#[derive(Clone, Copy, Default)]
pub(super) struct Options {
    pub(super) canary: Option<boato_cluster::Canary>,
    pub(super) detours: Option<u8>,
    /// Frames stay in flight when they have arrived.
    pub(super) lasting: bool,
}

/// What was acknowledged last of a key, by version; the value, unless it was deleted.
pub(super) type Acknowledged = Option<((u64, u128), Option<u64>)>;

#[derive(Clone)]
pub(super) struct World {
    pub(super) script: Arc<Script>,
    pub(super) options: Options,
    /// Ascending by pid.
    pub(super) nodes: Vec<Arc<Node>>,
    /// All that ever ran.
    pub(super) boots: Vec<Pid>,
    /// Ascending by fingerprint, each once: what is sent again while it is still on its way is the same message.
    pub(super) packets: Vec<Arc<Packet>>,
    pub(super) news: Vec<News>,
    pub(super) clients: Vec<Client>,
    pub(super) registers: Vec<Register>,
    pub(super) acknowledged: Vec<Acknowledged>,
    /// Steps of the script done.
    pub(super) steps: usize,
    pub(super) duplicates: u8,
    pub(super) lost_answers: u8,
    /// Detours that are left; `None`: none is counted.
    pub(super) detours: Option<u8>,
    /// Fingerprints of what is late, ascending.
    pub(super) late: Vec<u64>,
    pub(super) later: bool,
    /// Who let go of everything, and is dead for the others although it runs.
    pub(super) abandoned: Option<Pid>,
    /// There may be two holders: somebody was taken for dead falsely, or two clusters met.
    pub(super) forked: bool,
    /// Somebody went who was responsible for these slots.
    pub(super) vanished: Vec<bool>,
    /// The highest epoch that began, per slot.
    pub(super) begun: Vec<Epoch>,
    /// What went wrong in the last step.
    pub(super) violation: Option<String>,
}

const UNIX_MS: u64 = 1_000_000;

/// How much time passes in [`super::Step::Later`]: more than any time to live, and than tombstones are kept.
const LATER_MS: u64 = 600_000;

impl World {
    /// Nobody runs.
    pub(super) fn new(script: &Arc<Script>, options: Options) -> Self {
        Self {
            script: Arc::clone(script),
            options,
            nodes: Vec::new(),
            boots: Vec::new(),
            packets: Vec::new(),
            news: Vec::new(),
            clients: script.clients.iter().map(|_| Client::default()).collect(),
            registers: vec![Register::new(None); keys().len()],
            acknowledged: vec![None; keys().len()],
            steps: 0,
            duplicates: script.duplicates,
            lost_answers: script.lost_answers,
            detours: None,
            late: Vec::new(),
            later: false,
            abandoned: None,
            forked: script.stranger,
            vanished: vec![false; script.slots().len()],
            begun: vec![Epoch::ZERO; script.slots().len()],
            violation: None,
        }
    }

    pub(super) fn now(&self) -> Now {
        Now { at: Machine::MODEL_NOW, unix_ms: UNIX_MS + if self.later { LATER_MS } else { 0 } }
    }

    /// A fingerprint, without the frames where those last.
    pub(super) fn hash(&self) -> u64 {
        let nodes: Vec<_> = self.nodes.iter().map(|node| node.hash).collect();
        let packets = self.packets.iter().filter(|packet| !self.options.lasting || !packet.is_frame());
        let packets: Vec<_> = packets.map(|packet| packet.hash).collect();
        let ghosts = (&self.registers, &self.acknowledged, self.forked, &self.vanished, &self.begun);
        let budgets =
            (self.steps, self.duplicates, self.lost_answers, self.detours, self.later, self.abandoned);
        fingerprint((nodes, packets, &self.late, &self.news, &self.clients, ghosts, budgets))
    }

    pub(super) fn place(&self, pid: Pid) -> Option<usize> {
        self.nodes.binary_search_by_key(&pid, |node| node.pid).ok()
    }

    /// The process of a node that runs.
    pub(super) fn pid(&self, node: u8) -> Option<Pid> {
        self.nodes.iter().map(|it| it.pid).find(|pid| pid.node == u128::from(node))
    }

    /// Starts a process that knows nobody.
    pub(super) fn start(&mut self, node: u8) -> Pid {
        let boot = 1 + self.boots.iter().filter(|pid| pid.node == u128::from(node)).count() as u64;
        let pid = Pid { node: u128::from(node), boot };
        let mut config = Config::new(pid, 1);
        config.strategy = Box::new(Heaviest { apart: self.script.apart });
        config.slots = self.script.slots();
        config.min_members = self.script.min_members;
        config.chunk_bytes = self.script.chunk_bytes;
        config.canary = self.options.canary;
        if !self.script.late_table {
            config.settle = std::time::Duration::ZERO;
        }
        let machine = Machine::new(config, self.now());
        let node = Node::new(machine, 1, false, Vec::new());
        let place = self.nodes.partition_point(|other| other.pid < pid);
        self.nodes.insert(place, Arc::new(node));
        self.boots.push(pid);
        self.with(pid, |machine| {
            machine.blur();
        });
        pid
    }

    /// Works on a copy of a process, which takes its place.
    pub(super) fn with<R>(&mut self, pid: Pid, work: impl FnOnce(&mut Machine) -> R) -> Option<R> {
        let place = self.place(pid)?;
        let Node { machine, weight, leaving, knew, .. } = &*self.nodes[place];
        let mut machine = machine.fork();
        let minted = machine.stats().slots_minted;
        let result = work(&mut machine);
        let minted = machine.stats().slots_minted > minted;
        let outputs: Vec<Output> = std::iter::from_fn(|| machine.poll_output()).collect();
        machine.blur();
        let knew = if self.is_at_rest(&machine) {
            Vec::new()
        } else if knew.is_empty() {
            self.boots.iter().copied().filter(|pid| machine.knows(*pid)).collect()
        } else {
            knew.clone()
        };
        self.nodes[place] = Arc::new(Node::new(machine, *weight, *leaving, knew));
        self.forked |= minted && self.is_split(pid);
        for output in outputs {
            self.obey(pid, output);
        }
        Some(result)
    }

    /// Whether a process that mints cannot know of somebody who knows others or will: then there are two clusters, as
    /// far as either can tell. It can know whom it knows and whom they know, and whoever knew one of those when it
    /// began to look for slots: it has met them first.
    fn is_split(&self, pid: Pid) -> bool {
        let mut connected = vec![pid];
        let mut next = 0;
        while let Some(&one) = connected.get(next) {
            next += 1;
            let joined = |other: &&Arc<Node>| {
                !connected.contains(&other.pid) && (self.knows(one, other.pid) || other.knew.contains(&one))
            };
            let new: Vec<Pid> = self.nodes.iter().filter(joined).map(|node| node.pid).collect();
            connected.extend(new);
        }
        let knows_any = |pid| self.boots.iter().any(|other| self.knows(pid, *other));
        // Where frames last, what may happen must not depend on them.
        let is_spoken_to = |pid| !self.options.lasting && self.packets.iter().any(|packet| packet.to == pid);
        let others = self.nodes.iter().filter(|node| Some(node.pid) != self.abandoned);
        others.filter(|node| !connected.contains(&node.pid)).any(|node| {
            node.machine.standing() == Standing::Claimed || knows_any(node.pid) || is_spoken_to(node.pid)
        })
    }

    fn is_at_rest(&self, machine: &Machine) -> bool {
        let slots = machine.slots();
        self.script.slots().all(|slot| slots.inspect(slot, |it| matches!(it.state(), State::Absent)))
    }

    pub(super) fn knows(&self, one: Pid, other: Pid) -> bool {
        self.place(one).is_some_and(|place| self.nodes[place].machine.knows(other))
    }

    fn is_begun(&self, but_by: Pid) -> bool {
        let claimed = |node: &Arc<Node>| node.machine.standing() == Standing::Claimed;
        self.nodes.iter().any(|node| node.pid != but_by && claimed(node))
    }

    pub(super) fn feed(&mut self, pid: Pid, input: Input) {
        let now = self.now();
        self.with(pid, |machine| machine.handle(input, now));
    }

    fn obey(&mut self, from: Pid, output: Output) {
        match output {
            Output::Send { to, frame, .. } => self.send(Packet::new(from, to, Body::Frame(frame))),
            Output::Answer { token, answer } => self.answered(from, token, answer),
            Output::Event(Event::Claimed { began: true }) => self.forked |= self.is_begun(from),
            Output::Event(_) => {}
            Output::LeaveDone { slots_left } => {
                let heirs = self.nodes.iter().any(|node| node.pid != from && !node.leaving);
                if slots_left > 0 && heirs && !self.forked {
                    self.violation =
                        Some(format!("{} left with {slots_left} slots", super::trace::name(from)));
                }
                self.end(from);
            }
        }
    }

    /// Puts a message on its way, unless nobody is there to get it.
    pub(super) fn send(&mut self, packet: Packet) {
        if self.place(packet.to).is_none() {
            return;
        }
        if let Err(place) = self.packets.binary_search_by_key(&packet.hash, |other| other.hash) {
            self.packets.insert(place, Arc::new(packet));
        }
    }

    /// A process is no more; everybody will be told.
    pub(super) fn end(&mut self, pid: Pid) {
        let Some(place) = self.place(pid) else { return };
        self.vanish_with(pid);
        let node = self.nodes.remove(place);
        self.packets.retain(|packet| packet.to != pid);
        self.news.retain(|news| news.to != pid);
        self.abandon_clients(pid);
        self.announce(pid, Liveness::Dead, node.weight);
    }

    /// Everybody but the process itself will be told this of it.
    pub(super) fn announce(&mut self, about: Pid, liveness: Liveness, weight: u16) {
        for place in 0..self.nodes.len() {
            let to = self.nodes[place].pid;
            if to != about {
                self.news.push(News { to, about, liveness, weight });
            }
        }
    }

    /// Two processes will be told of each other.
    pub(super) fn introduce(&mut self, one: Pid, other: Pid) {
        for (to, about) in [(one, other), (other, one)] {
            if let Some(place) = self.place(about) {
                let node = &self.nodes[place];
                let liveness = if node.leaving { Liveness::Leaving } else { Liveness::Alive };
                let weight = node.weight;
                self.news.push(News { to, about, liveness, weight });
            }
        }
    }

    /// What a process is responsible for is gone with it.
    pub(super) fn vanish_with(&mut self, pid: Pid) {
        let Some(place) = self.place(pid) else { return };
        let slots = self.nodes[place].machine.slots();
        for slot in self.script.slots() {
            if slots.inspect(slot, |header| header.custody().is_some()) {
                self.vanish(pid, slot);
            }
        }
    }

    /// The keys of a slot may be gone from now on.
    fn vanish(&mut self, pid: Pid, slot: u16) {
        self.vanished[nth(slot)] = true;
        let id = u64::try_from(pid.node).map_or(0, |node| 1_000_000 + 1000 * node + pid.boot);
        let id = u32::try_from(id).expect("invariant: few nodes, few boots");
        for (register, (_, of)) in self.registers.iter_mut().zip(keys()) {
            if *of == slot {
                register.invoke(id, Effect::Vanish);
            }
        }
    }
}
