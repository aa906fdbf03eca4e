//! One run: when each connection sends, and what is counted.
//!
//! With a rate, every batch has the moment at which it is to begin, whether or not its connection is free then, and the
//! latency of its operations counts from that moment: a server that stalls is charged for all that waited meanwhile.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::time::ClockId;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::Event;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use super::connection::Connection;
use super::plan::{Plan, Work};
use super::{LATENCY_NS_MAX, Load, Sample};

/// A server that does not answer for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(20);

/// A run in progress.
pub(super) struct Run<'p> {
    plan: &'p Plan,
    begin: Instant,
    /// The time measured.
    from: Instant,
    until: Instant,
    /// Between two batches of a connection, with a rate.
    interval: Option<Duration>,
    first: Option<Mark>,
    last: Option<Mark>,
    /// When the last answer arrived.
    progress: Instant,
    sample: Sample,
}

/// Clocks at the begin or the end of the time measured.
struct Mark {
    at: Instant,
    server: Duration,
    load: Duration,
}

impl<'p> Run<'p> {
    pub(super) fn new(plan: &'p Plan, connections: usize) -> Result<Self> {
        let begin = Instant::now();
        let from = begin + plan.warm_up;
        Ok(Self {
            plan,
            begin,
            from,
            until: from + plan.length,
            interval: plan.interval(connections),
            first: None,
            last: None,
            progress: begin,
            sample: Sample::new()?,
        })
    }

    pub(super) fn complete(
        mut self,
        load: &mut Load<'_>,
        server_cpu: &dyn Fn() -> Result<Duration>,
    ) -> Result<Sample> {
        let Load { target, space, epoll, connections, rng } = load;
        let mut work = Work::new(self.plan, space, &target.owners, rng);
        let mut events = Vec::with_capacity(connections.len());
        self.appoint(connections);
        loop {
            let now = Instant::now();
            self.mark(now, server_cpu)?;
            let mut wake = None;
            for connection in connections.iter_mut() {
                while connection.is_idle() && connection.due <= now && connection.due < self.until {
                    if !connection.begin(&mut work, self.plan.depth, target.protocol, space)? {
                        connection.due = self.until;
                    }
                }
                wake = self.wake(connection, now).into_iter().chain(wake).min();
            }
            let Some(wake) = wake else { break };
            ensure!(now < self.progress + PATIENCE, "no answer for {} s", PATIENCE.as_secs());
            wait(&*epoll, &mut events, wake - now)?;
            for event in events.drain(..) {
                let connection = &mut connections[usize::try_from(event.data.u64())?];
                connection.flush()?;
                let answered = connection.receive(target.protocol, space)?;
                self.count(connection, answered);
            }
        }
        self.finish(server_cpu)
    }

    /// Says when each connection is to begin: at once, or one after the other within the interval.
    fn appoint(&self, connections: &mut [Connection]) {
        let count = u32::try_from(connections.len()).unwrap_or(u32::MAX);
        let step = self.interval.unwrap_or_default() / count;
        let mut due = self.begin;
        for connection in connections {
            connection.due = due;
            due += step;
        }
    }

    /// When to look at the connection again, if nothing happens; `None` if it has done its part.
    fn wake(&self, connection: &Connection, now: Instant) -> Option<Instant> {
        if !connection.is_idle() {
            return Some(now + PATIENCE);
        }
        (connection.due < self.until).then_some(connection.due)
    }

    /// Counts the answers that a connection has received, and says when it is due again.
    fn count(&mut self, connection: &mut Connection, answered: usize) {
        if answered == 0 {
            return;
        }
        let now = Instant::now();
        self.progress = now;
        if self.interval.is_some() && connection.due >= self.from {
            let latency = u64::try_from((now - connection.due).as_nanos()).unwrap_or(LATENCY_NS_MAX);
            self.sample.latency.saturating_record_n(latency.clamp(1, LATENCY_NS_MAX), answered as u64);
        }
        if self.first.is_some() && self.last.is_none() {
            self.sample.operations += answered as u64;
        }
        if connection.is_idle() {
            connection.due = self.interval.map_or(now, |interval| connection.due + interval);
        }
    }

    fn mark(&mut self, now: Instant, server_cpu: &dyn Fn() -> Result<Duration>) -> Result<()> {
        if self.first.is_none() && now >= self.from {
            self.first = Some(Mark::new(server_cpu)?);
        }
        if self.last.is_none() && now >= self.until {
            self.last = Some(Mark::new(server_cpu)?);
        }
        Ok(())
    }

    fn finish(mut self, server_cpu: &dyn Fn() -> Result<Duration>) -> Result<Sample> {
        let Some(first) = self.first else { bail!("the run was over before it began") };
        let last = self.last.map_or_else(|| Mark::new(server_cpu), Ok)?;
        self.sample.elapsed = last.at - first.at;
        self.sample.server = last.server.saturating_sub(first.server);
        self.sample.load = last.load.saturating_sub(first.load);
        Ok(self.sample)
    }
}

impl Mark {
    fn new(server_cpu: &dyn Fn() -> Result<Duration>) -> Result<Self> {
        let load = ClockId::CLOCK_THREAD_CPUTIME_ID.now().context("reading the thread's clock")?;
        Ok(Self { at: Instant::now(), server: server_cpu()?, load: load.into() })
    }
}

/// Waits until something has happened to a connection, or for so long.
fn wait(epoll: impl AsFd, events: &mut Vec<Event>, time: Duration) -> Result<()> {
    let time = Timespec { tv_sec: time.as_secs().try_into()?, tv_nsec: time.subsec_nanos().into() };
    match epoll::wait(epoll, spare_capacity(events), Some(&time)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error).context("waiting for connections"),
    }
}
