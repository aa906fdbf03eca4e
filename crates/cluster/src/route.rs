//! The way of one operation: the node that a client asked drives it, peers only apply, keep or point on.

use std::time::Duration;

use crate::canary::Canary;
use crate::message::Answer;
use crate::operation::{Effect, Operation};
use crate::pid::{Epoch, Hint, Pid};
use crate::shared::Slots;
use crate::slot::Disposition;

/// How often an operation is sent to peers before it pauses: nodes that do not agree yet on who holds a slot must not send
/// it to and fro.
const SENDS_MAX: u32 = 4;

/// The first pause; they double up to the last.
const PAUSE_FIRST: Duration = Duration::from_millis(2);
const PAUSE_LAST: Duration = Duration::from_millis(160);

/// Why an operation has no outcome.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// Not applied: too many operations wait for this slot's holder.
    #[error("too many operations wait for this key's slot; try again later")]
    Busy,
    /// Not applied: nobody served the slot in time.
    #[error("this key's slot has no holder at the moment; try again later")]
    Unavailable,
    /// A write that was sent and not answered: it may or may not have been applied.
    #[error("the outcome is unknown: the write was sent to the holder and never answered")]
    OutcomeUnknown,
}

/// What became of an operation sent to a peer.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Sent {
    /// The peer answered.
    Answered(Answer),
    /// It certainly never left this node.
    NotSent,
    /// It may have arrived.
    Lost,
}

/// Where to try next.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Next {
    /// On this node: [`Slots::try_apply`], else [`crate::Input::Operate`].
    Here {
        /// To be passed on with the operation.
        used: Option<Epoch>,
    },
    /// At a peer.
    Peer {
        /// Which.
        to: Pid,
        /// To be passed on with the operation.
        used: Option<Epoch>,
    },
    /// Nowhere: no node is known that should hold it.
    Nowhere,
}

/// What follows from an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Finished.
    Done(Result<(Effect, Pid), Failure>),
    /// Not applied, and worth another try after a pause.
    Again(Duration),
}

/// The way of one operation so far.
#[derive(Clone, Hash, Debug)]
pub struct Attempt {
    slot: u16,
    is_write: bool,
    /// The hint to follow, from the last answer.
    follow: Option<Hint>,
    /// A hint that led nowhere.
    dropped: Option<Epoch>,
    /// A hint to a process that cannot be reached: until the next pause the table's target is asked instead, if that is
    /// another node.
    unreachable: Option<Epoch>,
    /// How often it has been sent since the last pause.
    sends: u32,
    /// How often it has paused, as far as that makes pauses longer.
    pauses: u32,
}

impl Attempt {
    /// An operation that has not been tried anywhere.
    pub fn new<B: AsRef<[u8]>>(operation: &Operation<B>) -> Self {
        Self::on(operation.slot(), operation.is_write())
    }

    /// The same for an operation of which this is known.
    pub(crate) fn on(slot: u16, is_write: bool) -> Self {
        Self { slot, is_write, follow: None, dropped: None, unreachable: None, sends: 0, pauses: 0 }
    }

    /// Whether it has been sent more often without a pause than an operation ever is: four times.
    pub fn wanders(&self) -> bool {
        self.sends > SENDS_MAX
    }

    /// Where to try next.
    pub fn next(&self, slots: &Slots) -> Next {
        let routes = slots.routes();
        let used = self.follow.map(|hint| hint.epoch);
        let target = routes.target(self.slot);
        let disposition = slots.disposition(self.slot, used, target == Some(slots.me()));
        let hint = match disposition {
            Disposition::Serve | Disposition::Wait => return Next::Here { used },
            Disposition::Route(hint) => hint,
        };
        let unreachable = self.unreachable.filter(|_| target != Some(slots.me()));
        let best = [self.follow, hint]
            .into_iter()
            .flatten()
            .filter(|hint| ![self.dropped, unreachable].contains(&Some(hint.epoch)))
            .filter(|hint| routes.is_live(hint.pid))
            .max_by_key(|hint| hint.epoch);
        match (best, target) {
            (Some(hint), _) if hint.pid != slots.me() => Next::Peer { to: hint.pid, used: Some(hint.epoch) },
            (_, Some(to)) if to != slots.me() => Next::Peer { to, used: None },
            // The machine keeps it until there is another hint than the one that leads nowhere.
            (_, Some(_)) => Next::Here { used: used.max(hint.map(|hint| hint.epoch)) },
            (_, None) => Next::Nowhere,
        }
    }

