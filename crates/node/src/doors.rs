//! The doors of a node: bound, announced, opened, closed.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use boato_api::{Backend, Token, http, resp};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Listen};
use crate::listen;
use crate::node::StartError;

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
    pub(crate) fn bind(config: &Config) -> Result<Self, StartError> {
        let (http, http_addr) = bind(config.http, "HTTP", "--http")?;
        let resp = config.resp.map(|at| bind(at, "RESP", "--resp")).transpose()?;
        let cluster = config.resp_cluster.map(|at| bind(at, "RESP cluster", "--resp-cluster")).transpose()?;
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
        backend: &Arc<dyn Backend>,
        mut registry: Registry,
        close: CancellationToken,
    ) -> Open {
        let http_metrics = http::Metrics::register(&mut registry);
        let resp_metrics = resp::Metrics::register(&mut registry);
        let guard = guard(config, self.bound.http);
        let passwords = guard.client.iter().flat_map(|client| [Some(client), guard.admin.as_ref()]);
        let passwords: Vec<Token> = passwords.flatten().cloned().collect();
        let http_config = http::Config {
            guard,
            metrics: http_metrics,
            registry: Arc::new(registry),
            ..http::Config::default()
        };
        let closing = || close.clone().cancelled_owned();
        let mut tasks = vec![tokio::spawn(http::run(self.http, Arc::clone(backend), http_config, closing()))];
        for (listener, kind) in [(self.resp, resp::Kind::Proxy), (self.resp_cluster, resp::Kind::Cluster)] {
            let Some(listener) = listener else { continue };
            let (passwords, metrics) = (passwords.clone(), resp_metrics.clone());
            let config = resp::Config { kind, passwords, metrics, ..resp::Config::default() };
            tasks.push(tokio::spawn(resp::run(listener, Arc::clone(backend), config, closing())));
        }
        Open { tasks, close }
    }
}

/// Doors that clients use.
pub(crate) struct Open {
    tasks: Vec<JoinHandle<()>>,
    close: CancellationToken,
}

impl Open {
    /// Lets nobody in any more, answers what has been asked and ends. The doors bound how long that takes.
    pub(crate) async fn close(self) {
        self.close.cancel();
        for task in self.tasks {
            // A door that panicked has ended too.
            let _ = task.await;
        }
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

fn guard(config: &Config, http: SocketAddr) -> http::Guard {
    http::Guard {
        loopback: http.ip().to_canonical().is_loopback(),
        allow_hosts: config.allow_host.clone(),
        client: config.client_secret.as_ref().map(|secret| Token::new(secret.as_str())),
        admin: config.secret.as_ref().map(|secret| Token::new(secret.admin_token(&config.cluster))),
    }
}
