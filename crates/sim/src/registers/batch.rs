//! Operations of several clients that reach a node together: what the product's driver does with them, in virtual time.
//!
//! They are of different clients, so that those a peer refused may go on in any order.

use std::time::Duration;

use boato_cluster::{Batch, Failure, Fate, Operation, Pid, Response};

use super::errand::{BREAK_US, GRACE, PATIENCE};
use super::message::{Body, Message};
use super::node::{Alarm, Node, Note, Waiter};
use crate::Outbox;

/// A frame under way to a peer.
pub(super) struct Sending {
    to: Pid,
    batch: Batch,
    /// The clients' numbers of the operations.
    calls: Vec<u64>,
    operations: Vec<Operation>,
    /// Until when its operations may wait.
    deadline: Duration,
    lost_at: Duration,
}

impl Node {
    pub(super) fn execute_all(&mut self, all: Vec<(u64, Operation)>, outbox: &mut Outbox<Self>) {
        let (calls, operations): (Vec<u64>, Vec<Operation>) = all.into_iter().unzip();
        let deadline = self.now(outbox).at + PATIENCE;
        for batch in Batch::plan(&self.slots, &operations, |_, _, _| false) {
            let (calls, operations, lost_at) = (calls.clone(), operations.clone(), Duration::ZERO);
            if let Some(to) = batch.to {
                self.send_batch(Sending { to, batch, calls, operations, deadline, lost_at }, outbox);
            } else {
                self.execute_later((&batch, deadline), &calls, &operations, outbox);
            }
        }
    }

    fn execute_later(
        &mut self,
        (batch, deadline): (&Batch, Duration),
        calls: &[u64],
        operations: &[Operation],
        outbox: &mut Outbox<Self>,
    ) {
        for &place in &batch.later {
            self.execute_by(deadline, calls[place], operations[place].clone(), outbox);
        }
    }

    fn send_batch(&mut self, mut sending: Sending, outbox: &mut Outbox<Self>) {
        let Some(&host) = self.addresses.get(&sending.to) else {
            return self.settle(&sending, Fate::NotSent, outbox);
        };
        self.number += 1;
        let number = self.number;
        let broken = self.rng.f64() < self.setup.breaks;
        let break_after = Duration::from_micros(self.rng.u64(..BREAK_US));
        sending.lost_at = if broken { self.now(outbox).at + break_after } else { sending.deadline + GRACE };
        let request = sending.batch.request(sending.to, &sending.operations);
        outbox.send(host, Message::new(Body::Request { number }, request.encode()));
        self.waiting.insert(number, Waiter::Batch(number));
        self.set_alarm(sending.lost_at, Alarm::Batch(number));
        self.sendings.insert(number, sending);
    }

    /// Nobody has answered in time, or the connection broke.
    pub(super) fn batch_lost(&mut self, number: u64, outbox: &mut Outbox<Self>) {
        self.waiting.remove(&number);
        if let Some(sending) = self.sendings.remove(&number) {
            self.settle(&sending, Fate::Lost, outbox);
        }
    }

    pub(super) fn batch_answered(&mut self, number: u64, bytes: &[u8], outbox: &mut Outbox<Self>) {
        let Some(sending) = self.sendings.remove(&number) else { return };
        self.cancel_alarm(sending.lost_at, Alarm::Batch(number));
        match Response::decode(bytes) {
            Ok(Response::Batch(answers)) => self.settle(&sending, Fate::Answered(answers), outbox),
            Ok(other) => outbox.note(Note::Refused(format!("a batch was answered {other:?}"))),
            Err(error) => outbox.note(Note::Refused(error.to_string())),
        }
    }

    /// What has an outcome is told, the rest goes the way of single operations.
    fn settle(&mut self, sending: &Sending, fate: Fate, outbox: &mut Outbox<Self>) {
        let Sending { to, batch, calls, operations, deadline, .. } = sending;
        for (passenger, judged) in batch.sent.iter().zip(batch.judge(*to, &self.slots, fate)) {
            let place = passenger.place;
            let call = calls[place];
            match judged {
                Some(result) => {
                    let result = result
                        .and_then(|(effect, pid)| Ok((effect.outcome().ok_or(Failure::Unavailable)?, pid)));
                    outbox.note(Note::Answered { call, result });
                }
                None => self.execute_by(*deadline, call, operations[place].clone(), outbox),
            }
        }
        self.execute_later((batch, *deadline), calls, operations, outbox);
    }
}
