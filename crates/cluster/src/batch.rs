//! Several operations at once: those for one peer travel in one frame and are answered in one.
//!
//! A peer applies what it can apply at once, in order, and refuses the rest unapplied. What was refused takes the way of
//! single operations afterwards; of one slot, everything behind it was refused as well, so that the order is kept.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use boato_storage::FETCH_MAX;
use rapidhash::fast::SeedableState;

use crate::canary::Canary;
use crate::message::{Applied, Request};
use crate::operation::{Effect, Operation};
use crate::pid::{Epoch, Hint, Pid};
use crate::route::{Attempt, Failure, Next};
use crate::shared::Slots;

/// The most operations in one frame.
pub(crate) const OPERATIONS_MAX: usize = 1024;

/// Bytes of operations after which a frame is full.
const REQUEST_BYTES: usize = 1 << 20;

/// Bytes of effects after which an answer is full: with the largest effect on top it fits a frame.
const ANSWER_BYTES: usize = 2 << 20;

/// Entries looked at by operations on whole slots after which the rest of a frame is not applied: some milliseconds in which the
/// peer that applies them does nothing else.
const ENTRIES_MAX: u64 = 1 << 16;

/// Operations on slots for which this node knows the same way.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Batch {
    /// The peer that gets them in one frame; `None`: each goes its own way, those of one slot one after the other.
    pub to: Option<Pid>,
    /// Those that are sent.
    pub sent: Vec<Passenger>,
    /// The places of those that come after them: they found no room, or the frame has none for their slot.
    pub later: Vec<usize>,
    /// The slots of the latter.
    waiting: Vec<u16>,
    bytes: usize,
}

/// An operation that is sent with others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Passenger {
    /// Its place among the operations that were put together.
    pub place: usize,
    pub(crate) slot: u16,
    is_write: bool,
    /// The epoch of the hint that led to the peer; `None`: the table did.
    used: Option<Epoch>,
}

/// What became of a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fate {
    /// The peer answered: what came of each operation; `None`: it was not applied.
    Answered(Vec<Option<Applied>>),
    /// It certainly never left this node.
    NotSent,
    /// It may have arrived.
    Lost,
}

/// The outcome of an operation and who gave it; `None`: not applied, to be tried alone.
pub type Judged = Option<Result<(Effect, Pid), Failure>>;