    /// Judges the answer to a try at `next`, and corrects this node's routes by it.
    pub fn judge(&mut self, slots: &Slots, next: Next, sent: Sent) -> Verdict {
        let elsewhere = |peer| {
            slots.routes().target(self.slot).is_some_and(|target| ![slots.me(), peer].contains(&target))
        };
        let answer = match (sent, next) {
            (Sent::NotSent, Next::Peer { to, used: Some(epoch) }) if elsewhere(to) => {
                self.unreachable = Some(epoch);
                return self.count_send();
            }
            (Sent::NotSent, _) => return self.again(),
            (Sent::Lost, _) if self.is_write && !slots.bug.is(Canary::RetryLostWrites) => {
                return Verdict::Done(Err(Failure::OutcomeUnknown));
            }
            (Sent::Lost, _) => return self.count_send(),
            (Sent::Answered(answer), _) => answer,
        };
        let (holder, used) = match next {
            Next::Here { used } => (slots.me(), used),
            Next::Peer { to, used } => (to, used),
            Next::Nowhere => return self.again(),
        };
        match answer {
            Answer::Done { effect, epoch } => {
                slots.learn(self.slot, Hint { pid: holder, epoch });
                Verdict::Done(Ok((effect, holder)))
            }
            Answer::Busy => Verdict::Done(Err(Failure::Busy)),
            Answer::Expired => Verdict::Done(Err(Failure::Unavailable)),
            Answer::Moved(hint) => self.moved(slots, used, hint, holder != slots.me()),
        }
    }

    /// A hint is followed only to a higher epoch than the one just used, so that no two nodes can send an
    /// operation to and fro.
    fn moved(&mut self, slots: &Slots, used: Option<Epoch>, hint: Option<Hint>, by_peer: bool) -> Verdict {
        let any = by_peer && slots.bug.is(Canary::FollowAnyHint);
        if let Some(hint) = hint.filter(|hint| Some(hint.epoch) > used || any) {
            if !by_peer {
                // This node's own hint, which it has yet to be sent by.
                return Verdict::Again(Duration::ZERO);
            }
            slots.learn(self.slot, hint);
            self.follow = Some(hint);
            if any {
                self.sends += 1;
                return Verdict::Again(Duration::from_millis(1));
            }
            return self.count_send();
        }
        if let Some(epoch) = used {
            slots.forget(self.slot, epoch);
        }
        self.dropped = used;
        self.follow = None;
        self.again()
    }

    fn count_send(&mut self) -> Verdict {
        self.sends += 1;
        if self.sends < SENDS_MAX { Verdict::Again(Duration::ZERO) } else { self.again() }
    }

