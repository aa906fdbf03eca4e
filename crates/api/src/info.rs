//! What a node says about itself and its cluster.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Whether a node serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Joined and serving.
    Ready,
    /// Not yet, or not any more.
    Unready {
        /// Why, for people and scripts: `joining`, `leaving`, ...
        reason: Cow<'static, str>,
    },
}

/// What can be changed of a node that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Read the configuration again and take over what can be changed, all of it or nothing.
    Reload,
    /// Its share of the keys relative to others, until it ends or its configuration says otherwise; ends draining.
    /// `None`: the GiB of memory that it may use.
    Weight(Option<u16>),
    /// Hand all keys to others and be unready, but stay: what a leave begins with, and can be taken back.
    Drain,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Reload => f.write_str("read its configuration again"),
            Change::Weight(Some(weight)) => write!(f, "take the weight {weight}"),
            Change::Weight(None) => f.write_str("take the weight of its memory"),
            Change::Drain => f.write_str("be drained"),
        }
    }
}

/// A node in a few figures, as JSON under `/_/status`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Status {
    /// Node id, hexadecimal.
    pub id: String,
    /// Node name.
    pub name: String,
    /// Cluster name.
    pub cluster: String,
    /// Version of the software.
    pub version: String,
    /// Whether it serves keys.
    pub ready: bool,
    /// Why not, when it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// Address peers reach it at.
    pub quic: String,
    /// Address of its HTTP door.
    pub http: String,
    /// Address of its RESP door for clients that know one address, if it has one.
    pub resp: Option<String>,
    /// Address of its RESP door for cluster clients, if it has one.
    pub resp_cluster: Option<String>,
    /// Members alive, itself included.
    pub members: usize,
    /// Slots it holds.
    pub slots: usize,
    /// Live entries it holds.
    pub entries: u64,
    /// Entries it has removed since the start as their time to live was over.
    pub expired: u64,
    /// Bytes of memory its entries take.
    pub bytes: u64,
    /// Its memory limit in bytes, if it has one.
    pub max_memory: Option<u64>,
    /// What is on the move from and to this node; `None`: nothing.
    pub moving: Option<Moving>,
}

/// What the clients of a node have asked for since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Operations {
    /// Operations on keys held there.
    pub local: u64,
    /// Operations on keys held elsewhere.
    pub forwarded: u64,
    /// Operations that nobody answered, or not in time.
    pub failed: u64,
    /// Reads that found a value.
    pub hits: u64,
    /// Reads that found none.
    pub misses: u64,
}

/// What a node does, in a few figures; as JSON under `/_/figures`, and what nodes tell each other. What is a rate or a share is over the last
/// seconds, and `None` at the first look and where there was nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Since its doors were opened, which tells one look from the next.
    pub seconds: f64,
    /// Operations on keys that clients of this node asked for.
    pub operations_per_s: Option<f64>,
    /// The share of them that another node had the key of.
    pub forwarded: Option<f64>,
    /// The share of reads that found a value.
    pub hits: Option<f64>,
    /// What half of all answers to requests and commands took at most, in seconds.
    pub p50_s: Option<f64>,
    /// What 99 of 100 took at most, in seconds.
    pub p99_s: Option<f64>,
    /// Connections of clients.
    pub connections: u64,
    /// Live entries it holds.
    pub entries: u64,
    /// Bytes of memory its entries take.
    pub bytes: u64,
    /// Its memory limit in bytes, if it has one.
    pub max_memory: Option<u64>,
    /// What the node waits for, when it does not serve.
    pub reason: Option<String>,
}

/// What became of a node's keys when it left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Departure {
    /// Slots that nobody took over.
    pub slots_lost: usize,
    /// Entries in them.
    pub entries_lost: u64,
}

/// Slots on the move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Moving {
    /// Slots this node has and others are to have.
    pub slots_to_give: usize,
    /// Bytes of their entries.
    pub bytes_to_give: u64,
    /// Slots this node is to have and has not yet.
    pub slots_to_take: usize,
    /// Bytes sent per second, over the last few seconds.
    pub bytes_per_s: u64,
    /// Seconds until all is given at this rate; `None` where nothing has been sent or nothing is to be given.
    pub seconds_left: Option<u64>,
}

