//! The node behind its front doors.

mod convert;
mod topology;
mod walk;

use std::collections::BTreeMap;
use std::future::ready;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use boato_api::{
    self as api, Backend, Change, Command, Entry, Execution, KeysPage, KeysQuery, Load, MemberInfo, Outcome,
    Owner, Readiness, Reply, ScanPage, ScanQuery, Shown, SlotMap, Source, Topology, Transaction,
};
use boato_cluster::quic::Cluster;
use boato_cluster::{self as cluster, Effect, Operation, Pid, Slice, Standing, Value};
use boato_transport::Transport;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use tokio::sync::watch;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use crate::attributes::{Attributes, VERSION};
use crate::doors::Addresses;
use crate::figures;
use crate::journal::Journal;
use crate::keys;
use crate::live::{Live, ReloadError};
use crate::logging;
use crate::membership::{Membership, Name};
use crate::moves;
use crate::roster::{self, Holders, Roster};
use crate::slot_map;
use crate::tally::{Asked, Tally};

pub(crate) use convert::failure;
pub(crate) use topology::Latest;

/// Members asked for what they hold at a time.
const STATUS_CONCURRENCY: usize = 32;

/// What the front doors see of a node.
pub(crate) struct NodeBackend {
    pub(crate) me: Pid,
    pub(crate) name: Name,
    pub(crate) cluster_name: String,
    pub(crate) quic: String,
    pub(crate) doors: Addresses,
    pub(crate) started: Instant,
    pub(crate) cluster: Cluster,
    pub(crate) membership: Membership,
    pub(crate) transport: Transport,
    pub(crate) roster: Arc<Roster>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) moving: moves::Latest,
    pub(crate) topology: Latest,
    /// Cancelled to ask for a graceful leave.
    pub(crate) leave: CancellationToken,
    /// What became of the keys, once they have been handed off.
    pub(crate) departure: watch::Sender<Option<api::Departure>>,
    pub(crate) live: Arc<Live>,
}

impl Backend for NodeBackend {
    fn now_ms(&self) -> u64 {
        self.cluster.unix_ms()
    }

    fn name(&self) -> Arc<str> {
        Arc::clone(&self.name.load())
    }

    fn try_execute(&self, command: &Command<'_>, now_ms: u64) -> Option<Result<Outcome, api::Failure>> {
        let operation = match convert::operation(command) {
            Ok(operation) => operation,
            Err(failure) => return Some(Err(failure)),
        };
        let result = self.try_apply(&operation, now_ms)?;
        self.tally.answered(Asked::of(command), Source::Local, &result);
        Some(result)
    }

    fn execute_traced(&self, command: &Command<'_>, trace: api::Trace) -> Execution {
        if let Some(result) = self.execute_here(command) {
            return Execution::Ready(result);
        }
        let operation = match convert::operation(command) {
            Ok(operation) => operation.to_bytes(),
            Err(failure) => return Execution::Ready(Err(failure)),
        };
        let (cluster, roster, me) = (self.cluster.clone(), Arc::clone(&self.roster), self.me);
        let (tally, asked) = (Arc::clone(&self.tally), Asked::of(command));
        let api::Trace { id, parent, flags } = trace;
        let traced = async move {
            let trace = cluster::Trace { id, parent, flags };
            let result = cluster.execute_traced(operation, Some(trace)).await;
            answered(result, &mut roster.holders(), me, &tally, asked)
        };
        Execution::Pending(traced.boxed())
    }