    fn again(&mut self) -> Verdict {
        let pause = (PAUSE_FIRST * (1 << self.pauses)).min(PAUSE_LAST);
        self.pauses = (self.pauses + 1).min(7);
        self.sends = 0;
        self.unreachable = None;
        Verdict::Again(pause)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::machine::{Config, Input, Machine};
    use crate::slot::{Asking, State};
    use crate::time::Now;
    use crate::view::{Liveness, Routes};

    #[test]
    fn where_the_hint_leads_nowhere_the_target_is_asked_without_a_pause() {
        let [me, target, gone] = [1, 2, 3].map(|node| Pid { node, boot: 1 });
        let at = |ms| Now { at: Duration::from_millis(ms), unix_ms: 1 };
        let mut machine = Machine::new(Config::new(me, 1), at(0));
        machine.handle(Input::Member { pid: me, liveness: Liveness::Alive, weight: 0 }, at(0));
        machine.handle(Input::Member { pid: target, liveness: Liveness::Alive, weight: 1 }, at(0));
        machine.handle(Input::Member { pid: gone, liveness: Liveness::Leaving, weight: 1 }, at(0));
        machine.handle(Input::Timeout, at(1000));
        let slots = machine.slots();
        let operation = Operation::<&[u8]>::get(&b"key"[..]);
        let hint = Hint { pid: gone, epoch: Epoch { counter: 5, pid: gone } };
        slots.learn(operation.slot(), hint);
        let mut attempt = Attempt::new(&operation);
        let by_hint = Next::Peer { to: gone, used: Some(hint.epoch) };
        assert_eq!(attempt.next(&slots), by_hint);
        assert_eq!(attempt.judge(&slots, by_hint, Sent::NotSent), Verdict::Again(Duration::ZERO));
        let by_table = Next::Peer { to: target, used: None };
        assert_eq!(attempt.next(&slots), by_table);
        // The target knows nothing better: after some to and fro there is a pause, then the hint has its turn again.
        let mut pause = Duration::ZERO;
        for _ in 1..SENDS_MAX {
            assert!(pause.is_zero() && attempt.next(&slots) == by_table);
            let moved = Sent::Answered(Answer::Moved(Some(hint)));
            let Verdict::Again(next) = attempt.judge(&slots, by_table, moved) else { panic!("given up") };
            pause = pause.max(next);
        }
        assert!(!pause.is_zero());
        assert_eq!(attempt.next(&slots), by_hint);
    }

    /// The source of a copy serves all the while: an operation that is not sent to it once must not wait here for the slot.
    #[test]
    fn a_target_that_cannot_reach_the_holder_asks_it_again_after_a_pause() {
        let [me, source] = [1, 2].map(|node| Pid { node, boot: 1 });
        let at = |ms| Now { at: Duration::from_millis(ms), unix_ms: 1 };
        let mut machine = Machine::new(Config::new(me, 1), at(0));
        machine.handle(Input::Member { pid: source, liveness: Liveness::Alive, weight: 0 }, at(0));
        machine.handle(Input::Timeout, at(1000));
        let slots = machine.slots();
        let operation = Operation::<&[u8]>::get(&b"key"[..]);
        let hint = Hint { pid: source, epoch: Epoch { counter: 5, pid: source } };
        slots.learn(operation.slot(), hint);
        for state in [State::Absent, State::Asking(Asking { source, offered: false, staging: None })] {
            slots.store.lock(operation.slot().into()).header_mut().state = state;
            let mut attempt = Attempt::new(&operation);
            let by_hint = Next::Peer { to: source, used: Some(hint.epoch) };
            for _ in 0..10 {
                assert_eq!(attempt.next(&slots), by_hint);
                let verdict = attempt.judge(&slots, by_hint, Sent::NotSent);
                assert!(matches!(verdict, Verdict::Again(pause) if !pause.is_zero()), "{verdict:?}");
            }
        }
    }

    #[test]
    fn what_waited_here_goes_to_the_holder_once_this_node_knows_whom_to_ask() {
        let [me, peer] = [1, 2].map(|node| Pid { node, boot: 1 });
        let slots = Machine::new(Config::new(me, 1), Now { at: Duration::ZERO, unix_ms: 1 }).slots();
        let peers = [(me.node, me), (peer.node, peer)].into_iter().collect();
        let table = Arc::clone(&slots.routes().table);
        slots.routes.store(Arc::new(Routes { table, pids: peers }));
        let operation = Operation::<&[u8]>::get(&b"key"[..]);
        let mut attempt = Attempt::new(&operation);
        assert_eq!(attempt.next(&slots), Next::Here { used: None });
        // Now the slot is asked for, where it is guessed to be.
        let hint = Hint { pid: peer, epoch: Epoch::ZERO };
        {
            let mut guard = slots.store.lock(operation.slot().into());
            let header = guard.header_mut();
            header.state = State::Asking(Asking { source: peer, offered: false, staging: None });
            header.hint = Some(hint);
        }
        let moved = |hint| Sent::Answered(Answer::Moved(hint));
        let here = Next::Here { used: None };
        assert_eq!(attempt.judge(&slots, here, moved(Some(hint))), Verdict::Again(Duration::ZERO));
        let there = Next::Peer { to: peer, used: Some(Epoch::ZERO) };
        assert_eq!(attempt.next(&slots), there);
        // It is not there: from now on it waits here, and is not sent to and fro.
        assert!(
            matches!(attempt.judge(&slots, there, moved(None)), Verdict::Again(pause) if !pause.is_zero())
        );
        assert_eq!(attempt.next(&slots), Next::Here { used: Some(Epoch::ZERO) });
        assert_eq!(slots.disposition(operation.slot(), Some(Epoch::ZERO), true), Disposition::Wait);
    }

    /// Whoever drives an operation would try it for ever, and no time would pass.
    #[cfg(feature = "canaries")]
    #[test]
    fn even_whoever_follows_any_hint_does_not_follow_its_own_again() {
        let me = Pid { node: 1, boot: 1 };
        let config = Config { canary: Some(Canary::FollowAnyHint), ..Config::new(me, 1) };
        let slots = Machine::new(config, Now { at: Duration::ZERO, unix_ms: 1 }).slots();
        let hint = Hint { pid: Pid { node: 2, boot: 1 }, epoch: Epoch { counter: 5, pid: me } };
        let mut attempt = Attempt::new(&Operation::<&[u8]>::get(&b"key"[..]));
        let (here, moved) = (Next::Here { used: Some(hint.epoch) }, Answer::Moved(Some(hint)));
        let verdict = attempt.judge(&slots, here, Sent::Answered(moved));
        assert!(matches!(verdict, Verdict::Again(pause) if !pause.is_zero()), "{verdict:?}");
    }

    #[test]
    fn nodes_that_do_not_agree_are_asked_again_after_pauses() {
        let pid = |node| Pid { node, boot: 1 };
        let slots = Machine::new(Config::new(pid(1), 1), Now { at: Duration::ZERO, unix_ms: 1 }).slots();
        let operation = Operation::<&[u8]>::get(&b"key"[..]);
        let mut attempt = Attempt::new(&operation);
        let mut without_pause = 0;
        for counter in 0..100 {
            let (to, used) = (pid(2), Epoch { counter, pid: pid(2) });
            // Every other time a hint to a higher epoch, otherwise none.
            let hint = Hint { pid: pid(3), epoch: Epoch { counter: counter + 1, pid: pid(3) } };
            let answer = Answer::Moved(Some(hint).filter(|_| counter % 20 > 0));
            let next = Next::Peer { to, used: Some(used) };
            let Verdict::Again(pause) = attempt.judge(&slots, next, Sent::Answered(answer)) else {
                panic!("given up at {counter}");
            };
            without_pause = if pause.is_zero() { without_pause + 1 } else { 0 };
            assert!(without_pause < SENDS_MAX && !attempt.wanders(), "{counter}");
        }
    }
}
