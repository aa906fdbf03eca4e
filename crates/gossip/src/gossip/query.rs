//! Queries: asked as events are told, answered straight to whoever asks, and through others where that was wished.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use super::receive::Way;
use super::{Gossip, Phase};
use crate::codec::{PACKET_BYTES, encode};
use crate::query::{QUERY_BYTES_MAX, QUERY_RELAYS_MAX, QUERY_TIMEOUT_MAX, RESPONSE_BYTES_MAX, Terms};
use crate::timers::Timer;
use crate::user_event::Told;
use crate::wire::{Answer, ArchivedAnswer, Message};
use crate::{Event, InputError, NodeId, Pid, Query, QueryId, Question, Reply, UserEvent};

/// Most own queries under way.
const ASKED_MAX: usize = 256;
/// Most queries that the application has yet to answer; more are declined.
const OPEN_MAX: usize = 1024;

/// The queries under way.
#[derive(Debug, Default)]
pub(super) struct Queries {
    /// Own ones, by their Lamport time.
    asked: BTreeMap<u64, Asked>,
    /// Those that the application has to answer, and until when that is of use.
    open: BTreeMap<QueryId, Open>,
}

#[derive(Debug)]
struct Asked {
    /// As the application has it.
    number: u64,
    deadline: Duration,
    /// Whether acknowledgements are all there will be.
    acks_only: bool,
    acked: BTreeSet<NodeId>,
    /// Who is meant and has not said its last word.
    missing: BTreeSet<NodeId>,
    /// Who has.
    replied: BTreeSet<NodeId>,
}

#[derive(Debug)]
struct Open {
    until: Duration,
    relays: u8,
}

impl Gossip {
    pub(super) fn ask(&mut self, number: u64, query: Query) -> Result<(), InputError> {
        let Query { name, payload, filter, acks, relays, timeout } = query;
        let bytes = name.len() + payload.len() + filter.text().len();
        if bytes > QUERY_BYTES_MAX {
            return Err(InputError::QueryTooLarge { bytes });
        }
        if self.queries.asked.len() >= ASKED_MAX {
            return Err(InputError::QueriesFull);
        }
        if !self.events.has_room() {
            return Err(InputError::EventsFull);
        }
        let timeout = timeout.unwrap_or_else(|| self.config.query_timeout(self.size()));
        let timeout = timeout.clamp(Duration::from_millis(1), QUERY_TIMEOUT_MAX);
        let time = self.events.tick().ok_or(InputError::EventsWorn)?;
        let deadline = self.now + timeout;
        let missing: BTreeSet<NodeId> =
            self.live().filter(|member| filter.includes(member)).map(|member| member.id).collect();
        let asked = Asked {
            number,
            deadline,
            acks_only: name.is_empty(),
            acked: BTreeSet::new(),
            missing,
            replied: BTreeSet::new(),
        };
        self.queries.asked.insert(time, asked);
        self.timers.set(deadline, Timer::Query(time));
        let event = UserEvent { origin: self.me.pid(), time, name: name.into(), payload: payload.into() };
        let terms = Terms { filter, timeout, relays: relays.min(QUERY_RELAYS_MAX), acks };
        self.take_told(Told { event, terms: Some(terms) }, true);
        self.conclude_if_complete(time);
        Ok(())
    }

    /// A query has come: it may be for this member.
    pub(super) fn on_question(&mut self, event: UserEvent, terms: &Terms) {
        if !terms.filter.includes(&self.me) {
            return;
        }
        let id = QueryId { asker: event.origin, time: event.time };
        if terms.acks {
            self.reply(id, terms.relays, Reply::Ack);
        }
        if event.name.is_empty() {
            return;
        }
        let now = self.now;
        self.queries.open.retain(|_, open| open.until > now);
        if self.queries.open.len() >= OPEN_MAX {
            return self.reply(id, terms.relays, Reply::Declined);
        }
        self.queries.open.insert(id, Open { until: now + terms.timeout, relays: terms.relays });
        let UserEvent { name, payload, .. } = event;
        self.emit(Event::Query(Question { id, name, payload, timeout: terms.timeout }));
    }

