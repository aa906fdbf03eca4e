//! The node behind its front doors.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use boato_api::{
    self as api, Backend, Command, Execution, KeysPage, KeysQuery, Load, MemberInfo, Owner, Readiness, Reply,
    SlotMap, Source,
};
use boato_cluster::quic::Cluster;
use boato_cluster::{self as cluster, Guard, Operation, Outcome, Pid, Standing};
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use tokio_util::sync::CancellationToken;

use crate::attributes::{Attributes, VERSION};
use crate::journal::Journal;
use crate::keys;
use crate::membership::Membership;
use crate::moves;
use crate::roster::{self, Roster};
use crate::slot_map;

/// Largest value, in bytes: it has to fit a frame between nodes.
pub(crate) const VALUE_MAX: usize = 8 << 20;

/// Members asked for what they hold at a time.
const STATUS_CONCURRENCY: usize = 32;

/// When a client that was turned away should come again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What the front doors see of a node.
pub(crate) struct NodeBackend {
    pub(crate) me: Pid,
    pub(crate) name: Arc<str>,
    pub(crate) cluster_name: String,
    pub(crate) quic: String,
    pub(crate) http: String,
    pub(crate) max_memory: Option<u64>,
    pub(crate) started: Instant,
    pub(crate) cluster: Cluster,
    pub(crate) membership: Membership,
    pub(crate) roster: Arc<Roster>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) moving: moves::Latest,
    /// Cancelled to ask for a graceful leave.
    pub(crate) leave: CancellationToken,
    pub(crate) leaving: AtomicBool,
}

impl Backend for NodeBackend {
    fn execute(&self, command: Command<'_>) -> Execution {
        let now_ms = self.cluster.unix_ms();
        let slots = self.cluster.slots();
        if let Command::Get { key } = command
            && let Some((outcome, _)) = slots.try_get(key, now_ms)
        {
            return Execution::Ready(reply(Source::Local, Arc::clone(&self.name), outcome));
        }
        if let Command::Put { value, .. } = command
            && value.len() > VALUE_MAX
        {
            return Execution::Ready(Err(api::Failure::TooLarge { limit: VALUE_MAX as u64 }));
        }
        let operation = operation(&command);
        if let Some((outcome, _)) = slots.try_apply(&operation, now_ms) {
            return Execution::Ready(reply(Source::Local, Arc::clone(&self.name), outcome));
        }
        let (cluster, roster, me) = (self.cluster.clone(), Arc::clone(&self.roster), self.me);
        let pending = async move {
            let (outcome, holder) = cluster.execute(operation).await.map_err(failure)?;
            let source = if holder == me { Source::Local } else { Source::Cluster };
            reply(source, roster.name(holder), outcome)
        };
        Execution::Pending(pending.boxed())
    }

    fn readiness(&self) -> Readiness {
        match self.unready() {
            Some(reason) => Readiness::Unready { reason: reason.into() },
            None => Readiness::Ready,
        }
    }

    fn status(&self) -> api::Status {
        let memory = self.cluster.slots().memory();
        let reason = self.unready();
        api::Status {
            id: boato_gossip::NodeId(self.me.node).to_string(),
            name: self.name.to_string(),
            cluster: self.cluster_name.clone(),
            version: VERSION.to_owned(),
            ready: reason.is_none(),
            reason: reason.map(str::to_owned),
            uptime_s: self.started.elapsed().as_secs(),
            quic: self.quic.clone(),
            http: self.http.clone(),
            members: self.roster.len(),
            slots: self.cluster.stats().custody,
            entries: memory.entries,
            bytes: memory.bytes,
            max_memory: self.max_memory,
            moving: *self.moving.borrow(),
        }
    }

    fn members(&self) -> BoxFuture<'static, Vec<MemberInfo>> {
        let members = self.membership.members();
        let cluster = self.cluster.clone();
        let infos = stream::iter(members.to_vec())
            .map(move |member| {
                let cluster = cluster.clone();
                async move {
                    let status =
                        if member.is_live() { cluster.status(roster::pid(&member)).await } else { None };
                    member_info(&member, status.as_ref())
                }
            })
            .buffered(STATUS_CONCURRENCY);
        infos.collect().boxed()
    }

    fn slots(&self) -> BoxFuture<'static, SlotMap> {
        let (cluster, roster) = (self.cluster.clone(), Arc::clone(&self.roster));
        let pids = roster.pids();
        let statuses = stream::iter(pids)
            .map(move |pid| {
                let cluster = cluster.clone();
                async move { (pid, cluster.status(pid).await) }
            })
            .buffer_unordered(STATUS_CONCURRENCY)
            .filter_map(|(pid, status)| async move { Some((pid, status?)) });
        async move {
            let mut statuses: Vec<(Pid, cluster::Status)> = statuses.collect().await;
            statuses.sort_by_key(|&(pid, _)| pid);
            slot_map::of(&statuses, |pid| roster.name(pid).to_string())
        }
        .boxed()
    }

    fn owner(&self, key: &[u8]) -> Owner {
        let slot = boato_placement::slot(key);
        let target = self.cluster.slots().routes().target(slot);
        Owner { slot, owner: target.map(|pid| self.roster.name(pid).to_string()) }
    }

    fn keys(&self, query: KeysQuery<'_>) -> BoxFuture<'static, Result<KeysPage, api::Failure>> {
        keys::page(self.cluster.clone(), query)
    }

    fn events(&self) -> BoxStream<'static, api::Event> {
        self.journal.read()
    }

    fn leave(&self) -> Result<(), api::Failure> {
        self.leave.cancel();
        Ok(())
    }
}