    fn execute_all(&self, commands: &[Command<'_>]) -> BoxFuture<'static, Vec<Result<Reply, api::Failure>>> {
        let mut operations = Vec::with_capacity(commands.len());
        let asked = commands.iter().map(|command| {
            operations.push(convert::operation(command)?);
            Ok(Asked::of(command))
        });
        let asked: Vec<Result<Asked, api::Failure>> = asked.collect();
        let answers = self.cluster.execute_all(&operations);
        let (me, roster, tally) = (self.me, Arc::clone(&self.roster), Arc::clone(&self.tally));
        async move {
            let (mut answers, mut names) = (answers.await.into_iter(), roster.holders());
            let answer = |asked: Result<Asked, api::Failure>| {
                let asked = asked?;
                let answer = answers.next().expect("invariant: an answer per operation");
                answered(answer, &mut names, me, &tally, asked)
            };
            asked.into_iter().map(answer).collect()
        }
        .boxed()
    }

    fn read(&self, key: &[u8], now_ms: u64, found: &mut dyn FnMut(Option<Entry<'_>>)) -> bool {
        let show = |value: Option<Value<'_>>| {
            self.tally.read(value.is_some());
            found(value.map(|value| convert::entry(&value, now_ms)));
        };
        self.cluster.slots().try_read(key, now_ms, show).is_some()
    }

    fn read_all(
        &self,
        keys: &[&[u8]],
        now_ms: u64,
        found: &mut dyn FnMut(Option<Entry<'_>>) -> bool,
    ) -> bool {
        let mut hits = 0;
        let is_read = self.cluster.slots().try_read_all(keys, now_ms, |value| {
            hits += u64::from(value.is_some());
            found(value.map(|value| convert::entry(&value, now_ms)))
        });
        if is_read {
            self.tally.read_all(hits, keys.len() as u64 - hits);
        }
        is_read
    }

    fn write_all<'a>(
        &self,
        count: usize,
        write: &dyn Fn(usize) -> Command<'a>,
        now_ms: u64,
        done: &mut dyn FnMut(Result<Outcome, api::Failure>),
    ) -> bool {
        let steps = || (0..count).map(|place| convert::step(&write(place)));
        let Some(slot) = convert::together(steps()) else { return false };
        let asked = Asked::write();
        self.cluster.slots().try_apply_all(slot, steps().flatten(), now_ms, |effect| {
            let result = convert::answer(effect);
            self.tally.answered(asked, Source::Local, &result);
            done(result);
        })
    }

    fn show(&self, key: &[u8], found: &mut dyn FnMut(&str, Option<Shown<'_>>) -> bool) -> bool {
        let now_ms = self.cluster.unix_ms();
        let name = self.name.load();
        let shown = self.cluster.slots().try_show(key, now_ms, |entry| {
            let shown = entry.map(|entry| convert::shown(&entry, now_ms));
            found(&name, shown).then_some(shown.is_some())
        });
        let Some(hit) = shown.flatten() else { return false };
        self.tally.read(hit);
        true
    }

    fn fetch(&self, keys: &[&[u8]]) {
        self.cluster.slots().fetch(keys.iter().copied());
    }

    fn check(&self, command: &Command<'_>) -> Result<(), api::Failure> {
        match convert::checked(command) {
            Err(failure @ api::Failure::TooLarge { .. }) => Err(failure),
            // What is about two slots is so whatever the others do.
            _ => Ok(()),
        }
    }

    fn transact(
        &self,
        transaction: Transaction<'_>,
    ) -> BoxFuture<'static, Result<Option<Vec<Result<Outcome, api::Failure>>>, api::Failure>> {
        let operation = match convert::transaction(&transaction) {
            Ok(operation) => operation,
            Err(failure) => return ready(Err(failure)).boxed(),
        };
        let asked: Vec<Asked> = transaction.commands.iter().map(Asked::of).collect();
        if let Some((effect, _)) = self.cluster.slots().try_apply(&operation, self.cluster.unix_ms()) {
            let result = convert::transacted(effect);
            self.tally.transacted(&asked, Source::Local, &result);
            return ready(result).boxed();
        }
        let (cluster, operation) = (self.cluster.clone(), operation.to_bytes());
        let (me, tally) = (self.me, Arc::clone(&self.tally));
        async move {
            let (source, result) = match cluster.execute(operation).await {
                Ok((effect, holder)) if holder == me => (Source::Local, convert::transacted(effect)),
                Ok((effect, _)) => (Source::Cluster, convert::transacted(effect)),
                Err(error) => (Source::Cluster, Err(failure(error))),
            };
            tally.transacted(&asked, source, &result);
            result
        }
        .boxed()
    }

    fn scan(&self, query: ScanQuery<'_>) -> BoxFuture<'static, Result<ScanPage, api::Failure>> {
        walk::Scan::new(query, &self.topology()).page(self.cluster.clone()).boxed()
    }

    fn count(&self, slot: Option<u16>) -> BoxFuture<'static, Result<u64, api::Failure>> {
        walk::count(self.cluster.clone(), slot).boxed()
    }

    fn flush(&self) -> BoxFuture<'static, Result<u64, api::Failure>> {
        walk::flush(self.cluster.clone()).boxed()
    }

    fn slot(&self, key: &[u8]) -> u16 {
        boato_placement::slot(key)
    }

    fn redirect(&self, slot: u16) -> Option<SocketAddr> {
        let slots = self.cluster.slots();
        let routes = slots.routes();
        let target = routes.target(slot).filter(|target| *target != self.me)?;
        if slots.inspect(slot, |header| header.custody().is_some()) {
            return None;
        }
        let names = self.roster.names();
        let addr = names.get(&target)?.resp_cluster?;
        self.topology.is_at_rest(self.me, &routes.table, &names).then_some(addr)
    }

    fn topology(&self) -> Arc<Topology> {
        self.topology.of(self.me, &self.cluster.slots().routes().table, &self.roster.names())
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
        let slots = self.cluster.stats().custody;
        api::Status {
            id: boato_gossip::NodeId(self.me.node).to_string(),
            name: self.name.load().to_string(),
            cluster: self.cluster_name.clone(),
            version: VERSION.to_owned(),
            ready: reason.is_none(),
            reason: reason.map(str::to_owned),
            uptime_s: self.started.elapsed().as_secs(),
            quic: self.quic.clone(),
            http: self.doors.http.to_string(),
            resp: text(self.doors.resp),
            resp_cluster: text(self.doors.resp_cluster),
            members: self.roster.len(),
            slots,
            entries: memory.entries,
            expired: self.cluster.expired(),
            bytes: memory.bytes,
            max_memory: self.live.told.lock().max_memory,
            moving: self.moving.borrow().and_then(|moving| moves::still(moving, slots)),
        }
    }

    fn figures(&self) -> BoxFuture<'static, BTreeMap<String, Option<api::Figures>>> {
        let me = boato_gossip::NodeId(self.me.node);
        figures::of(self.transport.clone(), me, &self.membership.members()).boxed()
    }

