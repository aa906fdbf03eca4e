//! A running node: the crates put together.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use boato_api::http::AccessLog;
use boato_api::{Backend, Change, Departure, Operations, Readiness};
use boato_gossip::NodeId;
use boato_transport::Transport;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::attributes::Attributes;
use crate::backend::{Latest, NodeBackend};
use crate::builder::Builder;
use crate::config::{Config, Discover};
use crate::doors::{self, Addresses, Secrets};
use crate::inherited::Inherited;
use crate::live::{Live, Reread};
use crate::local::Keys;
use crate::metrics::NodeMetrics;
use crate::otlp::Traces;
use crate::parts::{Bound, Parts};
use crate::process::Process;
use crate::remembered::Remembered;
use crate::start_error::StartError;
use crate::tally::Tally;
use crate::{Identity, handler, joining, logging, moves, otlp, ready, reports};

/// How long a node without anybody to join looks around before it begins a cluster: the neighbours on its machine
/// are found at once, those on its network may be heard of only by the second question.
const QUIET: Duration = Duration::from_secs(1);
const QUIET_LONG: Duration = Duration::from_secs(3);

/// How long a collector may take the last traces.
const LAST_TRACES: Duration = Duration::from_secs(2);

/// A node that runs until [`Node::leave`].
pub struct Node {
    backend: Arc<NodeBackend>,
    transport: Transport,
    discovery: JoinHandle<()>,
    /// Sends traces, where there is a collector.
    exporting: Option<JoinHandle<()>>,
    doors: doors::Open,
    live: Arc<Live>,
    /// Where peers reach it.
    quic: SocketAddr,
    /// Where clients reach it.
    at: Addresses,
    /// Ends everything but the doors.
    stop: CancellationToken,
    replaced: CancellationToken,
    /// Keeps the data directory locked.
    _identity: Identity,
}

