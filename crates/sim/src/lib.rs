//! The simulator: virtual time and a virtual network around the production cores.
//!
//! The cores of this project have no clock, no sockets and no randomness of their own, so that the object that runs
//! in production runs here as well, thousands of times faster than real time, and a seed reproduces every run.
//!
//! - An [`Engine`] hosts participants of one type, each a [`Process`]: it delivers their messages, wakes them when
//!   they ask for it, and collects what they tell ([`Engine::notes`]).
//! - A [`Network`] decides when a message arrives, if it does: [`Rule`]s for delay, loss and cuts that compose and
//!   can come and go.
//! - A [`TraceHash`] is the fingerprint of a run: same seed, same hash.
//! - [`check`] judges what clients and nodes have seen, here and in real clusters.
//! - [`membership`] is the first scenario: a cluster of gossip cores that assembles, runs calm and loses members.
//! - [`registers`] is the second: whole nodes with clients, and everything that can go wrong.
//! - [`model`] explores every order of events of very small clusters, without time and network.
//!
//! # Contract
//!
//! Nothing in here reads a clock or an unseeded generator, or walks a map of random order. A process must keep to
//! the same rule, or its runs cannot be reproduced.
//!
//! # Map
//!
//! `engine` and `queue` are virtual time; `process` is what can be hosted; `network` the way between hosts; `trace`
//! the fingerprint; `check` the judges; `membership` and `registers` the scenarios of
//! `cargo xtask cluster-sim`; `model` is `cargo xtask model-check`.
//!
//! # Example
//!
//! Two processes, of which one greets and the other echoes:
//!
//! ```
//! use std::time::Duration;
//!
//! use boato_sim::{Effect, Engine, Host, Latency, Network, Outbox, Payload, Process, Rule, Way};
//!
//! #[derive(Clone)]
//! struct Word(&'static [u8]);
//!
//! impl Payload for Word {
//!     fn way(&self) -> Way {
//!         Way::Datagram
//!     }
//!     fn bytes(&self) -> &[u8] {
//!         self.0
//!     }
//! }
//!
//! struct Echo {
//!     greet: Option<Host>,
//! }
//!
//! impl Process for Echo {
//!     type Message = Word;
//!     type Note = &'static [u8];
//!
//!     fn start(&mut self, outbox: &mut Outbox<Self>) {
//!         if let Some(host) = self.greet {
//!             outbox.send(host, Word(b"hello"));
//!         }
//!     }
//!     fn receive(&mut self, from: Host, word: Word, outbox: &mut Outbox<Self>) {
//!         match self.greet {
//!             Some(_) => outbox.note(word.0),
//!             None => outbox.send(from, word),
//!         }
//!     }
//!     fn wake(&mut self, _: &mut Outbox<Self>) {}
//!     fn wake_at(&self) -> Option<Duration> {
//!         None
//!     }
//! }
//!
//! let latency = Latency { floor: Duration::from_millis(20), tail: Duration::ZERO };
//! let network = Network::new([Rule::everywhere(Effect::Delay(latency))]);
//! let mut engine = Engine::new(network, 7);
//! let (echo, greeter) = (engine.add_host(), engine.add_host());
//! engine.start(echo, Echo { greet: None });
//! engine.start(greeter, Echo { greet: Some(echo) });
//! while engine.step(Duration::from_secs(1)) {}
//! let notes: Vec<_> = engine.notes().collect();
//! assert_eq!(notes, [(Duration::from_millis(40), greeter, &b"hello"[..])]);
//! ```

pub mod check;
mod engine;
pub mod membership;
pub mod model;
mod network;
mod process;
mod queue;
pub mod registers;
mod signer;
mod trace;

pub use engine::{Engine, Traffic};
pub use network::{Effect, Hosts, Latency, Network, Rule, RuleId};
pub use process::{Host, Outbox, Payload, Process, Way};
pub use trace::TraceHash;
