//! The front doors of a key-value node over one trait: HTTP/1.1 and HTTP/2.

mod backend;
pub mod http;

pub use backend::{
    Backend, Command, Condition, Event, Execution, Failure, KeysPage, KeysQuery, Load, MemberInfo, Outcome,
    Owner, Readiness, Reply, SlotRun, Source, Status, Version, VersionError,
};
