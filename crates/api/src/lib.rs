//! The front doors of a key-value node over one trait: HTTP/1.1, HTTP/2 and RESP.
//!
//! A door knows its protocol and its limits; what a key is worth, and on which node it lives, only the
//! [`Backend`] knows. The crate has no opinion about clusters and can stand in front of a map.
//!
//! # Contract
//!
//! - [`Backend::execute`] is called once per request on a key, with borrowed bytes. A reply that is
//!   [`Ready`](Execution::Ready) is written in the same poll (over HTTP/1.1): no task, channel or await in
//!   between. A [`Pending`](Execution::Pending) one is dropped when its client is known to be gone.
//! - Nothing is sent twice: a door never repeats a command.
//! - Everything is bounded ([`http::Limits`], [`resp::Limits`]): heads, commands, bodies, replies, the memory all of
//!   them share, connections, streams, subscribers, and the time each of them may take.
//! - A door on loopback is out of reach of web pages of other sites ([`http::Guard`]; a RESP door closes on an HTTP
//!   request); tokens are compared in constant time ([`Tokens`]).
//!
//! # Map
//!
//! | module | |
//! |---|---|
//! | `backend` | the trait, shared by all doors |
//! | `command`, `reply`, `info`, `version` | its words: what is asked, what is answered, what a node says of itself |
//! | `membership` | the trait of a node that is one of several: events, tags, distances |
//! | [`http`] | the HTTP door: keys, `/_/` routes, guards, limits, metrics |
//! | [`resp`] | the RESP door: what Redis' clients speak, plain ones and cluster ones |
//! | `accept`, `budget`, `token`, `traffic` | what the doors share |
//!
//! # Example
//!
//! A door over a map, and a client:
//!
//! ```
//! use std::collections::HashMap;
//! use std::sync::{Arc, Mutex};
//!
//! use boato_api::{Action, Backend, Command, Entry, Failure, Outcome, Reply, Source, Version, http};
//! # use boato_api::{
//! #     Event, KeysPage, KeysQuery, MemberInfo, Owner, Readiness, ScanPage, ScanQuery, SlotMap, Status, Topology,
//! #     Transaction,
//! # };
//! use bytes::Bytes;
//! use futures_util::future::{BoxFuture, ready};
//! use futures_util::stream::{self, BoxStream};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use tokio::net::{TcpListener, TcpStream};
//! use tokio_util::sync::CancellationToken;
//!
//! #[derive(Default)]
//! struct Map(Mutex<HashMap<Vec<u8>, Bytes>>);
//!
//! impl Backend for Map {
//!     fn try_execute(&self, command: &Command<'_>, _: u64) -> Option<Result<Outcome, Failure>> {
//!         let version = Version { hlc: 1, node: 1 };
//!         let mut map = self.0.lock().unwrap();
//!         let outcome = match command.action {
//!             Action::Get => map.get(command.key).map_or(Outcome::Missing, |value| Outcome::Value {
//!                 value: value.clone(),
//!                 content_type: Bytes::new(),
//!                 version,
//!                 ttl_left: None,
//!             }),
//!             Action::Put { value, .. } => {
//!                 match map.insert(command.key.to_vec(), Bytes::copy_from_slice(value)) {
//!                     Some(_) => Outcome::Replaced { version, previous: None },
//!                     None => Outcome::Created(version),
//!                 }
//!             }
//!             _ => return Some(Err(Failure::Unavailable {
//!                 reason: "a map reads and writes, and that is all".into(),
//!                 retry_after: std::time::Duration::MAX,
//!             })),
//!         };
//!         Some(Ok(outcome))
//!     }
//!
//!     fn execute_all(&self, commands: &[Command<'_>]) -> BoxFuture<'static, Vec<Result<Reply, Failure>>> {
//!         let reply = |outcome| Reply { source: Source::Local, holder: self.name(), outcome };
//!         let results = commands.iter().filter_map(|command| Some(self.try_execute(command, 0)?.map(reply)));
//!         Box::pin(ready(results.collect()))
//!     }
//! #   fn read(&self, _: &[u8], _: u64, _: &mut dyn FnMut(Option<Entry<'_>>)) -> bool { false }
//! #   fn transact(
//! #       &self,
//! #       _: Transaction<'_>,
//! #   ) -> BoxFuture<'static, Result<Option<Vec<Result<Outcome, Failure>>>, Failure>> {
//! #       Box::pin(ready(Ok(None)))
//! #   }
//! #   fn scan(&self, _: ScanQuery<'_>) -> BoxFuture<'static, Result<ScanPage, Failure>> {
//! #       Box::pin(ready(Ok(ScanPage::default())))
//! #   }
//! #   fn count(&self, _: Option<u16>) -> BoxFuture<'static, Result<u64, Failure>> { Box::pin(ready(Ok(0))) }
//! #   fn flush(&self) -> BoxFuture<'static, Result<u64, Failure>> { Box::pin(ready(Ok(0))) }
//! #   fn slot(&self, _: &[u8]) -> u16 { 0 }
//! #   fn redirect(&self, _: u16) -> Option<std::net::SocketAddr> { None }
//! #   fn topology(&self) -> Arc<Topology> { Arc::default() }
//!     // A map is always ready, alone, and never leaves.
//! #   fn readiness(&self) -> Readiness { Readiness::Ready }
//! #   fn status(&self) -> Status { Status { ready: true, ..Status::default() } }
//! #   fn members(&self) -> BoxFuture<'static, Vec<MemberInfo>> { Box::pin(ready(Vec::new())) }
//! #   fn slots(&self) -> BoxFuture<'static, SlotMap> { Box::pin(ready(SlotMap::default())) }
//! #   fn owner(&self, _: &[u8]) -> Owner { Owner { slot: 0, owner: None } }
//! #   fn keys(&self, _: KeysQuery<'_>) -> BoxFuture<'static, Result<KeysPage, Failure>> {
//! #       Box::pin(ready(Ok(KeysPage::default())))
//! #   }
//! #   fn events(&self) -> (Vec<Event>, BoxStream<'static, Event>) { (Vec::new(), Box::pin(stream::empty())) }
//! #   fn leave(&self) -> Result<(), Failure> { Ok(()) }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let address = listener.local_addr()?;
//! let shutdown = CancellationToken::new();
//! let (map, config) = (Arc::new(Map::default()), http::Config::default());
//! let door = tokio::spawn(http::run(listener, map, config, shutdown.clone().cancelled_owned()));
//!
//! let mut client = TcpStream::connect(address).await?;
//! client.write_all(b"PUT /greeting HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello").await?;
//! client.write_all(b"GET /greeting HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
//! let mut answers = String::new();
//! client.read_to_string(&mut answers).await?;
//! assert!(answers.starts_with("HTTP/1.1 201 Created\r\n"));
//! assert!(answers.contains("x-source: local\r\n"));
//! assert!(answers.ends_with("\r\n\r\nhello"));
//!
//! shutdown.cancel();
//! door.await?;
//! # Ok(())
//! # }
//! ```

mod accept;
mod backend;
mod budget;
mod command;
pub mod http;
mod info;
mod latency;
mod membership;
mod per_thread;
mod reply;
pub mod resp;
mod token;
mod trace;
mod traffic;
mod version;

pub use backend::{Backend, Entry, FETCH_MAX, Shown};
pub use command::{Action, Command, Condition, ExpireWhen, Expiry, Transaction};
pub use info::{
    Change, Departure, Event, Figures, KeysPage, KeysQuery, Load, Logged, MemberInfo, Moving, Operations,
    Owner, Readiness, ScanPage, ScanQuery, SlotMap, SlotRun, Status, Topology, TopologyNode,
};
pub use membership::{
    Declined, KeyChange, KeyReport, Membership, Query, Reachability, RoundTrip, TagChange, Told,
};
pub use per_thread::PerThread;
pub use reply::{Execution, Failure, Outcome, Reply, Source};
pub use token::{Token, Tokens};
pub use trace::Trace;
pub use version::{Version, VersionError};
