//! Push-pull: two members compare all they know. Joining is a push-pull with an address, whoever is there.

mod exchange;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use super::{Gossip, Phase};
use crate::member::is_reachable;
use crate::timers::Timer;
use crate::{AddressError, Event, InputError};

/// Most push-pulls of its own that a member waits for at a time, joins apart.
pub(super) const PENDING_MAX: usize = 8;
/// Most joins it waits for at a time.
const JOINS_MAX: usize = 16;
/// A join that is asked for again is sent again after this time.
const REPEAT_AFTER: Duration = Duration::from_millis(500);
/// Most joins that wait for their turn.
const JOINS_QUEUED_MAX: usize = 1024;
/// An exchange that changes one belief of so many is a sign that much is amiss, and the next one comes soon.
const AMISS: usize = 16;
/// How soon, in gossip intervals. Measured with 300 nodes: half as long heals and assembles a third sooner, twice as
/// long takes more than twice as long and costs more bytes, as more of the news goes by gossip.
const HASTE: u32 = 2;

/// The push-pulls under way.
#[derive(Debug, Default)]
pub(super) struct PushPulls {
    /// Started here and not answered yet.
    pending: BTreeMap<u64, Pending>,
    /// Addresses to join.
    joins: VecDeque<SocketAddr>,
    /// Newcomers to tell everything, with the numbers of their requests.
    answers: VecDeque<(SocketAddr, u64)>,
    /// Records sent in answers since `since`.
    spent: usize,
    since: Duration,
    /// The time between the last periodic push-pull and the next, and when that is.
    interval: Duration,
    next: Duration,
    /// Members that came to life here since the last periodic push-pull was set.
    arrivals: usize,
    /// Whether this member has ever been answered.
    answered: bool,
}

#[derive(Debug)]
struct Pending {
    to: SocketAddr,
    join: bool,
    deadline: Duration,
}

impl PushPulls {
    /// Whether this member has heard everything from somebody, or is about to.
    pub(super) fn informed(&self) -> bool {
        self.answered || self.count(true) > 0
    }

    fn is_pending(&self, to: SocketAddr) -> bool {
        self.pending.values().any(|pending| pending.to == to)
    }

    fn count(&self, joins: bool) -> usize {
        self.pending.values().filter(|pending| pending.join == joins).count()
    }
}

impl Gossip {
    pub(super) fn join(&mut self, addr: SocketAddr) -> Result<(), InputError> {
        if !is_reachable(addr) {
            return Err(AddressError(addr).into());
        }
        if addr == self.me.addr {
            self.emit(Event::SelfJoin { addr });
        } else if !self.lives_at(addr) && !self.repeat_join(addr) && !self.queue_join(addr) {
            return Err(InputError::JoinsFull(JOINS_QUEUED_MAX));
        }
        Ok(())
    }

    /// False if too many wait.
    pub(super) fn queue_join(&mut self, addr: SocketAddr) -> bool {
        let joins = &mut self.push_pulls.joins;
        if !joins.contains(&addr) {
            if joins.len() >= JOINS_QUEUED_MAX {
                return false;
            }
            joins.push_back(addr);
            self.start_joins();
        }
        true
    }

    /// Sends the request of a join that is under way again, if it was not sent just now: the first may have found
    /// nobody there, or the connection not yet. False if none is under way.
    fn repeat_join(&mut self, addr: SocketAddr) -> bool {
        let pending = &mut self.push_pulls.pending;
        let Some((&number, join)) = pending.iter_mut().find(|(_, pending)| pending.to == addr) else {
            return false;
        };
        let deadline = self.now + self.config.push_pull_timeout;
        if deadline >= join.deadline + REPEAT_AFTER {
            self.timers.cancel(join.deadline, Timer::PushPullTimeout(number));
            self.timers.set(deadline, Timer::PushPullTimeout(number));
            join.deadline = deadline;
            self.send_digest(addr, number);
        }
        true
    }

    /// Whether a live member is known at the address. O(n), for rare use.
    pub(super) fn lives_at(&self, addr: SocketAddr) -> bool {
        self.table.iter_live().any(|entry| entry.member.addr == addr)
    }

    fn start_joins(&mut self) {
        while self.push_pulls.count(true) < JOINS_MAX {
            let Some(addr) = self.push_pulls.joins.pop_front() else { return };
            if !self.push_pulls.is_pending(addr) && !self.lives_at(addr) {
                self.start_push_pull(addr, true);
            }
        }
    }

    pub(super) fn start_push_pulls(&mut self) {
        self.set_push_pull(self.config.probe_interval);
    }

    pub(super) fn on_push_pull_interval(&mut self) {
        if self.phase != Phase::Active {
            return;
        }
        self.set_push_pull((2 * self.push_pulls.interval).min(self.usual_push_pull()));
        if let Some(id) = self.table.sample(1, None, &mut self.rng).pop()
            && let Some((addr, _)) = self.address(id)
        {
            self.push_pull_with(addr);
        }
    }

