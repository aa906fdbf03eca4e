//! The beginning of a script, and its steps.

use std::sync::Arc;

use boato_cluster::{self as cluster, Input, Liveness, Machine, Outcome, Pid, Timer};

use super::client::operation;
use super::fair;
use super::register::{Effect, Register};
use super::script::{Call, Script, Step, keys};
use super::world::{News, Node, Options, World};

impl World {
    /// The settled cluster that a script begins with.
    pub(super) fn begin(script: &Arc<Script>, options: Options) -> Self {
        let mut world = Self::new(script, Options { lasting: false, ..options });
        for node in 1..=script.members {
            if node == 1 {
                world.begin_cluster(node);
            } else {
                world.take(Step::Join(node));
                fair::settle(&mut world);
            }
        }
        world.store_keys(|key| key != 1 || !script.stranger);
        if script.stranger {
            world.begin_cluster(script.members + 1);
            world.store_keys(|key| key == 1);
        }
        world.detours = options.detours;
        world.options = options;
        world
    }

    fn begin_cluster(&mut self, node: u8) {
        let pid = self.start(node);
        self.feed(pid, Input::Eligible { quiet: Machine::MODEL_QUIET });
        self.fire(pid, Timer::Begin);
    }

    /// Stores keys at the highest node that serves them.
    fn store_keys(&mut self, wanted: impl Fn(usize) -> bool) {
        let script = Arc::clone(&self.script);
        for &key in script.stored.iter().filter(|key| wanted(**key)) {
            let Some(&(holder, _)) = self.serving(keys()[key].1).last() else { return };
            let now = self.now();
            let put = operation(Call::Put(key, 1));
            let stored = self.with(holder, |machine| machine.slots().try_apply(&put, now.unix_ms));
            if let Some(Some((cluster::Effect::Key(Outcome::Created(version)), _))) = stored {
                self.acknowledged[key] = Some((version, Some(1)));
                self.registers[key] = Register::new(Some(1));
            }
        }
    }

    pub(super) fn fire(&mut self, pid: Pid, timer: Timer) {
        let now = self.now();
        self.with(pid, |machine| {
            machine.fire(timer);
            machine.handle(Input::Timeout, now);
        });
    }

    /// Lets the script's next step happen.
    pub(super) fn take(&mut self, step: Step) {
        match step {
            Step::Join(node) | Step::Restart(node) => self.join(node, false),
            Step::Begin(node) => self.join(node, true),
            Step::Meet | Step::Heal => self.tell_the_truth(),
            Step::Leave(node) => self.leave(node),
            Step::Abandon(node) => self.abandon(node),
            Step::Crash(node) => {
                if let Some(pid) = self.pid(node) {
                    self.end(pid);
                }
            }
            Step::Weight(node, weight) => self.set_weight(node, weight),
            Step::FalseDeath { at, of } => {
                if let (Some(to), Some(about)) = (self.pid(at), self.pid(of)) {
                    self.forked = true;
                    self.news.push(News { to, about, liveness: Liveness::Dead, weight: 0 });
                }
            }
            Step::Later => self.let_time_pass(),
        }
    }

    fn join(&mut self, node: u8, eligible: bool) {
        let others: Vec<Pid> = self.nodes.iter().map(|node| node.pid).collect();
        let pid = self.start(node);
        for other in others {
            self.introduce(pid, other);
        }
        if eligible {
            self.feed(pid, Input::Eligible { quiet: Machine::MODEL_QUIET });
        }
    }

    /// All that run are told of all that run.
    pub(super) fn tell_the_truth(&mut self) {
        let pids: Vec<Pid> = self.nodes.iter().map(|node| node.pid).collect();
        for (place, &one) in pids.iter().enumerate() {
            for &other in &pids[place + 1..] {
                self.introduce(one, other);
            }
        }
    }

    fn leave(&mut self, node: u8) {
        let Some(pid) = self.pid(node) else { return };
        let weight = self.place(pid).map_or(0, |place| self.nodes[place].weight);
        self.note(pid, None, true);
        self.announce(pid, Liveness::Leaving, weight);
        self.feed(pid, Input::Leave);
    }

    fn abandon(&mut self, node: u8) {
        let Some(pid) = self.pid(node) else { return };
        self.note(pid, None, true);
        self.abandoned = Some(pid);
        self.vanish_with(pid);
        self.feed(pid, Input::Abandon);
        self.announce(pid, Liveness::Dead, 0);
    }

    fn set_weight(&mut self, node: u8, weight: u16) {
        let Some(pid) = self.pid(node) else { return };
        let liveness = if self.place(pid).is_some_and(|place| self.nodes[place].leaving) {
            Liveness::Leaving
        } else {
            Liveness::Alive
        };
        self.note(pid, Some(weight), false);
        self.announce(pid, liveness, weight);
        self.feed(pid, Input::Member { pid, liveness, weight });
    }

    /// Changes what the world knows of a process.
    fn note(&mut self, pid: Pid, weight: Option<u16>, leaving: bool) {
        let Some(place) = self.place(pid) else { return };
        let node = &self.nodes[place];
        let (weight, leaving) = (weight.unwrap_or(node.weight), leaving || node.leaving);
        self.nodes[place] = Arc::new(Node::new(node.machine.fork(), weight, leaving, node.knew.clone()));
    }

    fn let_time_pass(&mut self) {
        self.later = true;
        let script = Arc::clone(&self.script);
        for key in 0..keys().len() {
            let may_end = |call: &Call| matches!(call, Call::PutFor(of, _) if *of == key);
            if script.clients.iter().flatten().any(may_end) {
                self.registers[key].invoke(2_000_000, Effect::Vanish);
            }
        }
    }
}
