//! Composes boato from its crates: configuration, wiring, signals. The binary `boato`, and a library to embed a
//! node.
//!
//! [`Node::start`] takes a [`Config`] and runs a node inside a program of yours; [`Node::backend`] reads and writes
//! without a socket. The node finds the others as `boato run` does, and its keys are theirs.
//!
//! ```
//! use boato_api::{Action, Command, Execution, Outcome, Readiness};
//! use node::{Config, Node, Settings};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let settings = Settings {
//!     cluster: Some(format!("example-{}", std::process::id())),
//!     quic: Some("127.0.0.1:0".parse()?),
//!     http: Some("127.0.0.1:0".parse()?),
//!     ..Settings::default()
//! };
//! let node = Node::start(Config::new(&settings)?).await?;
//! let backend = node.backend();
//! while backend.readiness() != Readiness::Ready {
//!     tokio::time::sleep(std::time::Duration::from_millis(20)).await;
//! }
//! let put = Command { key: b"greeting", action: Action::put(b"hello") };
//! // A node alone holds every key: the answer is there at once. Another node's key would be `Pending`.
//! let Execution::Ready(reply) = backend.execute(&put) else { panic!("not held here") };
//! assert!(matches!(reply?.outcome, Outcome::Created(_)));
//! let get = Command { key: b"greeting", action: Action::Get };
//! let Execution::Ready(reply) = backend.execute(&get) else { panic!("not held here") };
//! assert!(matches!(reply?.outcome, Outcome::Value { value, .. } if value == "hello"));
//! node.leave().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Map
//!
//! | module | what it is |
//! |---|---|
//! | `node`, `builder`, `parts` | a running node, and how it is put together |
//! | `run`, `supervisor`, `inherited`, `idle` | the same in the foreground: signals, a service manager |
//! | `live` | what can be changed while it runs |
//! | `backend`, `keys`, `slot_map` | the node as its doors see it |
//! | `doors` | its listeners for clients, from the port to the end |
//! | `membership`, `attributes`, `roster` | what gossip says, passed on; what a member is asked |
//! | `handler` | commands that are run when something happens |
//! | [`config`], [`cli`], [`client`] | what a node is told; the commands; how they speak to a node |
//! | [`discovery`], [`listen`], `ready` | finding others, being found |
//! | [`logging`], `journal`, `metrics`, `tally`, `process`, `moves`, `reports` | what is shown |

mod attributes;
mod backend;
mod builder;
pub mod cli;
pub mod client;
pub mod config;
pub mod discovery;
mod doors;
mod files;
mod handler;
mod identity;
mod idle;
mod inherited;
mod journal;
mod keys;
pub mod listen;
mod live;
pub mod logging;
mod membership;
mod metrics;
mod moves;
mod node;
mod parts;
mod process;
mod ready;
mod reports;
mod roster;
mod run;
mod slot_map;
mod start_error;
mod supervisor;
mod tally;

pub use builder::Builder;
pub use config::{Config, Settings};
pub use identity::{Identity, IdentityError};
pub use inherited::{InheritError, Inherited};
pub use live::{ReloadError, Reread};
pub use node::Node;
pub use run::run;
pub use start_error::StartError;
