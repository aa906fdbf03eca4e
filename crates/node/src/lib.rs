//! Composes boato from its crates: configuration, wiring, signals. The binary `boato`, and a library to embed a
//! node.
//!
//! [`Node::builder`] starts a node inside a program of yours; [`Node::keys`] reads and writes without a socket. The node finds the others as `boato run` does, and its keys are theirs.
//!
//! ```
//! use std::time::Duration;
//!
//! use boato_api::Readiness;
//! use node::Node;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let name = format!("example-{}", std::process::id());
//! let node = Node::builder()
//!     .cluster(name)
//!     .settings(|settings| settings.http = Some("127.0.0.1:0".parse().expect("an address")))
//!     .start()
//!     .await?;
//! while node.backend().readiness() != Readiness::Ready {
//!     tokio::time::sleep(Duration::from_millis(20)).await;
//! }
//! let keys = node.keys();
//! keys.put(b"greeting", b"hello", Some(Duration::from_secs(60))).await?;
//! assert_eq!(keys.get(b"greeting").await?.as_deref(), Some(&b"hello"[..]));
//! assert_eq!(keys.add(b"visits", 1, None).await?, 1);
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
//! | `local` | keys for the program that carries the node |
//! | `backend`, `keys`, `slot_map` | the node as its doors see it |
//! | `doors` | its listeners for clients, from the port to the end |
//! | `membership`, `attributes`, `roster` | what gossip says, passed on; what a member is asked |
//! | `keyring` | the cluster's secrets, replaced while it runs |
//! | `handler` | commands that are run when something happens |
//! | [`config`], [`cli`], [`client`] | what a node is told; the commands; how they speak to a node |
//! | [`discovery`], `joining`, [`listen`], `ready`, `remembered` | finding others, being found, finding them again |
//! | [`logging`], `journal`, `metrics`, `tally`, `process`, `moves`, `reports` | what is shown |

mod attributes;
mod backend;
mod builder;
pub mod cli;
pub mod client;
pub mod config;
pub mod discovery;
mod doors;
mod figures;
mod files;
mod handler;
mod identity;
mod idle;
mod inherited;
mod joining;
mod journal;
mod keyring;
mod keys;
pub mod listen;
mod live;
mod local;
pub mod logging;
mod membership;
mod metrics;
mod moves;
mod node;
mod otlp;
mod parts;
mod process;
mod ready;
mod remembered;
mod reports;
mod roster;
mod run;
mod slot_map;
mod start_error;
mod supervisor;
mod tally;
mod wire;

pub use builder::Builder;
pub use config::{Config, Settings};
pub use identity::{Identity, IdentityError};
pub use inherited::{InheritError, Inherited};
pub use live::{ReloadError, Reread};
pub use local::{AddError, Keys, PutError};
pub use node::Node;
pub use run::run;
pub use start_error::StartError;
