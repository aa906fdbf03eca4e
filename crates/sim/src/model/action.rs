//! What may happen next, and how it happens.

use std::sync::Arc;

use boato_cluster::{Input, Machine, Next, Pid, Sent, Timer};

use super::detour::FRAMES_MAX;
use super::packet::{Body, Packet, fingerprint};
use super::world::{News, World};

/// One step of a whole cluster; numbers are places in the lists of the state before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Action {
    /// A message arrives.
    Deliver(usize),
    /// A message arrives and will arrive once more.
    Duplicate(usize),
    /// A frame gets lost, as there are too many. Requests travel on streams: their sender is told.
    Drop(usize),
    /// A message is late.
    Delay(usize),
    /// What membership tells a process is late.
    Withhold(usize),
    /// A process does something by itself.
    Fire(usize, Timer),
    /// Membership tells a process something.
    Learn(usize),
    /// The script's next step happens.
    Step,
    /// A client makes its next call, at this process.
    Invoke(usize, usize),
    /// A client goes on after a pause.
    Resume(usize),
    /// The answer to a client's call gets lost.
    Lose(usize),
    /// A process removes what has expired.
    Sweep(usize, u16),
}

impl World {
    /// All that may happen, always in the same order.
    pub(super) fn actions(&self) -> Vec<Action> {
        let frames: Vec<usize> =
            (0..self.packets.len()).filter(|&place| self.packets[place].is_frame()).collect();
        let frames_max = self.detours.map_or(self.script.packets_max, |_| FRAMES_MAX);
        if frames.len() > frames_max && !self.options.lasting {
            return frames.into_iter().map(Action::Drop).collect();
        }
        let mut actions: Vec<_> = (0..self.packets.len()).map(Action::Deliver).collect();
        actions.extend((0..self.news.len()).filter(|&place| self.is_next(place)).map(Action::Learn));
        if self.steps < self.script.steps.len() {
            actions.push(Action::Step);
        }
        for client in 0..self.clients.len() {
            self.client_actions(client, &mut actions);
        }
        for (place, node) in self.nodes.iter().enumerate() {
            let timers = node.machine.timers().into_iter().filter(|timer| self.may_fire(node.pid, *timer));
            actions.extend(timers.map(|timer| Action::Fire(place, timer)));
            if self.later {
                actions.extend(self.script.slots().map(|slot| Action::Sweep(place, slot)));
            }
        }
        if self.duplicates > 0 && !self.options.lasting {
            actions.extend((0..self.packets.len()).map(Action::Duplicate));
        }
        actions
    }

    /// What is told of one process comes in order.
    pub(super) fn is_next(&self, place: usize) -> bool {
        let News { to, about, .. } = self.news[place];
        !self.news[..place].iter().any(|earlier| (earlier.to, earlier.about) == (to, about))
    }

    fn client_actions(&self, client: usize, actions: &mut Vec<Action>) {
        let it = &self.clients[client];
        match it.current.as_ref().map(|current| current.waits) {
            None if it.calls < self.script.clients[client].len() => {
                actions.extend((0..self.nodes.len()).map(|entry| Action::Invoke(client, entry)));
            }
            Some(None) => actions.push(Action::Resume(client)),
            Some(Some(Next::Peer { to, .. })) if self.lost_answers > 0 || self.place(to).is_none() => {
                actions.push(Action::Lose(client));
            }
            None | Some(Some(_)) => {}
        }
    }

    /// Processes known from hearsay only are believed in until the views agree: to take one for dead earlier is a
    /// false death if it lives.
    fn may_fire(&self, pid: Pid, timer: Timer) -> bool {
        match timer {
            Timer::Hearsay => false,
            Timer::Stuck(_) => self.script.stuck,
            Timer::Deadline(_) => self.script.impatient,
            Timer::Late if !self.script.stops => false,
            Timer::Begin | Timer::Late => self.script.hasty || !self.news.iter().any(|news| news.to == pid),
            Timer::Slot(_) | Timer::Table | Timer::Greet | Timer::Depart | Timer::Heirs => true,
        }
    }

    /// Lets it happen.
    pub(super) fn act(&mut self, action: Action) {
        self.count_detour(action);
        self.perform(action);
        self.forget_late();
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Deliver(place) => {
                let packet = Arc::clone(&self.packets[place]);
                if !(self.options.lasting && packet.is_frame()) {
                    self.packets.remove(place);
                }
                self.deliver(&packet);
            }
            Action::Duplicate(place) => {
                self.duplicates -= 1;
                let packet = Arc::clone(&self.packets[place]);
                self.deliver(&packet);
            }
            Action::Drop(place) => {
                self.packets.remove(place);
            }
            Action::Delay(place) => self.delay(self.packets[place].hash),
            Action::Withhold(place) => self.delay(fingerprint(self.news[place])),
            Action::Fire(place, timer) => self.fire(self.nodes[place].pid, timer),
            Action::Learn(place) => {
                let News { to, about, liveness, weight } = self.news.remove(place);
                self.feed(to, Input::Member { pid: about, liveness, weight });
            }
            Action::Step => {
                self.steps += 1;
                self.take(self.script.steps[self.steps - 1]);
            }
            Action::Invoke(client, place) => self.invoke(client, self.nodes[place].pid),
            Action::Resume(client) => self.pursue(client),
            Action::Lose(client) => self.lose(client),
            Action::Sweep(place, slot) => {
                let now = self.now();
                self.with(self.nodes[place].pid, |machine: &mut Machine| machine.slots().sweep(slot, now));
            }
        }
    }

    fn lose(&mut self, client: usize) {
        let peer = self.clients[client].current.as_ref().and_then(|current| current.waits);
        if let Some(Next::Peer { to, .. }) = peer
            && self.place(to).is_some()
        {
            self.lost_answers -= 1;
        }
        if self.judge_answer(client, Sent::Lost) {
            self.pursue(client);
        }
    }

    pub(super) fn deliver(&mut self, packet: &Packet) {
        match &packet.body {
            Body::Frame(frame) => self.feed(packet.to, Input::Frame(frame.clone())),
            Body::Request { .. } => self.requested(packet),
            Body::Reply { token, answer } => self.reply(*token, answer.clone()),
        }
    }
}
