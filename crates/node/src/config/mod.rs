//! What a node is told: settings from flags, variables and a file, resolved into one [`Config`].

mod address;
mod collector;
mod door;
mod error;
mod layers;
mod name;
mod period;
mod scalar;
mod secrets;
mod settings;
mod size;
#[cfg(test)]
mod tests;
mod weight;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use boato_transport::Secret;

use crate::logging;

pub use address::{
    Address, AddressError, Advertise, HTTP_PORT, HostError, Join, QUIC_PORT, RESP_CLUSTER_PORT, RESP_PORT,
};
pub(crate) use address::{reachable, resolve};
pub use collector::{Collector, CollectorError};
pub use door::DoorAddress;
pub use error::ConfigError;
pub(crate) use layers::variable;
pub use layers::{Layers, Origin};
pub use name::{NAME_MAX, NameError};
pub(crate) use name::{tag, tag_pattern};
pub use period::{Period, PeriodError};
pub use secrets::ClientSecret;
pub(crate) use secrets::cluster_secret;
pub use settings::{Discover, Profile, Settings};
pub use size::{ByteSize, ByteSizeError};
pub use weight::{Weight, WeightError};

/// Name of the cluster unless another is asked for.
pub const CLUSTER: &str = "boato";

/// Below the 30 s that Kubernetes grants by default, so that what could not be handed off is still reported.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(25);

/// Where to bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The address; port 0 for any free one.
    pub addr: SocketAddr,
    /// Asked for: it is an error when the port is taken. Otherwise the next free one is used.
    pub asked: bool,
}

/// Everything that a node has been told, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name for people; `None` means host name and short id ([`crate::Identity::default_name`]).
    pub name: Option<String>,
    /// Name of the cluster, 1 to 64 characters.
    pub cluster: String,
    /// Where the QUIC endpoint binds: loopback without a secret.
    pub quic: Listen,
    /// Where the HTTP door binds.
    pub http: Listen,
    /// Where the RESP door for clients that know one address binds; `None`: there is none.
    pub resp: Option<Listen>,
    /// Where the RESP door for cluster clients binds; `None`: there is none.
    pub resp_cluster: Option<Listen>,
    /// Whom to join.
    pub join: Vec<Join>,
    /// The cluster's secret.
    pub secret: Option<Secret>,
    /// Where the node id is kept.
    pub data_dir: Option<PathBuf>,
    /// Share of the keys relative to other nodes.
    pub weight: u16,
    /// Most bytes of memory that entries may take.
    pub max_memory: Option<u64>,
    /// Most bytes of entries per second sent to nodes that take slots over, above 0.
    pub handoff_rate: Option<u64>,
    /// Live members below which writes are refused; 0 or 1: never.
    pub min_members: u16,
    /// How to find nodes besides `join`.
    pub discover: Discover,
    /// Longest wait for the hand-off when leaving.
    pub leave_timeout: Duration,
    /// How long to go without clients before leaving; `None`: for ever.
    pub exit_on_idle: Option<Duration>,
    /// What clients have to show.
    pub client_secret: Option<ClientSecret>,
    /// Clients beyond this machine are served without a client secret.
    pub open: bool,
    /// Host names, lower case, that a loopback door accepts besides `localhost`.
    pub allow_host: Vec<String>,
    /// Tags that it announces beside its own.
    pub tags: BTreeMap<String, String>,
    /// Commands for the shell, run for each event.
    pub on_event: Vec<String>,
    /// Command for the shell that answers queries.
    pub on_query: Option<String>,
    /// The user events of before its start are asked for.
    pub replay: bool,
    /// How far apart the members are.
    pub profile: Profile,
    /// File that receives the addresses once bound.
    pub ready_file: Option<PathBuf>,
    /// Only the wire version before this build's own is spoken.
    pub previous_wire: bool,
    /// What other nodes should dial.
    pub advertise: Option<Advertise>,
    /// One of so many HTTP requests is logged, above 0; `None`: none.
    pub access_log: Option<u32>,
    /// HTTP requests that take longer are logged.
    pub slow_log: Option<Duration>,
    /// Where traces are sent, by OTLP over HTTP; `None`: nowhere.
    pub otlp: Option<Collector>,
    /// Directives of the log filter.
    pub log: String,
    /// What to say in the log once it is there.
    pub warnings: Vec<String>,
}

