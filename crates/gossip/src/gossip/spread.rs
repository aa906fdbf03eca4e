//! Dissemination: news on its own clock and on the back of probes, and every packet's way out.

use std::net::SocketAddr;

use super::receive::Way;
use super::{Gossip, Phase};
use crate::codec::{
    CLAIM_BYTES, COORDINATE_BYTES, PACKET_BYTES, announce_bytes, announce_short, claim, encode,
};
use crate::queue::Queue;
use crate::suspicion::Suspicion;
use crate::timers::Timer;
use crate::wire::{Body, Message, Packet};
use crate::{Member, NodeId, Output, Pid, State};

/// Most members that are remembered as found dead a short while ago.
const FALLEN_MAX: usize = 1024;

/// Most news that is queued where more of it came in an exchange.
const HEARSAY_MAX: usize = 1024;

/// Most suspects that wait to be told so.
const WARNINGS_MAX: usize = 1024;
/// Suspects told so per interval.
const WARNINGS_PER_INTERVAL: usize = 32;

/// To how many members a newcomer shows itself.
const INTRODUCTIONS_MAX: usize = 32;

impl Gossip {
    /// There is news about `subject`: it goes out with the next packets.
    pub(super) fn tell(&mut self, subject: NodeId) {
        self.tell_from(subject, 0);
    }

    /// There is news about `subject` that others know: it goes out after fresher news, and less often; not at all where there is
    /// a lot, as when thousands join at once, which exchanges carry.
    pub(super) fn tell_some(&mut self, subject: NodeId) {
        if self.queue.len() >= HEARSAY_MAX {
            return;
        }
        let sent = self.retransmissions().saturating_sub(self.config.retransmit_multiplier);
        self.tell_from(subject, sent);
    }

    fn tell_from(&mut self, subject: NodeId, sent: u32) {
        if self.lacks_words(subject) {
            return self.queue.remove(subject);
        }
        self.queue.push(subject, sent, self.news_bytes(subject));
        self.wake_gossip();
    }

    /// Whether there is nothing to say of `id` before its tags are here: whoever hears of it asks for them. It is told
    /// when they have come.
    pub(super) fn lacks_words(&self, id: NodeId) -> bool {
        self.table.get(id).is_some_and(|entry| entry.missing.is_some() && entry.member.state == State::Alive)
    }

    /// Somebody is suspected because of what was heard in an exchange, or of its goodbye: it is told soon, and by itself. The
    /// queue drops what is too much; the next packet to the suspect says it as well.
    pub(super) fn warn(&mut self, suspect: NodeId) {
        if self.warnings.len() < WARNINGS_MAX {
            self.warnings.push_back(suspect);
            self.wake_gossip();
        }
    }

    fn send_warnings(&mut self) {
        for _ in 0..WARNINGS_PER_INTERVAL.min(self.warnings.len()) {
            let Some(entry) = self.warnings.pop_front().and_then(|id| self.table.get(id)) else { continue };
            if entry.member.state == State::Suspect {
                let (addr, pid) = (entry.member.addr, entry.member.pid());
                self.send(addr, Some(pid), Body::News, Way::Datagram);
            }
        }
    }

    /// Sees to it that the gossip clock ticks: it rests while there is nothing to do.
    pub(super) fn wake_gossip(&mut self) {
        if self.spread_at.is_none() {
            // Anywhere in the interval, so that members that hear the same news do not pass it on in step.
            let at = self.now + self.config.gossip_interval.mul_f64(self.rng.f64());
            self.spread_at = Some(at);
            self.timers.set(at, Timer::Gossip);
        }
    }

    pub(super) fn on_gossip_interval(&mut self) {
        // Until the end, the clock counts as set: nothing in between may set it a second time.
        self.send_warnings();
        self.say_goodbye();
        self.spread_news();
        self.resume_answers();
        if self.phase == Phase::Leaving && !self.awaits_questions() {
            self.left();
        }
        let news = !self.queue.is_empty() || !self.events.nothing_to_tell() || self.phase == Phase::Leaving;
        // While anybody is suspected it ticks on, for a process that stands still to find out how long it did.
        let more = news || !self.warnings.is_empty() || self.answers_waiting() || self.table.suspects() > 0;
        self.spread_at = more.then(|| self.now + self.config.gossip_interval);
        if let Some(at) = self.spread_at {
            self.timers.set(at, Timer::Gossip);
        }
    }

