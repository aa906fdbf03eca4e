//! The HTTP door: HTTP/1.1 and HTTP/2 on one port.
//!
//! | path | methods | |
//! |---|---|---|
//! | `/{key}` | GET, HEAD | the value; 404 when there is none |
//! | | PUT, POST | stores the body: 201 created, 200 replaced |
//! | | DELETE | 204, or 404 |
//! | `/_/` | GET | a page for people |
//! | `/_/livez`, `/_/readyz` | GET | whether the process lives; whether it serves |
//! | `/_/status`, `/_/members`, `/_/slots`, `/_/owner/{key}`, `/_/keys` | GET | JSON |
//! | `/_/events?with=` | GET | server-sent events; with `cluster`, `figures`, what the page shows |
//! | `/_/log?level=` | GET | the node's log as it is written, as server-sent events |
//! | `/_/event?name=` | POST | tells all members the body: 202 |
//! | `/_/query?name=` | POST | asks members; server-sent events |
//! | `/_/keyring` | GET, POST | which secrets each member knows; changes them |
//! | `/_/reachability` | GET | which members answer |
//! | `/_/join?addr=` | POST | contacts a node, and waits until it is a member |
//! | `/_/force-leave?member=` | POST | has a dead member taken for one that left, or forgotten |
//! | `/_/rtt?from=&to=` | GET | how long a round trip between two members takes |
//! | `/_/tags` | GET, POST | the node's tags; changes them |
//! | `/_/metrics` | GET | what is counted, for Prometheus: text or protobuf |
//! | `/_/figures` | GET | the load of all members, as each tells it |
//! | `/_/openapi.json` | GET | all of this for programs |
//! | `/_/reload`, `/_/weight?to=`, `/_/drain` | POST | changes how the node runs: 200 with what has changed, or 409 |
//! | `/_/leave` | POST | starts a graceful leave: 202; with `?wait=true` server-sent events until it has left |
//!
//! # Keys
//!
//! A key is everything after the first `/` of the raw path, percent-decoded once and never normalised, of at
//! most [`KEY_BYTES_MAX`] bytes. Only `/_` and `/_/...` are reserved, and judged before decoding. A `#`,
//! which RFC 9112 does not let a client send, ends the target.
//!
//! # Errors
//!
//! A missing key is 404 with the text `key not found`; every other error of a request that could be parsed is
//! `application/problem+json`. What hyper cannot parse it answers itself, with an empty 400, 414 or 431.
//!
//! # The way of a request
//!
//! As long as all requests of a connection are `plain`, the `socket` answers them itself.
//!
//! `server` accepts, `connection` speaks the protocol over a `socket`, `session` measures, `door` asks the
//! `guard` and reads the `target`, then `keys` or `admin` answer. A read that the backend answers at once is
//! written without a task, channel or await in between (HTTP/1.1; hyper runs every HTTP/2 stream as a task).

mod access;
mod activity;
mod admin;
mod body;
mod config;
mod connection;
mod door;
mod events;
mod exposition;
mod gauges;
mod guard;
mod keys;
mod leave;
mod live;
mod log;
mod membership;
mod metrics;
mod mget;
mod openapi;
mod outgoing;
mod page;
mod plain;
mod precondition;
mod problem;
mod query;
mod server;
mod session;
mod socket;
mod target;
mod ttl;

pub use access::{AccessLog, Held, Span};
pub use config::{Config, Limits};
pub use gauges::Gauges;
pub use guard::Guard;
pub use metrics::Metrics;
pub use server::run;
pub use target::KEY_BYTES_MAX;
pub use ttl::TTL_S_MAX;