impl Batch {
    /// Puts operations together by the peers they should go to. Those of one slot are in one batch, in their order.
    ///
    /// `here` is told each operation first that waits for none before it, with its place and slot, and says whether it has
    /// been applied on this node; it is in no batch then.
    pub fn plan<B: AsRef<[u8]>>(
        slots: &Slots,
        operations: &[Operation<B>],
        mut here: impl FnMut(usize, u16, &Operation<B>) -> bool,
    ) -> Vec<Self> {
        let mut batches = vec![Self::default()];
        let mut of_slot: HashMap<u16, (usize, Option<Epoch>), _> =
            HashMap::with_capacity_and_hasher(operations.len(), SeedableState::fixed());
        let mut open: Vec<(Pid, usize)> = Vec::new();
        for (place, slot, operation) in slots.ahead(operations) {
            // A peer would refuse it with all the others; alone it is refused here.
            if !operation.fits() {
                batches[0].later.push(place);
                continue;
            }
            let (is_write, bytes) = (operation.is_write(), operation.bytes());
            let (batch, used) = match of_slot.entry(slot) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(_) if here(place, slot, operation) => continue,
                Entry::Vacant(unknown) => *unknown.insert(match Attempt::on(slot, is_write).next(slots) {
                    Next::Here { .. } | Next::Nowhere => (0, None),
                    Next::Peer { .. } if bytes > REQUEST_BYTES => (0, None),
                    Next::Peer { to, used } => (Self::with_room(&mut batches, &mut open, to, bytes), used),
                }),
            };
            batches[batch].add(Passenger { place, slot, is_write, used }, bytes);
        }
        batches.retain(|batch| !batch.sent.is_empty() || !batch.later.is_empty());
        batches
    }

    /// The batch for a peer that takes so many bytes more.
    fn with_room(batches: &mut Vec<Self>, open: &mut Vec<(Pid, usize)>, to: Pid, bytes: usize) -> usize {
        let known = open.iter_mut().find(|(peer, _)| *peer == to);
        match known {
            Some((_, batch)) if batches[*batch].has_room(bytes) => return *batch,
            Some((_, batch)) => *batch = batches.len(),
            None => open.push((to, batches.len())),
        }
        batches.push(Self { to: Some(to), ..Self::default() });
        batches.len() - 1
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.sent.len() < OPERATIONS_MAX && self.bytes + bytes <= REQUEST_BYTES
    }

    fn add(&mut self, passenger: Passenger, bytes: usize) {
        if self.to.is_none() || !self.has_room(bytes) || self.waiting.contains(&passenger.slot) {
            self.later.push(passenger.place);
            self.waiting.push(passenger.slot);
        } else {
            self.sent.push(passenger);
            self.bytes += bytes;
        }
    }

    /// The frame for the peer.
    pub fn request<B: Clone>(&self, to: Pid, operations: &[Operation<B>]) -> Request<B> {
        let operations = self.sent.iter().map(|passenger| operations[passenger.place].clone()).collect();
        Request::Batch { to, operations }
    }

    /// Judges what became of the operations sent to `to`, and notes where slots were found: the outcome of each of
    /// [`Batch::sent`].
    pub fn judge(&self, to: Pid, slots: &Slots, fate: Fate) -> Vec<Judged> {
        let answers = match fate {
            Fate::Answered(answers) if answers.len() == self.sent.len() => answers,
            Fate::NotSent => vec![None; self.sent.len()],
            Fate::Answered(_) | Fate::Lost => {
                let retries = slots.bug.is(Canary::RetryLostWrites);
                let unknown = |passenger: &Passenger| passenger.is_write && !retries;
                let judged = |passenger| unknown(passenger).then_some(Err(Failure::OutcomeUnknown));
                return self.sent.iter().map(judged).collect();
            }
        };
        let judged = |(passenger, answer): (&Passenger, Option<Applied>)| {
            let Applied { effect, epoch } = answer?;
            if passenger.used != Some(epoch) {
                slots.learn(passenger.slot, Hint { pid: to, epoch });
            }
            Some(Ok((effect, to)))
        };
        self.sent.iter().zip(answers).map(judged).collect()
    }
}

impl Slots {
    /// Applies the operations of a batch in their order. `None`: not applied, nor was anything behind it on the same
    /// slot.
    pub fn apply_all<B: AsRef<[u8]>>(
        &self,
        operations: &[Operation<B>],
        unix_ms: u64,
    ) -> Vec<Option<Applied>> {
        let mut refused = HashSet::new();
        let (mut bytes, mut entries) = (0, 0);
        let mut apply = |operation: &Operation<B>, slot| {
            if bytes > ANSWER_BYTES || entries > ENTRIES_MAX || refused.contains(&slot) {
                return None;
            }
            if operation.walks() {
                entries += self.store.lock(usize::from(slot)).memory().entries;
            }
            let Some((effect, epoch)) = self.try_apply_on(slot, operation, unix_ms) else {
                refused.insert(slot);
                return None;
            };
            bytes += effect.bytes();
            Some(Applied { effect, epoch })
        };
        self.ahead(operations).map(|(_, slot, operation)| apply(operation, slot)).collect()
    }