impl NodeBackend {
    fn unready(&self) -> Option<&'static str> {
        if self.leaving.load(Ordering::Relaxed) {
            return Some("leaving");
        }
        match self.cluster.standing() {
            Standing::Claimed => None,
            Standing::Eligible => Some("looking for other nodes"),
            Standing::Waiting if self.roster.len() > 1 => Some(
                "no cluster yet: none of the nodes found may begin one, which takes a --join that names the node itself, or none",
            ),
            Standing::Waiting => Some("joining: none of the nodes to join has answered yet"),
        }
    }
}

fn member_info(member: &boato_gossip::Member, status: Option<&cluster::Status>) -> MemberInfo {
    let attributes = Attributes::of(member);
    MemberInfo {
        id: member.id.to_string(),
        name: member.name.to_string(),
        state: match member.state {
            boato_gossip::State::Alive => "alive",
            boato_gossip::State::Suspect => "suspect",
            boato_gossip::State::Dead => "dead",
            boato_gossip::State::Left => "left",
        },
        quic: member.addr.to_string(),
        http: attributes.http.map(|http| http.to_string()),
        weight: attributes.weight.into(),
        version: attributes.version,
        load: status.map(|status| Load { slots: status.slots, bytes: status.bytes }),
    }
}

fn operation(command: &Command<'_>) -> Operation {
    let copy = Bytes::copy_from_slice;
    match command {
        Command::Get { key } => Operation::Get { key: copy(key) },
        Command::Put { key, value, content_type, ttl, condition } => Operation::Put {
            key: copy(key),
            value: copy(value),
            content_type: copy(content_type),
            ttl_ms: ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
            guard: guard(condition),
        },
        Command::Delete { key, condition } => Operation::Delete { key: copy(key), guard: guard(condition) },
    }
}

fn guard(condition: &api::Condition) -> Guard {
    let pairs =
        |versions: &[api::Version]| versions.iter().map(|version| (version.hlc, version.node)).collect();
    match condition {
        api::Condition::Always => Guard::Always,
        api::Condition::Absent => Guard::Absent,
        api::Condition::Present => Guard::Present,
        api::Condition::Is(versions) => Guard::Is(pairs(versions)),
        api::Condition::IsNot(versions) => Guard::IsNot(pairs(versions)),
    }
}

fn version((hlc, node): (u64, u128)) -> api::Version {
    api::Version { hlc, node }
}

fn reply(source: Source, holder: Arc<str>, outcome: Outcome) -> Result<Reply, api::Failure> {
    let outcome = match outcome {
        Outcome::Value { value, content_type, version: stored, ttl_ms } => api::Outcome::Value {
            value,
            content_type,
            version: version(stored),
            ttl_left: ttl_ms.map(Duration::from_millis),
        },
        Outcome::Missing => api::Outcome::Missing,
        Outcome::Created(stored) => api::Outcome::Created(version(stored)),
        Outcome::Replaced(stored) => api::Outcome::Replaced(version(stored)),
        Outcome::Deleted(_) => api::Outcome::Deleted,
        Outcome::Refused(stored) => api::Outcome::Refused(stored.map(version)),
        Outcome::Full => api::Outcome::Full,
        Outcome::TooFewMembers { members, needed } => {
            return Err(unavailable(format!(
                "the node that holds this key sees {members} of the {needed} live members that it needs to accept writes \
                 (--min-members)"
            )));
        }
        Outcome::TooLarge => return Err(api::Failure::TooLarge { limit: VALUE_MAX as u64 }),
        Outcome::Keys(_) => return Err(unavailable("the holder speaks another protocol version")),
    };
    Ok(Reply { source, holder, outcome })
}

fn unavailable(reason: impl Into<Cow<'static, str>>) -> api::Failure {
    api::Failure::Unavailable { reason: reason.into(), retry_after: RETRY_AFTER }
}

pub(crate) fn failure(failure: cluster::Failure) -> api::Failure {
    match failure {
        cluster::Failure::OutcomeUnknown => api::Failure::OutcomeUnknown,
        cluster::Failure::Busy => unavailable("too many operations wait for this key's slot"),
        cluster::Failure::Unroutable => unavailable("this key's slot is moving"),
        _ => unavailable("this key's slot has no holder at the moment"),
    }
}
