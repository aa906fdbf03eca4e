//! One client operation, from the node that was asked.

use std::time::Duration;

use boato_transport::RequestError;
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::{Cluster, Inner, OPERATIONS, Waiter, unix_ms};
use crate::message::{Answer, Request, Response};
use crate::operation::{Operation, Outcome};
use crate::pid::{Epoch, Pid};
use crate::route::{Attempt, Failure, Next, Sent, Verdict};

/// What a peer gets beyond the time the operation may wait in its queue, before its answer counts as lost.
const GRACE: Duration = Duration::from_millis(500);

impl Cluster {
    /// Applies `operation` wherever its slot is held: the answer, and who gave it. Takes at most the patience
    /// given to [`Cluster::spawn`] and half a second. When the future is dropped, the operation may still be
    /// applied.
    ///
    /// # Errors
    ///
    /// [`Failure`], which says whether the operation may have been applied.
    pub async fn execute(&self, operation: Operation) -> Result<(Outcome, Pid), Failure> {
        let inner = &*self.0;
        let deadline = inner.now().at + inner.patience;
        let mut attempt = Attempt::new(&operation);
        loop {
            let next = attempt.next(&inner.slots);
            let sent = match next {
                Next::Here { used } => inner.here(&operation, used, deadline).await,
                Next::Peer { to, used } => inner.ask(&operation, to, used, deadline).await,
                Next::Nowhere => Sent::NotSent,
            };
            match attempt.judge(&inner.slots, next, sent) {
                Verdict::Done(result) => return result,
                Verdict::Again(pause) if inner.now().at + pause < deadline => sleep(pause).await,
                Verdict::Again(_) => return Err(Failure::Unavailable),
            }
        }
    }
}

impl Inner {
    /// Waits for this node's own machine, which answers by the deadline, whatever happens.
    async fn here(&self, operation: &Operation, used: Option<Epoch>, deadline: Duration) -> Sent {
        if let Some((outcome, epoch)) = self.slots.try_apply(operation, unix_ms()) {
            return Sent::Answered(Answer::Done { outcome, epoch });
        }
        let (waiter, answer) = oneshot::channel();
        self.operate(Waiter::Here(waiter), used, deadline, operation.clone());
        answer.await.map_or(Sent::Lost, Sent::Answered)
    }

    async fn ask(&self, operation: &Operation, to: Pid, used: Option<Epoch>, deadline: Duration) -> Sent {
        let Some(addr) = self.address(to) else { return Sent::NotSent };
        let wait = deadline.saturating_sub(self.now().at);
        let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
        let request = Request::Operate { to, used, wait_ms, operation: operation.clone() };
        let pending = self.transport.request(addr, OPERATIONS, Bytes::from(request.encode()));
        match timeout(wait + GRACE, pending).await {
            Ok(Ok(bytes)) => match Response::decode(&bytes) {
                Ok(Response::Operate(answer)) => Sent::Answered(answer),
                _ => Sent::Lost,
            },
            Ok(Err(RequestError::NotSent(_))) => Sent::NotSent,
            Ok(Err(RequestError::Lost | RequestError::NoAnswer)) | Err(_) => Sent::Lost,
        }
    }
}
