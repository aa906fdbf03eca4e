//! Messages on their way out, one frame per peer, lane and claim, neighbouring slots folded into runs.

use std::collections::{BTreeMap, BTreeSet};

use crate::message::{Greeting, Lane, Message, Run};
use crate::pid::Pid;

/// The bytes of entries after which a frame is closed.
const FRAME_BYTES: usize = 1 << 20;

/// The slots after which a frame is closed: its receiver works on all of them in one step, while operations wait.
const FRAME_SLOTS: usize = 2048;

/// A frame but for what is the same in all frames of its sender.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) to: Pid,
    pub(crate) lane: Lane,
    /// The claim whose dead the frame has to name.
    pub(crate) nonce: Option<u64>,
    /// Whether the sender's members have to be in it.
    pub(crate) members: bool,
    pub(crate) greeting: Greeting,
    pub(crate) runs: Vec<Run>,
    bytes: usize,
    slots: usize,
}

type Key = (Pid, Lane, Option<u64>);

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    open: BTreeMap<Key, Parcel>,
    closed: Vec<Parcel>,
    greetings: BTreeSet<(Pid, Greeting, bool)>,
}

impl Outbox {
    /// Adds a message about one slot.
    pub(crate) fn push(&mut self, to: Pid, slot: u16, message: Message) {
        let lane = message.lane();
        let nonce = if let Message::WhoHas { nonce } = message { Some(nonce) } else { None };
        let key = (to, lane, nonce);
        let parcel = self.open.entry(key).or_insert_with(|| Parcel::new(to, lane, nonce));
        if parcel.bytes > FRAME_BYTES || parcel.slots >= FRAME_SLOTS {
            self.closed.push(std::mem::replace(parcel, Parcel::new(to, lane, nonce)));
        }
        parcel.push(slot, message);
    }

    /// Adds a frame without messages that wants an answer.
    pub(crate) fn greet(&mut self, to: Pid, greeting: Greeting) {
        self.greetings.insert((to, greeting, false));
    }

    /// Adds a frame without messages, perhaps with the sender's members.
    pub(crate) fn answer_greeting(&mut self, to: Pid, members: bool) {
        self.greetings.insert((to, Greeting::None, members));
    }

    /// Everything, in the order it has to be sent.
    pub(crate) fn drain(&mut self) -> Vec<Parcel> {
        let mut parcels = std::mem::take(&mut self.closed);
        parcels.extend(std::mem::take(&mut self.open).into_values());
        for (to, greeting, members) in std::mem::take(&mut self.greetings) {
            parcels.push(Parcel { members, greeting, ..Parcel::new(to, Lane::Control, None) });
        }
        parcels
    }
}

impl Parcel {
    fn new(to: Pid, lane: Lane, nonce: Option<u64>) -> Self {
        let greeting = Greeting::None;
        Self { to, lane, nonce, members: false, greeting, runs: Vec::new(), bytes: 0, slots: 0 }
    }

    fn push(&mut self, slot: u16, message: Message) {
        self.slots += 1;
        self.members |= matches!(message, Message::NotHere { .. });
        if let Message::Chunk { items, .. } | Message::Merge { items, .. } = &message {
            self.bytes += items.iter().map(|item| item.key.len() + item.value.len() + 64).sum::<usize>();
        } else if let Some(last) = self.runs.last_mut()
            && usize::from(last.start) + usize::from(last.len) == usize::from(slot)
            && last.message == message
        {
            last.len += 1;
            return;
        }
        self.runs.push(Run { start: slot, len: 1, message });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: Pid = Pid { node: 7, boot: 1 };

    #[test]
    fn neighbouring_slots_with_the_same_message_share_a_run() {
        let mut outbox = Outbox::default();
        for slot in [3, 4, 5, 9] {
            outbox.push(PEER, slot, Message::Acquire);
        }
        outbox.push(PEER, 10, Message::Later);
        let parcels = outbox.drain();
        let runs: Vec<_> = parcels[0].runs.iter().map(|run| (run.start, run.len)).collect();
        assert_eq!((parcels.len(), runs), (1, vec![(3, 3), (9, 1), (10, 1)]));
    }

    #[test]
    fn claims_with_different_dead_travel_in_frames_of_their_own() {
        let mut outbox = Outbox::default();
        outbox.push(PEER, 1, Message::WhoHas { nonce: 1 });
        outbox.push(PEER, 2, Message::WhoHas { nonce: 2 });
        outbox.push(PEER, 3, Message::ClaimEnd { nonce: 1, floor: crate::Epoch::ZERO });
        assert_eq!(outbox.drain().len(), 3);
    }
}
