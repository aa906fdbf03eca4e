//! The operations of clients, from the node that was asked.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use boato_transport::RequestError;
use bytes::Bytes;
use futures_util::stream::{self, FuturesUnordered, StreamExt as _};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::course::{self, Course};
use super::{Cluster, Inner, OPERATIONS, TRACED, Waiter, unix_ms};
use crate::batch::{Batch, Fate};
use crate::message::{Answer, Request, Response};
use crate::operation::{Effect, Operation, Outcome};
use crate::pid::{Epoch, Pid};
use crate::route::{Attempt, Failure, Next, Sent, Verdict};
use crate::trace::Trace;

/// What a peer gets beyond the time the operation may wait in its queue, before its answer counts as lost.
const GRACE: Duration = Duration::from_millis(500);

/// Slots of one batch on which single operations are under way at a time.
const WAYS: usize = 64;

type Answered = Result<(Effect, Pid), Failure>;

impl Cluster {
    /// Applies `operation` wherever its slot is held: the answer, and who gave it. Takes at most the patience
    /// given to [`Cluster::spawn`] and half a second. When the future is dropped, the operation may still be
    /// applied.
    ///
    /// # Errors
    ///
    /// [`Failure`], which says whether the operation may have been applied.
    pub async fn execute(&self, operation: Operation) -> Answered {
        self.execute_traced(operation, None).await
    }

    /// [`Cluster::execute`] for an operation that its client traces: the trace goes with it where the holder takes traces.
    ///
    /// # Errors
    ///
    /// As [`Cluster::execute`].
    pub async fn execute_traced(&self, operation: Operation, trace: Option<Trace>) -> Answered {
        let deadline = self.0.now().at + self.0.patience;
        self.0.execute(&operation, trace, deadline).await
    }

    /// [`Cluster::execute`] for several operations side by side, those on one slot one after the other in their order.
    /// The answers are in the order of the operations. Those for one peer travel in one frame. Takes half a second more than
    /// [`Cluster::execute`] where reads are lost with such a frame: each is asked for once more.
    pub async fn execute_all(&self, operations: Vec<Operation>) -> Vec<Answered> {
        let inner = &*self.0;
        let deadline = inner.now().at + inner.patience;
        // What is never answered counts as not applied; there is none.
        let mut results = vec![Err(Failure::Unavailable); operations.len()];
        let batches = Batch::plan(&inner.slots, &operations);
        let mut ways: FuturesUnordered<_> =
            batches.iter().map(|batch| inner.carry(batch, &operations, deadline)).collect();
        while let Some(answers) = ways.next().await {
            for (place, answer) in answers {
                results[place] = answer;
            }
        }
        drop(ways);
        results
    }
}

impl Inner {
    async fn execute(&self, operation: &Operation, trace: Option<Trace>, deadline: Duration) -> Answered {
        if !operation.fits() {
            return Ok((Effect::Key(Outcome::TooLarge), self.slots.me()));
        }
        let mut course = Course::begin(operation.slot(), trace, self.now().at);
        let answered = self.pursue(operation, deadline, &mut course).await;
        course.end(self.now().at);
        answered
    }

    /// Tries until there is an outcome, or no time.
    async fn pursue(&self, operation: &Operation, deadline: Duration, course: &mut Course) -> Answered {
        let mut attempt = Attempt::new(operation);
        loop {
            // From here on: a change that this try does not know of yet cuts its pause short.
            let rerouted = self.rerouted.notified();
            let next = attempt.next(&self.slots);
            let since = self.now().at;
            let sent = match next {
                Next::Here { used } => self.here(operation, used, deadline).await,
                Next::Peer { to, used } => self.ask(operation, course.trace, to, used, deadline).await,
                Next::Nowhere => Sent::NotSent,
            };
            let now = self.now().at;
            course.tried(next, &sent, since, now);
            match attempt.judge(&self.slots, next, sent) {
                Verdict::Done(result) => return result,
                Verdict::Again(pause) if now + pause < deadline => {
                    // At its end or before, it is tried again all the same.
                    let _ = timeout(pause, rerouted).await;
                    course.paused(now, self.now().at);
                }
                Verdict::Again(_) => return Err(Failure::Unavailable),
            }
        }
    }

