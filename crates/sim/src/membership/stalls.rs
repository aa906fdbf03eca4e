//! Nodes that get no processor now and then, as in the experiments of Lifeguard.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use fastrand::Rng;

use super::scenario::Scenario;
use crate::{Engine, Host, Process};

/// When which node stands still next.
#[derive(Default)]
pub(super) struct Stalls {
    next: BinaryHeap<Reverse<(Duration, Host)>>,
    longest: Duration,
    between: Duration,
    mute: bool,
}

impl Stalls {
    /// The nodes of the scenario, chosen at random, from `now` on.
    pub(super) fn new(scenario: &Scenario, now: Duration, rng: &mut Rng) -> Self {
        if scenario.stalls == 0 {
            return Self::default();
        }
        let mut hosts: Vec<u32> = (0..scenario.nodes).collect();
        rng.shuffle(&mut hosts);
        hosts.truncate(scenario.stalls as usize);
        let next =
            hosts.into_iter().map(|host| Reverse((now + scenario.stall.mul_f64(rng.f64()), Host(host))));
        Self { next: next.collect(), longest: scenario.stall, between: scenario.between, mute: scenario.mute }
    }

    /// Which nodes.
    pub(super) fn hosts(&self) -> impl Iterator<Item = Host> {
        self.next.iter().map(|Reverse((_, host))| *host)
    }

    pub(super) fn next(&self) -> Option<Duration> {
        self.next.peek().map(|Reverse((at, _))| *at)
    }

    /// Lets the next one stand still for a random time; after that, it runs for another.
    pub(super) fn begin<P: Process>(&mut self, engine: &mut Engine<P>, rng: &mut Rng) {
        let Some(Reverse((at, host))) = self.next.pop() else { return };
        let until = at + self.longest.mul_f64(rng.f64());
        if self.mute {
            engine.hold(host, until);
        } else {
            engine.pause_deaf(host, until);
        }
        // Never twice in one instant, however short the stalls.
        let again = until + self.between.mul_f64(rng.f64()) + Duration::from_nanos(1);
        self.next.push(Reverse((again, host)));
    }
}
