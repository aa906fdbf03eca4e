//! Registers in a simulated cluster: clients at work while everything goes wrong, and nothing acknowledged may get
//! lost.
//!
//! A node is the production gossip core and the production cluster machine with its slots, wired as the product
//! wires them, with encoded bytes between nodes and clients that go the way of the product's driver. [`run`] plays a
//! [`Scenario`] in three phases:
//!
//! 1. Clients at random nodes read and write, and faults strike, for [`Scenario::length`].
//! 2. The faults end. Within a bound there must be one cluster in which every slot is held once, by its target.
//! 3. Every key is read at every node.
//!
//! Then the answers that clients got are judged ([`check`](crate::check)): they must be linearizable for each key. The
//! only excuses are those of the product: a crash takes the slots that the crashed process alone had, each counted;
//! and once a living process has been considered dead, or two clusters have met, the highest version wins.

mod acquaintance;
mod agenda;
mod ambush;
mod batch;
mod clients;
mod clock;
mod custody;
mod director;
mod errand;
mod fault;
mod founding;
mod joining;
mod judge;
mod keys;
mod limit;
mod message;
mod node;
mod placement;
mod plot;
mod report;
mod run;
mod scenario;

use std::fmt::Arguments;
use std::time::Duration;

pub use boato_cluster::Canary;
pub use fault::{Fault, UnknownFault};
pub use report::{Liveness, Operations, Outcomes, Report, Safety, Violation, Waits};
pub use scenario::{Mix, NODES, Scenario};

/// Plays a scenario.
pub fn run(scenario: &Scenario) -> Report {
    run::Run::new(scenario, None).run()
}

/// Plays a scenario, and tells what happens as it happens.
pub fn run_told(scenario: &Scenario, tell: &mut dyn FnMut(Duration, Arguments<'_>)) -> Report {
    run::Run::new(scenario, Some(tell)).run()
}
