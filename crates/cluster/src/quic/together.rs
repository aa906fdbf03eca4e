//! Operations of a client that are asked for together: those for one peer travel in one frame.
//!
//! Their bytes are copied once, from where the client's lie into the frame. The frame is kept until it has been answered:
//! an operation that has to go another way is read from it again.

use std::collections::BTreeMap;
use std::time::Duration;

use boato_transport::Pending;
use bytes::Bytes;
use futures_util::stream::{self, FuturesUnordered, StreamExt as _};

use super::execute::{Answered, Unanswered, answer};
use super::{Cluster, Inner, OPERATIONS, course, unix_ms};
use crate::batch::{Batch, Fate};
use crate::message::{Request, Response};
use crate::operation::{Operation, Slice};
use crate::pid::Pid;
use crate::route::Failure;

/// Slots of one batch on which single operations are under way at a time.
const WAYS: usize = 64;

/// A batch on its way.
struct Errand {
    batch: Batch,
    /// `None`: it has no frame.
    asked: Option<Asked>,
    /// What comes after the frame, by place.
    later: Vec<(usize, Operation)>,
}

/// A frame on its way.
struct Asked {
    to: Pid,
    frame: Bytes,
    /// `None`: there is no way to the peer.
    answer: Option<Pending>,
    since: Duration,
}

impl Cluster {
    /// [`Cluster::execute`] for several operations side by side, those on one slot one after the other in their order.
    /// The answers are in the order of the operations. Those for one peer travel in one frame, which is queued when this
    /// returns; what this node can apply at once it has applied by then. Takes half a second more than [`Cluster::execute`] where reads are lost with such a frame: each is asked for
    /// once more.
    pub fn execute_all(
        &self,
        operations: &[Operation<Slice<'_>>],
    ) -> impl Future<Output = Vec<Answered>> + Send + use<> {
        let cluster = self.clone();
        let Inner { slots, patience, .. } = &*cluster.0;
        let deadline = cluster.0.now().at + *patience;
        let unix_ms = unix_ms();
        // What is never answered counts as not applied; there is none.
        let mut results: Vec<Answered> = operations.iter().map(|_| Err(Failure::Unavailable)).collect();
        let batches = Batch::plan(slots, operations, |place, slot, operation| {
            // What looks at a whole slot has others take their turns meanwhile.
            if operation.walks() {
                return false;
            }
            let Some((effect, _)) = slots.try_apply_on(slot, operation, unix_ms) else { return false };
            results[place] = Ok((effect, slots.me()));
            true
        });
        let errands: Vec<Errand> =
            batches.into_iter().map(|batch| cluster.0.send(batch, operations)).collect();
        async move {
            let mut ways: FuturesUnordered<_> =
                errands.into_iter().map(|errand| cluster.0.carry(errand, deadline)).collect();
            while let Some(answers) = ways.next().await {
                for (place, answer) in answers {
                    results[place] = answer;
                }
            }
            drop(ways);
            results
        }
    }
}

impl Inner {
    /// Sends what is to be sent in one frame.
    fn send(&self, batch: Batch, operations: &[Operation<Slice<'_>>]) -> Errand {
        let later = batch.later.iter().map(|&place| (place, operations[place].to_bytes())).collect();
        let asked = batch.to.map(|to| {
            let frame = Bytes::from(batch.request(to, operations).encode());
            let addr = self.address(to);
            let answer = addr.map(|addr| self.transport.request(addr, OPERATIONS, frame.clone()));
            Asked { to, frame, answer, since: self.now().at }
        });
        Errand { batch, asked, later }
    }

    /// Waits for the answer to the frame, then goes the way of single operations with what was not applied.
    async fn carry(&self, errand: Errand, deadline: Duration) -> Vec<(usize, Answered)> {
        let Errand { batch, asked, later } = errand;
        let mut answers = Vec::with_capacity(batch.sent.len() + later.len());
        let mut rest: BTreeMap<u16, Vec<(usize, Operation)>> = BTreeMap::new();
        if let Some(Asked { to, frame, answer, since }) = asked {
            let fate = fate(answer, deadline.saturating_sub(since)).await;
            course::asked(to, batch.sent.len(), since, self.now().at);
            let judged = batch.judge(to, &self.slots, fate);
            if judged.iter().any(Option::is_none) {
                for (index, operation) in
                    operations(&frame).enumerate().filter(|(index, _)| judged[*index].is_none())
                {
                    let passenger = batch.sent[index];
                    rest.entry(passenger.slot).or_default().push((passenger.place, operation));
                }
            }
            let judged = batch.sent.iter().zip(judged);
            answers.extend(judged.filter_map(|(passenger, judged)| Some((passenger.place, judged?))));
        }
        for (place, operation) in later {
            rest.entry(operation.slot()).or_default().push((place, operation));
        }
        let mut ways = stream::iter(rest.into_values())
            .map(|operations| async move {
                let mut answers = Vec::with_capacity(operations.len());
                for (place, operation) in operations {
                    answers.push((place, self.execute(&operation, None, deadline).await));
                }
                answers
            })
            .buffer_unordered(WAYS);
        while let Some(mut more) = ways.next().await {
            answers.append(&mut more);
        }
        answers
    }
}

/// What becomes of a frame that may wait at the peer for so long.
async fn fate(pending: Option<Pending>, wait: Duration) -> Fate {
    let Some(pending) = pending else { return Fate::NotSent };
    match answer(pending, wait).await {
        Ok(Response::Batch(answers)) => Fate::Answered(answers),
        Ok(_) | Err(Unanswered::Lost) => Fate::Lost,
        Err(Unanswered::NotSent) => Fate::NotSent,
    }
}

/// The operations of a frame that this node has made.
fn operations(frame: &[u8]) -> impl Iterator<Item = Operation> {
    match Request::decode(frame) {
        Ok(Request::Batch { operations, .. }) => operations.into_iter(),
        _ => unreachable!("invariant: a frame reads as it was written"),
    }
}
