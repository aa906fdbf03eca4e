//! Clients: each has one key, does one operation at a time at a random node, and knows what a read may return.

use std::time::Duration;

use boato_cluster::{Action, Attempt, Effect, Failure, Next, Operation, Outcome, Pid, Sent, Verdict};
use bytes::Bytes;

use super::{What, World};

/// One client: one key, one operation at a time, at a random node each.
pub(super) struct Client {
    pub(super) key: Bytes,
    /// Values a read may return: the last acknowledged one and every write of unknown outcome since.
    pub(super) possible: Vec<Option<u64>>,
    pub(super) writes: u64,
    pub(super) serial: u64,
    pub(super) current: Option<Current>,
    pub(super) acknowledged: u64,
    pub(super) failed: u64,
}

pub(super) struct Current {
    pub(super) operation: Operation,
    pub(super) value: Option<u64>,
    pub(super) attempt: Attempt,
    pub(super) next: Option<Next>,
    pub(super) entry: Pid,
    pub(super) deadline: Duration,
}

impl World {
    /// Puts eight values of `bytes` beside every client's key, so that its slot is copied while clients write to it.
    pub(crate) fn add_ballast(&mut self, bytes: usize) {
        let unix_ms = self.time().unix_ms;
        for client in 0..self.clients.len() {
            for index in 0..8 {
                let key = format!("{{key-{client}}}/{index}");
                let put: Operation = Operation::on(key, Action::put(vec![b'b'; bytes]));
                let stored = self.nodes.values().find_map(|node| node.slots.try_apply(&put, unix_ms));
                assert!(
                    matches!(stored, Some((Effect::Key(Outcome::Created(_) | Outcome::Replaced { .. }), _))),
                    "{stored:?}"
                );
            }
        }
    }

    /// Stops the clients, waits for them and reads every key once more. Returns (acknowledged, failed).
    pub(crate) fn finish_clients(&mut self) -> (u64, u64) {
        self.running = false;
        self.run(Duration::from_secs(6));
        let serving = |world: &Self, operation: &Operation| {
            let unix_ms = world.time().unix_ms;
            world.nodes.values().find_map(|node| node.slots.try_apply(operation, unix_ms))
        };
        for index in 0..self.clients.len() {
            let operation = Operation::get(self.clients[index].key.clone());
            let (effect, _) = serving(self, &operation).expect("every slot is served");
            let outcome = effect.outcome().expect("a read is answered");
            self.check_read(index, &outcome);
        }
        self.clients.iter().fold((0, 0), |sum, client| (sum.0 + client.acknowledged, sum.1 + client.failed))
    }

    pub(super) fn client_turn(&mut self, index: usize) {
        if self.clients[index].current.is_some() {
            return self.step(index);
        }
        if !self.running || self.nodes.is_empty() {
            return;
        }
        let entry = *self.nodes.keys().nth(self.rng.usize(..self.nodes.len())).unwrap();
        let dice = self.rng.u8(..10);
        let client = &mut self.clients[index];
        let key = client.key.clone();
        let (operation, value) = match dice {
            0..4 => (Operation::get(key), None),
            4 => (Operation::on(key, Action::DELETE), None),
            _ => {
                client.writes += 1;
                let put = Action::put(client.writes.to_string());
                (Operation::on(key, put), Some(client.writes))
            }
        };
        let attempt = Attempt::new(&operation);
        let deadline = self.now + Duration::from_secs(4);
        client.current = Some(Current { operation, value, attempt, next: None, entry, deadline });
        self.step(index);
    }

    pub(super) fn step(&mut self, index: usize) {
        let delay = self.delay();
        let lost = self.rng.f64() < self.weather.loss / 4.0;
        let Some(current) = &mut self.clients[index].current else { return };
        let Some(entry) = self.nodes.get(&current.entry) else { return };
        if self.now >= current.deadline {
            return self.finish(index, Err(Failure::Unavailable), Duration::ZERO);
        }
        let next = current.attempt.next(&entry.slots);
        current.next = Some(next);
        let (entry, operation) = (current.entry, current.operation.clone());
        self.clients[index].serial += 1;
        let serial = self.clients[index].serial;
        let (after, to, used) = match next {
            Next::Here { used } => (Duration::ZERO, entry, used),
            Next::Peer { to, used } => (delay, to, used),
            Next::Nowhere => return self.reply(index, serial, Sent::NotSent),
        };
        if lost && to != entry {
            let sent = Sent::Lost;
            return self.schedule(Duration::from_millis(200), What::Reply { client: index, serial, sent });
        }
        self.schedule(after, What::Request { client: index, serial, to, used, operation });
        if to != entry {
            // Like a broken connection, or a deadline: whatever has not been answered by then is lost.
            let sent = Sent::Lost;
            self.schedule(Duration::from_secs(4), What::Reply { client: index, serial, sent });
        }
    }

    pub(super) fn reply(&mut self, index: usize, serial: u64, sent: Sent) {
        if self.clients[index].serial != serial {
            return;
        }
        let Some(current) = &mut self.clients[index].current else { return };
        let Some(entry) = self.nodes.get(&current.entry) else { return };
        let next = current.next.take().expect("a reply follows a try");
        match current.attempt.judge(&entry.slots, next, sent) {
            Verdict::Done(result) => {
                let result = result.and_then(|(effect, _)| effect.outcome().ok_or(Failure::Unavailable));
                self.finish(index, result, Duration::ZERO);
            }
            Verdict::Again(pause) => {
                self.clients[index].serial += 1;
                self.schedule(pause, What::Client { client: index });
            }
        }
    }

    pub(super) fn finish(&mut self, index: usize, result: Result<Outcome, Failure>, pause: Duration) {
        let client = &mut self.clients[index];
        let Some(current) = client.current.take() else { return };
        client.serial += 1;
        let is_write = current.operation.is_write();
        match result {
            Ok(outcome) if is_write => {
                client.acknowledged += 1;
                self.check_write(index, &outcome);
                self.clients[index].possible = vec![current.value];
            }
            Ok(outcome) => {
                client.acknowledged += 1;
                self.check_read(index, &outcome);
            }
            Err(Failure::OutcomeUnknown) if is_write => client.possible.push(current.value),
            Err(_) => client.failed += 1,
        }
        let pause = pause + Duration::from_millis(self.rng.u64(1..30));
        self.schedule(pause, What::Client { client: index });
    }

    /// What a write says about the value before it must fit, too.
    pub(super) fn check_write(&self, index: usize, outcome: &Outcome) {
        let possible = &self.clients[index].possible;
        let existed = match outcome {
            Outcome::Created(_) | Outcome::Missing => false,
            Outcome::Replaced { .. } | Outcome::Deleted { .. } => true,
            other => panic!("a write was answered {other:?}"),
        };
        assert!(
            self.lenient || possible.iter().any(|value| value.is_some() == existed),
            "at {:?} key-{index}: {outcome:?}, but possible before was {possible:?}",
            self.now
        );
    }

    pub(super) fn check_read(&mut self, index: usize, outcome: &Outcome) {
        let value = match outcome {
            Outcome::Missing => None,
            Outcome::Value { value, .. } => Some(std::str::from_utf8(value).unwrap().parse().unwrap()),
            other => panic!("a read was answered {other:?}"),
        };
        let client = &mut self.clients[index];
        assert!(
            self.lenient || client.possible.contains(&value),
            "at {:?} key-{index}: read {value:?}, but possible was {:?}",
            self.now,
            client.possible
        );
    }
}
