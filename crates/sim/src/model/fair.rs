//! A schedule without faults, from any state: everything sent arrives, everybody learns who lives, all timers fire.
//! At its end the cluster has to be settled.

use boato_cluster::{Header, Liveness, Machine, Next, Pid, State, Timer};

use super::action::Action;
use super::script::{keys, nth};
use super::world::{News, World};

/// Rounds within which the cluster settles.
const ROUNDS_MAX: usize = 60;

/// Every so many rounds, what is stuck is given up.
const PATIENCE: usize = 8;

/// Messages that arrive in one round.
const DELIVERIES_MAX: usize = 300;

/// Lets the faults stop and checks what becomes of it: whether the frames in flight arrive or are lost.
pub(super) fn run(world: &World) -> Result<(), String> {
    let mut bare = world.clone();
    bare.packets.retain(|packet| !packet.is_frame());
    run_one(world.clone())?;
    run_one(bare)
}

fn run_one(mut world: World) -> Result<(), String> {
    world.violation = None;
    world.options.lasting = false;
    if let Some(pid) = world.abandoned {
        world.end(pid);
    }
    world.tell_everything();
    if !settle(&mut world) {
        return Err(match world.violation.take() {
            Some(violation) => format!("then, without faults: {violation}"),
            None => format!("then, without faults, it never settles: {}", world.describe()),
        });
    }
    world.judge_end().map_or(Ok(()), |wrong| Err(format!("when settled without faults: {wrong}")))
}

/// Runs until nothing is left to do; false: it does not come to that, or something is wrong.
pub(super) fn settle(world: &mut World) -> bool {
    for round in 1..=ROUNDS_MAX {
        while !world.news.is_empty() && step(world, Action::Learn(0)) {}
        for _ in 0..DELIVERIES_MAX {
            let count = world.packets.len();
            if count == 0 || !step(world, Action::Deliver(round % count)) {
                break;
            }
        }
        for client in 0..world.clients.len() {
            match world.clients[client].current.as_ref().map(|current| current.waits) {
                Some(None) => step(world, Action::Resume(client)),
                Some(Some(Next::Peer { to, .. })) if world.place(to).is_none() => {
                    step(world, Action::Lose(client))
                }
                _ => true,
            };
        }
        if world.violation.is_some() {
            return false;
        }
        if world.is_settled() {
            return true;
        }
        fire_all(world, round);
    }
    false
}

fn step(world: &mut World, action: Action) -> bool {
    let before = world.clone();
    world.act(action);
    if world.violation.is_none() {
        world.judge(&before);
    }
    world.violation.is_none()
}

fn fire_all(world: &mut World, round: usize) {
    let patient = !round.is_multiple_of(PATIENCE);
    let pids: Vec<Pid> = world.nodes.iter().map(|node| node.pid).collect();
    for pid in pids {
        let timers = world.place(pid).map_or(Vec::new(), |place| world.nodes[place].machine.timers());
        for timer in timers {
            let rare = matches!(timer, Timer::Stuck(_) | Timer::Deadline(_) | Timer::Hearsay | Timer::Heirs);
            let wait = patient && rare;
            if let Some(place) = world.place(pid)
                && !wait
                && world.nodes[place].machine.timers().contains(&timer)
            {
                step(world, Action::Fire(place, timer));
            }
        }
    }
}

impl World {
    /// Everybody is told of all that ever ran: the views will agree.
    fn tell_everything(&mut self) {
        self.news.clear();
        self.tell_the_truth();
        let gone: Vec<Pid> = self.boots.iter().copied().filter(|pid| self.place(*pid).is_none()).collect();
        for node in &self.nodes {
            let told = |&about| News { to: node.pid, about, liveness: Liveness::Dead, weight: 0 };
            self.news.extend(gone.iter().map(told));
        }
    }

    /// Whether every slot is at its target and nobody waits for anything.
    fn is_settled(&self) -> bool {
        let calm = |machine: &Machine, slot, target| {
            machine.names(slot) == target
                && machine.slots().inspect(slot, |header: &Header| {
                    let held = matches!(header.state(), State::Held { .. });
                    held == (target == Some(machine.slots().me()))
                        && (held || matches!(header.state(), State::Absent))
                })
                && machine.stats().queued == 0
        };
        let idle = self.clients.iter().all(|client| client.current.is_none());
        let staying = self.nodes.iter().filter(|node| !node.leaving);
        let mut order: Vec<_> = staying.map(|node| (node.weight, node.pid)).collect();
        order.sort_unstable_by(|one, other| other.cmp(one));
        idle && self.news.is_empty()
            && self.script.slots().all(|slot| {
                let second = order.get(1).filter(|_| self.script.apart && nth(slot) == 1);
                let target = second.or(order.first()).map(|(_, pid)| *pid);
                self.nodes.iter().all(|node| {
                    !node.leaving && calm(&node.machine, slot, target) || (node.leaving && target.is_none())
                })
            })
    }

    /// What is wrong with the data of a settled cluster.
    fn judge_end(&self) -> Option<String> {
        (0..keys().len()).find_map(|key| {
            let (name, slot) = &keys()[key];
            let lost = !self.script.slots().contains(slot) || self.vanished[nth(*slot)];
            let (version, value) = self.acknowledged[key].filter(|_| self.forked && !lost && !self.later)?;
            let found = self.nodes.iter().find_map(|node| {
                node.machine.slots().look(*slot, |header, entries| {
                    header.serving()?;
                    entries
                        .iter()
                        .find(|entry| entry.key == &name[..])
                        .map(|it| (it.version.hlc, it.version.node))
                })
            });
            (found < Some(version)).then(|| {
                format!("key {key} has version {found:?}, but {value:?} was acknowledged as {version:?}")
            })
        })
    }

    /// What every process has, in a few words.
    pub(super) fn describe(&self) -> String {
        let node = |node: &std::sync::Arc<super::world::Node>| {
            let states = self.script.slots().map(|slot| {
                node.machine.slots().inspect(slot, |header| {
                    let epoch = header
                        .custody()
                        .map_or(String::new(), |epoch| format!(" {}", super::trace::epoch(epoch)));
                    format!("{}{epoch}", header.state().name())
                })
            });
            let states: Vec<String> = states.collect();
            format!("{} {}", super::trace::name(node.pid), states.join(" / "))
        };
        self.nodes.iter().map(node).collect::<Vec<_>>().join(", ")
    }
}
