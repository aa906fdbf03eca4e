//! The doors of a node: bound, announced, opened, closed.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use boato_api::{Backend, Token, Tokens, http, resp};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{ClientSecret, Config, ConfigError, Listen};
use crate::inherited::{InheritError, Inherited};
use crate::listen;
use crate::start_error::StartError;

/// Where clients reach a node, or where its doors are bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) http: SocketAddr,
    pub(crate) resp: Option<SocketAddr>,
    pub(crate) resp_cluster: Option<SocketAddr>,
}

impl Addresses {
    /// What to announce, on a node that its peers reach at `quic`.
    pub(crate) fn advertised(self, quic: SocketAddr) -> Self {
        let at = |bound| listen::advertised_door(bound, quic);
        Self { http: at(self.http), resp: self.resp.map(at), resp_cluster: self.resp_cluster.map(at) }
    }
}

/// Doors that are bound and not open yet.
pub(crate) struct Closed {
    http: TcpListener,
    resp: Option<TcpListener>,
    resp_cluster: Option<TcpListener>,
    bound: Addresses,
}

impl Closed {
    /// Takes the doors that were handed over, and binds the others.
    pub(crate) fn bind(config: &Config, inherited: Inherited) -> Result<Self, StartError> {
        let open = config.open || config.client_secret.is_some();
        let door = |at: Option<Listen>, inherited: Option<_>, what, flag| match (inherited, at) {
            (Some(listener), at) => take(listener, open, at, flag).map(Some),
            (None, Some(at)) => bind(at, what, flag).map(Some),
            (None, None) => Ok(None),
        };
        let http = door(Some(config.http), inherited.http, "HTTP", "--http")?;
        let (http, http_addr) = http.expect("invariant: it was asked for");
        let resp = door(config.resp, inherited.resp, "RESP", "--resp")?;
        let cluster = door(config.resp_cluster, inherited.resp_cluster, "RESP cluster", "--resp-cluster")?;
        let (resp, resp_addr) = resp.unzip();
        let (resp_cluster, cluster_addr) = cluster.unzip();
        let bound = Addresses { http: http_addr, resp: resp_addr, resp_cluster: cluster_addr };
        Ok(Self { http, resp, resp_cluster, bound })
    }

    /// Where they are bound.
    pub(crate) fn bound(&self) -> Addresses {
        self.bound
    }

    /// Lets clients in, until `close`; `registry` gets the counters of the doors and is what `/_/metrics` shows.
    pub(crate) fn open(
        self,
        config: &Config,
        secrets: &Secrets,
        access_log: http::AccessLog,
        backend: &Arc<dyn Backend>,
        mut registry: Registry,
        close: CancellationToken,
    ) -> Open {
        let own = registry.sub_registry_with_prefix("boato");
        let (http_metrics, resp_metrics) = (http::Metrics::register(own), resp::Metrics::register(own));
        let slow_log = resp::SlowLog::new(access_log.clone());
        let guard = guard(config, secrets, self.bound.http);
        let (http_counts, resp_counts) = (http_metrics.clone(), resp_metrics.clone());
        let gauges = http::Gauges::new(Arc::clone(backend), http_counts, resp_counts);
        let http_config = http::Config {
            guard,
            metrics: http_metrics,
            resp: resp_metrics.clone(),
            registry: Arc::new(registry),
            access_log,
            ..http::Config::default()
        };
        let closing = || close.clone().cancelled_owned();
        let mut tasks = vec![tokio::spawn(http::run(self.http, Arc::clone(backend), http_config, closing()))];
        for (listener, kind) in [(self.resp, resp::Kind::Proxy), (self.resp_cluster, resp::Kind::Cluster)] {
            let Some(listener) = listener else { continue };
            let config = resp::Config {
                kind,
                passwords: secrets.passwords.clone(),
                metrics: resp_metrics.clone(),
                slow_log: slow_log.clone(),
                ..resp::Config::default()
            };
            tasks.push(tokio::spawn(resp::run(listener, Arc::clone(backend), config, closing())));
        }
        Open { tasks, close, resp: resp_metrics, gauges: Arc::new(gauges) }
    }
}

/// Doors that clients use.
pub(crate) struct Open {
    tasks: Vec<JoinHandle<()>>,
    close: CancellationToken,
    resp: resp::Metrics,
    gauges: Arc<http::Gauges>,
}

