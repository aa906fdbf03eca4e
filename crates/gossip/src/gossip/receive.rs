//! A message from a peer: which kind it is, and who sent it.

use std::cmp::Ordering;
use std::net::SocketAddr;

use super::{Gossip, Phase};
use crate::codec::{Signatures, decode};
use crate::wire::{ArchivedBody, ArchivedMessage, ArchivedPacket, Body};
use crate::{Coordinate, DecodeError, InputError, NodeId, Pid};

/// How a message came, and how its answer goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Datagram,
    Stream,
    /// Out only: what comes so comes on a stream.
    Bulk,
}

impl Gossip {
    pub(super) fn on_message(
        &mut self,
        from: SocketAddr,
        peer: Option<NodeId>,
        bytes: &[u8],
        way: Way,
    ) -> Result<(), InputError> {
        if self.phase == Phase::Replaced {
            return Ok(());
        }
        let message = decode(bytes).and_then(|message| {
            fits(message, way)?;
            self.check_events(message)?;
            comes_from(message, peer)?;
            Ok(message)
        });
        let signatures = |message| Signatures::of(message, bytes);
        match message {
            Ok(message @ ArchivedMessage::Packet(packet)) => {
                self.on_packet(from, packet, signatures(message), way);
            }
            Ok(message @ ArchivedMessage::PushPull(push_pull)) => {
                self.on_push_pull(from, push_pull, signatures(message));
            }
            Ok(ArchivedMessage::Events(events)) => self.on_events(from, events, way),
            Ok(ArchivedMessage::Answer(answer)) => self.on_answer_message(answer),
            Err(error) => {
                self.stats.messages_refused += 1;
                return Err(error.into());
            }
        }
        self.stats.messages_received += 1;
        self.roll_call.void(self.now);
        Ok(())
    }

    /// Nobody keeps more events than there is room for, so nobody tells more at a time.
    fn check_events(&self, message: &ArchivedMessage<'static>) -> Result<(), DecodeError> {
        match message {
            ArchivedMessage::Events(events) if events.list.len() > self.config.events_max() => {
                Err(DecodeError::Range("number of events"))
            }
            _ => Ok(()),
        }
    }

    fn on_packet(
        &mut self,
        from: SocketAddr,
        packet: &ArchivedPacket<'static>,
        signatures: Signatures<'_>,
        way: Way,
    ) {
        let sender = Pid::from(&packet.from);
        if sender.id == self.me.id {
            return self.meet_myself(sender, from);
        }
        if self.learn_news(packet, signatures) {
            // Whoever passes an announcement on has the tags.
            self.push_pull_with(from);
        }
        // A suspicion that has been refuted is refuted again, to whoever has not heard: its time runs there. Never in answer to
        // the same, or two that have both left would go on for ever.
        let is_answer = matches!(packet.body, ArchivedBody::Me);
        if !is_answer && packet.claims.iter().any(|claim| Pid::from(&claim.pid) == self.me.pid()) {
            self.farewells.asked_at = self.now;
            self.send(from, Some(sender), Body::Me, Way::Datagram);
        }
        self.on_body(from, sender, packet, way);
        // Whoever is still unknown after the answer to that very question has said goodbye: asked again, it would
        // only say so again.
        if !matches!(packet.body, ArchivedBody::Me) {
            self.notice(sender, from);
        }
    }

    fn on_body(&mut self, from: SocketAddr, sender: Pid, packet: &ArchivedPacket<'static>, way: Way) {
        match &packet.body {
            ArchivedBody::News | ArchivedBody::Me | ArchivedBody::Other { .. } => {}
            ArchivedBody::Who => self.send(from, Some(sender), Body::Me, way),
            ArchivedBody::Ping { number, target } => {
                self.on_ping(from, sender, number.to_native(), target.into(), way);
            }
            ArchivedBody::Ack { number, target } => {
                let there = packet.coordinate.first().map(Coordinate::from);
                self.on_ack((sender, there), number.to_native(), target.into(), way);
            }
            ArchivedBody::Relay { number, target } => {
                self.on_relay_request(from, sender, number.to_native(), target.into());
            }
            ArchivedBody::Nack { number } => self.on_nack(number.to_native()),
        }
    }

    /// A sender nobody has announced: probes alone make nobody a member, but they are a reason to ask. A member that
    /// has not been told everything by anybody joins the stranger, which seems to remember a former boot of it.
    fn notice(&mut self, sender: Pid, addr: SocketAddr) {
        let known = self.table.get(sender.id).is_some_and(|entry| entry.member.boot >= sender.boot);
        if known || self.phase != Phase::Active {
            return;
        }
        if self.push_pulls.informed() {
            self.send(addr, Some(sender), Body::Who, Way::Datagram);
        } else {
            self.queue_join(addr);
        }
    }

    fn on_ping(&mut self, from: SocketAddr, sender: Pid, number: u64, target: Pid, way: Way) {
        let body = if target == self.me.pid() {
            Body::Ack { number, target: target.into() }
        } else {
            Body::Other { number }
        };
        self.send(from, Some(sender), body, way);
    }

    /// A message from another boot of this node. The older one has to end, and hears so from the newer itself: what
    /// others say of it may be false.
    pub(super) fn meet_myself(&mut self, other: Pid, addr: SocketAddr) {
        match other.boot.cmp(&self.me.boot) {
            Ordering::Greater => self.replaced(other.boot),
            Ordering::Less => self.send(addr, None, Body::Me, Way::Datagram),
            Ordering::Equal => {}
        }
    }

    /// Others know a newer boot of this node, at this address: asked there, it says so itself.
    pub(super) fn ask_successor(&mut self, pid: Pid, addr: SocketAddr) {
        if addr != self.me.addr {
            let number = self.next_number();
            self.send(addr, None, Body::Ping { number, target: pid.into() }, Way::Datagram);
        }
    }
}

/// The sender that a message names must be the peer that has proved its id, if one has.
fn comes_from(message: &ArchivedMessage<'static>, peer: Option<NodeId>) -> Result<(), DecodeError> {
    let sender = match message {
        ArchivedMessage::Packet(packet) => &packet.from,
        ArchivedMessage::PushPull(push_pull) => &push_pull.from,
        ArchivedMessage::Events(events) => &events.from,
        ArchivedMessage::Answer(answer) if answer.relayed => return Ok(()),
        ArchivedMessage::Answer(answer) => &answer.by,
    };
    let named = Pid::from(sender).id;
    if peer.is_none_or(|peer| peer == named) { Ok(()) } else { Err(DecodeError::Sender) }
}

/// Large messages travel on streams, where only probes keep them company.
fn fits(message: &ArchivedMessage<'static>, way: Way) -> Result<(), DecodeError> {
    match (message, way) {
        (ArchivedMessage::PushPull(_), Way::Datagram) => Err(DecodeError::Way("a push-pull in a datagram")),
        (ArchivedMessage::Events(events), Way::Datagram) if events.recall => {
            Err(DecodeError::Way("a recall in a datagram"))
        }
        (ArchivedMessage::Events(events), Way::Stream) if events.list.iter().any(|e| !e.terms.is_empty()) => {
            Err(DecodeError::Way("a query on a stream"))
        }
        (ArchivedMessage::Packet(packet), Way::Stream) => match packet.body {
            ArchivedBody::Ping { .. } | ArchivedBody::Ack { .. } | ArchivedBody::Other { .. } => Ok(()),
            _ => Err(DecodeError::Way("a packet other than a probe on a stream")),
        },
        _ => Ok(()),
    }
}
