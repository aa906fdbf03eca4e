//! The model check: every order of events of a small cluster, on the machines that run in production.
//!
//! [`check`] explores what a [`Script`] allows, breadth first: any message in flight may arrive next (or never, or
//! twice), any timer may fire, any node may learn the next thing that its membership says, any client may ask any
//! node, and the script's next step (a join, a crash, ...) may happen. A state is a whole cluster of
//! [`boato_cluster::Machine`]s; states are told apart by 64-bit fingerprints. Each one is judged by the invariants
//! of `docs/guarantees.md`, and from some of them a fair schedule without faults is run to its end. The first
//! violation ends the search; breadth first makes its trace a shortest one.
//!
//! There are two more ways to search: with [`Bounds::detours`] everything happens in its turn but for so many times,
//! and with [`Bounds::lasting`] frames stay in flight when they have arrived.
//!
//! Time has no figures here: see `boato_cluster`, feature `model`. So what is found holds for all settings of all
//! timers, and what relies on a timer being longer than another is not found to hold.

mod action;
mod client;
mod detour;
mod fair;
mod judge;
mod lasting;
mod packet;
mod register;
mod script;
mod scripts;
mod search;
mod seen;
mod step;
mod trace;
mod world;

pub use boato_cluster::Canary;
pub use script::{Call, Script, Step};
pub use scripts::scripts;
pub use search::{Bounds, End, Progress, Report, check};
