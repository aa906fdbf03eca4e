//! What a node that is one of several can do beside keeping keys: speak to the others, and say how far away they are.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::Serialize;

/// A node's part in its cluster, apart from its keys. Members are named by their name or their id; a name that several
/// have is refused.
pub trait Membership: Send + Sync {
    /// Tells all members something. It is passed on from member to member: done means begun.
    fn event(&self, name: String, payload: Bytes) -> Told;

    /// How long a round trip between two members takes, by their network coordinates.
    fn round_trip(&self, from: String, to: String) -> BoxFuture<'static, Result<RoundTrip, Declined>>;

    /// This node's tags, those that it sets for itself included.
    fn tags(&self) -> BTreeMap<String, String>;

    /// Changes this node's tags: `set` first, then `remove`. Nothing is changed where something of it is refused.
    fn change_tags(&self, change: TagChange) -> Told;
}

/// That something was done, or why it was not.
pub type Told = BoxFuture<'static, Result<(), Declined>>;

/// A change of a node's tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagChange {
    /// Tags to add or replace.
    pub set: BTreeMap<String, String>,
    /// Tags to take away; one that is not there is no error.
    pub remove: Vec<String>,
}

/// How far two members are from each other.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RoundTrip {
    /// Name of one.
    pub from: String,
    /// Name of the other.
    pub to: String,
    /// Seconds that a round trip takes, estimated; `None` before both have answered probes.
    pub rtt_s: Option<f64>,
}

/// Why a node did not do what it was asked; nothing has changed. Each says what is wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Declined {
    /// What was asked makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// There is no such member.
    #[error("{0}")]
    Unknown(String),
    /// It does not go with how things are.
    #[error("{0}")]
    Conflict(String),
    /// Not now.
    #[error("{0}")]
    Busy(String),
}