    /// The next push-pull comes soon, then they come ever more rarely: those that join at the same time through
    /// different members start out with different parts of the whole, and after a partition much is different.
    fn hurry_push_pull(&mut self) {
        let before = self.push_pulls.next;
        self.timers.cancel(before, Timer::PushPull);
        self.set_push_pull(HASTE * self.config.gossip_interval);
        if before < self.push_pulls.next {
            self.timers.cancel(self.push_pulls.next, Timer::PushPull);
            self.push_pulls.next = before;
            self.timers.set(before, Timer::PushPull);
        }
    }

    /// An exchange changed so many beliefs. A large change calls for haste, and in haste any change keeps it up: the
    /// whole cluster exchanges until nobody finds anything new.
    fn learnt_by_exchange(&mut self, changes: usize) {
        if changes > 0 && (self.in_haste() || changes * AMISS >= self.table.len()) {
            self.hurry_push_pull();
        }
    }

    /// A member came to life here. Many at once are a sign that there are more, of whom no news may come: gossip is full then.
    pub(super) fn arrived(&mut self) {
        self.push_pulls.arrivals += 1;
        if self.push_pulls.arrivals >= AMISS.max(self.table.len() / AMISS) {
            self.hurry_push_pull();
        }
    }

    /// An exchange found nothing that differs. In haste that shows that exchanges have carried the news further than
    /// gossip has: what has been told a few times need not be told until its end.
    fn agreed(&mut self) {
        if self.in_haste() {
            self.queue.drop_sent(self.config.retransmit_multiplier);
        }
    }

    fn in_haste(&self) -> bool {
        self.push_pulls.interval < self.usual_push_pull()
    }

    fn usual_push_pull(&self) -> Duration {
        scaled(self.config.push_pull_interval, self.size())
    }

    /// The next push-pull comes after `interval`, give or take a quarter, so that newcomers do not act in step.
    fn set_push_pull(&mut self, interval: Duration) {
        self.push_pulls.arrivals = 0;
        self.push_pulls.interval = interval;
        self.push_pulls.next = self.now + interval.mul_f64(0.75 + 0.5 * self.rng.f64());
        self.timers.set(self.push_pulls.next, Timer::PushPull);
    }

    /// Starts a push-pull, unless enough are under way.
    pub(super) fn push_pull_with(&mut self, to: SocketAddr) {
        if self.push_pulls.count(false) < PENDING_MAX && !self.push_pulls.is_pending(to) {
            self.start_push_pull(to, false);
        }
    }

    fn start_push_pull(&mut self, to: SocketAddr, join: bool) {
        self.stats.push_pulls += 1;
        let number = self.next_number();
        let deadline = self.now + self.config.push_pull_timeout;
        self.push_pulls.pending.insert(number, Pending { to, join, deadline });
        self.timers.set(deadline, Timer::PushPullTimeout(number));
        self.send_digest(to, number);
    }

    pub(super) fn on_push_pull_timeout(&mut self, number: u64) {
        if self.end(number).is_some() {
            self.stats.push_pulls_failed += 1;
            self.start_joins();
        }
    }

    /// A push-pull started here is over.
    fn end(&mut self, number: u64) -> Option<Pending> {
        let pending = self.push_pulls.pending.remove(&number)?;
        self.timers.cancel(pending.deadline, Timer::PushPullTimeout(number));
        Some(pending)
    }
}

/// An interval stretched so that a large cluster as a whole does not do too often what each member does with one other:
/// above 32 members, times `ceil(log2(n / 32)) + 1` (memberlist).
fn scaled(interval: Duration, members: usize) -> Duration {
    const UNSCALED: usize = 32;
    interval * (members.div_ceil(UNSCALED).next_power_of_two().ilog2() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Identity, NodeId};

    #[test]
    fn intervals_grow_with_the_logarithm_of_the_cluster() {
        let times =
            [1, 32, 33, 64, 65, 1000].map(|members| scaled(Duration::from_secs(1), members).as_secs());
        assert_eq!(times, [1, 1, 2, 2, 3, 6]);
    }

    #[test]
    fn many_that_come_to_life_at_once_make_the_next_exchange_come_soon() {
        let (addr, config) = (SocketAddr::from(([10, 0, 0, 1], 7400)), Config::lan());
        let identity = Identity { id: NodeId(1), boot: 1, addr, name: "a".into(), tags: vec![] };
        let mut gossip = Gossip::new(config.clone(), identity, 1, Duration::ZERO).unwrap();
        gossip.set_push_pull(config.push_pull_interval);
        (1..AMISS).for_each(|_| gossip.arrived());
        assert!(gossip.push_pulls.next > Duration::from_secs(20));
        gossip.arrived();
        assert!(gossip.push_pulls.next <= config.gossip_interval * (HASTE + 1));
    }
}
