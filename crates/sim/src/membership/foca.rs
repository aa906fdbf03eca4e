//! Another implementation of SWIM in the same network: foca, through its own interface, as its example agent uses it.
//!
//! Its settings are those it publishes for a LAN and the size of the cluster, with identities that renew themselves
//! when they are declared dead. It tells no suspicions, and speaks in datagrams only.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use fastrand::Rng;
use foca::{
    AccumulatingRuntime, Config, Foca, Identity, NoCustomBroadcast, OwnedNotification, PostcardCodec, Timer,
};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use serde::{Deserialize, Serialize};

use super::node::{Clock, JOIN_RETRY, Message, Note};
use super::run::Peer;
use super::scenario::{Scenario, ScenarioError};
use crate::{Host, Outbox, Payload, Process, Way};

/// Lives of one process: a restart begins so many later.
const LIVES: u32 = 1 << 16;

/// Who a member is: its host, and how often it had to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Id {
    host: u32,
    life: u32,
}

impl Id {
    /// Which process of its host, counted from 1.
    fn boot(self) -> u64 {
        u64::from(self.life / LIVES) + 1
    }
}

impl Identity for Id {
    type Addr = u32;

    fn addr(&self) -> u32 {
        self.host
    }

    fn renew(&self) -> Option<Self> {
        Some(Self { life: self.life.wrapping_add(1), ..*self })
    }

    fn win_addr_conflict(&self, other: &Self) -> bool {
        self.life > other.life
    }
}

/// A node that runs foca.
pub(super) struct FocaNode {
    core: Foca<Id, PostcardCodec, SmallRng, NoCustomBroadcast>,
    runtime: AccumulatingRuntime<Id>,
    /// By time, then in foca's order, then as they came.
    timers: BTreeSet<(Duration, Timer<Id>, u64)>,
    submitted: u64,
    join: Option<(Id, Duration)>,
    clock: Clock,
}

impl Peer for FocaNode {
    type Shared = ();

    fn boot(
        (scenario, ()): (&Scenario, &()),
        (host, former): (Host, Option<Self>),
        seed_host: Option<Host>,
        rng: &mut Rng,
        now: Duration,
    ) -> Result<Self, ScenarioError> {
        let nodes = NonZeroU32::new(scenario.nodes + scenario.burst).ok_or(ScenarioError::Nodes(0))?;
        let life = former.map_or(0, |former| (former.core.identity().life / LIVES + 1) * LIVES);
        let core = Foca::new(
            Id { host: host.0, life },
            Config::new_lan(nodes),
            SmallRng::seed_from_u64(rng.u64(..)),
            PostcardCodec,
        );
        Ok(Self {
            core,
            runtime: AccumulatingRuntime::new(),
            timers: BTreeSet::new(),
            submitted: 0,
            join: seed_host.map(|seed| (Id { host: seed.0, life: 0 }, now)),
            clock: Clock::new(now, scenario.pace(rng)),
        })
    }

    fn listed(&self) -> Vec<Host> {
        let all = self.core.iter_members().map(foca::Member::id).chain([self.core.identity()]);
        all.map(|id| Host(id.host)).collect()
    }
}

impl FocaNode {
    fn lists(&self, id: Id) -> bool {
        self.core.iter_members().any(|member| *member.id() == id)
    }

    fn drain(&mut self, outbox: &mut Outbox<Self>) {
        while let Some((to, bytes)) = self.runtime.to_send() {
            outbox.send(Host(to.host), Message::new(Way::Datagram, bytes.to_vec()));
        }
        let now = self.clock.show(outbox.now());
        while let Some((after, timer)) = self.runtime.to_schedule() {
            self.timers.insert((now + after, timer, self.submitted));
            self.submitted += 1;
        }
        while let Some(told) = self.runtime.to_notify() {
            match told {
                // A restart that was heard of before the end of the former process.
                OwnedNotification::Rename(was, id) if was.boot() < id.boot() && self.lists(id) => {
                    outbox.note(Note::Up(Host(id.host), id.boot()));
                }
                OwnedNotification::MemberUp(id) => outbox.note(Note::Up(Host(id.host), id.boot())),
                OwnedNotification::MemberDown(id) => outbox.note(Note::Down(Host(id.host), id.boot())),
                _ => {}
            }
        }
    }

    fn join_if_due(&mut self, outbox: &mut Outbox<Self>) {
        let now = outbox.now();
        let Some((seed, _)) = self.join.filter(|(_, at)| *at <= now) else { return };
        self.join = Some((seed, now + JOIN_RETRY));
        if self.core.iter_members().any(|member| member.id().host == seed.host) {
            self.join = None;
        } else {
            self.settle(|it| it.core.announce(seed, &mut it.runtime), outbox);
        }
    }

    /// Acts. Its errors need no action: junk, or a probe cut short because this node stood still.
    fn settle(&mut self, act: impl FnOnce(&mut Self) -> Result<(), foca::Error>, outbox: &mut Outbox<Self>) {
        drop(act(self));
        self.drain(outbox);
    }
}

impl Process for FocaNode {
    type Message = Message;
    type Note = Note;

    fn start(&mut self, outbox: &mut Outbox<Self>) {
        self.join_if_due(outbox);
    }

    fn receive(&mut self, _: Host, message: Message, outbox: &mut Outbox<Self>) {
        self.settle(|it| it.core.handle_data(message.bytes(), &mut it.runtime), outbox);
    }

    fn wake(&mut self, outbox: &mut Outbox<Self>) {
        self.join_if_due(outbox);
        let now = self.clock.show(outbox.now());
        while self.timers.first().is_some_and(|(at, ..)| *at <= now)
            && let Some((_, timer, _)) = self.timers.pop_first()
        {
            self.settle(|it| it.core.handle_timer(timer, &mut it.runtime), outbox);
        }
    }

    fn wake_at(&self) -> Option<Duration> {
        let timer_at = self.timers.first().map(|(at, ..)| self.clock.when(*at));
        timer_at.into_iter().chain(self.join.map(|(_, at)| at)).min()
    }
}
