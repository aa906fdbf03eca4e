//! The way of a client's operation from the node that was asked: what the product's driver does, in virtual time.

use std::time::Duration;

use boato_cluster::{
    Answer, Attempt, Epoch, Failure, Input, Next, Operation, Outcome, Pid, Request, Response, Sent, Verdict,
};

use super::message::{Body, Message};
use super::node::{Alarm, Node, Note, Waiter};
use crate::{Host, Outbox};

/// How long a client's operation may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// What a peer gets beyond the time the operation may wait in its queue, before its answer counts as lost.
pub(super) const GRACE: Duration = Duration::from_millis(500);
/// The longest that an operation takes at a node that does not stand still: of those that reach it together, reads whose
/// frame got lost are asked for once more.
pub(super) const LONGEST: Duration = PATIENCE.saturating_add(GRACE);
pub(super) const LONGEST_TOGETHER: Duration = LONGEST.saturating_add(GRACE);
/// An operation is tried no more often than this without a pause, which the product's rules keep far below.
const TRIES_MAX: u32 = 64;
/// A connection that breaks does so within this time, in microseconds.
pub(super) const BREAK_US: u64 = 20_000;

/// One operation under way from here.
pub(super) struct Errand {
    operation: Operation,
    attempt: Attempt,
    deadline: Duration,
    /// The try that is not answered yet.
    next: Option<Next>,
    /// The request at a peer; answers to others come too late.
    number: u64,
    /// How often it has been tried since the last pause.
    tries: u32,
    alarm: Option<Duration>,
}

impl Node {
    pub(super) fn execute(&mut self, call: u64, operation: Operation, outbox: &mut Outbox<Self>) {
        let deadline = self.now(outbox).at + PATIENCE;
        self.execute_by(deadline, call, operation, outbox);
    }

    /// The same for an operation that has waited already.
    pub(super) fn execute_by(
        &mut self,
        deadline: Duration,
        call: u64,
        operation: Operation,
        outbox: &mut Outbox<Self>,
    ) {
        let attempt = Attempt::new(&operation);
        let errand = Errand { operation, attempt, deadline, next: None, number: 0, tries: 0, alarm: None };
        self.errands.insert(call, Box::new(errand));
        self.try_errand(call, outbox);
    }

    fn try_errand(&mut self, call: u64, outbox: &mut Outbox<Self>) {
        let Some(errand) = self.errands.get_mut(&call) else { return };
        let next = errand.attempt.next(&self.slots);
        errand.next = Some(next);
        match next {
            Next::Here { used } => {
                let (operation, deadline) = (errand.operation.clone(), errand.deadline);
                let now = self.now(outbox);
                if let Some((effect, epoch)) = self.slots.try_apply(&operation, now.unix_ms) {
                    self.watch_limit(&effect, outbox);
                    self.judge(call, Sent::Answered(Answer::Done { effect, epoch }), outbox);
                } else {
                    self.queue(Waiter::Errand(call), used, deadline, operation, outbox);
                }
            }
            Next::Peer { to, used } => self.ask(call, to, used, outbox),
            Next::Nowhere => self.judge(call, Sent::NotSent, outbox),
        }
    }

    fn ask(&mut self, call: u64, to: Pid, used: Option<Epoch>, outbox: &mut Outbox<Self>) {
        let Some(&host) = self.addresses.get(&to) else { return self.judge(call, Sent::NotSent, outbox) };
        let now = self.now(outbox).at;
        let broken = self.rng.f64() < self.setup.breaks;
        let break_after = Duration::from_micros(self.rng.u64(..BREAK_US));
        let Some(errand) = self.errands.get_mut(&call) else { return };
        self.number += 1;
        errand.number = self.number;
        let wait = errand.deadline.saturating_sub(now);
        let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
        let request = Request::Operate { to, used, wait_ms, operation: errand.operation.clone() };
        let lost_at = now + if broken { break_after } else { wait + GRACE };
        errand.alarm = Some(lost_at);
        outbox.send(host, Message::new(Body::Request { number: self.number }, request.encode()));
        // The number of the request leads back to the call.
        self.waiting.insert(self.number, Waiter::Errand(call));
        self.set_alarm(lost_at, Alarm::Errand(call));
    }

