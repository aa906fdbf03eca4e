//! What a node that is one of several can do beside keeping keys: speak to the others, and say how far away they are.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::Event;

/// A node's part in its cluster, apart from its keys. Members are named by their name or their id; a name that several
/// have is refused.
pub trait Membership: Send + Sync {
    /// Tells all members something. It is passed on from member to member: done means begun.
    fn event(&self, name: String, payload: Bytes) -> Told;

    /// Asks members something. The events are `ack`, `response` and `declined` of each, and at last `done` with those that have not answered: names
    /// (`missing`) and ids (`missing_ids`).
    fn query(&self, query: Query) -> BoxFuture<'static, Result<BoxStream<'static, Event>, Declined>>;

    /// Asks all live members for a sign of life, and waits for it.
    fn reachability(&self) -> BoxFuture<'static, Result<Reachability, Declined>>;

    /// Which of the cluster's secrets each member knows, asked of it.
    fn keys(&self) -> BoxFuture<'static, Result<Vec<KeyReport>, Declined>>;

    /// Changes which secrets the cluster accepts, at every live member; what each knows then. A secret that members may
    /// need to come back is removed only by `force`.
    fn change_keys(
        &self,
        change: KeyChange,
        force: bool,
    ) -> BoxFuture<'static, Result<Vec<KeyReport>, Declined>>;

    /// Contacts a node at `host:port`, at all addresses of the name, and waits until it is a live member.
    fn join(&self, addr: String) -> Told;

    /// Has a dead member taken for one that left by everybody, or with `prune` forgotten.
    fn remove(&self, member: String, prune: bool) -> Told;

    /// How long a round trip between two members takes, by their network coordinates.
    fn round_trip(&self, from: String, to: String) -> BoxFuture<'static, Result<RoundTrip, Declined>>;

    /// This node's tags, those that it sets for itself included.
    fn tags(&self) -> BTreeMap<String, String>;

    /// Changes this node's tags: `set` first, then `remove`. Nothing is changed where something of it is refused.
    fn change_tags(&self, change: TagChange) -> Told;
}

/// That something was done, or why it was not.
pub type Told = BoxFuture<'static, Result<(), Declined>>;

/// A change of the cluster's secrets.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyChange {
    /// Accept this one, too; base64.
    Install(String),
    /// Show the one of this id from now on.
    Use(String),
    /// Accept the one of this id no longer.
    Remove(String),
}

impl std::fmt::Debug for KeyChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Install(_) => "Install(..)",
            Self::Use(_) => "Use(..)",
            Self::Remove(_) => "Remove(..)",
        })
    }
}

/// What a member knows of the cluster's secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KeyReport {
    /// The member's name.
    pub name: String,
    /// Its id, hexadecimal.
    pub id: String,
    /// Whether it is taken for alive, and was asked.
    pub live: bool,
    /// Ids of the secrets it accepts.
    pub keys: Vec<String>,
    /// Id of the one it shows; `None` where it did not answer.
    pub used: Option<String>,
    /// Why it did not answer.
    pub error: Option<String>,
}

/// A question to members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// What it is called.
    pub name: String,
    /// What it says.
    pub payload: Bytes,
    /// Only members with one of these names; `*` stands for anything; none: all.
    pub nodes: Vec<String>,
    /// Only members with all of these tags; in a value `*` stands for anything.
    pub tags: Vec<(String, String)>,
    /// Whether to say who has received it.
    pub acks: bool,
    /// Through how many other members each answer goes, beside its straight way.
    pub relays: u8,
    /// How long answers are taken; by itself what fits the size of the cluster.
    pub timeout: Option<Duration>,
}

/// Which members answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reachability {
    /// Names of those who do.
    pub reached: Vec<String>,
    /// Names of those who are taken for alive and do not.
    pub missing: Vec<String>,
}

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
