//! The HTTP door over a map: every rule of the front page of `boato_api::http`, by raw bytes where bytes
//! matter.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod admin;
mod client;
mod guard;
mod keys;
mod limits;
mod membership;
mod memory;
mod plain;
mod protocols;
