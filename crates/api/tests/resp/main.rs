//! The RESP door over a map: replies byte by byte, compared with what Redis says where one is installed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod client;
mod cluster;
mod commands;
mod endings;
mod garbage;
mod generator;
#[path = "../../src/resp/glob.rs"]
mod glob;
mod limits;
mod map;
mod oracle;
mod pipelines;
mod redis;
mod transactions;
mod value;
mod wire;