    /// Sends news to some live members, and to one of those that fell a short while ago: it may not be dead.
    pub(super) fn spread_news(&mut self) {
        match *self.table.live() {
            // Nobody is there to be told: whoever comes will learn everything by push-pull.
            [] => {
                self.queue = Queue::default();
                self.events.all_told();
            }
            // Nobody is there to be told about the only other member.
            [only] => self.queue.remove(only),
            _ => {}
        }
        let mut readers = self.table.next_readers(self.config.gossip_fanout);
        readers.extend(self.pick_fallen());
        for id in readers {
            let Some((addr, pid)) = self.address(id) else { continue };
            if !self.queue.is_empty() {
                self.send(addr, Some(pid), Body::News, Way::Datagram);
            }
            self.tell_events(addr);
        }
    }

    /// Somebody fallen, as often as if it were among the live that are chosen from.
    #[expect(clippy::cast_precision_loss, reason = "a cluster has far fewer than 2^52 members")]
    fn pick_fallen(&mut self) -> Option<NodeId> {
        while self.fallen.front().is_some_and(|(until, _)| *until <= self.now) {
            self.fallen.pop_front();
        }
        if self.fallen.is_empty() {
            return None;
        }
        let candidates = (self.table.live().len() + self.fallen.len()) as f64;
        let share = (self.fallen.len() * self.config.gossip_fanout) as f64 / candidates;
        let (_, id) = self.fallen[self.rng.usize(..self.fallen.len())];
        (self.rng.f64() < share && self.table.get(id)?.member.state == State::Dead).then_some(id)
    }

    /// A newcomer shows itself to those it has just heard of. Whoever was missing from the state it was given hears
    /// of it from others; this way it is not left to chance whether the first members of a cluster know each other.
    pub(super) fn introduce(&mut self) {
        self.show_myself(INTRODUCTIONS_MAX);
    }

    /// Tells some others at once what this member says about itself.
    pub(super) fn show_myself(&mut self, others: usize) {
        for id in self.table.next_readers(others) {
            if let Some((addr, pid)) = self.address(id) {
                self.send(addr, Some(pid), Body::Me, Way::Datagram);
            }
        }
    }

    pub(super) fn remember_fallen(&mut self, id: NodeId) {
        if self.fallen.len() == FALLEN_MAX {
            self.fallen.pop_front();
        }
        self.fallen.push_back((self.now + self.config.gossip_to_dead, id));
    }

    /// Sends a packet to the member `reader`, if it is known who reads at that address.
    ///
    /// Buddy rule (Lifeguard, section IV.C, for more than suspects): whoever is not alive to this member is told so
    /// first. News fills what is left of probes, their answers and of course news; all else is meant to be light.
    pub(super) fn send(&mut self, to: SocketAddr, reader: Option<Pid>, body: Body, way: Way) {
        let subjects = self.subjects(reader, &body, way);
        let bytes = self.packet(body, &subjects);
        self.send_bytes(to, bytes, way);
    }

    /// The members a packet speaks of.
    fn subjects(&mut self, reader: Option<Pid>, body: &Body, way: Way) -> Vec<NodeId> {
        let taken = if matches!(body, Body::Ack { .. }) { COORDINATE_BYTES } else { 0 };
        let mut room = self.config.datagram_bytes.saturating_sub(PACKET_BYTES + taken);
        let mut subjects = Vec::new();
        let own = matches!(body, Body::Me | Body::Other { .. }) || self.me.state == State::Left;
        let first = own.then_some(self.me.id).into_iter().chain(reader.and_then(|pid| self.to_be_told(pid)));
        for id in first {
            let bytes = self.news_bytes(id);
            if bytes <= room {
                room -= bytes;
                subjects.push(id);
            }
        }
        if way == Way::Datagram && matches!(body, Body::Ping { .. } | Body::Ack { .. } | Body::News) {
            self.add_news(reader, room, &mut subjects);
        }
        subjects
    }

