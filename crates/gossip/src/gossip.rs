//! The state machine.

use std::collections::VecDeque;
use std::time::Duration;

use crate::{Config, Identity, Input, InputError, Member, NewError, NodeId, Output};

/// One member of a cluster: membership by SWIM, without I/O, clock or randomness of its own.
///
/// After [`Gossip::new`] and after each [`handle`](Gossip::handle), drain [`poll_output`](Gossip::poll_output), then
/// sleep until [`poll_timeout`](Gossip::poll_timeout) or the next input.
#[derive(Debug)]
pub struct Gossip {
    me: Member,
    outputs: VecDeque<Output>,
}

impl Gossip {
    /// A member that knows nobody yet. `now` is the time since the driver's origin, which all later calls share;
    /// `seed` feeds the generator behind every random choice.
    ///
    /// # Errors
    /// A setting is out of range, or address, name or tags cannot be announced.
    pub fn new(config: Config, identity: Identity, seed: u64, now: Duration) -> Result<Gossip, NewError> {
        let _ = (config, seed, now);
        let me = Member {
            id: identity.id,
            boot: identity.boot,
            incarnation: 0,
            addr: identity.addr,
            state: crate::State::Alive,
            name: identity.name.into(),
            tags: crate::Tags::new(identity.tags)?,
        };
        Ok(Gossip { me, outputs: VecDeque::new() })
    }

    /// Takes one input at time `now`, which never goes back.
    ///
    /// # Errors
    /// The input is refused and nothing has changed. Bad bytes of a peer are an error, never a panic.
    pub fn handle(&mut self, input: Input<'_>, now: Duration) -> Result<(), InputError> {
        let _ = (input, now);
        Ok(())
    }

    /// The next thing to do, until `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Timeout`] is due, or `None` for never.
    pub fn poll_timeout(&self) -> Option<Duration> {
        None
    }

    /// This member.
    pub fn me(&self) -> &Member {
        &self.me
    }

    /// All known members, this one first, then the live, the dead and those that left.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        std::iter::once(&self.me)
    }

    /// The live members (alive and suspect), this one first.
    pub fn live(&self) -> impl Iterator<Item = &Member> {
        std::iter::once(&self.me)
    }

    /// What is known about one node; this one included.
    pub fn member(&self, id: NodeId) -> Option<&Member> {
        (id == self.me.id).then_some(&self.me)
    }
}
