//! The front doors of a key-value node over one trait: HTTP/1.1 and HTTP/2.
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
//! - Everything is bounded ([`http::Limits`]): heads, bodies, the memory all bodies share, connections,
//!   streams, subscribers, and the time each of them may take.
//! - A door on loopback is out of reach of web pages of other sites; tokens are compared in constant time
//!   ([`http::Guard`]).
//!
//! # Map
//!
//! | module | |
//! |---|---|
//! | `backend` | the trait and its vocabulary, shared by all doors; its items are re-exported here |
//! | [`http`] | the HTTP door: keys, `/_/` routes, guards, limits, metrics |
//!
//! A door for RESP gets a module of its own beside `http`, over the same trait.
//!
//! # Example
//!
//! A door over a map, and a client:
//!
//! ```
//! use std::collections::HashMap;
//! use std::sync::{Arc, Mutex};
//!
//! use boato_api::{
//!     Backend, Command, Event, Execution, Failure, KeysPage, KeysQuery, MemberInfo, Outcome, Owner,
//!     Readiness, Reply, SlotMap, Source, Status, Version, http,
//! };
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
//!     fn execute(&self, command: Command<'_>) -> Execution {
//!         let version = Version { hlc: 1, node: 1 };
//!         let mut map = self.0.lock().unwrap();
//!         let outcome = match command {
//!             Command::Get { key } => map.get(key).map_or(Outcome::Missing, |value| Outcome::Value {
//!                 value: value.clone(),
//!                 content_type: Bytes::new(),
//!                 version,
//!                 ttl_left: None,
//!             }),
//!             Command::Put { key, value, .. } => {
//!                 match map.insert(key.to_vec(), Bytes::copy_from_slice(value)) {
//!                     Some(_) => Outcome::Replaced(version),
//!                     None => Outcome::Created(version),
//!                 }
//!             }
//!             Command::Delete { key, .. } => map.remove(key).map_or(Outcome::Missing, |_| Outcome::Deleted),
//!         };
//!         Execution::Ready(Ok(Reply { source: Source::Local, holder: "map".into(), outcome }))
//!     }
//!     // A map is always ready, alone, and never leaves.
//! #   fn readiness(&self) -> Readiness { Readiness::Ready }
//! #   fn status(&self) -> Status { Status { ready: true, ..Status::default() } }
//! #   fn members(&self) -> BoxFuture<'static, Vec<MemberInfo>> { Box::pin(ready(Vec::new())) }
//! #   fn slots(&self) -> BoxFuture<'static, SlotMap> { Box::pin(ready(SlotMap::default())) }
//! #   fn owner(&self, _: &[u8]) -> Owner { Owner { slot: 0, owner: None } }
//! #   fn keys(&self, _: KeysQuery<'_>) -> BoxFuture<'static, Result<KeysPage, Failure>> {
//! #       Box::pin(ready(Ok(KeysPage::default())))
//! #   }
//! #   fn events(&self) -> BoxStream<'static, Event> { Box::pin(stream::empty()) }
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

mod backend;
mod command;
pub mod http;
mod info;
mod reply;
mod version;

pub use backend::{Backend, Entry};
pub use command::{Action, Command, Condition, ExpireWhen, Expiry, Transaction};
pub use info::{
    Event, KeysPage, KeysQuery, Load, MemberInfo, Moving, Owner, Readiness, ScanPage, ScanQuery, SlotMap,
    SlotRun, Status, Topology, TopologyNode,
};
pub use reply::{Execution, Failure, Outcome, Reply, Source};
pub use version::{Version, VersionError};
