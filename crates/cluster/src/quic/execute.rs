//! One client operation, from the node that was asked.

use std::collections::BTreeMap;
use std::time::Duration;

use boato_transport::RequestError;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::{Cluster, Inner, OPERATIONS, Waiter, unix_ms};
use crate::message::{Answer, Request, Response};
use crate::operation::{Effect, Operation, Outcome};
use crate::pid::{Epoch, Pid};
use crate::route::{Attempt, Failure, Next, Sent, Verdict};

/// What a peer gets beyond the time the operation may wait in its queue, before its answer counts as lost.
const GRACE: Duration = Duration::from_millis(500);

/// Slots on which the operations of one call are under way at a time.
const WAYS: usize = 64;

impl Cluster {
    /// Applies `operation` wherever its slot is held: the answer, and who gave it. Takes at most the patience
    /// given to [`Cluster::spawn`] and half a second. When the future is dropped, the operation may still be
    /// applied.
    ///
    /// # Errors
    ///
    /// [`Failure`], which says whether the operation may have been applied.
    pub async fn execute(&self, operation: Operation) -> Result<(Effect, Pid), Failure> {
        let inner = &*self.0;
        if !operation.fits() {
            return Ok((Effect::Key(Outcome::TooLarge), inner.slots.me()));
        }
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

impl Cluster {
    /// [`Cluster::execute`] for several operations side by side, those on one slot one after the other in their order.
    /// The answers are in the order of the operations.
    pub async fn execute_all(&self, operations: Vec<Operation>) -> Vec<Result<(Effect, Pid), Failure>> {
        let mut by_slot: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
        let mut results = Vec::with_capacity(operations.len());
        for (place, operation) in operations.iter().enumerate() {
            by_slot.entry(operation.slot()).or_default().push(place);
            results.push(Err(Failure::Unavailable));
        }
        let operations = &operations;
        let mut ways = stream::iter(by_slot.into_values())
            .map(|places| async move {
                let mut done = Vec::with_capacity(places.len());
                for place in places {
                    done.push((place, self.execute(operations[place].clone()).await));
                }
                done
            })
            .buffer_unordered(WAYS);
        while let Some(done) = ways.next().await {
            for (place, result) in done {
                results[place] = result;
            }
        }
        results
    }
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
