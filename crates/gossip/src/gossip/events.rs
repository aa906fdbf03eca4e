//! User events and queries: told to all members as news is, in datagrams of their own.

use std::net::SocketAddr;

use super::receive::Way;
use super::{Gossip, Phase};
use crate::codec::{EVENT_BYTES, PACKET_BYTES, encode, told};
use crate::user_event::{Told, USER_EVENT_BYTES_MAX};
use crate::wire::{ArchivedEvents, Events, Message, WireEvent};
use crate::{Event, InputError, NodeId, Pid, UserEvent};

/// So many members tell who asks of the events of before; one is asked per probe interval.
const RECALLS_MAX: usize = 4;
/// The probe intervals in which somebody is asked.
const RECALL_INTERVALS: u32 = 20;
/// As many full datagrams with events go to one reader per interval; more where events leave room in them.
const DATAGRAMS: usize = 4;

/// Who has told of the events of before, and in how many probe intervals others may be asked.
#[derive(Debug, Default)]
pub(super) struct Recalls {
    answered: Vec<NodeId>,
    intervals: u32,
}

impl Gossip {
    /// Tells everybody, this member included.
    pub(super) fn send_event(&mut self, name: String, payload: Vec<u8>) -> Result<(), InputError> {
        let bytes = name.len() + payload.len();
        if bytes > USER_EVENT_BYTES_MAX {
            return Err(InputError::EventTooLarge { bytes });
        }
        if !self.events.has_room() {
            return Err(InputError::EventsFull);
        }
        let (origin, time) = (self.me.pid(), self.events.tick().ok_or(InputError::EventsWorn)?);
        let event = UserEvent { origin, time, name: name.into(), payload: payload.into() };
        self.take_told(Told { event, terms: None }, true);
        Ok(())
    }

    pub(super) fn take_told(&mut self, told: Told, tell: bool) {
        if self.events.insert(told.clone(), tell) {
            self.wake_gossip();
            match told.terms {
                None => self.emit(Event::User(told.event)),
                Some(terms) => self.on_question(told.event, &terms),
            }
        }
    }

    /// Asks for the events of before, of more than one member: who has come just now itself knows none.
    pub(super) fn recall(&mut self) {
        self.recalls = Recalls { answered: Vec::new(), intervals: RECALL_INTERVALS };
        self.ask_to_recall();
    }

    /// Asks one of the oldest members that have not answered yet for all the events that it keeps. O(n log n), for rare use.
    pub(super) fn ask_to_recall(&mut self) {
        let Recalls { answered, intervals } = &mut self.recalls;
        if *intervals == 0 || answered.len() >= RECALLS_MAX {
            return;
        }
        *intervals -= 1;
        let others = self.table.iter_live().map(|entry| &*entry.member);
        let mut others: Vec<_> = others.filter(|member| !answered.contains(&member.id)).collect();
        others.sort_unstable_by_key(|member| (member.boot, member.id));
        others.truncate(RECALLS_MAX);
        if let Some(to) = self.rng.choice(others).map(|member| member.addr) {
            let bytes = self.encoded_events(true, &[]);
            self.send_bytes(to, bytes, Way::Stream);
        }
    }

    /// Sends one reader what has been told least.
    pub(super) fn tell_events(&mut self, to: SocketAddr) {
        let room = self.config.datagram_bytes.saturating_sub(PACKET_BYTES);
        let events = self.events.fill(DATAGRAMS * room, EVENT_BYTES, self.retransmissions());
        let (mut from, mut size) = (0, 0);
        for (index, event) in events.iter().enumerate() {
            let bytes = EVENT_BYTES + event.bytes();
            if size + bytes > room {
                self.send_events(to, &events[from..index]);
                (from, size) = (index, 0);
            }
            size += bytes;
        }
        self.send_events(to, &events[from..]);
    }

    fn send_events(&mut self, to: SocketAddr, events: &[Told]) {
        if !events.is_empty() {
            let bytes = self.encoded_events(false, events);
            self.send_bytes(to, bytes, Way::Datagram);
        }
    }

    /// What came on a stream was asked for, and is old: it is not told to others. One recall is answered per gossip
    /// interval: an answer is a thousand times as large.
    pub(super) fn on_events(&mut self, from: SocketAddr, message: &ArchivedEvents<'static>, way: Way) {
        if self.phase != Phase::Active {
            return;
        }
        for event in message.list.iter() {
            self.take_told(told(event), way == Way::Datagram);
        }
        if way == Way::Stream && !message.recall && self.recalls.answered.len() < RECALLS_MAX {
            let by = Pid::from(&message.from).id;
            self.recalls.answered.retain(|id| *id != by);
            self.recalls.answered.push(by);
        }
        if message.recall && self.now >= self.recalled_at {
            self.recalled_at = self.now + self.config.gossip_interval;
            let kept: Vec<Told> = self.events.iter().cloned().collect();
            let bytes = self.encoded_events(false, &kept);
            self.send_bytes(from, bytes, Way::Stream);
        }
    }

    fn encoded_events(&self, recall: bool, events: &[Told]) -> Vec<u8> {
        let size = events.iter().map(|event| EVENT_BYTES + event.bytes()).sum::<usize>();
        let events =
            Events { from: self.me.pid().into(), recall, list: events.iter().map(WireEvent::from).collect() };
        encode(&Message::Events(events), PACKET_BYTES + size)
    }
}
