//! Clusters of real node processes on this machine, seen as a user sees them: over HTTP, by the command line, in the log.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod astray;
mod bootstrap;
mod changes;
mod commands;
mod crash;
mod harness;
mod keys;
mod limits;
mod membership;
mod metrics;
mod operate;
mod refusal;
mod resp;
mod scan;
mod supervised;
mod traces;
mod upgrade;