impl Open {
    /// RESP connections open now, and accepted since the start.
    pub(crate) fn resp_connections(&self) -> (u64, u64) {
        self.resp.connections()
    }

    /// What this node tells of its load.
    pub(crate) fn gauges(&self) -> &Arc<http::Gauges> {
        &self.gauges
    }

    /// Lets nobody in any more, answers what has been asked and ends. The doors bound how long that takes.
    pub(crate) async fn close(self) {
        self.close.cancel();
        for task in self.tasks {
            // A door that panicked has ended too.
            let _ = task.await;
        }
    }
}

/// What admits clients and operators, changeable while doors are open.
#[derive(Clone, Default)]
pub(crate) struct Secrets {
    clients: Tokens,
    admins: Tokens,
    passwords: Tokens,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    clients: Vec<Token>,
    admins: Vec<Token>,
}

impl Secrets {
    pub(crate) fn new(config: &Config) -> Self {
        let secrets = Self::default();
        secrets.replace(config);
        secrets.set_admins(config.secret.iter().map(|secret| secret.admin_token(&config.cluster)));
        secrets
    }

    /// Has what `config` says of clients hold for whoever comes from now on.
    pub(crate) fn replace(&self, config: &Config) {
        self.update(|known| known.clients = client_tokens(config));
    }

    /// Has these tokens admit operators from now on.
    pub(crate) fn set_admins(&self, tokens: impl Iterator<Item = String>) {
        self.update(|known| known.admins = tokens.map(Token::new).collect());
    }

    /// Whether the cluster's secret that `config` has is among those that this node accepts.
    pub(crate) fn accept(&self, config: &Config) -> bool {
        let token = config.secret.as_ref().map(|secret| secret.admin_token(&config.cluster));
        token.is_some_and(|token| self.admins.admit(token.as_bytes()))
    }

    fn update(&self, change: impl FnOnce(&mut Known)) {
        let mut known = self.known.lock();
        change(&mut known);
        let Known { clients, admins } = &*known;
        self.clients.replace(clients.clone());
        self.admins.replace(admins.clone());
        // RESP has one password for everything: the operators' admit, too, where one is asked for.
        let admins = if clients.is_empty() { &[][..] } else { admins };
        self.passwords.replace(clients.iter().chain(admins).cloned());
    }
}

/// A listener that was handed over, whatever `at` says; who may use it was not known until now.
fn take(
    listener: std::net::TcpListener,
    open: bool,
    at: Option<Listen>,
    flag: &'static str,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let taken = listener.set_nonblocking(true).and_then(|()| {
        let listener = TcpListener::from_std(listener)?;
        let addr = listener.local_addr()?;
        Ok((listener, addr))
    });
    let (listener, addr) = taken.map_err(|source| InheritError::Unusable { source })?;
    if let Some(at) = at.filter(|at| at.asked && at.addr.port() != 0 && at.addr != addr) {
        tracing::warn!(
            "the socket handed over for {flag} is at {addr}, which counts, not {}: change its ListenStream=, or disable it",
            at.addr
        );
    }
    if open || addr.ip().to_canonical().is_loopback() {
        Ok((listener, addr))
    } else {
        let whence = format!("the socket handed over for {flag}");
        Err(ConfigError::NeedsClientSecret { whence, addr }.into())
    }
}

fn bind(at: Listen, what: &'static str, flag: &'static str) -> Result<(TcpListener, SocketAddr), StartError> {
    let in_use = |error: &io::Error| error.kind() == io::ErrorKind::AddrInUse;
    let listener = listen::bind(at, what, std::net::TcpListener::bind, in_use).and_then(|listener| {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let addr = listener.local_addr()?;
        Ok((listener, addr))
    });
    listener.map_err(|source| StartError::Door { what, flag, addr: at.addr, source })
}

fn guard(config: &Config, secrets: &Secrets, http: SocketAddr) -> http::Guard {
    http::Guard {
        loopback: http.ip().to_canonical().is_loopback(),
        allow_hosts: config.allow_host.clone(),
        client: secrets.clients.clone(),
        admin: config.secret.is_some().then(|| secrets.admins.clone()),
    }
}

fn client_tokens(config: &Config) -> Vec<Token> {
    config.client_secret.iter().flat_map(ClientSecret::all).map(Token::new).collect()
}
