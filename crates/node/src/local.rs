//! Keys without a socket: what a program does that carries a node.

use std::sync::Arc;
use std::time::Duration;

use boato_api::{Action, Backend as _, Command, Condition, Execution, Expiry, Failure, Outcome};
use bytes::Bytes;

use crate::backend::NodeBackend;

/// All keys of the cluster, by way of one node of this process. Cheap to clone; once the node has left, nobody answers.
#[derive(Clone)]
pub struct Keys(pub(crate) Arc<NodeBackend>);

impl Keys {
    /// The value of a key, wherever it is held; `None` when there is none.
    ///
    /// # Errors
    /// [`Failure`]: nobody answers for the key now.
    pub async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Failure> {
        match self.run(key, Action::Get).await? {
            Outcome::Value { value, .. } => Ok(Some(value)),
            _ => Ok(None),
        }
    }

    /// Creates or replaces the value of a key, which is gone after `ttl`, if there is one.
    ///
    /// # Errors
    /// [`PutError`]; [`Failure::OutcomeUnknown`] in it: the value may have been stored.
    pub async fn put(&self, key: &[u8], value: &[u8], ttl: Option<Duration>) -> Result<(), PutError> {
        let expiry = ttl.map_or(Expiry::Never, Expiry::After);
        let action =
            Action::Put { value, content_type: b"", expiry, condition: Condition::Always, previous: false };
        match self.run(key, action).await? {
            Outcome::Full => Err(PutError::Full),
            _ => Ok(()),
        }
    }

    /// Removes a key; false when there was none.
    ///
    /// # Errors
    /// [`Failure`]; [`Failure::OutcomeUnknown`]: it may have been removed.
    pub async fn delete(&self, key: &[u8]) -> Result<bool, Failure> {
        let action = Action::Delete { condition: Condition::Always, previous: false };
        Ok(!matches!(self.run(key, action).await?, Outcome::Missing))
    }

    /// Adds to a number in one step, from 0 where there is none; a key that this creates is gone after `ttl`, if there is one.
    /// Returns the sum.
    ///
    /// # Errors
    /// [`AddError`]; [`Failure::OutcomeUnknown`] in it: it may have been added.
    pub async fn add(&self, key: &[u8], by: i64, ttl: Option<Duration>) -> Result<i64, AddError> {
        match self.run(key, Action::Add { by, ttl }).await? {
            Outcome::Integer { value, .. } => Ok(value),
            Outcome::Full => Err(AddError::Full),
            Outcome::Overflow => Err(AddError::Overflow),
            _ => Err(AddError::NotANumber),
        }
    }

    async fn run(&self, key: &[u8], action: Action<'_>) -> Result<Outcome, Failure> {
        let reply = match self.0.execute(&Command { key, action }) {
            Execution::Ready(reply) => reply,
            Execution::Pending(reply) => reply.await,
        };
        Ok(reply?.outcome)
    }
}

/// Why a value was not stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PutError {
    /// Nobody answers for the key now.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// The memory limit of the node that has the key is reached.
    #[error(
        "the memory limit of the node that holds this key is reached: delete keys, raise max-memory or add a node"
    )]
    Full,
}

/// Why nothing was added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// Nobody answers for the key now.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// The memory limit of the node that has the key is reached.
    #[error(
        "the memory limit of the node that holds this key is reached: delete keys, raise max-memory or add a node"
    )]
    Full,
    /// The value is no number.
    #[error("the key's value is no whole number of 64 bits; nothing was changed")]
    NotANumber,
    /// The sum is no number of 64 bits.
    #[error("the sum does not fit a whole number of 64 bits; nothing was changed")]
    Overflow,
}
