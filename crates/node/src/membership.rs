//! What gossip says of the members, passed on to the slots, the roster and the journal.

mod find;
mod join;
mod query;
mod reach;
mod requests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use boato_api::Declined;
use boato_cluster::Liveness;
use boato_cluster::quic::Cluster;
use boato_gossip::quic::Handle;
use boato_gossip::{Event, InputError, Member, NodeId, State, UserEvent};
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Mutex, broadcast};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::attributes::{Announced, Attributes};
use crate::handler::Handler;
use crate::journal::Journal;
use crate::keyring::Keys;
use crate::roster::{Roster, pid};

/// How long a node that was told to join its own name looks around before it begins a cluster.
const QUIET_JOIN: Duration = Duration::from_secs(3);

/// How often everything that gossip knows is read.
const RESYNC: Duration = Duration::from_secs(5);

/// This node's part in gossip.
#[derive(Clone)]
pub(crate) struct Membership {
    handle: Handle,
    me: NodeId,
    addr: SocketAddr,
    announced: Arc<Mutex<Announced>>,
    /// The cluster's secrets, if it has any.
    keys: Option<Keys>,
    name: Name,
    /// The name it was given.
    wanted: Arc<str>,
}

/// A node's name, which changes where an older node has it, too.
pub(crate) type Name = Arc<ArcSwap<Arc<str>>>;

/// As much of a name is kept when an id is added to it: the whole stays within a name's 64 bytes.
const NAME_BASE_MAX: usize = 55;

impl Membership {
    pub(crate) fn new(
        handle: Handle,
        me: NodeId,
        addr: SocketAddr,
        announced: Announced,
        keys: Option<Keys>,
        name: Name,
    ) -> Self {
        let wanted = Arc::clone(&**name.load());
        Self { handle, me, addr, announced: Arc::new(Mutex::new(announced)), keys, name, wanted }
    }

    /// The cluster's secrets.
    ///
    /// # Errors
    /// There are none.
    fn keyring(&self) -> Result<&Keys, Declined> {
        let none = "this cluster has no secret: give all nodes one at their start, with --secret-file";
        self.keys.as_ref().ok_or_else(|| Declined::Conflict(none.into()))
    }

    /// Answers queries until `stop`.
    pub(crate) fn answer_queries(&self, handler: Option<Handler>, stop: &CancellationToken) {
        tokio::spawn(query::answer(self.handle.clone(), handler, stop.clone()));
    }

    /// Everybody known, this node included.
    pub(crate) fn members(&self) -> Arc<[Member]> {
        self.handle.members()
    }

    /// The members beside this one to which its keys can go, and what they say of themselves; suspects only `with_suspects`.
    pub(crate) fn takers(&self, with_suspects: bool) -> Vec<(NodeId, Attributes)> {
        let members = self.members();
        let is_there = |it: &Member| it.state == State::Alive || with_suspects && it.is_live();
        let others = members.iter().filter(|member| member.id != self.me && is_there(member));
        let others = others.map(|member| (member.id, Attributes::of(member)));
        others.filter(|(_, attributes)| attributes.takes_keys()).collect()
    }

    pub(crate) fn join(&self, addr: SocketAddr) {
        self.handle.join(addr);
    }

