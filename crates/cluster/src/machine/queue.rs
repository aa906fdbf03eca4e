//! Operations that wait for their slot to settle.

use std::time::Duration;

use super::{Cell, Machine, Output};
use crate::canary::Canary;
use crate::message::Answer;
use crate::operation::Operation;
use crate::pid::Epoch;
use crate::slot::{Disposition, Queued};
use crate::time::Now;

impl Machine {
    pub(super) fn on_operation(
        &mut self,
        token: u64,
        used: Option<Epoch>,
        deadline: Duration,
        operation: Operation,
        now: Now,
    ) {
        let bytes = operation.bytes();
        if self.stats.queued_bytes + bytes > self.config.queue_bytes_max {
            return self.answer(token, Answer::Busy);
        }
        self.on_slot(operation.slot(), now, |machine, cell| {
            machine.stats.queued_bytes += bytes;
            if !machine.bug(Canary::WaitForEver) {
                machine.deadlines.insert((deadline, cell.slot, token));
            }
            cell.header.queue.push_back(Queued { token, used, deadline, operation });
        });
    }

    /// Applies, answers or keeps the operations that wait, in their order.
    pub(super) fn settle_queue(&mut self, cell: &mut Cell, now: Now) {
        if cell.header.queue.is_empty() {
            return;
        }
        let target_is_me = self.is_target(cell.slot);
        for queued in std::mem::take(&mut cell.header.queue) {
            let answer = match cell.header.disposition(queued.used, target_is_me) {
                Disposition::Wait => {
                    cell.header.queue.push_back(queued);
                    continue;
                }
                Disposition::Serve if !cell.header.admit(&queued.operation, cell.entries) => {
                    cell.header.queue.push_back(queued);
                    continue;
                }
                Disposition::Serve => self.apply(cell, &queued.operation, now),
                Disposition::Route(hint) => Answer::Moved(hint),
            };
            self.leave_queue(cell.slot, &queued);
            self.answer(queued.token, answer);
        }
    }

    fn apply(&mut self, cell: &mut Cell, operation: &Operation, now: Now) -> Answer {
        let epoch = cell.header.serving().expect("invariant: only called where the slot is served");
        let effect = self.slots.apply(operation, cell.header, cell.entries, now.unix_ms);
        Answer::Done { effect, epoch }
    }

    /// Answers the operations whose time has run out: they were not applied.
    pub(super) fn expire_queued(&mut self, now: Now) {
        while let Some(&(deadline, slot, token)) = self.deadlines.first()
            && deadline <= now.at
        {
            self.on_slot(slot, now, |machine, cell| {
                let place = cell.header.queue.iter().position(|queued| queued.token == token);
                if let Some(mut queued) = place.and_then(|place| cell.header.queue.remove(place)) {
                    machine.leave_queue(slot, &queued);
                    if machine.bug(Canary::ApplyExpired) {
                        queued.deadline += Duration::from_mins(1);
                        machine.deadlines.insert((queued.deadline, slot, token));
                        machine.stats.queued_bytes += queued.operation.bytes();
                        cell.header.queue.push_back(queued);
                    }
                    machine.answer(token, Answer::Expired);
                }
            });
        }
    }

    fn leave_queue(&mut self, slot: u16, queued: &Queued) {
        self.stats.queued_bytes -= queued.operation.bytes();
        self.deadlines.remove(&(queued.deadline, slot, queued.token));
    }

    fn answer(&mut self, token: u64, answer: Answer) {
        self.outputs.push_back(Output::Answer { token, answer });
    }
}
