//! User events and queries: told to all members as news is, in datagrams of their own.

use std::net::SocketAddr;

use super::receive::Way;
use super::{Gossip, Phase};
use crate::codec::{EVENT_BYTES, PACKET_BYTES, encode, told};
use crate::user_event::{Told, USER_EVENT_BYTES_MAX};
use crate::wire::{ArchivedEvents, Events, Message, WireEvent};
use crate::{Event, InputError, UserEvent};

/// As many full datagrams with events go to one reader per interval; more where events leave room in them.
const DATAGRAMS: usize = 4;

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
        let (origin, time) = (self.me.pid(), self.events.tick());
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

    /// Asks some member for all the events that it keeps.
    pub(super) fn recall(&mut self) {
        if let Some(id) = self.table.sample(1, None, &mut self.rng).pop()
            && let Some((addr, _)) = self.address(id)
        {
            let bytes = self.encoded_events(true, &[]);
            self.send_bytes(addr, bytes, Way::Stream);
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