impl Config {
    /// Checks `settings`, reads the secrets they name and decides what they leave open.
    ///
    /// # Errors
    /// See [`ConfigError`]; nothing has been bound or written.
    pub fn new(settings: &Settings) -> Result<Self, ConfigError> {
        let mut layers = Layers::default();
        layers.add(settings, |_| Origin::Program)?;
        Self::resolve(&layers, None)
    }

    /// As [`Config::new`] for layered settings; `secret` is the text of `BOATO_SECRET`.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn resolve(layers: &Layers, secret: Option<&str>) -> Result<Self, ConfigError> {
        let settings = layers.settings();
        let mut warnings = layers.overruled().to_vec();
        let origin = layers.origin("secret-file");
        let secret = cluster_secret(settings.secret_file.as_deref(), origin, secret, &mut warnings)?;
        let client_secret = match &settings.client_secret_file {
            Some(path) => Some(ClientSecret::read(path, &mut warnings)?),
            None => None,
        };
        let max_memory = settings.max_memory.map(|size| size.0);
        let config = Self {
            name: settings.name.as_deref().map(name::node).transpose()?,
            cluster: name::cluster(settings.cluster.as_deref().unwrap_or(CLUSTER))?,
            quic: listen(layers, "quic", settings.quic.as_ref(), quic_default(secret.is_some()))?,
            http: listen(layers, "http", settings.http.as_ref(), (Ipv4Addr::LOCALHOST, HTTP_PORT))?,
            resp: door(layers, "resp", settings.resp.as_ref(), RESP_PORT)?,
            resp_cluster: door(layers, "resp-cluster", settings.resp_cluster.as_ref(), RESP_CLUSTER_PORT)?,
            discover: discover(&settings, secret.is_some()),
            join: settings.join,
            data_dir: settings.data_dir,
            weight: settings.weight.unwrap_or(Weight::Fixed(1)).resolve(max_memory),
            max_memory,
            handoff_rate: settings.handoff_rate.map(|size| size.0),
            min_members: settings.min_members.unwrap_or(1),
            leave_timeout: settings.leave_timeout.map_or(LEAVE_TIMEOUT, |period| period.0),
            exit_on_idle: settings.exit_on_idle.map(|period| period.0),
            open: settings.open.unwrap_or(false),
            allow_host: settings.allow_host.iter().map(|text| name::host(text)).collect::<Result<_, _>>()?,
            tags: settings.tag.iter().map(|text| name::tag(text)).collect::<Result<_, _>>()?,
            on_event: settings.on_event,
            on_query: settings.on_query,
            replay: settings.replay.unwrap_or(false),
            profile: settings.profile.unwrap_or(if secret.is_some() { Profile::Lan } else { Profile::Local }),
            ready_file: settings.ready_file,
            previous_wire: settings.previous_wire.unwrap_or(false),
            advertise: settings.advertise,
            access_log: settings.access_log.filter(|&every| every > 0),
            slow_log: settings.slow_log.map(|period| period.0),
            otlp: settings.otlp,
            log: logging::filter(settings.log.as_deref().unwrap_or(logging::DEFAULT_FILTER))?,
            secret,
            client_secret,
            warnings,
        };
        config.check(layers)?;
        Ok(config)
    }

    /// Refuses what only `boato run` can follow.
    ///
    /// # Errors
    /// [`ConfigError::Embedded`].
    pub(crate) fn embedded(self) -> Result<Self, ConfigError> {
        if self.exit_on_idle.is_some() {
            let why = "a program ends its node itself, with Node::leave";
            return Err(ConfigError::Embedded { key: "exit-on-idle", why });
        }
        if self.log != logging::DEFAULT_FILTER && !logging::is_started() {
            let why =
                "this program has a log of its own: filter it there, or start it with node::logging::init";
            return Err(ConfigError::Embedded { key: "log", why });
        }
        Ok(self)
    }

    /// The rules between settings.
    fn check(&self, layers: &Layers) -> Result<(), ConfigError> {
        if self.secret.is_none() && !self.quic.addr.ip().is_loopback() {
            let whence = layers.describe("quic");
            return Err(ConfigError::NeedsSecret { whence, addr: self.quic.addr });
        }
        if self.secret.is_none() && self.discover == Discover::Mdns {
            return Err(ConfigError::MdnsNeedsSecret { whence: layers.describe("discover") });
        }
        if self.handoff_rate == Some(0) {
            return Err(ConfigError::NoRate { whence: layers.describe("handoff-rate") });
        }
        let doors = [("http", Some(self.http)), ("resp", self.resp), ("resp-cluster", self.resp_cluster)];
        for (key, listen) in doors {
            if let Some(Listen { addr, .. }) = listen
                && self.client_secret.is_none()
                && !self.open
                && !addr.ip().is_loopback()
            {
                return Err(ConfigError::NeedsClientSecret { whence: layers.describe(key), addr });
            }
        }
        Ok(())
    }

    /// `layers` with everything that was left open and decided here as defaults.
    ///
    /// # Errors
    /// None when this was resolved from `layers`.
    pub fn complete(&self, layers: &Layers) -> Result<Layers, ConfigError> {
        let decided = Settings {
            cluster: Some(self.cluster.clone()),
            quic: Some(self.quic.addr.into()),
            http: Some(self.http.addr.into()),
            resp: Some(self.resp.map(|listen| listen.addr).into()),
            resp_cluster: Some(self.resp_cluster.map(|listen| listen.addr).into()),
            weight: Some(Weight::Fixed(self.weight)),
            min_members: Some(self.min_members),
            discover: Some(self.discover),
            leave_timeout: Some(Period(self.leave_timeout)),
            open: Some(self.open),
            replay: Some(self.replay),
            profile: Some(self.profile),
            previous_wire: Some(self.previous_wire),
            log: Some(self.log.clone()),
            ..Settings::default()
        };
        let mut complete = Layers::default();
        complete.add(&decided, |_| Origin::Default)?;
        complete.add(&layers.settings(), |key| layers.origin(key).clone())?;
        Ok(complete)
    }
}

