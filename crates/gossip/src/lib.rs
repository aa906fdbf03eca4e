//! Cluster membership by gossip: SWIM with Lifeguard, as a state machine without I/O.
//!
//! A [`Gossip`] is one member. It knows who else is there, notices who crashed, lets members join and leave, and
//! carries a few attributes of each (address, name, tags). It has no clock, socket, task, lock, log or randomness of
//! its own: time and a seed are arguments, so the same object runs in tests, in a simulator and in production.
//!
//! # Contract
//!
//! Hand in an [`Input`] with [`Gossip::handle`], then drain [`Gossip::poll_output`] until `None`, then wait for the
//! next input or for [`Gossip::poll_timeout`], whichever comes first, and hand in [`Input::Timeout`] for the latter.
//! Time is a [`Duration`](std::time::Duration) since an origin of the caller's choice and must keep running while the
//! process does not: a member that finds itself late accuses nobody.
//!
//! - An input that is an error has changed nothing. Bytes of peers never panic.
//! - Equal calls with equal seeds give equal outputs.
//! - Messages must come from peers that the transport has authenticated: a member believes what it reads, within the
//!   bounds that keep a defective peer from doing lasting harm. With a [`Signer`] it believes what others pass on of a member's
//!   words only if that member has signed them; without one, as is enough where all peers are trusted, it believes them unsigned.
//! - Beliefs about a node are totally ordered by boot, incarnation and state, and the highest wins, so all members
//!   end with the same belief in whatever order messages arrive. Only the member itself raises its incarnation.
//! - [`Output::Datagram`] may be lost and must not wait for a connection. [`Output::Stream`] is sent whole or not.
//! - All that peers can make a member keep is bounded: members by [`Config::members_max`], the rest by constants beside
//!   the field they bound.
//!
//! # Map
//!
//! | module | what |
//! |---|---|
//! | `gossip` | the state machine; below it `probe`, `relay` and `roll_call` (failure detection), `merge` (what news is worth), `belief` (what is believed), `words` (what members say of themselves), `spread` (dissemination), `push_pull` (anti-entropy, joins), `reconnect` (knocking at the dead), `events` and `query` (of the application), `housekeeping` (of operators), `leave`, `receive` |
//! | `precedence` | the one rule which of two statements wins |
//! | `digest` | fingerprints of all beliefs, by which two members find their differences |
//! | `suspicion`, `awareness`, `rtt` | Lifeguard: how long a suspicion lasts, how far to trust the own clock; how long answers take |
//! | `coordinate` | Vivaldi: where in the network members are, so how long a round trip between any two takes |
//! | `table`, `queue`, `timers` | the members and the order of probes; what is still to be told; what is still to happen |
//! | `filter` | which members are meant, by patterns |
//! | `user_event` | the recent events of the application, in order, bounded in bytes |
//! | `query` | what is asked of members, and what they say |
//! | `signature` | what members sign of what they say about themselves |
//! | `wire`, `codec` | the messages, frozen per [`PROTOCOL`]; their bytes and the ranges of their values |
//! | `quic` | with feature `quic`: the driver over `boato-transport` |
//!
//! # Sources
//!
//! Das, Gupta, Motivala: SWIM (2002). Dadgar, Phillips, Currey: Lifeguard (2018). Defaults and scaling follow
//! memberlist and Serf; where this differs, the code says why.
//!
//! # Example
//!
//! Two members, driven by hand:
//!
//! ```
//! use std::time::Duration;
//! use boato_gossip::{Config, Event, Gossip, Identity, Input, NodeId, Output};
//!
//! let start = |n: u8| {
//!     let identity = Identity {
//!         id: NodeId(u128::from(n)),
//!         boot: 1,
//!         addr: ([10, 0, 0, n], 7400).into(),
//!         name: format!("node-{n}"),
//!         tags: vec![("http".into(), format!("10.0.0.{n}:7480"))],
//!     };
//!     Gossip::new(Config::lan(), identity, u64::from(n), Duration::ZERO)
//! };
//! let mut members = [start(1)?, start(2)?];
//!
//! // Member 1 is told where member 2 is.
//! let there = members[1].me().addr;
//! members[0].handle(Input::Join(there), Duration::ZERO)?;
//!
//! // Ten seconds of virtual time over a perfect network.
//! let mut joined = Vec::new();
//! for now in (0..10_000).map(Duration::from_millis) {
//!     for i in 0..2 {
//!         if members[i].poll_timeout().is_some_and(|at| at <= now) {
//!             members[i].handle(Input::Timeout, now)?;
//!         }
//!         let from = members[i].me().addr;
//!         while let Some(output) = members[i].poll_output() {
//!             match output {
//!                 Output::Datagram { bytes, .. } => members[1 - i].handle(Input::Datagram { from, bytes: &bytes }, now)?,
//!                 Output::Stream { bytes, .. } | Output::Bulk { bytes, .. } => members[1 - i].handle(Input::Stream { from, bytes: &bytes }, now)?,
//!                 Output::Event(Event::Joined(member)) => joined.push(member.name.to_string()),
//!                 Output::Event(_) => {}
//!             }
//!         }
//!     }
//! }
//! assert_eq!(joined, ["node-1", "node-2"]);
//! assert_eq!(members[0].live().count(), 2);
//! assert_eq!(members[0].member(NodeId(2)).and_then(|m| m.tags.get("http")), Some("10.0.0.2:7480"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod awareness;
mod codec;
mod config;
mod coordinate;
mod digest;
mod error;
mod filter;
mod gossip;
mod id;
mod io;
mod member;
mod pool;
mod precedence;
mod query;
mod queue;
#[cfg(feature = "quic")]
pub mod quic;
mod rtt;
mod signature;
mod slots;
mod stats;
mod suspicion;
mod table;
#[cfg(test)]
mod tests;
mod timers;
mod user_event;
mod wire;

pub use config::Config;
pub use coordinate::Coordinate;
pub use error::{AddressError, AttributeError, DecodeError, InputError, NewError};
pub use filter::matches;
pub use gossip::Gossip;
pub use id::{NodeId, Pid};
pub use io::{Event, Input, Output};
pub use member::{ATTRIBUTE_BYTES_MAX, Identity, Member, NAME_BYTES_MAX, State, Tags};
pub use pool::MemberPool;
pub use query::{
    Filter, QUERY_BYTES_MAX, QUERY_RELAYS_MAX, QUERY_TIMEOUT_MAX, Query, QueryId, Question,
    RESPONSE_BYTES_MAX, Reply,
};
pub use signature::{SIGNATURE_BYTES, Signature, Signer};
pub use stats::Stats;
pub use user_event::{USER_EVENT_BYTES_MAX, UserEvent};
pub use wire::PROTOCOL;
