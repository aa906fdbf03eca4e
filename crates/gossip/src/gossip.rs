//! The state machine: what it is made of, and what comes in where.

mod belief;
mod events;
mod housekeeping;
mod leave;
mod merge;
mod probe;
mod push_pull;
mod query;
mod receive;
mod reconnect;
mod relay;
mod roll_call;
mod spread;
mod stall;
mod words;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use crate::awareness::Awareness;
use crate::coordinate::Vivaldi;
use crate::member::{announceable, check_attributes};
use crate::queue::Queue;
use crate::rtt::Rtt;
use crate::table::Table;
use crate::timers::{Timer, Timers};
use crate::user_event::UserEvents;
use crate::{
    Config, Coordinate, Event, Identity, Input, InputError, Member, MemberPool, NewError, NodeId, Output,
    Signature, Signer, State, Stats, Tags,
};

use events::Recalls;
use leave::Farewells;
use merge::Hearsay;
use probe::Probe;
use push_pull::PushPulls;
use query::Queries;
use receive::Way;
use relay::Relays;
use roll_call::RollCall;

/// Room that is kept for outputs between two inputs.
const OUTPUTS_KEPT: usize = 64;

/// One member of a cluster: membership by SWIM, without I/O, clock or randomness of its own.
///
/// After [`Gossip::new`] and after each [`handle`](Gossip::handle), drain [`poll_output`](Gossip::poll_output), then
/// sleep until [`poll_timeout`](Gossip::poll_timeout) or the next input.
#[derive(Debug)]
pub struct Gossip {
    config: Config,
    now: Duration,
    rng: Rng,
    me: Member,
    phase: Phase,
    pool: Option<MemberPool>,
    signer: Option<Arc<dyn Signer>>,
    table: Table,
    queue: Queue,
    events: UserEvents,
    timers: Timers,
    awareness: Awareness,
    rtt: Rtt,
    vivaldi: Vivaldi,
    probe: Option<Probe>,
    roll_call: RollCall,
    relays: Relays,
    push_pulls: PushPulls,
    queries: Queries,
    farewells: Farewells,
    /// Members found dead a short while ago, and until when they still receive news.
    fallen: VecDeque<(Duration, NodeId)>,
    /// Suspects that have yet to be told so.
    warnings: VecDeque<NodeId>,
    /// Addresses of members that died and were forgotten; contacted now and then for ever.
    forgotten: VecDeque<SocketAddr>,
    recalls: Recalls,
    /// From when on a recall is answered again.
    recalled_at: Duration,
    /// When news is sent next; none while there is none.
    spread_at: Option<Duration>,
    /// The last number given to a probe or a push-pull.
    number: u64,
    /// How often a belief has changed.
    changes: usize,
    hearsay: Hearsay,
    /// What a message says of this member that it answers: of which incarnation, and whether it refutes.
    doubted: Option<(u64, bool)>,
    outputs: VecDeque<Output>,
    stats: Stats,
}

/// How far this member's life has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Active,
    /// The goodbye is spreading.
    Leaving,
    /// The goodbye has spread. Probes are still answered, with the goodbye on them.
    Left,
    /// A newer boot of this node exists: this one is silent.
    Replaced,
}

impl Gossip {
    /// A member that knows nobody yet. `now` is the time since the driver's origin, which all later calls share;
    /// `seed` feeds the generator behind every random choice.
    ///
    /// # Errors
    /// A setting is out of range, or address, name or tags cannot be announced.
    pub fn new(config: Config, identity: Identity, seed: u64, now: Duration) -> Result<Gossip, NewError> {
        config.check().map_err(NewError::Config)?;
        let me = Member {
            id: identity.id,
            boot: identity.boot,
            incarnation: 0,
            addr: announceable(identity.addr)?,
            state: State::Alive,
            name: identity.name.into(),
            tags: Tags::new(identity.tags)?,
            signature: Signature::default(),
        };
        check_attributes(&me.name, &me.tags)?;
        let mut gossip = Gossip {
            now,
            rng: Rng::with_seed(seed),
            me,
            phase: Phase::Active,
            pool: None,
            signer: None,
            table: Table::default(),
            queue: Queue::default(),
            events: UserEvents::new(config.event_bytes),
            timers: Timers::default(),
            awareness: Awareness::default(),
            rtt: Rtt::default(),
            vivaldi: Vivaldi::default(),
            probe: None,
            roll_call: RollCall::new(now),
            relays: Relays::default(),
            push_pulls: PushPulls::default(),
            queries: Queries::default(),
            farewells: Farewells::default(),
            fallen: VecDeque::new(),
            warnings: VecDeque::new(),
            forgotten: VecDeque::new(),
            recalls: Recalls::default(),
            recalled_at: Duration::ZERO,
            spread_at: None,
            number: 0,
            changes: 0,
            hearsay: Hearsay::default(),
            doubted: None,
            outputs: VecDeque::new(),
            stats: Stats::default(),
            config,
        };
        gossip.start_clocks();
        Ok(gossip)
    }

