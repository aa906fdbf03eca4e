//! What is to happen when.

use std::collections::BTreeMap;
use std::time::Duration;

use super::fault::Fault;
use super::message::Command;
use crate::{Effect, Host, Hosts, RuleId};

/// What is due when.
#[derive(Default)]
pub(super) struct Agenda {
    actions: BTreeMap<(Duration, u64), Action>,
    added: u64,
}

/// One thing to do.
pub(super) enum Action {
    /// Start a node that joins the one on this host.
    Start { join: Host },
    /// Let something go wrong.
    Strike,
    /// Let something go wrong at this host, where a slot is changing hands.
    Aim(Host),
    /// Take rules away from the network.
    Heal(Vec<RuleId>),
    /// Let this go wrong at this host.
    Inflict(Fault, Host),
    /// Let the node on this host stand still for so long.
    Stall(Host, Duration),
    /// Put these effects on ways between hosts in force, for so long.
    Hamper(Vec<(Hosts, Hosts, Effect)>, Duration),
    /// Tell the node on this host.
    Tell(Host, Command),
    /// End this boot of the node on this seat; the next one starts so long after, if any does.
    Die { seat: usize, boot: u64, down: Option<Duration> },
    /// Start the next boot of the node on this seat.
    Restart(usize),
    /// Let nothing be written any more to keys that are deleted in the end.
    Close,
    /// Let the second cluster look for the first one.
    Meet,
    /// Store values beside the keys of clients.
    Ballast,
}

impl Agenda {
    pub(super) fn add(&mut self, at: Duration, action: Action) {
        self.added += 1;
        self.actions.insert((at, self.added), action);
    }

    /// All that is to come, in order.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Action> + use<> {
        std::mem::take(&mut self.actions).into_values()
    }

    /// When the next action is due.
    pub(super) fn next(&self) -> Option<Duration> {
        self.actions.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next action that is due at `now`.
    pub(super) fn due(&mut self, now: Duration) -> Option<Action> {
        self.next().filter(|at| *at <= now)?;
        self.actions.pop_first().map(|(_, action)| action)
    }
}