    /// Operations with their places and slots; what some of them will look at is fetched before the first of these comes.
    fn ahead<'a, B: AsRef<[u8]>>(
        &self,
        operations: &'a [Operation<B>],
    ) -> impl Iterator<Item = (usize, u16, &'a Operation<B>)> {
        let parts = operations.chunks(FETCH_MAX).flat_map(|part| {
            let mut slots = [0; FETCH_MAX];
            slots.iter_mut().zip(part).for_each(|(slot, operation)| *slot = operation.slot());
            let keys = part.iter().zip(slots).filter_map(|(operation, slot)| Some((slot, operation.key()?)));
            self.fetch_on(keys);
            slots.into_iter().zip(part)
        });
        parts.enumerate().map(|(place, (slot, operation))| (place, slot, operation))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::message::Applied;
    use crate::operation::{Action, Outcome};
    use crate::pid::Epoch;
    use crate::slot::{Giving, Purpose, State};
    use crate::transfer::Transfer;
    use crate::{Config, Input, Liveness, Machine, Now};

    const ME: Pid = Pid { node: 1, boot: 1 };
    const PEER: Pid = Pid { node: 2, boot: 1 };

    fn at(ms: u64) -> Now {
        Now { at: Duration::from_millis(ms), unix_ms: 1_700_000_000_000 + ms }
    }

    fn machine() -> Machine {
        Machine::new(Config::new(ME, 7), at(0))
    }

    fn key(number: usize) -> Bytes {
        Bytes::from(format!("key-{number}"))
    }

    /// A node that holds nothing and whose table names only its peer.
    fn guest() -> Arc<Slots> {
        let mut machine = machine();
        machine.handle(Input::Member { pid: PEER, liveness: Liveness::Alive, weight: 1 }, at(1));
        machine.handle(Input::Member { pid: ME, liveness: Liveness::Alive, weight: 0 }, at(2));
        machine.handle(Input::Timeout, at(1000));
        machine.slots()
    }

    /// A node alone, which holds everything.
    fn holder() -> Arc<Slots> {
        let mut machine = machine();
        machine.handle(Input::Eligible { quiet: Duration::ZERO }, at(0));
        machine.handle(Input::Timeout, at(1000));
        machine.slots()
    }

    fn not_here(_: usize, _: u16, _: &Operation) -> bool {
        false
    }

    /// The places of those that are sent.
    fn sent(batch: &Batch) -> Vec<usize> {
        batch.sent.iter().map(|passenger| passenger.place).collect()
    }

    fn add(number: usize) -> Operation {
        Operation::on(key(number), Action::Add { by: 1, ttl_ms: None })
    }

    #[test]
    fn operations_for_one_peer_travel_in_one_frame() {
        let slots = guest();
        let operations: Vec<Operation> = (0..300_usize).map(|number| add(number % 100)).collect();
        let batches = Batch::plan(&slots, &operations, not_here);
        assert_eq!(batches.len(), 1);
        assert_eq!((batches[0].to, sent(&batches[0])), (Some(PEER), (0..300).collect()));
    }

    #[test]
    fn a_full_frame_is_followed_by_another_and_a_slot_stays_with_its_own() {
        let slots = guest();
        let mut operations: Vec<Operation> = (0..OPERATIONS_MAX).map(add).collect();
        operations.extend([add(5), add(OPERATIONS_MAX + 7), add(5)]);
        let batches = Batch::plan(&slots, &operations, not_here);
        let later: Vec<usize> = batches.iter().flat_map(|batch| &batch.later).copied().collect();
        assert!(later.contains(&OPERATIONS_MAX) && later.contains(&(OPERATIONS_MAX + 2)), "{later:?}");
        assert_eq!(batches[0].sent.len(), OPERATIONS_MAX);
        let mut places: Vec<usize> = batches.iter().flat_map(sent).chain(later).collect();
        places.sort_unstable();
        assert!(places.into_iter().eq(0..operations.len()), "each is somewhere, once");
    }

    #[test]
    fn what_no_peer_would_take_is_not_sent() {
        let slots = guest();
        let huge = Operation::on(key(1), Action::put(vec![0; 9 << 20]));
        let batches = Batch::plan(&slots, &[add(1), huge, add(2)], not_here);
        assert_eq!((&batches[0].to, &batches[0].later), (&None, &vec![1]));
        assert_eq!(sent(&batches[1]), [0, 2]);
    }

    #[test]
    fn behind_a_refused_operation_nothing_on_its_slot_is_applied() {
        let slots = holder();
        let slowed = add(1).slot();
        {
            let mut guard = slots.store.lock(slowed.into());
            let (header, entries) = guard.split();
            let giving = Giving {
                epoch: header.serving().unwrap(),
                target: PEER,
                purpose: Purpose::HandOver,
                next: Epoch::ZERO,
                counted: false,
                frozen: 0,
                allowance: Some(0),
                began_at: Duration::ZERO,
                frozen_at: Duration::ZERO,
                transfer: Transfer::new(1, entries, Duration::ZERO),
            };
            header.state = State::Copying(Box::new(giving));
        }
        // The write has to wait for the copy; the read alone would not.
        let answers = slots.apply_all(&[add(2), add(1), Operation::get(key(1)), add(2)], at(1).unix_ms);
        let applied: Vec<bool> = answers.iter().map(Option::is_some).collect();
        assert_eq!(applied, [true, false, false, true]);
        assert!(slots.try_apply(&Operation::<Bytes>::get(key(1)), at(1).unix_ms).is_some());
    }

    #[test]
    fn an_answer_is_full_after_a_while() {
        let slots = holder();
        slots.apply_all(&[Operation::<Bytes>::on(key(1), Action::put(vec![0; 1 << 20]))], at(1).unix_ms);
        let answers = slots.apply_all(&vec![Operation::<Bytes>::get(key(1)); 10], at(1).unix_ms);
        assert_eq!(answers.iter().flatten().count(), 2);
        assert!(answers[2..].iter().all(Option::is_none));
    }

    #[test]
    fn walks_through_large_slots_end_a_frame_after_a_while() {
        let slots = holder();
        let slot = add(1).slot();
        let scan = |count| Operation::<Bytes>::Scan { slot, position: 0, count, pattern: None };
        let seen = |answers: Vec<Option<Applied>>| answers.iter().flatten().count();
        assert_eq!(
            seen(slots.apply_all(&vec![scan(1); 100], at(1).unix_ms)),
            100,
            "an empty slot costs nothing"
        );
        for number in 0..20_000 {
            let name = format!("{{{}}}{number}", String::from_utf8_lossy(&key(1)));
            slots
                .try_apply(&Operation::<Bytes>::on(Bytes::from(name), Action::put(Vec::new())), at(1).unix_ms)
                .unwrap();
        }
        assert_eq!(seen(slots.apply_all(&vec![scan(1); 100], at(1).unix_ms)), 4);
    }

    #[test]
    fn of_a_lost_batch_writes_are_unknown_and_reads_are_tried_again() {
        let slots = guest();
        let operations = [add(1), Operation::get(key(2)), add(3)];
        let batch = &Batch::plan(&slots, &operations, not_here)[0];
        let unknown = Some(Err(Failure::OutcomeUnknown));
        let lost = [unknown.clone(), None, unknown];
        assert_eq!(batch.judge(PEER, &slots, Fate::Lost), lost);
        let few = Fate::Answered(vec![None]);
        assert_eq!(batch.judge(PEER, &slots, few), lost, "an answer to something else");
        assert_eq!(batch.judge(PEER, &slots, Fate::NotSent), [None, None, None]);
        let applied = Applied { effect: Effect::Key(Outcome::Missing), epoch: Epoch::ZERO };
        let answered = Fate::Answered(vec![None, Some(applied), None]);
        let done = Some(Ok((Effect::Key(Outcome::Missing), PEER)));
        assert_eq!(batch.judge(PEER, &slots, answered), [None, done, None]);
    }

    #[test]
    fn where_a_slot_was_found_is_known_to_the_next_batch() {
        let slots = guest();
        let operations = [add(1)];
        let applied = |counter| {
            let epoch = Epoch { counter, pid: PEER };
            Fate::Answered(vec![Some(Applied { effect: Effect::Key(Outcome::Missing), epoch })])
        };
        let used = || {
            let batch = Batch::plan(&slots, &operations, not_here).remove(0);
            (batch.sent[0].used.map(|epoch| epoch.counter), batch)
        };
        for (counter, known) in [(7, None), (7, Some(7)), (9, Some(7)), (8, Some(9)), (8, Some(9))] {
            let (before, batch) = used();
            assert_eq!(before, known);
            assert!(batch.judge(PEER, &slots, applied(counter))[0].is_some());
        }
    }
}