/// A member, as JSON in the array of `/_/members`.
#[derive(Clone, Debug, Serialize)]
pub struct MemberInfo {
    /// Node id, hexadecimal.
    pub id: String,
    /// Node name.
    pub name: String,
    /// `alive`, `suspect`, `dead` or `left`.
    pub state: &'static str,
    /// Address peers reach it at.
    pub quic: String,
    /// Address of its HTTP door, if it announces one.
    pub http: Option<String>,
    /// Address of its RESP door for clients that know one address, if it announces one.
    pub resp: Option<String>,
    /// Address of its RESP door for cluster clients, if it announces one.
    pub resp_cluster: Option<String>,
    /// Share of the keys it asks for, relative to the others.
    pub weight: u32,
    /// Version of its software.
    pub version: String,
    /// All that it says about itself, the above included.
    pub tags: BTreeMap<String, String>,
    /// What it holds, as it last said; `None` when it has not said.
    pub load: Option<Load>,
}

/// What a member holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Load {
    /// Slots.
    pub slots: u32,
    /// Bytes of memory its entries take.
    pub bytes: u64,
}

/// All slots, as JSON under `/_/slots`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SlotMap {
    /// Slots whose keys were lost in crashes, as the members alive have counted since they started.
    pub lost: u64,
    /// Names of the members alive that have not answered: what they hold and have counted is unknown, and slots that
    /// nobody else has told of are `unknown` rather than `unheld`.
    pub silent: Vec<String>,
    /// Runs of equal holder and state, ascending and without gaps.
    pub runs: Vec<SlotRun>,
}

/// A run of slots of one holder and one state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SlotRun {
    /// First slot.
    pub from: u16,
    /// Last slot, inclusive.
    pub to: u16,
    /// Name of the holder, if this node knows one.
    pub holder: Option<String>,
    /// State of these slots as this node sees them.
    pub state: &'static str,
}

/// Where a key belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The key's slot.
    pub slot: u16,
    /// Name of the node the slot is assigned to; `None` before this node has a table.
    pub owner: Option<String>,
}

/// A page of keys to be read.
#[derive(Clone, Copy, Debug)]
pub struct KeysQuery<'a> {
    /// Only keys that start with these bytes; empty means all.
    pub prefix: &'a [u8],
    /// Where the page before ended, as that page said; `None` starts.
    pub cursor: Option<&'a str>,
    /// At most this many keys, 1 to 1000.
    pub limit: usize,
}

/// A page of keys.
///
/// A key that is there from the first page to the last is listed at least once; there is no order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeysPage {
    /// The keys; a page may be empty and not be the last.
    pub keys: Vec<Bytes>,
    /// Where the next page starts, in characters that need no escape in a URL; `None` after the last.
    pub cursor: Option<String>,
}

/// A page of keys to be read with a number as its cursor, as Redis' `SCAN` does.
#[derive(Clone, Copy, Debug)]
pub struct ScanQuery<'a> {
    /// Where the page before ended; 0 starts. Any number is legal.
    pub cursor: u64,
    /// Only keys that this pattern of Redis' `KEYS` matches: `?`, `*`, `[a-z]`, `[^a]`, `\\x`.
    pub pattern: Option<&'a [u8]>,
    /// About how many keys to look at, 1 to 65536. A page may have more or fewer keys.
    pub count: usize,
    /// Only keys of this slot.
    pub slot: Option<u16>,
    /// Only keys of slots for which this node's topology names this node.
    pub mine: bool,
}

/// A page of keys.
///
/// A key that is there from the first page to the last is listed at least once, whatever slots move meanwhile; there is no
/// order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanPage {
    /// The keys.
    pub keys: Vec<Bytes>,
    /// Where the next page starts; 0 after the last.
    pub cursor: u64,
}

/// Which node cluster clients are to ask for which slot. One value per table: who has seen one `Arc` of it has seen all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// Grows with every change on this node.
    pub epoch: u64,
    /// Members alive with a door for cluster clients.
    pub nodes: Vec<TopologyNode>,
    /// Runs of slots, ascending: first slot, last slot, place of its node in `nodes`. Slots without such a node are left out.
    pub runs: Vec<(u16, u16, usize)>,
}

/// A node as cluster clients see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopologyNode {
    /// 40 hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its door for cluster clients.
    pub addr: SocketAddr,
    /// Whether it is the node that was asked.
    pub me: bool,
}

/// What who reads along is told of a node's log, under `/_/log`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Logged {
    /// A record: a JSON object without line breaks, with at least `timestamp`, `level`, `target` and mostly `message`.
    Record(Arc<str>),
    /// So many records are missing here, as they came faster than they were read.
    Missed(u64),
}

/// Something that happened, as a server-sent event under `/_/events`.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// Ascending per node.
    pub id: u64,
    /// What: `joined`, `failed`, `slots_lost`, ... without line breaks.
    pub kind: Cow<'static, str>,
    /// The particulars.
    pub data: serde_json::Value,
}