    /// The application answers a query, or says that it does not.
    pub(super) fn answer_query(&mut self, id: QueryId, response: Option<Vec<u8>>) -> Result<(), InputError> {
        if let Some(bytes) = response.as_ref().map(Vec::len).filter(|bytes| *bytes > RESPONSE_BYTES_MAX) {
            return Err(InputError::ResponseTooLarge { bytes });
        }
        let open = self.queries.open.remove(&id).filter(|open| open.until > self.now);
        let open = open.ok_or(InputError::NotAsked)?;
        self.reply(id, open.relays, response.map_or(Reply::Declined, |bytes| Reply::Response(bytes.into())));
        Ok(())
    }

    /// Answers straight, and through others.
    fn reply(&mut self, id: QueryId, relays: u8, reply: Reply) {
        let me = self.me.pid();
        if id.asker == me {
            return self.on_reply(me, id.time, reply);
        }
        let Some((addr, _)) = self.address(id.asker.id).filter(|(_, pid)| *pid == id.asker) else { return };
        let relays = self.table.sample(relays.into(), Some(id.asker.id), &mut self.rng);
        let relays: Vec<SocketAddr> =
            relays.iter().filter_map(|id| self.address(*id)).map(|(addr, _)| addr).collect();
        for to in std::iter::once(addr).chain(relays) {
            self.send_answer(to, me, id, false, &reply);
        }
    }

    fn send_answer(&mut self, to: SocketAddr, by: Pid, id: QueryId, relayed: bool, reply: &Reply) {
        let (way, size) = match reply {
            Reply::Ack => (Way::Datagram, 0),
            Reply::Declined => (Way::Bulk, 0),
            Reply::Response(bytes) => (Way::Bulk, bytes.len()),
        };
        let QueryId { asker, time } = id;
        let answer = Answer { by: by.into(), asker: asker.into(), time, relayed, reply: reply.into() };
        let bytes = encode(&Message::Answer(answer), PACKET_BYTES + size);
        self.send_bytes(to, bytes, way);
    }

    /// An answer to a query of this member, or to one of another that it is to be passed on to.
    pub(super) fn on_answer_message(&mut self, answer: &ArchivedAnswer<'static>) {
        if self.phase != Phase::Active {
            return;
        }
        let (by, asker) = (Pid::from(&answer.by), Pid::from(&answer.asker));
        let (time, reply) = (answer.time.to_native(), Reply::from(&answer.reply));
        if asker == self.me.pid() {
            let known = self.table.get(by.id).is_some_and(|entry| entry.member.pid() == by);
            if known {
                self.on_reply(by, time, reply);
            }
        } else if !answer.relayed
            && let Some((addr, _)) = self.address(asker.id).filter(|(_, pid)| *pid == asker)
        {
            self.send_answer(addr, by, QueryId { asker, time }, true, &reply);
        }
    }

    /// Each member says each thing once, however many ways it comes.
    fn on_reply(&mut self, by: Pid, time: u64, reply: Reply) {
        let Some(asked) = self.queries.asked.get_mut(&time) else { return };
        let is_news = match &reply {
            Reply::Ack => asked.acked.insert(by.id),
            Reply::Declined | Reply::Response(_) => asked.replied.insert(by.id),
        };
        if !is_news {
            return;
        }
        if asked.acks_only || reply != Reply::Ack {
            asked.missing.remove(&by.id);
        }
        let number = asked.number;
        self.emit(Event::Reply { number, from: by, reply });
        self.conclude_if_complete(time);
    }

    fn conclude_if_complete(&mut self, time: u64) {
        if self.queries.asked.get(&time).is_some_and(|asked| asked.missing.is_empty()) {
            self.conclude_query(time);
        }
    }

    /// Nobody waits for it any more.
    pub(super) fn forget_query(&mut self, number: u64) {
        let asked = self.queries.asked.iter().find(|(_, asked)| asked.number == number);
        if let Some(time) = asked.map(|(time, _)| *time) {
            self.end_query(time);
        }
    }

    fn end_query(&mut self, time: u64) -> Option<Asked> {
        let asked = self.queries.asked.remove(&time)?;
        self.timers.cancel(asked.deadline, Timer::Query(time));
        Some(asked)
    }

    pub(super) fn conclude_query(&mut self, time: u64) {
        if let Some(asked) = self.end_query(time) {
            let missing = asked.missing.into_iter().collect();
            self.emit(Event::QueryDone { number: asked.number, missing });
        }
    }
}
