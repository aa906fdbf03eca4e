//! The load: one thread, connections that send batches and judge every answer.

mod connection;
mod plan;
mod run;

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context, Result};
use connection::Connection;
use fastrand::Rng;
use hdrhistogram::Histogram;
pub(super) use plan::Plan;
use run::Run;
use rustix::event::epoll;

use super::protocol::Protocol;
use super::space::Space;

/// Longest latency that is told from longer ones, in nanoseconds.
const LATENCY_NS_MAX: u64 = 60_000_000_000;
/// Seed of what is asked for, the same for every server.
const SEED: u64 = 20;

/// Where requests go.
pub(super) struct Target {
    pub(super) protocol: Protocol,
    /// Connections are spread over them.
    pub(super) addrs: Vec<SocketAddr>,
    /// For each key, which address to ask; any if empty.
    pub(super) owners: Vec<u8>,
}

/// Connections to a server.
pub(super) struct Load<'a> {
    target: &'a Target,
    space: &'a Space,
    epoll: OwnedFd,
    connections: Vec<Connection>,
    rng: Rng,
}

/// What was counted.
pub(super) struct Sample {
    /// Completed in the time measured.
    pub(super) operations: u64,
    pub(super) elapsed: Duration,
    /// CPU time of the server.
    pub(super) server: Duration,
    /// CPU time of the load itself.
    pub(super) load: Duration,
    /// In nanoseconds, from when an operation was to begin; empty without a rate.
    pub(super) latency: Histogram<u64>,
}

impl<'a> Load<'a> {
    pub(super) fn connect(target: &'a Target, space: &'a Space, connections: usize) -> Result<Self> {
        rustix::thread::set_current_timer_slack(NonZeroU64::new(1)).context("asking for precise timers")?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("making an epoll")?;
        let open = |index: usize| {
            let node = index % target.addrs.len();
            let share = if target.owners.is_empty() { 0 } else { node };
            let connection = Connection::open(target.addrs[node], share)?;
            let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
            epoll::add(&epoll, connection.socket(), epoll::EventData::new_u64(index as u64), flags)
                .context("watching a connection")?;
            Ok(connection)
        };
        let connections = (0..connections.max(target.addrs.len())).map(open).collect::<Result<_>>()?;
        Ok(Self { target, space, epoll, connections, rng: Rng::with_seed(SEED) })
    }

    /// Does what the plan says. `server_cpu` tells the CPU time that the server has used.
    ///
    /// # Errors
    /// A wrong answer, or none in time.
    pub(super) fn run(&mut self, plan: &Plan, server_cpu: &dyn Fn() -> Result<Duration>) -> Result<Sample> {
        Run::new(plan, self.connections.len())?.complete(self, server_cpu)
    }
}

impl Sample {
    fn new() -> Result<Self> {
        let latency = Histogram::new_with_max(LATENCY_NS_MAX, 3).context("making a histogram")?;
        let zero = Duration::ZERO;
        Ok(Self { operations: 0, elapsed: zero, server: zero, load: zero, latency })
    }
}
