//! The signatures in front of a message.

use super::{ANNOUNCE_BYTES, CLAIM_BYTES, COORDINATE_BYTES, PACKET_BYTES, RECORD_BYTES, STANDING_BYTES};
use crate::member::attribute_bytes;
use crate::signature::is_length;
use crate::wire::{
    Announce, ArchivedAnnounce, ArchivedMessage, ArchivedPacket, ArchivedPushPull, ArchivedStep, Message,
};

/// Writes those of the announcements in a message, in their order.
pub(super) fn write(message: &Message<'_>, bytes: &mut Vec<u8>) {
    let mut add = |announce: &Announce<'_>| {
        let signature = announce.signature;
        bytes.push(u8::try_from(signature.len()).expect("invariant: a signature is short"));
        bytes.extend(signature);
    };
    match message {
        Message::Packet(packet) => packet.announces.iter().for_each(add),
        Message::PushPull(push_pull) => push_pull.records.iter().for_each(|record| add(&record.announce)),
        Message::Events(_) | Message::Answer(_) => {}
    }
}

/// The signatures of a message's announcements, one after the other; empty ones where there are none.
pub(crate) struct Signatures<'a> {
    rest: &'a [u8],
    announcements: usize,
}

impl<'a> Signatures<'a> {
    /// Of a message in these bytes. What is in front of a shorter message than its parts would make is not sound.
    pub(crate) fn of(message: &ArchivedMessage<'static>, bytes: &'a [u8]) -> Signatures<'a> {
        let (announcements, size) = match message {
            ArchivedMessage::Packet(packet) => (packet.announces.len(), packet_bytes(packet)),
            ArchivedMessage::PushPull(push_pull) => (push_pull.records.len(), push_pull_bytes(push_pull)),
            ArchivedMessage::Events(_) | ArchivedMessage::Answer(_) => (0, bytes.len()),
        };
        let rest = &bytes[..bytes.len().saturating_sub(size)];
        Signatures { rest, announcements }
    }

    /// Whether it is one for each announcement and nothing else, or none at all.
    pub(super) fn are_sound(mut self) -> bool {
        if self.rest.is_empty() {
            return true;
        }
        (0..self.announcements).all(|_| self.split().is_some_and(|signature| is_length(signature.len())))
            && self.rest.is_empty()
    }

    fn split(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.rest.split_first()?;
        let (signature, rest) = rest.split_at_checked(usize::from(*length))?;
        self.rest = rest;
        Some(signature)
    }
}

impl<'a> Iterator for Signatures<'a> {
    type Item = &'a [u8];

    /// Never ends.
    fn next(&mut self) -> Option<&'a [u8]> {
        Some(self.split().unwrap_or_default())
    }
}

fn packet_bytes(packet: &ArchivedPacket<'static>) -> usize {
    let announces: usize =
        packet.announces.iter().map(|announce| ANNOUNCE_BYTES + attributes(announce)).sum();
    PACKET_BYTES + announces + packet.coordinate.len() * COORDINATE_BYTES + packet.claims.len() * CLAIM_BYTES
}

fn push_pull_bytes(push_pull: &ArchivedPushPull<'static>) -> usize {
    let records: usize =
        push_pull.records.iter().map(|record| RECORD_BYTES + attributes(&record.announce)).sum();
    let step = match &push_pull.step {
        ArchivedStep::Digest(buckets) => buckets.len() * size_of::<u64>(),
        ArchivedStep::Summary { buckets, standings, .. } => {
            buckets.len() * size_of::<u16>() + standings.len() * STANDING_BYTES
        }
        ArchivedStep::Difference { standings, wanted } => {
            standings.len() * STANDING_BYTES + wanted.len() * size_of::<u128>()
        }
        ArchivedStep::Answer => 0,
    };
    PACKET_BYTES + records + step
}

fn attributes(announce: &ArchivedAnnounce<'static>) -> usize {
    attribute_bytes(&announce.name, &announce.tags)
}