impl Node {
    /// A node to be told what it should be like, and started.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Binds everything, starts everything. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`]; so are the settings that only `boato run` can follow.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Self::embed(config, Inherited::default(), None).await
    }

    /// Starts a node inside a program.
    pub(crate) async fn embed(
        config: Config,
        inherited: Inherited,
        reread: Option<Reread>,
    ) -> Result<Self, StartError> {
        let config = config.embedded()?;
        // Said by nobody, it is not what the program's log has to follow.
        if config.log != logging::DEFAULT_FILTER {
            logging::set_filter(&config.log);
        }
        let reread = reread.map(|reread| -> Reread { Arc::new(move || reread()?.embedded()) });
        Self::start_with(config, inherited, reread).await
    }

    pub(crate) async fn start_with(
        config: Config,
        inherited: Inherited,
        reread: Option<Reread>,
    ) -> Result<Self, StartError> {
        let secrets = Secrets::new(&config);
        let bound = Bound::new(&config, inherited, &secrets).await?;
        let stop = CancellationToken::new();
        // Ends what has been started, should something after it fail.
        let guard = stop.clone().drop_guard();
        let (access_log, (exported, exporting)) = access_log(&config, &bound, &stop);
        let Parts { cluster, membership, listeners, told } =
            Parts::start(&config, &bound, access_log.clone(), &stop)?;
        let (roster, journal) = (Arc::clone(&listeners.roster), Arc::clone(&listeners.journal));
        let replaced = listeners.replaced.clone();
        tokio::spawn(membership.clone().run(listeners, config.replay, stop.clone()));
        let writing = reports::write(cluster.clone(), Arc::clone(&journal), Arc::clone(&roster));
        tokio::spawn(stop.clone().run_until_cancelled_owned(writing));
        let id = bound.identity.id().to_string();
        let handler = |command: &String| handler::Handler::new(command, &bound.shown, &id);
        membership.answer_queries(config.on_query.as_ref().map(handler), &stop);
        handler::on_events(config.on_event.iter().map(handler).collect(), &journal, &stop);
        if let Some(keys) = bound.keys.clone() {
            tokio::spawn(keys.keep_up(membership.clone(), stop.clone()));
        }
        let remembered = config.data_dir.as_deref().map(Remembered::open);
        let known = remembered.as_ref().map_or(0, |it| it.addresses.len());
        if let Some(remembered) = remembered {
            tokio::spawn(remembered.run(membership.clone(), stop.clone()));
        }
        if config.join.is_empty() {
            let quick = config.discover != Discover::Mdns && known == 0;
            cluster.eligible(if quick { QUIET } else { QUIET_LONG });
        }
        let discovery = joining::start(&config, &bound, known, &membership, &stop)?;

        let tally = Arc::new(Tally::default());
        let live = Arc::new(Live {
            me: bound.me,
            reread,
            cluster: cluster.clone(),
            membership: membership.clone(),
            secrets: secrets.clone(),
            access_log: access_log.clone(),
            draining: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            reloading: tokio::sync::Mutex::default(),
            told: Mutex::new(config.clone()),
        });
        let (looking, moving) = moves::watch(cluster.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(looking));

        let backend = Arc::new(NodeBackend {
            me: bound.me,
            name: Arc::clone(&bound.shown),
            cluster_name: config.cluster.clone(),
            quic: bound.quic.to_string(),
            doors: bound.at,
            started: Instant::now(),
            cluster: cluster.clone(),
            membership: membership.clone(),
            transport: bound.transport.clone(),
            tally: Arc::clone(&tally),
            roster: Arc::clone(&roster),
            journal,
            moving: moving.clone(),
            topology: Latest::default(),
            leave: CancellationToken::new(),
            departure: watch::Sender::default(),
            live: Arc::clone(&live),
        });
        let asked = Arc::clone(&backend);
        let registry = registry(NodeMetrics {
            id: bound.identity.id(),
            name: config.cluster.clone(),
            cluster,
            membership,
            roster,
            transport: bound.transport.clone(),
            moving,
            tally,
            exported,
            ready: Box::new(move || asked.readiness() == Readiness::Ready),
        });
        let served = Arc::clone(&backend) as Arc<dyn Backend>;
        let doors_bound = bound.doors.bound();
        let doors = bound.doors.open(&config, &secrets, access_log, &served, registry, stop.child_token());
        told.read_from(doors.gauges());
        let path = config.ready_file.as_deref();
        ready::write(path, bound.identity.id(), &bound.name, bound.quic, &bound.at)?;
        let asks_for_secret = config.client_secret.is_some();
        logging::greet(&bound.name, &config.cluster, bound.quic, &doors_bound, asks_for_secret);
        guard.disarm();
        Ok(Self {
            backend,
            transport: bound.transport,
            discovery,
            exporting,
            doors,
            live,
            quic: bound.quic,
            at: bound.at,
            stop,
            replaced,
            _identity: bound.identity,
        })
    }

    /// The node's name now: an id is added to it where an older node has it, too.
    pub fn name(&self) -> Arc<str> {
        Arc::clone(&self.backend.name.load())
    }

    /// Where peers reach it.
    pub fn quic(&self) -> SocketAddr {
        self.quic
    }

    /// Where its HTTP door is.
    pub fn http(&self) -> SocketAddr {
        self.at.http
    }

    /// Where its RESP door for clients that know one address is, if it has one.
    pub fn resp(&self) -> Option<SocketAddr> {
        self.at.resp
    }

    /// Where its RESP door for cluster clients is, if it has one.
    pub fn resp_cluster(&self) -> Option<SocketAddr> {
        self.at.resp_cluster
    }

    /// The keys of the cluster, for this program.
    pub fn keys(&self) -> Keys {
        Keys(Arc::clone(&self.backend))
    }

    /// The node as its doors see it: reads and writes without a socket.
    pub fn backend(&self) -> Arc<dyn Backend> {
        Arc::clone(&self.backend) as Arc<dyn Backend>
    }

    /// Reads the configuration again, as the builder or `boato run` has said how, and takes over what can be changed of
    /// a node that runs: all of it, or nothing. Returns what is different, for people.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub async fn reload(&self) -> Result<Vec<String>, String> {
        self.backend.change(Change::Reload).await
    }

    /// RESP connections open now; those accepted since the start and operations on keys that clients asked for. What is asked
    /// for under `/_/`, as by whoever collects metrics, is no use of the node.
    pub(crate) fn used(&self) -> (u64, u64) {
        let (open, opened) = self.doors.resp_connections();
        let Operations { local, forwarded, failed, .. } = self.backend.operations();
        (open, opened + local + forwarded + failed)
    }

    /// How long to go without clients before leaving, as last told; `None`: for ever.
    pub(crate) fn exit_on_idle(&self) -> Option<Duration> {
        self.live.told.lock().exit_on_idle
    }

    pub(crate) fn id(&self) -> NodeId {
        NodeId(self.live.me.node)
    }

    /// The other members to which keys can go; suspects only `with_suspects`.
    pub(crate) fn takers(&self, with_suspects: bool) -> Vec<(NodeId, Attributes)> {
        self.live.membership.takers(with_suspects)
    }

    /// The share of the keys that it asks for.
    pub(crate) async fn weight(&self) -> u16 {
        self.live.membership.weight().await
    }

    /// Asks for no keys any more; gives the weight before.
    pub(crate) async fn drain(&self) -> u16 {
        let weight = self.weight().await;
        self.live.drain().await;
        weight
    }

    /// Asks for another share of the keys.
    pub(crate) async fn set_weight(&self, weight: u16) {
        self.live.set_weight(weight).await;
    }

    /// Completes when a client asked this node to leave, or another process took over its id.
    pub async fn leave_requested(&self) {
        tokio::select! {
            () = self.backend.leave.cancelled() => {}
            () = self.replaced.cancelled() => {}
        }
    }

    /// Hands everything off, says goodbye and ends. Returns the number of slots that other nodes did not take over
    /// in time: their keys are lost. The last node of a cluster takes its keys with it, and returns 0.
    pub async fn leave(self) -> usize {
        let backend = &self.backend;
        let last = backend.roster.len() <= 1;
        let (leave_timeout, handoff_rate) = self.live.leave_limits();
        self.live.leaving.store(true, Ordering::Relaxed);
        backend.membership.update(|attributes| attributes.leaving = true).await;
        tracing::info!(slots = backend.cluster.stats().custody, "leaving: handing all slots to the others");
        if !last {
            self.warn_if_too_slow(leave_timeout, handoff_rate);
        }
        let handed_off = timeout(leave_timeout, backend.cluster.leave()).await;
        let slots_left = handed_off.unwrap_or_else(|_| backend.cluster.stats().custody);
        let entries = backend.cluster.slots().memory().entries;
        if last && entries > 0 {
            tracing::warn!(
                entries,
                "the last node leaves: the cluster's keys are gone (boato export keeps a copy)"
            );
        } else if slots_left > 0 && entries > 0 {
            tracing::warn!(
                slots_left,
                entries,
                "leaving with slots that nobody took over: their keys are lost; give the next one more --leave-timeout or --handoff-rate"
            );
        }
        // Whoever hears the goodbye begins these slots anew: two must not serve them.
        backend.cluster.abandon();
        // The last node takes its keys with it, but no slot that another could have had.
        let slots_lost = if last { 0 } else { slots_left };
        let entries_lost = if last || slots_lost > 0 { entries } else { 0 };
        backend.departure.send_replace(Some(Departure { slots_lost, entries_lost }));
        backend.membership.leave().await;
        self.doors.close().await;
        self.stop.cancel();
        let _ = self.discovery.await;
        if let Some(exporting) = self.exporting {
            let _ = timeout(LAST_TRACES, exporting).await;
        }
        self.transport.close().await;
        slots_lost
    }

    /// Says so where the limit on the rate leaves too little time to hand everything off.
    fn warn_if_too_slow(&self, leave_timeout: Duration, handoff_rate: Option<u64>) {
        let bytes = self.backend.cluster.slots().memory().bytes;
        if let Some(rate) = handoff_rate
            && bytes / rate.max(1) > leave_timeout.as_secs()
        {
            tracing::warn!(
                bytes,
                handoff_rate = rate,
                leave_timeout_s = leave_timeout.as_secs(),
                "--handoff-rate lets less than this node's entries through within --leave-timeout, and the rest \
                 is lost: raise one of them, and boato reload"
            );
        }
    }
}

/// What is told of requests: to the log, and to a collector of traces.
fn access_log(config: &Config, bound: &Bound, stop: &CancellationToken) -> (AccessLog, Traces) {
    let log = AccessLog::default();
    log.set(config.access_log, config.slow_log);
    let traces = otlp::start(config, &bound.name, bound.identity.id().to_string(), &log, stop);
    (log, traces)
}

/// What `/_/metrics` tells beside what the doors count.
fn registry(node_metrics: NodeMetrics) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Process));
    registry.sub_registry_with_prefix("boato").register_collector(Box::new(node_metrics));
    registry
}
