//! Clients: each makes its calls one after the other, at any node, by the way that production operations go.

use boato_cluster::{
    Action, Answer, Attempt, Expiry, Failure, Guard, Input, Machine, Next, Operation, Outcome, Pid, Sent,
    Verdict,
};
use bytes::Bytes;

use super::packet::{Body, Packet};
use super::register::{Effect, Found, Id};
use super::script::{Call, keys};
use super::world::World;

/// Pauses after which a client has waited long enough.
const PAUSES_MAX: u8 = 2;

/// Tries in a row that need no pause; more would be an endless loop.
const TRIES_MAX: usize = 16;

#[derive(Clone, Default, Hash)]
pub(super) struct Client {
    /// Calls made, the present one included.
    pub(super) calls: usize,
    /// Messages of the present call, so that each has a token of its own.
    sends: u8,
    pub(super) current: Option<Current>,
}

/// A call under way.
#[derive(Clone, Hash)]
pub(super) struct Current {
    pub(super) entry: Pid,
    attempt: Attempt,
    /// What is waited for; `None`: a pause.
    pub(super) waits: Option<Next>,
    pauses: u8,
}

pub(super) fn operation(call: Call) -> Operation {
    let key = keys()[call.key()].0.clone();
    let put = |key: Bytes, value: u64, expiry, guard| {
        let (value, content_type) = (Bytes::from(value.to_string()), Bytes::new());
        Operation::on(key, Action::Put { value, content_type, expiry, guard, previous: false })
    };
    match call {
        Call::Get(_) => Operation::get(key),
        Call::Put(_, value) => put(key, value, Expiry::Never, Guard::Always),
        Call::PutFor(_, value) => put(key, value, Expiry::After(1000), Guard::Always),
        Call::Create(_, value) => put(key, value, Expiry::Never, Guard::Absent),
        Call::Delete(_) => Operation::on(key, Action::DELETE),
    }
}

fn effect(call: Call) -> Effect {
    match call {
        Call::Get(_) => Effect::Get,
        Call::Put(_, value) | Call::PutFor(_, value) => Effect::Put(value),
        Call::Create(_, value) => Effect::Create(value),
        Call::Delete(_) => Effect::Delete,
    }
}

/// A stored value as the number it stands for.
pub(super) fn number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

impl World {
    /// The call that a client has under way, or made last.
    pub(super) fn call(&self, client: usize) -> Call {
        self.script.clients[client][self.clients[client].calls - 1]
    }

    fn id(&self, client: usize) -> Id {
        u32::try_from(client * 100 + self.clients[client].calls).expect("invariant: few calls")
    }

    fn token(&self, client: usize) -> u64 {
        u64::from(self.id(client)) << 8 | u64::from(self.clients[client].sends)
    }

    /// A client makes its next call.
    pub(super) fn invoke(&mut self, client: usize, entry: Pid) {
        self.clients[client].calls += 1;
        self.clients[client].sends = 0;
        let call = self.call(client);
        let id = self.id(client);
        self.registers[call.key()].invoke(id, effect(call));
        let attempt = Attempt::new(&operation(call));
        self.clients[client].current = Some(Current { entry, attempt, waits: None, pauses: 0 });
        self.pursue(client);
    }

    /// Tries until the call is over, or something has to be waited for.
    pub(super) fn pursue(&mut self, client: usize) {
        let operation = operation(self.call(client));
        let now = self.now();
        for _ in 0..TRIES_MAX {
            let Some(Current { entry, attempt, .. }) = &self.clients[client].current else { return };
            let (entry, attempt) = (*entry, attempt.clone());
            let Some(place) = self.place(entry) else { return };
            let next = attempt.next(&self.nodes[place].machine.slots());
            self.clients[client].sends += 1;
            let token = self.token(client);
            if let Some(current) = &mut self.clients[client].current {
                current.waits = Some(next);
            }
            let sent = match next {
                Next::Here { used } => {
                    let done = self.with(entry, |machine| {
                        let done = machine.slots().try_apply(&operation, now.unix_ms);
                        if done.is_none() {
                            let (deadline, operation) = (Machine::MODEL_LATER, operation.clone());
                            machine.handle(Input::Operate { token, used, deadline, operation }, now);
                        }
                        done
                    });
                    // Whatever the machine answers at once has been judged already.
                    let Some(Some((effect, epoch))) = done else { return };
                    Sent::Answered(Answer::Done { effect, epoch })
                }
                Next::Peer { to, used } if self.place(to).is_some() => {
                    let operation = operation.clone();
                    self.send(Packet::new(entry, to, Body::Request { token, used, operation }));
                    return;
                }
                Next::Peer { .. } | Next::Nowhere => Sent::NotSent,
            };
            if !self.judge_answer(client, sent) {
                return;
            }
        }
        self.violation = Some("an operation is tried again and again without a pause".to_owned());
    }

