//! Composes boato from its crates: configuration, wiring, signals. The binary boato, and a library to embed a node.

mod attributes;
mod backend;
pub mod cli;
pub mod client;
pub mod config;
pub mod discovery;
mod files;
mod identity;
mod journal;
mod keys;
pub mod listen;
pub mod logging;
mod membership;
mod metrics;
mod node;
pub mod ready;
mod roster;
mod run;
mod slot_map;

pub use config::{Config, Settings};
pub use identity::{Identity, IdentityError};
pub use node::{Node, StartError};
pub use run::run;
