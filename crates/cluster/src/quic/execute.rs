//! A client's operation, from the node that was asked.

use std::time::Duration;

use boato_transport::{Pending, RequestError};
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::course::Course;
use super::{Cluster, Inner, OPERATIONS, TRACED, Waiter, unix_ms};
use crate::message::{Answer, Request, Response};
use crate::operation::{Effect, Operation, Outcome};
use crate::pid::{Epoch, Pid};
use crate::route::{Attempt, Failure, Next, Sent, Verdict};
use crate::trace::Trace;

/// What a peer gets beyond the time the operation may wait in its queue, before its answer counts as lost.
const GRACE: Duration = Duration::from_millis(500);

pub(super) type Answered = Result<(Effect, Pid), Failure>;

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
}

impl Inner {
    pub(super) async fn execute(
        &self,
        operation: &Operation,
        trace: Option<Trace>,
        deadline: Duration,
    ) -> Answered {
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

    /// A peer's answer to a request that may wait there for so long.
    async fn request(
        &self,
        to: Pid,
        request: &Request,
        trace: Option<Trace>,
        wait: Duration,
    ) -> Result<Response, Unanswered> {
        let addr = self.address(to).ok_or(Unanswered::NotSent)?;
        let (channel, bytes) = match trace {
            Some(trace) => (TRACED, trace.before(&request.encode())),
            None => (OPERATIONS, request.encode()),
        };
        answer(self.transport.request(addr, channel, Bytes::from(bytes)), wait).await
    }
}

/// The answer to a request that may wait at the peer for so long.
pub(super) async fn answer(pending: Pending, wait: Duration) -> Result<Response, Unanswered> {
    match timeout(wait + GRACE, pending).await {
        Ok(Ok(bytes)) => Response::decode(&bytes).map_err(|_| Unanswered::Lost),
        Ok(Err(RequestError::NotSent(_))) => Err(Unanswered::NotSent),
        Ok(Err(RequestError::Lost | RequestError::NoAnswer)) | Err(_) => Err(Unanswered::Lost),
    }
}

/// Why a request has no answer.
pub(super) enum Unanswered {
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
