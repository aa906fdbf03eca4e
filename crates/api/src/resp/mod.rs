//! The RESP door: what Redis' clients speak, versions 2 and 3, inline commands included.
//!
//! # The way of a command
//!
//! `server` accepts; `connection` reads what there is, has the `parser` find the commands in the buffer, gives each as a
//! `request` to `dispatch` and writes all `replies` of a read at once. A command on a key that is held here is done in
//! `dispatch`, without a task, channel, await or allocation in between. Commands on keys held elsewhere are collected, asked
//! for together at the end of the read, and their replies put into their places.
//!
//! # Order
//!
//! Replies come in the order of their commands. The commands of one connection on one key are applied in that order too;
//! those on keys of different slots may overtake each other within a pipeline.

mod ahead;
mod batch;
mod client;
mod clients;
mod commands;
mod config;
mod connection;
mod door;
mod form;
mod glob;
mod hints;
mod inline;
mod input;
mod metrics;
mod number;
mod pace;
mod parser;
mod pending;
mod replies;
mod request;
mod server;
mod session;
mod slow_log;
mod step;
mod table;

pub use config::{Config, Kind, Limits};
pub use metrics::Metrics;
pub use server::run;
pub use slow_log::SlowLog;

/// Whether a key matches a pattern as in Redis' `KEYS`: `*`, `?`, `[a-z]`, `[^a]`, `\x`. Patterns of more than 4096 bytes match nothing.
#[must_use]
pub fn pattern_matches(pattern: &[u8], key: &[u8]) -> bool {
    glob::matches(pattern, key, false)
}