fn quic_default(secret: bool) -> (Ipv4Addr, u16) {
    (if secret { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST }, QUIC_PORT)
}

/// A door on loopback unless told otherwise.
fn door(
    layers: &Layers,
    key: &str,
    address: Option<&DoorAddress>,
    port: u16,
) -> Result<Option<Listen>, ConfigError> {
    let address = match address {
        Some(DoorAddress::None) => return Ok(None),
        Some(DoorAddress::At(address)) => Some(address),
        None => None,
    };
    listen(layers, key, address, (Ipv4Addr::LOCALHOST, port)).map(Some)
}

fn listen(
    layers: &Layers,
    key: &str,
    address: Option<&Address>,
    (host, port): (Ipv4Addr, u16),
) -> Result<Listen, ConfigError> {
    let host = IpAddr::from(host);
    let Some(address) = address else {
        return Ok(Listen { addr: SocketAddr::new(host, port), asked: false });
    };
    let unresolved = |source| ConfigError::Unresolved {
        whence: layers.describe(key),
        address: address.to_string(),
        source,
    };
    Ok(Listen { addr: address.resolve(host).map_err(unresolved)?, asked: true })
}

fn discover(settings: &Settings, secret: bool) -> Discover {
    match settings.discover {
        Some(discover) => discover,
        None if !secret => Discover::Local,
        None if settings.join.is_empty() => Discover::Mdns,
        None => Discover::Off,
    }
}