    /// The answer to a try: the next one follows, or the outcome.
    fn judge(&mut self, call: u64, sent: Sent, outbox: &mut Outbox<Self>) {
        let now = self.now(outbox).at;
        let Some(errand) = self.errands.get_mut(&call) else { return };
        let Some(next) = errand.next.take() else { return };
        let verdict = errand.attempt.judge(&self.slots, next, sent);
        errand.tries += 1;
        let endless = errand.tries > TRIES_MAX;
        if errand.attempt.wanders() || endless {
            outbox.note(Note::Wanders);
        }
        let result = match verdict {
            // What is no outcome was refused.
            Verdict::Done(result) => {
                result.and_then(|(effect, pid)| Ok((effect.outcome().ok_or(Failure::Unavailable)?, pid)))
            }
            Verdict::Again(pause) if endless || now + pause >= errand.deadline => Err(Failure::Unavailable),
            Verdict::Again(pause) if pause.is_zero() => return self.try_errand(call, outbox),
            Verdict::Again(pause) => {
                errand.tries = 0;
                errand.alarm = Some(now + pause);
                return self.set_alarm(now + pause, Alarm::Errand(call));
            }
        };
        self.errands.remove(&call);
        outbox.note(Note::Answered { call, result });
    }

    /// A pause is over, or nobody has answered.
    pub(super) fn errand_due(&mut self, call: u64, outbox: &mut Outbox<Self>) {
        let Some(errand) = self.errands.get_mut(&call) else { return };
        errand.alarm = None;
        if errand.next.is_none() {
            return self.try_errand(call, outbox);
        }
        self.waiting.remove(&errand.number);
        self.judge(call, Sent::Lost, outbox);
    }

    fn queue(
        &mut self,
        waiter: Waiter,
        used: Option<Epoch>,
        deadline: Duration,
        operation: Operation,
        outbox: &mut Outbox<Self>,
    ) {
        self.number += 1;
        let token = self.number;
        self.waiting.insert(token, waiter);
        self.drive(Input::Operate { token, used, deadline, operation }, outbox);
    }

    /// The machine answers an operation that waited.
    pub(super) fn deliver(&mut self, token: u64, answer: Answer, outbox: &mut Outbox<Self>) {
        match self.waiting.remove(&token) {
            Some(Waiter::Errand(call)) => self.judge(call, Sent::Answered(answer), outbox),
            Some(Waiter::Peer { host, number }) => respond(host, number, answer, outbox),
            Some(Waiter::Batch(_)) | None => {}
        }
    }

    pub(super) fn request(&mut self, host: Host, number: u64, bytes: &[u8], outbox: &mut Outbox<Self>) {
        match Request::decode(bytes) {
            Ok(Request::Operate { to, .. }) if to != self.pid() => {
                respond(host, number, Answer::Moved(None), outbox);
            }
            Ok(Request::Operate { used, wait_ms, operation, .. }) => {
                let now = self.now(outbox);
                if let Some((effect, epoch)) = self.slots.try_apply(&operation, now.unix_ms) {
                    self.watch_limit(&effect, outbox);
                    return respond(host, number, Answer::Done { effect, epoch }, outbox);
                }
                let deadline = now.at + Duration::from_millis(wait_ms.into()).min(PATIENCE);
                self.queue(Waiter::Peer { host, number }, used, deadline, operation, outbox);
            }
            Ok(Request::Batch { to, operations }) => {
                let unix_ms = self.now(outbox).unix_ms;
                let is_meant = to == self.pid();
                let answers = if is_meant {
                    self.slots.apply_all(&operations, unix_ms)
                } else {
                    vec![None; operations.len()]
                };
                for applied in answers.iter().flatten() {
                    self.watch_limit(&applied.effect, outbox);
                }
                let response = Response::Batch(answers).encode();
                outbox.send(host, Message::new(Body::Response { number }, response));
            }
            Ok(Request::Status | Request::Load) => {}
            Err(error) => outbox.note(Note::Refused(error.to_string())),
        }
    }

    pub(super) fn response(&mut self, number: u64, bytes: &[u8], outbox: &mut Outbox<Self>) {
        let call = match self.waiting.remove(&number) {
            Some(Waiter::Errand(call)) => call,
            Some(Waiter::Batch(number)) => return self.batch_answered(number, bytes, outbox),
            // After the answer was given up for lost.
            Some(Waiter::Peer { .. }) | None => return,
        };
        let answer = match Response::decode(bytes) {
            Ok(Response::Operate(answer)) => answer,
            Ok(Response::Status(_) | Response::Load(_) | Response::Batch(_)) => return,
            Err(error) => return outbox.note(Note::Refused(error.to_string())),
        };
        if let Some(errand) = self.errands.get_mut(&call)
            && let Some(at) = errand.alarm.take()
        {
            self.cancel_alarm(at, Alarm::Errand(call));
        }
        self.judge(call, Sent::Answered(answer), outbox);
    }
}

fn respond(host: Host, number: u64, answer: Answer, outbox: &mut Outbox<Node>) {
    let response = Response::Operate(answer).encode();
    outbox.send(host, Message::new(Body::Response { number }, response));
}

/// What an operation came to.
pub(super) type Answered = Result<(Outcome, Pid), Failure>;