    fn operations(&self) -> api::Operations {
        self.tally.sums()
    }

    fn membership(&self) -> Option<&dyn api::Membership> {
        Some(&self.membership)
    }

    fn members(&self) -> BoxFuture<'static, Vec<MemberInfo>> {
        let members = self.membership.members();
        let cluster = self.cluster.clone();
        let infos = stream::iter(members.to_vec())
            .map(move |member| {
                let cluster = cluster.clone();
                async move {
                    let load = if member.is_live() { cluster.load(roster::pid(&member)).await } else { None };
                    member_info(&member, load)
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
            .buffer_unordered(STATUS_CONCURRENCY);
        async move {
            let mut statuses: Vec<(Pid, Option<cluster::Status>)> = statuses.collect().await;
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

    fn events(&self) -> (Vec<api::Event>, BoxStream<'static, api::Event>) {
        self.journal.read_all()
    }

    fn log(&self, filter: &str) -> Result<BoxStream<'static, api::Logged>, api::Declined> {
        logging::follow(filter)
    }

    fn change(&self, change: Change) -> BoxFuture<'static, Result<Vec<String>, String>> {
        let live = Arc::clone(&self.live);
        // Goes on to its end, whether or not who asked waits for it.
        let changing = tokio::spawn(async move {
            let changed = live.change(change).await;
            match &changed {
                Ok(what) if what.is_empty() => tracing::info!("asked to {change}: all was so before"),
                Ok(what) => tracing::info!("asked to {change}: {}", what.join(", ")),
                Err(error) => tracing::warn!("asked to {change}: {error}"),
            }
            changed.map_err(|error| error.to_string())
        });
        let ended = |error: JoinError| match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // With everything else.
            Err(_) => Err(ReloadError::Leaving.to_string()),
        };
        changing.map(move |done| done.unwrap_or_else(ended)).boxed()
    }

    fn is_peer_door(&self, addr: SocketAddr) -> bool {
        // Also of those that are gone: their pages go on with other nodes.
        self.membership.members().iter().any(|member| Attributes::of(member).http == Some(addr))
    }

    fn leave(&self) -> Result<(), api::Failure> {
        self.leave.cancel();
        Ok(())
    }

    fn departed(&self) -> BoxFuture<'static, api::Departure> {
        let mut departure = self.departure.subscribe();
        async move {
            match departure.wait_for(Option::is_some).await.map(|departure| *departure) {
                Ok(Some(departure)) => departure,
                // The node is gone: nobody can tell.
                _ => std::future::pending().await,
            }
        }
        .boxed()
    }
}

impl NodeBackend {
    fn try_apply(
        &self,
        operation: &Operation<Slice<'_>>,
        now_ms: u64,
    ) -> Option<Result<Outcome, api::Failure>> {
        let (effect, _) = self.cluster.slots().try_apply(operation, now_ms)?;
        Some(convert::answer(effect))
    }

    fn unready(&self) -> Option<&'static str> {
        if self.live.leaving.load(Ordering::Relaxed) {
            return Some("leaving");
        }
        if self.live.draining.load(Ordering::Relaxed) {
            return Some(
                "drained: its keys go to other nodes, and `boato weight` with a number above 0 brings keys back",
            );
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

/// The reply to a command that was asked for elsewhere, counted.
fn answered(
    result: Result<(Effect, Pid), cluster::Failure>,
    names: &mut Holders<'_>,
    me: Pid,
    tally: &Tally,
    asked: Asked,
) -> Result<Reply, api::Failure> {
    let (source, holder, result) = match result {
        Ok((effect, holder)) => {
            let source = if holder == me { Source::Local } else { Source::Cluster };
            (source, names.of(holder), convert::answer(effect))
        }
        Err(error) => (Source::Cluster, Arc::default(), Err(failure(error))),
    };
    tally.answered(asked, source, &result);
    result.map(|outcome| Reply { source, holder, outcome })
}

fn text(addr: Option<SocketAddr>) -> Option<String> {
    addr.map(|addr| addr.to_string())
}

fn member_info(member: &boato_gossip::Member, load: Option<cluster::Load>) -> MemberInfo {
    let attributes = Attributes::of(member);
    MemberInfo {
        id: member.id.to_string(),
        name: member.name.to_string(),
        state: match member.state {
            boato_gossip::State::Alive => "alive",
            boato_gossip::State::Suspect => "suspect",
            boato_gossip::State::Dead => "dead",
            boato_gossip::State::Left | boato_gossip::State::Pruned => "left",
        },
        quic: member.addr.to_string(),
        http: text(attributes.http),
        resp: text(attributes.resp),
        resp_cluster: text(attributes.resp_cluster),
        weight: attributes.weight.into(),
        version: attributes.version,
        tags: member.tags.iter().map(|(key, value)| (key.into(), value.into())).collect(),
        load: load.map(|load| Load { slots: load.slots, bytes: load.bytes }),
    }
}