    /// Changes from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.handle.subscribe()
    }

    /// Changes what this node says of itself, and tells everybody.
    pub(crate) async fn update(&self, change: impl FnOnce(&mut Attributes)) {
        let mut announced = self.announced.lock().await;
        change(&mut announced.attributes);
        if let Err(error) = self.handle.set_tags(announced.tags()).await {
            tracing::error!(%error, "cannot tell the others what has changed about this node: remove or shorten tags (boato tags), then change it again");
        }
    }

    /// What gossip has done so far.
    pub(crate) fn stats(&self) -> boato_gossip::Stats {
        self.handle.stats()
    }

    /// Where peers reach this node, as it says.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The share of the keys that this node asks for.
    pub(crate) async fn weight(&self) -> u16 {
        self.announced.lock().await.attributes.weight
    }

    /// Says goodbye.
    pub(crate) async fn leave(&self) {
        self.handle.leave().await;
    }

    /// Passes on what gossip says until `stop`. `replaced` is cancelled when another boot of this node turns up. To `replay` is to
    /// ask the first that is found for the user events of before.
    ///
    /// Dead members that gossip learns of from others make no event: what it knows is read as a whole now and then.
    pub(crate) async fn run(self, to: Listeners, mut replay: bool, stop: CancellationToken) {
        let mut events = self.handle.subscribe();
        let mut ticks = interval(RESYNC);
        loop {
            let event = tokio::select! {
                event = events.recv() => event,
                _ = ticks.tick() => {
                    self.resync(&to);
                    continue;
                }
                () = stop.cancelled() => return self.handle.stop(),
            };
            match event {
                Ok(event) => {
                    if matches!(event, Event::Joined(_)) && std::mem::take(&mut replay) {
                        self.handle.recall();
                    }
                    self.pass_on(event, &to);
                }
                Err(RecvError::Lagged(missed)) => {
                    to.journal.miss(missed);
                    self.resync(&to);
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn resync(&self, to: &Listeners) {
        let members = self.members();
        to.roster.set(&members);
        for member in members.iter() {
            to.tell(member);
        }
        self.take_back(to);
    }

    /// Two members have one name, and the other has had it longer: this one announces its id with it. Both go on.
    fn give_way(&self, other: &Member, to: &Listeners) {
        let base: String = other.name.chars().take(NAME_BASE_MAX).collect();
        let name = format!("{base}-{}", self.me.short());
        tracing::warn!(
            name = &*other.name,
            other = %other.addr,
            "another member has this node's name and has had it longer: calling this one {name}; give it a --name of its own"
        );
        self.rename(name.as_str().into());
        to.journal.write(
            "name_conflict",
            json!({ "name": &*other.name, "other": other.id.to_string(), "now": name }),
        );
    }

    /// No live member has the name any more that this node was given: it takes it back.
    fn take_back(&self, to: &Listeners) {
        let name = &self.wanted;
        let is_taken = |member: &Member| member.id != self.me && member.is_live() && member.name == *name;
        if **self.name.load() == *name || self.members().iter().any(is_taken) {
            return;
        }
        tracing::info!(name = &**name, "no other member has this node's name any more: it has it again");
        self.rename(Arc::clone(name));
        to.journal.write("name_regained", json!({ "name": &**name }));
    }

    fn rename(&self, name: Arc<str>) {
        self.name.store(Arc::new(Arc::clone(&name)));
        let handle = self.handle.clone();
        tokio::spawn(async move {
            if let Err(error) = handle.set_name(name.to_string()).await {
                tracing::debug!(%error, "the other name was not announced");
            }
        });
    }

    /// A user event, for the journal.
    fn shown(&self, event: &UserEvent) -> serde_json::Value {
        let members = self.members();
        let origin = members.iter().find(|member| member.id == event.origin.id);
        let from = origin.map_or_else(|| event.origin.id.to_string(), |member| member.name.to_string());
        let mut data = json!({ "name": &*event.name, "from": from, "time": event.time });
        let (key, value) = payload(&event.payload, "payload");
        data[key] = value;
        data
    }

    fn pass_on(&self, event: Event, to: &Listeners) {
        let (kind, member) = match event {
            Event::Joined(member) => ("joined", member),
            Event::Updated(member) => ("updated", member),
            Event::Suspected(member) => ("suspected", member),
            Event::Recovered(member) => ("recovered", member),
            Event::Failed(member) => ("failed", member),
            Event::Left(member) => ("left", member),
            Event::Removed(member) => ("removed", member),
            Event::NameTaken(member) => return self.give_way(&member, to),
            Event::StreamsOnly(member) => {
                to.journal
                    .write("streams_only", json!({ "id": member.id.to_string(), "name": &*member.name }));
                return tracing::warn!(
                    name = &*member.name,
                    quic = %member.addr,
                    "probes of a member are answered on streams only: datagrams between it and this node seem blocked: \
                     look for a firewall on either side, or a path that drops large packets"
                );
            }
            Event::User(event) => return to.journal.write("user", self.shown(&event)),
            Event::SelfJoin { addr } => {
                tracing::debug!(%addr, "the address to join is this node's own");
                return to.cluster.eligible(QUIET_JOIN);
            }
            Event::Replaced { boot } => {
                tracing::error!(
                    boot,
                    "another process runs under this node's id, ending this one: give each its own --data-dir, none a copied one"
                );
                return to.replaced.cancel();
            }
            _ => return,
        };
        to.roster.set(&self.members());
        to.tell(&member);
        self.take_back(to);
        let (id, name) = (member.id.to_string(), &*member.name);
        match kind {
            "failed" => {
                tracing::warn!(name, quic = %member.addr, "a member failed: its keys are lost, its slots begin anew; look at its log, and start it again");
            }
            "joined" | "left" | "removed" => tracing::info!(name, quic = %member.addr, "a member {kind}"),
            _ => tracing::debug!(name, quic = %member.addr, "a member was {kind}"),
        }
        to.journal.write(kind, json!({ "id": id, "name": name, "quic": member.addr.to_string() }));
    }
}

/// Why gossip refused, as a client is told.
fn declined(error: &InputError) -> Declined {
    let text = error.to_string();
    match error {
        InputError::EventsFull | InputError::QueriesFull => Declined::Busy(text),
        InputError::Ended | InputError::Lives(_) | InputError::EventsWorn => Declined::Conflict(text),
        InputError::NoMember(_) => Declined::Unknown(text),
        _ => Declined::Invalid(text),
    }
}

/// Bytes as JSON: under `text` if they are text, else in base64 under `base64`.
pub(crate) fn payload(bytes: &[u8], text: &str) -> (String, serde_json::Value) {
    match std::str::from_utf8(bytes) {
        Ok(payload) => (text.to_owned(), payload.into()),
        Err(_) => ("base64".to_owned(), BASE64_STANDARD.encode(bytes).into()),
    }
}

/// Who wants to know.
pub(crate) struct Listeners {
    pub(crate) cluster: Cluster,
    pub(crate) roster: Arc<Roster>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) replaced: CancellationToken,
}

impl Listeners {
    fn tell(&self, member: &Member) {
        let attributes = Attributes::of(member);
        let liveness = match (member.is_live(), attributes.leaving) {
            (false, _) => Liveness::Dead,
            (true, true) => Liveness::Leaving,
            (true, false) => Liveness::Alive,
        };
        self.cluster.member(pid(member), member.addr, liveness, attributes.weight);
    }
}
