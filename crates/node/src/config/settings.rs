//! What flags, variables and the configuration file may set, before anything is decided.
#![expect(clippy::doc_markdown, reason = "the comments are help texts, which have no markup")]
#![allow(rustdoc::broken_intra_doc_links, reason = "[::1] is an address")]

use std::fmt;
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use serde::{Deserialize, Serialize};

use super::address::{Address, Advertise, Join};
use super::collector::Collector;
use super::door::DoorAddress;
use super::period::Period;
use super::size::ByteSize;
use super::weight::Weight;
use super::{name, scalar};
use crate::logging;

/// Every setting of a node, each optional: one layer of configuration, or all of them merged.
///
/// The same names in three places: `--data-dir`, `BOATO_DATA_DIR` and the key `data-dir` of the file.
#[derive(Clone, Debug, Default, PartialEq, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// Name of this node, for people [default: host name and short id]
    #[arg(long, env = "BOATO_NAME", value_parser = name::node)]
    pub name: Option<String>,

    /// Name of the cluster; nodes of another cluster are refused [default: boato]
    #[arg(long, env = "BOATO_CLUSTER", value_parser = name::cluster)]
    pub cluster: Option<String>,

    /// Where peers reach this node (QUIC, UDP): 7400, :7400, host:7400 or [::1]:7400
    ///
    /// Default: port 7400 or the next free one up to 7499, on 127.0.0.1 without a secret and on every IPv4
    /// address with one. Port 0 takes any free port. A port asked for and taken is an error (exit code 1).
    #[arg(long, env = "BOATO_QUIC", value_name = "ADDR")]
    #[serde(with = "scalar")]
    pub quic: Option<Address>,

    /// Where clients reach this node (HTTP): 7480, :7480, host:7480 or [::1]:7480
    ///
    /// Default: port 7480 or the next free one up to 7579, on 127.0.0.1. Anything but loopback also needs
    /// --client-secret-file or --open. Port 0 takes any free port. A port asked for and taken is an error
    /// (exit code 1).
    #[arg(long, env = "BOATO_HTTP", value_name = "ADDR")]
    #[serde(with = "scalar")]
    pub http: Option<Address>,

    /// Where Redis clients reach this node (RESP): 7379, :7379, host:7379, [::1]:7379, or none
    ///
    /// Any key at any node, for clients that know one address. Default: port 7379 or the next free one up to
    /// 7478, on 127.0.0.1. Anything but loopback also needs --client-secret-file (clients send it with AUTH) or
    /// --open. A port asked for and taken is an error (exit code 1).
    #[arg(long, env = "BOATO_RESP", value_name = "ADDR")]
    #[serde(with = "scalar")]
    pub resp: Option<DoorAddress>,

    /// Where Redis Cluster clients reach this node (RESP): 17379, :17379, host:17379, [::1]:17379, or none
    ///
    /// Who asks here for a key of another node is told its address (MOVED), so that cluster clients ask the
    /// right node at once. Default: port 17379 or the next free one up to 17478, on 127.0.0.1; otherwise as --resp.
    #[arg(long, env = "BOATO_RESP_CLUSTER", value_name = "ADDR")]
    #[serde(with = "scalar")]
    pub resp_cluster: Option<DoorAddress>,

    /// Nodes to join: host:port or dns://name:port, which mean the same (repeatable; port 7400 when left out)
    ///
    /// Either way every address of the name is a node to join, and the name is looked up again and again,
    /// also after joining. In BOATO_JOIN, separate several by commas.
    #[arg(long, env = "BOATO_JOIN", value_name = "NODE", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub join: Vec<Join>,

    /// File with the cluster's secret, as `boato keygen` prints it; or put the secret itself into
    /// BOATO_SECRET
    #[arg(long, env = "BOATO_SECRET_FILE", value_name = "FILE")]
    pub secret_file: Option<PathBuf>,

    /// Directory that keeps this node's key, and by it its id, across restarts, created if missing
    #[arg(long, env = "BOATO_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// Share of the keys relative to other nodes, 0 to 65535, or auto for one per GiB of memory limit
    /// [default: 1]
    #[arg(long, env = "BOATO_WEIGHT")]
    #[serde(with = "scalar")]
    pub weight: Option<Weight>,

    /// Most memory that entries may take, like 512MiB or 2GB [default: no limit]
    #[arg(long, env = "BOATO_MAX_MEMORY", value_name = "SIZE")]
    #[serde(with = "scalar")]
    pub max_memory: Option<ByteSize>,

    /// Most bytes per second of entries to send to nodes that take slots over, like 20MiB [default: no limit]
    ///
    /// Keeps the network free for clients while slots move, and lets the move take longer. It bounds the sum
    /// over all receivers, not each of them; what nodes send on behalf of clients is not counted. It does not
    /// stretch the pause of a slot in hand-over: the last difference, 64 KiB as a rule, goes out at once, and
    /// counts. Writes to a slot that clients write faster than it goes out are slowed down. It holds for a leave
    /// as well: entries that do not go out within --leave-timeout are lost, so set both to fit the data of a node.
    #[arg(long, env = "BOATO_HANDOFF_RATE", value_name = "SIZE")]
    #[serde(with = "scalar")]
    pub handoff_rate: Option<ByteSize>,

    /// Fewest live members in view, this node included, with which it accepts writes [default: 1]
    ///
    /// Protects from writing on the small side of a partition: with more than half of the nodes, at most one
    /// side accepts writes, once it has noticed (after some 5 to 15 seconds, in which both sides do). Refused
    /// writes are answered 503 with Retry-After and were not applied. Does not protect reads: they go on,
    /// and the small side may answer with older values, or 404 for keys that the others hold. Does not
    /// protect keys from crashes: there is no replication. Give every node the same number, and start that
    /// many nodes before writing.
    #[arg(long, env = "BOATO_MIN_MEMBERS", value_name = "COUNT")]
    #[serde(with = "scalar")]
    pub min_members: Option<u16>,

    /// How to find other nodes [default: local without a secret, mdns with one and no --join, else off]
    #[arg(long, env = "BOATO_DISCOVER", value_name = "HOW")]
    pub discover: Option<Discover>,

    /// Longest wait for handing all keys to others when leaving [default: 25s]
    #[arg(long, env = "BOATO_LEAVE_TIMEOUT", value_name = "TIME")]
    #[serde(with = "scalar")]
    pub leave_timeout: Option<Period>,

    /// Leave once no client has used the node for this long [default: never]
    ///
    /// For a node that is started on demand, by socket activation: its keys go to the others, and the next
    /// client starts it again. While the cluster has keys, one node stays. Use is an open RESP connection, or a
    /// request for a key; requests under /_/, as for metrics, are none.
    #[arg(long, env = "BOATO_EXIT_ON_IDLE", value_name = "TIME")]
    #[serde(with = "scalar")]
    pub exit_on_idle: Option<Period>,

    /// File with the secret that clients have to show (HTTP: Authorization: Bearer, RESP: AUTH)
    #[arg(long, env = "BOATO_CLIENT_SECRET_FILE", value_name = "FILE")]
    pub client_secret_file: Option<PathBuf>,

    /// Serve clients beyond this machine without a client secret
    #[arg(long, env = "BOATO_OPEN", value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", hide_possible_values = true, value_parser = BoolishValueParser::new())]
    pub open: Option<bool>,

    /// A host name, besides localhost, by which clients may address a loopback listener (repeatable)
    ///
    /// Requests for other names are refused there, so that a web page cannot reach the node through a
    /// browser. Pages of this host may also read what any node tells under /_/. In BOATO_ALLOW_HOST, separate
    /// several by commas.
    #[arg(long, env = "BOATO_ALLOW_HOST", value_name = "HOST", value_delimiter = ',', value_parser = name::host)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow_host: Vec<String>,

    /// What this node says about itself, like role=db (repeatable); `boato tags` changes it later
    ///
    /// Members are chosen by their tags (`boato members --tag`, `boato query --tag`), and everybody sees them.
    #[arg(long, env = "BOATO_TAG", value_name = "KEY=VALUE", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tag: Vec<String>,

    /// Command for the shell, run for each event of `boato monitor` (repeatable)
    ///
    /// BOATO_EVENT has its kind, like joined, failed or user, BOATO_EVENT_NAME and so on its particulars,
    /// BOATO_NODE this node's name; standard input has the payload of a user event, or else the particulars as
    /// JSON. At most 4 run at a time, each 30 seconds at most.
    #[arg(long, env = "BOATO_ON_EVENT", value_name = "COMMAND")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub on_event: Vec<String>,

    /// Command for the shell that answers queries (`boato query`): by what it writes, if it ends with 0
    ///
    /// BOATO_EVENT_NAME has the query's name, BOATO_EVENT_FROM who asks, standard input the payload. At most 1 MiB
    /// is taken. Without a command a node has nothing to answer.
    #[arg(long, env = "BOATO_ON_QUERY", value_name = "COMMAND")]
    pub on_query: Option<String>,

    /// Hear of the user events of before its start, too, as many as the others keep
    #[arg(long, env = "BOATO_REPLAY", value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", hide_possible_values = true, value_parser = BoolishValueParser::new())]
    pub replay: Option<bool>,

    /// How far apart the members are [default: lan with a cluster secret, local without]
    ///
    /// It decides how long a member that says nothing has until it is dead: local, one machine, 3 s at least; lan, one data
    /// centre, 4 s; wan, several continents, 30 s; more with the logarithm of the members. All members need the same.
    #[arg(long, env = "BOATO_PROFILE", value_name = "PROFILE")]
    pub profile: Option<Profile>,

    /// File that receives {id,name,quic,http,resp,resp_cluster} as JSON once the node listens
    #[arg(long, env = "BOATO_READY_FILE", value_name = "FILE")]
    pub ready_file: Option<PathBuf>,

    /// Speak only the wire version before this build's own, as nodes do before an upgrade
    ///
    /// A node speaks both, with each peer the newest that it knows; this holds back what the newest adds, or tries an
    /// upgrade out.
    #[arg(long, env = "BOATO_PREVIOUS_WIRE", value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", hide_possible_values = true, value_parser = BoolishValueParser::new())]
    pub previous_wire: Option<bool>,

    /// Address that other nodes should dial, host or host:port [default: the one of the default route]
    #[arg(long, env = "BOATO_ADVERTISE", value_name = "HOST[:PORT]")]
    #[serde(with = "scalar")]
    pub advertise: Option<Advertise>,

    /// Log one of so many HTTP requests, 1 for all of them [default: none]
    ///
    /// Those whose caller traces them (traceparent with the sampled flag) are logged all the same, with the
    /// trace's id.
    #[arg(long, env = "BOATO_ACCESS_LOG", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub access_log: Option<u32>,

    /// Log requests and commands that take longer than this, like 100ms [default: never]
    ///
    /// Those of Redis' clients are shown by SLOWLOG, too.
    #[arg(long, env = "BOATO_SLOW_LOG", value_name = "TIME")]
    #[serde(with = "scalar")]
    pub slow_log: Option<Period>,

    /// Send traces that callers sample (traceparent) to this collector, by OTLP over HTTP, like http://localhost:4318
    /// [default: nowhere]
    #[arg(long, env = "BOATO_OTLP", value_name = "URL")]
    #[serde(with = "scalar")]
    pub otlp: Option<Collector>,

    /// What to log: a level or tracing directives like info,boato_gossip=debug [default: info]
    #[arg(long, env = "BOATO_LOG", value_name = "FILTER", value_parser = logging::filter)]
    pub log: Option<String>,
}

/// How far apart the members are, which is how patient they are with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// One machine: what happens is noticed soonest.
    Local,
    /// One data centre.
    Lan,
    /// Several continents: slow answers are waited for.
    Wan,
}

/// How to find other nodes besides `--join`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Discover {
    /// Nodes that the same user runs on this machine.
    Local,
    /// Nodes on the local network, by multicast DNS.
    Mdns,
    /// Only --join.
    Off,
}

impl fmt::Display for Discover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::Mdns => "mdns",
            Self::Off => "off",
        })
    }
}