    /// Starts the periodic timers, each at a random phase, so that members started together do not act together.
    fn start_clocks(&mut self) {
        self.number = self.rng.u64(..u64::from(u32::MAX));
        let clocks =
            [(self.config.probe_interval, Timer::Probe), (self.config.reconnect_interval, Timer::Reconnect)];
        for (interval, timer) in clocks {
            let phase = interval.mul_f64(self.rng.f64());
            self.timers.set(self.now + phase, timer);
        }
        self.start_push_pulls();
    }

    /// Keeps one copy of what it and others in this process know alike. For simulations.
    #[must_use]
    pub fn with_pool(mut self, pool: MemberPool) -> Gossip {
        self.pool = Some(pool);
        self
    }

    /// Signs what it says about itself, and asks of what others say of a member's words that the member has signed them. For
    /// networks where a peer may be hostile; messages are to be handed to [`handle_from`](Gossip::handle_from) then.
    #[must_use]
    pub fn with_signer(mut self, signer: Arc<dyn Signer>) -> Gossip {
        self.signer = Some(signer);
        self.sign();
        self
    }

    /// This member has said something new about itself.
    fn sign(&mut self) {
        if let Some(signer) = &self.signer {
            self.me.signature = Signature::make(&**signer, &self.me);
        }
    }

    /// Takes one input at time `now`, which never goes back.
    ///
    /// # Errors
    /// The input is refused and nothing has changed. Bad bytes of a peer are an error, never a panic.
    pub fn handle(&mut self, input: Input<'_>, now: Duration) -> Result<(), InputError> {
        self.take(input, None, now)
    }

    /// As [`handle`](Gossip::handle), for a message from a peer whose node id the transport has proved, by its
    /// certificate: a message that names another node as its sender is refused.
    ///
    /// # Errors
    /// The input is refused and nothing has changed.
    pub fn handle_from(&mut self, peer: NodeId, input: Input<'_>, now: Duration) -> Result<(), InputError> {
        self.take(input, Some(peer), now)
    }

    fn take(&mut self, input: Input<'_>, peer: Option<NodeId>, now: Duration) -> Result<(), InputError> {
        self.now = self.now.max(now);
        match input {
            Input::Timeout => {
                self.on_timeout();
                Ok(())
            }
            Input::Datagram { from, bytes } => self.on_message(from, peer, bytes, Way::Datagram),
            Input::Stream { from, bytes } => self.on_message(from, peer, bytes, Way::Stream),
            Input::Leave => {
                self.leave();
                Ok(())
            }
            Input::Forget { number } => {
                self.forget_query(number);
                Ok(())
            }
            _ if self.phase != Phase::Active => Err(InputError::Ended),
            Input::Join(addr) => self.join(addr),
            Input::Event { name, payload } => self.send_event(name, payload),
            Input::Query { number, query } => self.ask(number, query),
            Input::Answer { query, response } => self.answer_query(query, response),
            Input::Recall => {
                self.recall();
                Ok(())
            }
            Input::Remove { id, prune } => self.remove_member(id, prune),
            Input::SetName(name) => self.set_attributes(name.into(), self.me.tags.clone()),
            Input::SetTags(tags) => self.set_attributes(Arc::clone(&self.me.name), Tags::new(tags)?),
            Input::SetAddr(addr) => {
                let addr = announceable(addr)?;
                self.announce_anew(|me| me.addr = addr);
                Ok(())
            }
        }
    }

    fn set_attributes(&mut self, name: Arc<str>, tags: Tags) -> Result<(), InputError> {
        check_attributes(&name, &tags)?;
        self.announce_anew(|me| {
            me.name = name;
            me.tags = tags;
        });
        Ok(())
    }

    /// Changes what this member says about itself and tells the others, if that made a difference.
    fn announce_anew(&mut self, change: impl FnOnce(&mut Member)) {
        let former = self.me.clone();
        change(&mut self.me);
        if self.me != former {
            self.me.incarnation += 1;
            self.sign();
            self.tell(self.me.id);
            self.emit(Event::Updated(self.me.clone()));
            let namesakes: Vec<NodeId> = self.table.iter_live().map(|entry| entry.member.id).collect();
            for id in namesakes {
                self.compare_names(id);
            }
        }
    }

    fn on_timeout(&mut self) {
        let late = self.timers.next().map_or(Duration::ZERO, |at| self.now.saturating_sub(at));
        if self.config.local_health && late > self.config.probe_interval / 2 {
            self.stalled(late);
        }
        while let Some(timer) = self.timers.due(self.now) {
            self.on_timer(timer);
        }
    }

