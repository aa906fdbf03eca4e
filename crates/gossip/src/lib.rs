//! SWIM membership as a state machine without I/O, with a QUIC driver behind a feature.

mod awareness;
mod codec;
mod config;
mod error;
mod gossip;
mod id;
mod io;
mod member;
mod precedence;
mod queue;
mod stats;
mod suspicion;
mod table;
#[cfg(test)]
mod tests;
mod timers;
mod wire;

#[cfg(feature = "quic")]
pub mod quic;

pub use config::Config;
pub use error::{AddressError, AttributeError, DecodeError, InputError, NewError};
pub use gossip::Gossip;
pub use id::{NodeId, Pid};
pub use io::{Event, Input, Output};
pub use member::{ATTRIBUTE_BYTES_MAX, Identity, Member, State, Tags};
pub use stats::Stats;
pub use wire::PROTOCOL;
