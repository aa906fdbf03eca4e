//! Composes boato from its crates: configuration, wiring, signals. The binary boato, and a library to embed a node.

pub mod cli;
pub mod client;
pub mod config;
pub mod discovery;
mod files;
mod identity;
pub mod listen;
pub mod logging;
pub mod ready;

pub use config::{Config, Settings};
pub use identity::{Identity, IdentityError};
