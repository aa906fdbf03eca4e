//! Membership in a simulated cluster: how fast it assembles, how fast it notices a crash, and at what price.
//!
//! [`run`] drives one production gossip core per node, with encoded bytes, through these phases:
//!
//! 1. All nodes start within [`START_WINDOW`]; all but the first know the address of the first.
//! 2. As soon as each lists all others, the cluster is converged, and what it sends from then on is its traffic.
//! 3. If the scenario says so, the cluster is cut in half for a while, healed, and waited for to become one again.
//! 4. Nodes chosen at random crash, one after the other, from a sixth to a half of the time that is left; the rest is
//!    time to notice. Some may start again, at their own or at a new address.
//!
//! From the second phase on, some nodes may stand still again and again.

mod crash;
#[cfg(feature = "foca")]
mod foca;
mod node;
mod report;
mod run;
mod scenario;
mod stalls;
mod watch;

pub use boato_gossip::Config;
pub use node::{Message, Node, Note};
pub(crate) use node::{addr_of, host_of};
pub use report::{Figures, Report, Series, Shortfall};
pub use run::START_WINDOW;
pub use scenario::{NODES_MAX, Progress, Protocol, Scenario, ScenarioError, run};