    /// Sends what is to be sent in one frame, then goes the way of single operations with what was not applied.
    async fn carry(
        &self,
        batch: &Batch,
        operations: &[Operation],
        deadline: Duration,
    ) -> Vec<(usize, Answered)> {
        let mut answers = Vec::with_capacity(batch.sent.len() + batch.later.len());
        let mut rest: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
        if let Some(to) = batch.to {
            let fate = self.ask_all(batch, to, operations, deadline).await;
            for (place, judged) in batch.judge(to, &self.slots, operations, fate) {
                match judged {
                    Some(answer) => answers.push((place, answer)),
                    None => rest.entry(operations[place].slot()).or_default().push(place),
                }
            }
        }
        for &place in &batch.later {
            rest.entry(operations[place].slot()).or_default().push(place);
        }
        let mut ways = stream::iter(rest.into_values())
            .map(|places| async move {
                let mut answers = Vec::with_capacity(places.len());
                for place in places {
                    answers.push((place, self.execute(&operations[place], None, deadline).await));
                }
                answers
            })
            .buffer_unordered(WAYS);
        while let Some(mut more) = ways.next().await {
            answers.append(&mut more);
        }
        answers
    }

    async fn ask_all(&self, batch: &Batch, to: Pid, operations: &[Operation], deadline: Duration) -> Fate {
        let request = batch.request(to, operations);
        let begun = self.now().at;
        let fate = match self.request(to, &request, None, deadline.saturating_sub(self.now().at)).await {
            Ok(Response::Batch(answers)) => Fate::Answered(answers),
            Ok(_) | Err(Unanswered::Lost) => Fate::Lost,
            Err(Unanswered::NotSent) => Fate::NotSent,
        };
        course::asked(to, batch.sent.len(), begun, self.now().at);
        fate
    }

    /// A peer's answer to a request that may wait there for so long.
    async fn request(
        &self,
        to: Pid,
        request: &Request,
        trace: Option<Trace>,
        wait: Duration,
    ) -> Result<Response, Unanswered> {
        let addr = self.address(to).ok_or(Unanswered::NotSent)?;
        let takes_traces = || self.transport.protocol(addr) >= Some(self.traces_from.load(Ordering::Relaxed));
        let (channel, bytes) = match trace.filter(|_| takes_traces()) {
            Some(trace) => (TRACED, trace.before(&request.encode())),
            None => (OPERATIONS, request.encode()),
        };
        let pending = self.transport.request(addr, channel, Bytes::from(bytes));
        match timeout(wait + GRACE, pending).await {
            Ok(Ok(bytes)) => Response::decode(&bytes).map_err(|_| Unanswered::Lost),
            Ok(Err(RequestError::NotSent(_))) => Err(Unanswered::NotSent),
            Ok(Err(RequestError::Lost | RequestError::NoAnswer)) | Err(_) => Err(Unanswered::Lost),
        }
    }
}

/// Why a request has no answer.
enum Unanswered {
    /// It certainly never left this node.
    NotSent,
    /// It may have arrived.
    Lost,
}

impl Inner {
    /// Waits for this node's own machine, which answers by the deadline, whatever happens.
    async fn here(&self, operation: &Operation, used: Option<Epoch>, deadline: Duration) -> Sent {
        if let Some((effect, epoch)) = self.slots.try_apply(operation, unix_ms()) {
            return Sent::Answered(Answer::Done { effect, epoch });
        }
        let (waiter, answer) = oneshot::channel();
        self.operate(Waiter::Here(waiter), used, deadline, operation.clone());
        answer.await.map_or(Sent::Lost, Sent::Answered)
    }

    async fn ask(
        &self,
        operation: &Operation,
        trace: Option<Trace>,
        to: Pid,
        used: Option<Epoch>,
        deadline: Duration,
    ) -> Sent {
        let wait = deadline.saturating_sub(self.now().at);
        let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
        let request = Request::Operate { to, used, wait_ms, operation: operation.clone() };
        match self.request(to, &request, trace, wait).await {
            Ok(Response::Operate(answer)) => Sent::Answered(answer),
            Ok(_) | Err(Unanswered::Lost) => Sent::Lost,
            Err(Unanswered::NotSent) => Sent::NotSent,
        }
    }
}
