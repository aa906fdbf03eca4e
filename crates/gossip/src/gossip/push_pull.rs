//! Push-pull: two members exchange all they know. Joining is a push-pull with an address, whoever is there.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use super::receive::Way;
use super::{Gossip, Phase};
use crate::codec::{PACKET_BYTES, announce, encode, record_bytes};
use crate::member::is_reachable;
use crate::table::Entry;
use crate::timers::Timer;
use crate::wire::{ArchivedPushPull, Message, PushPull, Record};
use crate::{AddressError, Event, InputError, Member, Pid, State};

/// Most push-pulls of its own that a member waits for at a time, joins apart.
const PENDING_MAX: usize = 8;
/// Most joins it waits for at a time.
const JOINS_MAX: usize = 16;
/// A join that is asked for again is sent again after this time.
const REPEAT_AFTER: Duration = Duration::from_millis(500);
/// Most joins that wait for their turn.
const JOINS_QUEUED_MAX: usize = 1024;
/// Most answers that wait for their turn.
const ANSWERS_QUEUED_MAX: usize = 1024;
/// Records sent in answers per gossip interval, about 2 MB; at least one answer. More waits for the next interval.
const RECORDS_PER_INTERVAL: usize = 20_000;
/// Most bytes of one message. Of a larger state, a random part is sent.
const BYTES_MAX: usize = 8 << 20;

/// The push-pulls under way.
#[derive(Debug, Default)]
pub(super) struct PushPulls {
    /// Started here and not answered yet.
    pending: BTreeMap<u64, Pending>,
    /// Addresses to join.
    joins: VecDeque<SocketAddr>,
    /// Requests to answer, with their numbers.
    answers: VecDeque<(SocketAddr, u64)>,
    /// Records sent in answers since `since`.
    spent: usize,
    since: Duration,
    /// The time between the last periodic push-pull and the next, and when that is.
    interval: Duration,
    next: Duration,
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
            let (bytes, _) = self.full_state(number, false);
            self.send_bytes(addr, bytes, Way::Stream);
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
        let usual = scaled(self.config.push_pull_interval, self.size());
        self.set_push_pull((2 * self.push_pulls.interval).min(usual));
        if let Some(id) = self.table.sample(1, None, &mut self.rng).pop()
            && let Some((addr, _)) = self.address(id)
        {
            self.push_pull_with(addr);
        }
    }

    /// A newcomer exchanges state again soon, then ever more rarely: those that join at the same time through
    /// different members start out with different parts of the whole.
    fn hurry_push_pull(&mut self) {
        self.timers.cancel(self.push_pulls.next, Timer::PushPull);
        self.set_push_pull(self.config.probe_interval);
    }

    /// The next push-pull comes after `interval`, give or take a quarter, so that newcomers do not act in step.
    fn set_push_pull(&mut self, interval: Duration) {
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
        let (bytes, _) = self.full_state(number, false);
        self.send_bytes(to, bytes, Way::Stream);
    }

    pub(super) fn on_push_pull_timeout(&mut self, number: u64) {
        if self.end(number).is_some() {
            self.stats.push_pulls_failed += 1;
            self.start_joins();
        }
    }

    pub(super) fn on_push_pull(&mut self, from: SocketAddr, message: &ArchivedPushPull<'static>) {
        let sender = Pid::from(&message.from);
        let number = message.number.to_native();
        if self.is_myself(sender) && sender.boot >= self.me.boot {
            // Replaced, or this member's own join.
            return self.on_own_join(number);
        }
        let mut joined = false;
        if message.answer {
            let Some(pending) = self.end(number) else { return };
            joined = pending.join;
        }
        // A member that knows nobody has nobody to tell what it hears.
        let spread = !self.table.live().is_empty();
        for record in message.records.iter() {
            self.learn_record(record, spread);
        }
        if self.phase == Phase::Replaced {
            return;
        }
        if message.answer {
            self.on_answer(joined);
        } else {
            self.answer(from, number);
        }
    }

    fn on_answer(&mut self, joined: bool) {
        self.push_pulls.answered = true;
        if joined {
            self.introduce();
            self.hurry_push_pull();
        }
        self.start_joins();
    }

    /// A push-pull started here is over.
    fn end(&mut self, number: u64) -> Option<Pending> {
        let pending = self.push_pulls.pending.remove(&number)?;
        self.timers.cancel(pending.deadline, Timer::PushPullTimeout(number));
        Some(pending)
    }

    /// What was sent to an address came back to its sender.
    fn on_own_join(&mut self, number: u64) {
        let Some(pending) = self.end(number) else { return };
        if self.phase == Phase::Active {
            self.emit(Event::SelfJoin { addr: pending.to });
            self.start_joins();
        }
    }

    fn answer(&mut self, to: SocketAddr, number: u64) {
        if self.push_pulls.answers.len() < ANSWERS_QUEUED_MAX {
            self.push_pulls.answers.push_back((to, number));
            self.resume_answers();
        }
    }

    pub(super) fn answers_waiting(&self) -> bool {
        !self.push_pulls.answers.is_empty()
    }

    /// Sends the answers that this interval has room for.
    pub(super) fn resume_answers(&mut self) {
        if self.now >= self.push_pulls.since + self.config.gossip_interval {
            self.push_pulls.since = self.now;
            self.push_pulls.spent = 0;
        }
        while self.push_pulls.spent < RECORDS_PER_INTERVAL {
            let Some((to, number)) = self.push_pulls.answers.pop_front() else { return };
            let (bytes, records) = self.full_state(number, true);
            self.push_pulls.spent += records;
            self.send_bytes(to, bytes, Way::Stream);
        }
        if self.answers_waiting() {
            self.wake_gossip();
        }
    }

    /// All this member knows, itself included, and the number of records in it.
    fn full_state(&mut self, number: u64, answer: bool) -> (Vec<u8>, usize) {
        let first = self.rng.usize(..=self.table.len());
        let mut records = vec![self.record(&self.me, self.me.incarnation, Duration::ZERO)];
        let mut size = PACKET_BYTES + record_bytes(&self.me);
        // From a random member on, so that a part is not always the same part.
        let members = self.table.iter().skip(first).chain(self.table.iter().take(first));
        for entry in members {
            let bytes = record_bytes(&entry.member);
            if size + bytes > BYTES_MAX {
                break;
            }
            size += bytes;
            records.push(self.record(&entry.member, entry.announced, self.gone(entry)));
        }
        let count = records.len();
        let message = PushPull { from: self.me.pid().into(), number, answer, records };
        (encode(&Message::PushPull(message), size), count)
    }

    /// How long ago the member died or left.
    fn gone(&self, entry: &Entry) -> Duration {
        match entry.member.state {
            State::Alive | State::Suspect => Duration::ZERO,
            state => self.reclaim_after(state).saturating_sub(entry.deadline.saturating_sub(self.now)),
        }
    }

    fn record<'a>(&self, member: &'a Member, announced: u64, gone: Duration) -> Record<'a> {
        Record {
            announce: announce(member, announced),
            state: member.state.into(),
            incarnation: member.incarnation,
            by: self.accuser(member.id).0,
            gone_s: u32::try_from(gone.as_millis().div_ceil(1000)).unwrap_or(u32::MAX),
        }
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

    #[test]
    fn intervals_grow_with_the_logarithm_of_the_cluster() {
        let times =
            [1, 32, 33, 64, 65, 1000].map(|members| scaled(Duration::from_secs(1), members).as_secs());
        assert_eq!(times, [1, 1, 2, 2, 3, 6]);
    }
}