    /// Takes the answer that a client's call waits for. True: it is to be tried again at once.
    pub(super) fn judge_answer(&mut self, client: usize, sent: Sent) -> bool {
        let Some(Current { entry, mut attempt, waits: Some(next), pauses }) =
            self.clients[client].current.clone()
        else {
            return false;
        };
        let judged = self.with(entry, |machine| attempt.judge(&machine.slots(), next, sent));
        let result = match judged {
            Some(Verdict::Again(pause)) => {
                let pauses = pauses + u8::from(!pause.is_zero());
                if pauses <= PAUSES_MAX {
                    self.clients[client].current = Some(Current { entry, attempt, waits: None, pauses });
                    return pause.is_zero();
                }
                Err(Failure::Unavailable)
            }
            Some(Verdict::Done(result)) => {
                result.and_then(|(effect, _)| effect.outcome().ok_or(Failure::Unavailable))
            }
            None => Err(Failure::OutcomeUnknown),
        };
        self.conclude(client, &result);
        false
    }

    fn conclude(&mut self, client: usize, result: &Result<Outcome, Failure>) {
        self.clients[client].current = None;
        let (call, id) = (self.call(client), self.id(client));
        let register = &mut self.registers[call.key()];
        let fits = match result {
            Err(Failure::OutcomeUnknown) => operation(call).is_write() || register.refuse(id),
            Err(_) => register.refuse(id),
            Ok(outcome) => match found(outcome) {
                Some(found) => register.answer(id, found),
                None => false,
            },
        };
        if let Ok(
            Outcome::Created(version) | Outcome::Replaced { version, .. } | Outcome::Deleted { version, .. },
        ) = *result
        {
            let value = match call {
                Call::Put(_, value) | Call::PutFor(_, value) | Call::Create(_, value) => Some(value),
                Call::Get(_) | Call::Delete(_) => None,
            };
            let highest = &mut self.acknowledged[call.key()];
            *highest = (*highest).max(Some((version, value)));
        }
        if !fits && !self.forked {
            self.violation = Some(format!("not linearizable: {call:?} was answered {result:?}"));
        }
        if !fits {
            // After a fork nothing is promised; go on from anything.
            self.registers[call.key()] = super::register::Register::new(None);
        }
    }

    /// A machine answers an operation that waited.
    pub(super) fn answered(&mut self, at: Pid, token: u64, answer: Answer) {
        let Some(client) = self.client_of(token) else { return };
        let entry = self.clients[client].current.as_ref().map(|current| current.entry);
        match entry {
            Some(entry) if entry == at => self.reply(token, answer),
            Some(entry) => self.send(Packet::new(at, entry, Body::Reply { token, answer })),
            None => {}
        }
    }

    /// An answer reaches the node that the client asked.
    pub(super) fn reply(&mut self, token: u64, answer: Answer) {
        if let Some(client) = self.client_of(token)
            && self.judge_answer(client, Sent::Answered(answer))
        {
            self.pursue(client);
        }
    }

    /// Whose call a token belongs to, if it is still waited for.
    fn client_of(&self, token: u64) -> Option<usize> {
        (0..self.clients.len()).find(|&client| {
            let waits = self.clients[client].current.as_ref().is_some_and(|current| current.waits.is_some());
            waits && self.token(client) == token
        })
    }

    /// A peer gets a request.
    pub(super) fn requested(&mut self, packet: &Packet) {
        let Body::Request { token, used, operation } = &packet.body else { return };
        let (now, deadline) = (self.now(), Machine::MODEL_LATER);
        let (token, used) = (*token, *used);
        let done = self.with(packet.to, |machine| {
            let done = machine.slots().try_apply(operation, now.unix_ms);
            if done.is_none() {
                machine.handle(Input::Operate { token, used, deadline, operation: operation.clone() }, now);
            }
            done
        });
        if let Some(Some((effect, epoch))) = done {
            self.answered(packet.to, token, Answer::Done { effect, epoch });
        }
    }

    /// The node that these clients asked is gone.
    pub(super) fn abandon_clients(&mut self, entry: Pid) {
        for client in 0..self.clients.len() {
            if self.clients[client].current.as_ref().is_some_and(|current| current.entry == entry) {
                self.conclude(client, &Err(Failure::OutcomeUnknown));
            }
        }
    }
}

/// What an outcome says was there before; `None`: nothing of the kind asked for.
fn found(outcome: &Outcome) -> Option<Found> {
    match outcome {
        Outcome::Missing | Outcome::Created(_) | Outcome::Refused { version: None, .. } => {
            Some(Found::Nothing)
        }
        Outcome::Replaced { .. } | Outcome::Deleted { .. } | Outcome::Refused { .. } => {
            Some(Found::Something)
        }
        Outcome::Value { value, .. } => number(value).map(Found::Value),
        _ => None,
    }
}