    pub(super) fn send_bytes(&mut self, to: SocketAddr, bytes: Vec<u8>, way: Way) {
        let size = bytes.len() as u64;
        self.outputs.push_back(match way {
            Way::Datagram => {
                self.stats.datagrams_sent += 1;
                self.stats.datagram_bytes_sent += size;
                Output::Datagram { to, bytes }
            }
            Way::Stream | Way::Bulk => {
                self.stats.stream_messages_sent += 1;
                self.stats.stream_bytes_sent += size;
                if way == Way::Bulk { Output::Bulk { to, bytes } } else { Output::Stream { to, bytes } }
            }
        });
    }

    /// What the reader has to hear about itself: that it is not alive here, or that a newer boot of it is.
    fn to_be_told(&self, reader: Pid) -> Option<NodeId> {
        let member = &self.table.get(reader.id)?.member;
        let disbelieved = member.boot == reader.boot && member.state != State::Alive;
        let told = disbelieved || member.boot > reader.boot;
        (told && !self.lacks_words(reader.id)).then_some(reader.id)
    }

    fn add_news(&mut self, reader: Option<Pid>, room: usize, subjects: &mut Vec<NodeId>) {
        if self.queue.is_empty() {
            return;
        }
        let limit = self.retransmissions();
        let mut queue = std::mem::take(&mut self.queue);
        let reader = reader.map(|pid| pid.id);
        queue.fill(room, limit, reader, |id| self.news_bytes(id), subjects);
        self.queue = queue;
    }

    pub(super) fn retransmissions(&self) -> u32 {
        retransmissions(self.config.retransmit_multiplier, self.size())
    }

    /// Bytes that the news about `id` takes. Only members that are known are in the queue.
    fn news_bytes(&self, id: NodeId) -> usize {
        match self.member(id) {
            Some(member) if member.state == State::Alive => announce_bytes(member),
            _ => CLAIM_BYTES,
        }
    }

    fn packet(&self, body: Body, subjects: &[NodeId]) -> Vec<u8> {
        let (mut announces, mut claims) = (Vec::new(), Vec::new());
        let mut size = PACKET_BYTES;
        for id in subjects {
            let Some(member) = self.member(*id) else { continue };
            size += self.news_bytes(*id);
            match member.state {
                State::Alive => announces.push(announce_short(member, member.incarnation)),
                _ => claims.push(claim(member, self.claimed(member), self.accuser(*id))),
            }
        }
        let mut coordinate = Vec::new();
        if matches!(body, Body::Ack { .. }) {
            size += COORDINATE_BYTES;
            coordinate.push(self.vivaldi.here().into());
        }
        let packet = Packet { from: self.me.pid().into(), body, coordinate, announces, claims };
        let bytes = encode(&Message::Packet(packet), size);
        debug_assert_eq!(bytes.len(), size, "sizes are exact");
        bytes
    }

    /// What others are told of a member, this one included.
    pub(super) fn claimed(&self, member: &Member) -> State {
        self.table.get(member.id).map_or(member.state, |entry| entry.claimed().state)
    }

    /// Whom to name for a claim: who got no answer from a suspect, else this member.
    pub(super) fn accuser(&self, id: NodeId) -> NodeId {
        let suspicion = self.table.get(id).and_then(|entry| entry.suspicion.as_deref());
        suspicion.map_or(self.me.id, Suspicion::accuser)
    }
}

/// How often each piece of news is sent by each member (SWIM, section 4.1): the multiplier times `ceil(log10(n + 1))`. In a
/// small cluster once to each other member, as the logarithm is a promise for many.
fn retransmissions(multiplier: u32, members: usize) -> u32 {
    const FEW: u32 = 8;
    let others = u32::try_from(members.saturating_sub(1)).unwrap_or(FEW).min(FEW);
    (multiplier * (members.ilog10() + 1)).max(others)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transmissions_grow_with_the_logarithm_of_the_cluster() {
        let sent = [1, 5, 6, 9, 10, 99, 100, 1000].map(|members| retransmissions(4, members));
        assert_eq!(sent, [4, 4, 5, 8, 8, 8, 12, 16]);
    }
}
