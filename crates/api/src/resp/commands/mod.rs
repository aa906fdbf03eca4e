//! The commands, a file per group: each says what is to be done with which keys, or answers at once.

#![expect(clippy::unnecessary_wraps, reason = "handlers have one type, those that never fail too")]

pub(super) mod bits;
mod client;
mod cluster;
mod command;
mod config;
mod connection;
mod dispatch;
mod expiry;
mod info;
mod keys;
mod numbers;
mod options;
mod owned;
mod plan;
mod scan;
mod server;
mod slowlog;
mod strings;
mod topology;
mod transaction;

use super::door::Door;
use super::replies::Replies;
use super::session::Session;
use super::table::Spec;

pub(super) use dispatch::dispatch;
pub(super) use owned::Owned;
pub(super) use plan::Planned;
pub(super) use topology::TopologyCache;
pub(super) use transaction::{Queue, Watched};

/// The command table, group by group.
pub(super) static GROUPS: [&[Spec]; 10] = [
    strings::SPECS,
    numbers::SPECS,
    bits::SPECS,
    keys::SPECS,
    expiry::SPECS,
    scan::SPECS,
    transaction::SPECS,
    connection::SPECS,
    server::SPECS,
    cluster::SPECS,
];

/// What a command that answers at once works with.
pub(super) struct Context<'c> {
    pub(super) session: &'c mut Session,
    pub(super) door: &'c Door,
    pub(super) out: &'c mut Replies,
}