    fn on_timer(&mut self, timer: Timer) {
        match timer {
            Timer::Probe => self.on_probe_interval(),
            Timer::ProbeTimeout(number) => self.on_probe_timeout(number),
            Timer::Relay(number) => self.on_relay_timeout(number),
            Timer::Gossip => self.on_gossip_interval(),
            Timer::PushPull => self.on_push_pull_interval(),
            Timer::PushPullTimeout(number) => self.on_push_pull_timeout(number),
            Timer::Reconnect => self.on_reconnect_interval(),
            Timer::Member(id) => self.on_member_deadline(id),
            Timer::Query(time) => self.conclude_query(time),
            Timer::Leave => self.left(),
        }
    }

    fn worsen_health(&mut self, by: u32) {
        if self.config.local_health {
            self.awareness.worsen(by);
        }
    }

    /// The next thing to do, until `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        let next = self.outputs.pop_front();
        if next.is_none() {
            // A join tells as many events as there are members.
            self.outputs.shrink_to(OUTPUTS_KEPT);
        }
        next
    }

    /// When [`Input::Timeout`] is due, or `None` for never. O(log n).
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.timers.next()
    }

    /// This member.
    pub fn me(&self) -> &Member {
        &self.me
    }

    /// All known members, this one first, then the live, the dead and those that left; not those that were pruned.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        let others = self.table.iter().map(|entry| &*entry.member);
        std::iter::once(&self.me).chain(others.filter(|member| member.state != State::Pruned))
    }

    /// The live members (alive and suspect), this one first.
    pub fn live(&self) -> impl Iterator<Item = &Member> {
        std::iter::once(&self.me).chain(self.table.iter_live().map(|entry| &*entry.member))
    }

    /// What is known about one node; this one included. O(1).
    pub fn member(&self, id: NodeId) -> Option<&Member> {
        if id == self.me.id { Some(&self.me) } else { self.table.get(id).map(|entry| &*entry.member) }
    }

    /// Where a node is in the network, as it said in its last answer to a probe of this member: within a round of
    /// probes, which takes as many probe intervals as there are members, all are known. O(1).
    pub fn coordinate(&self, id: NodeId) -> Option<Coordinate> {
        if id == self.me.id {
            return Some(self.vivaldi.here());
        }
        self.table.get(id)?.seen.as_ref().map(|seen| seen.there)
    }

    /// Its settings.
    #[cfg(feature = "quic")]
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// The latest time it was told.
    #[cfg(feature = "quic")]
    pub(crate) fn now(&self) -> Duration {
        self.now
    }

    /// Grows with every change of what is listed of others.
    #[cfg(feature = "quic")]
    pub(crate) fn changes(&self) -> usize {
        self.changes
    }

    /// What this member has done so far.
    pub fn stats(&self) -> Stats {
        Stats {
            news_queued: self.queue.len(),
            queue_bytes: self.queue.bytes() + self.events.untold_bytes(),
            health_score: self.awareness.score(),
            rtt_us: self.rtt.mean_us(),
            ..self.stats
        }
    }

    /// Live members, this one included.
    fn size(&self) -> usize {
        self.table.live().len() + 1
    }

    fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    fn emit(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// A newer boot of this node exists: this one falls silent.
    fn replaced(&mut self, boot: u64) {
        self.phase = Phase::Replaced;
        self.timers.clear();
        self.spread_at = None;
        self.emit(Event::Replaced { boot });
    }

    /// Panics if the parts of the state disagree.
    #[cfg(test)]
    pub(crate) fn check(&self) {
        self.table.check();
        self.events.check();
        for entry in self.table.iter() {
            let (id, state) = (entry.member.id, entry.member.state);
            let armed = self.timers.has(entry.deadline, Timer::Member(id));
            assert!(self.phase == Phase::Replaced || armed == (state != State::Alive), "{id:?} is {state:?}");
            assert!(entry.announced <= entry.member.incarnation, "{id:?}");
            assert_ne!(id, self.me.id);
            assert!(entry.missing.is_none() || entry.announced > 0, "{id:?}");
            assert!(!(self.queue.contains(id) && self.lacks_words(id)), "{id:?}");
        }
        assert!(self.table.len() <= self.config.members_max);
        assert!(self.queue.len() <= self.table.len() + 1);
        assert_eq!(self.timers.times(Timer::Gossip), Vec::from_iter(self.spread_at), "one clock for gossip");
        assert!(self.timers.times(Timer::Probe).len() <= 1 && self.timers.times(Timer::PushPull).len() <= 1);
        assert!(self.phase == Phase::Replaced || self.queue.is_empty() || self.spread_at.is_some());
    }
}
