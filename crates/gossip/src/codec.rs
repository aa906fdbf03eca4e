//! Messages to bytes and back: exact sizes, checked access, and the ranges of every value.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rkyv::api::low::{LowSerializer, access, to_bytes_in_with_alloc};
use rkyv::rancor::Failure;
use rkyv::ser::allocator::ArenaHandle;
use rkyv::util::with_arena;

use crate::digest::BUCKETS_LOG2_MAX;
use crate::member::{ATTRIBUTE_BYTES_MAX, NAME_BYTES_MAX, SHORT_BYTES_MAX, announceable, attribute_bytes};
use crate::precedence::Standing;
use crate::query::{Filter, QUERY_BYTES_MAX, QUERY_RELAYS_MAX, QUERY_TIMEOUT_MAX, RESPONSE_BYTES_MAX, Terms};
use crate::signature::{SIGNATURE_BYTES, Words};
use crate::user_event::{EVENT_TIME_MAX, Told, USER_EVENT_BYTES_MAX};
use crate::wire::{
    Announce, ArchivedAnnounce, ArchivedBelief, ArchivedClaim, ArchivedMessage, ArchivedPacket,
    ArchivedPushPull, ArchivedRecord, ArchivedStep, ArchivedWireAddr, ArchivedWireCoordinate,
    ArchivedWireEvent, ArchivedWirePid, ArchivedWireReply, ArchivedWireStanding, ArchivedWireTerms, Belief,
    Claim, Message, WireAddr, WireCoordinate, WireEvent, WirePid, WireReply, WireStanding, WireTerms,
};
use crate::{Coordinate, DecodeError, Member, NodeId, Pid, Reply, Signature, State, Tags, UserEvent};

pub(crate) use signatures::Signatures;

/// Bytes of a packet without news. Nothing is aligned, so there is no padding and all sizes are exact.
pub(crate) const PACKET_BYTES: usize = size_of::<ArchivedMessage<'static>>();
/// Bytes that a claim adds.
pub(crate) const CLAIM_BYTES: usize = size_of::<ArchivedClaim>();
const ANNOUNCE_BYTES: usize = size_of::<ArchivedAnnounce<'static>>();
/// Bytes that an event adds to its name and payload.
pub(crate) const EVENT_BYTES: usize = size_of::<ArchivedWireEvent<'static>>();
const _: () = assert!(PACKET_BYTES + EVENT_BYTES + USER_EVENT_BYTES_MAX <= DATAGRAM_BYTES_MIN);
/// Bytes that the terms of a query add to its filter.
pub(crate) const TERMS_BYTES: usize = size_of::<ArchivedWireTerms<'static>>();
const _: () = assert!(PACKET_BYTES + EVENT_BYTES + TERMS_BYTES + QUERY_BYTES_MAX <= DATAGRAM_BYTES_MIN);
/// Bytes that a coordinate adds.
pub(crate) const COORDINATE_BYTES: usize = size_of::<ArchivedWireCoordinate>();
/// Bytes that a standing adds.
pub(crate) const STANDING_BYTES: usize = size_of::<ArchivedWireStanding>();
const RECORD_BYTES: usize = size_of::<ArchivedRecord<'static>>();

/// What every QUIC path carries. The largest announcement fits, with a claim about its reader.
pub(crate) const DATAGRAM_BYTES_MIN: usize = 1162;
const _: () = assert!(
    PACKET_BYTES + COORDINATE_BYTES + CLAIM_BYTES + ANNOUNCE_BYTES + SHORT_BYTES_MAX + SIGNED_BYTES
        <= DATAGRAM_BYTES_MIN
);
/// Bytes that a signature adds where tags are not named by a hash; a long name and a hash leave more room.
const SIGNED_BYTES: usize = 1 + SIGNATURE_BYTES;
/// Name and tags of an announcement in a packet, where version 8 has more room for them.
const PACKET_ATTRIBUTES_MAX: usize = 896;
/// No network carries larger datagrams unbroken, so no peer sends them.
const PACKET_BYTES_MAX: usize = 65_535;
/// Only the member itself raises its incarnation, one by one: nobody gets this far.
pub(crate) const INCARNATION_MAX: u64 = 1 << 48;

/// Bytes that the announcement of `member` adds to a packet.
pub(crate) fn announce_bytes(member: &Member) -> usize {
    ANNOUNCE_BYTES + attribute_bytes(&member.name, member.short_tags()) + 1 + member.signature.bytes().len()
}

/// Bytes that the record of `member` adds.
pub(crate) fn record_bytes(member: &Member) -> usize {
    RECORD_BYTES + attribute_bytes(&member.name, member.tags.text()) + 1 + member.signature.bytes().len()
}

/// The bytes of a message; `capacity` spares reallocations.
pub(crate) fn encode(message: &Message<'_>, capacity: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(capacity);
    signatures::write(message, &mut bytes);
    with_arena(|arena| to_bytes(message, bytes, arena.acquire()))
        .expect("invariant: writing to memory cannot fail")
}

fn to_bytes<'a>(
    message: &impl rkyv::Serialize<LowSerializer<Vec<u8>, ArenaHandle<'a>, Failure>>,
    into: Vec<u8>,
    arena: ArenaHandle<'a>,
) -> Result<Vec<u8>, Failure> {
    to_bytes_in_with_alloc(message, into, arena)
}

/// The message in `bytes`, after every value in it has been found sound.
pub(crate) fn decode(bytes: &[u8]) -> Result<&ArchivedMessage<'static>, DecodeError> {
    let message = access::<ArchivedMessage<'static>, Failure>(bytes).map_err(|_| DecodeError::Structure)?;
    match message {
        ArchivedMessage::Packet(packet) => {
            ensure(bytes.len() <= PACKET_BYTES_MAX, "length of a packet")?;
            check_packet(packet)?;
        }
        ArchivedMessage::PushPull(push_pull) => check_push_pull(push_pull)?,
        ArchivedMessage::Events(events) => events.list.iter().try_for_each(check_event)?,
        ArchivedMessage::Answer(answer) => {
            ensure(answer.time <= EVENT_TIME_MAX, "time of a query")?;
            if let ArchivedWireReply::Response(bytes) = &answer.reply {
                ensure(bytes.len() <= RESPONSE_BYTES_MAX, "size of a response")?;
            }
        }
    }
    if Signatures::of(message, bytes).are_sound() { Ok(message) } else { Err(DecodeError::Structure) }
}

fn ensure(sound: bool, what: &'static str) -> Result<(), DecodeError> {
    if sound { Ok(()) } else { Err(DecodeError::Range(what)) }
}

fn check_packet(packet: &ArchivedPacket<'static>) -> Result<(), DecodeError> {
    ensure(packet.coordinate.len() <= 1, "number of coordinates")?;
    let sound = |coordinate| Coordinate::from(coordinate).is_sound();
    ensure(packet.coordinate.iter().all(sound), "coordinate")?;
    packet.announces.iter().try_for_each(|announce| {
        check_announce(announce)?;
        let size = attribute_bytes(&announce.name, &announce.tags);
        ensure(size <= PACKET_ATTRIBUTES_MAX, "size of name and tags")?;
        ensure(Tags::is_text(&announce.tags) || Tags::is_hash(&announce.tags), "tags")
    })?;
    packet.claims.iter().try_for_each(|claim| {
        ensure(claim.incarnation <= INCARNATION_MAX, "incarnation of a claim")?;
        ensure(!matches!(claim.state, ArchivedBelief::Alive), "a claim that somebody else is alive")
    })
}

fn check_push_pull(push_pull: &ArchivedPushPull<'static>) -> Result<(), DecodeError> {
    match &push_pull.step {
        ArchivedStep::Digest(buckets) => {
            let count = buckets.len();
            ensure(count == 0 || count.is_power_of_two(), "number of buckets")?;
            ensure(count <= 1 << BUCKETS_LOG2_MAX, "number of buckets")?;
        }
        ArchivedStep::Summary { log2, buckets, standings } => {
            ensure(*log2 <= BUCKETS_LOG2_MAX, "number of buckets")?;
            ensure(buckets.iter().all(|bucket| u32::from(bucket.to_native()) < 1 << log2), "bucket")?;
            standings.iter().try_for_each(check_standing)?;
        }
        ArchivedStep::Difference { standings, .. } => {
            standings.iter().try_for_each(check_standing)?;
            let alive = |standing: &ArchivedWireStanding| matches!(standing.state, ArchivedBelief::Alive);
            ensure(!standings.iter().any(alive), "a claim that somebody else is alive")?;
        }
        ArchivedStep::Answer => {}
    }
    ensure(push_pull.event_time <= EVENT_TIME_MAX, "time of an event")?;
    push_pull.records.iter().try_for_each(|record| {
        check_announce(&record.announce)?;
        ensure(Tags::is_text(&record.announce.tags), "tags")?;
        ensure(record.incarnation <= INCARNATION_MAX, "incarnation of a record")?;
        ensure(record.announce.incarnation <= record.incarnation, "an announcement newer than its record")
    })
}

fn check_event(event: &ArchivedWireEvent<'static>) -> Result<(), DecodeError> {
    ensure(event.terms.len() <= 1, "number of terms")?;
    if let Some(terms) = event.terms.first() {
        let size = event.name.len() + event.payload.len() + terms.filter.len();
        ensure(size <= QUERY_BYTES_MAX, "size of a query")?;
        let timeout = Duration::from_millis(terms.timeout_ms.to_native().into());
        ensure(timeout <= QUERY_TIMEOUT_MAX, "time for answers")?;
        ensure(terms.relays <= QUERY_RELAYS_MAX, "number of relays")?;
    }
    ensure(event.name.len() + event.payload.len() <= USER_EVENT_BYTES_MAX, "size of an event")?;
    ensure(event.time <= EVENT_TIME_MAX, "time of an event")
}

fn check_standing(standing: &ArchivedWireStanding) -> Result<(), DecodeError> {
    ensure(standing.incarnation <= INCARNATION_MAX, "incarnation of a standing")
}

fn check_announce(announce: &ArchivedAnnounce<'static>) -> Result<(), DecodeError> {
    ensure(announce.incarnation <= INCARNATION_MAX, "incarnation of an announcement")?;
    let addr = SocketAddr::from(&announce.addr);
    ensure(announceable(addr) == Ok(addr), "address of an announcement")?;
    ensure(announce.name.len() <= NAME_BYTES_MAX, "size of a name")?;
    ensure(attribute_bytes(&announce.name, &announce.tags) <= ATTRIBUTE_BYTES_MAX, "size of name and tags")
}

/// What `member` says about itself, in its own words of incarnation `incarnation`.
pub(crate) fn announce(member: &Member, incarnation: u64) -> Announce<'_> {
    Announce { tags: member.tags.text(), ..announce_short(member, incarnation) }
}

/// The same for a packet, where large tags are named by their hash.
pub(crate) fn announce_short(member: &Member, incarnation: u64) -> Announce<'_> {
    Announce {
        pid: member.pid().into(),
        incarnation,
        addr: member.addr.into(),
        name: &member.name,
        tags: member.short_tags(),
        signature: member.signature.bytes(),
    }
}

/// What is said about `member`, as `by` has it.
pub(crate) fn claim(member: &Member, said: State, by: NodeId) -> Claim {
    Claim { pid: member.pid().into(), incarnation: member.incarnation, state: said.into(), by: by.0 }
}

/// What is believed about a member, for an exchange of state.
pub(crate) fn standing(id: NodeId, standing: Standing) -> WireStanding {
    let Standing { boot, incarnation, state } = standing;
    WireStanding { pid: Pid { id, boot }.into(), incarnation, state: state.into() }
}

/// The member that announces itself, alive.
pub(crate) fn announced(Words { announce, signature }: Words<'_>) -> Member {
    let pid = Pid::from(&announce.pid);
    Member {
        id: pid.id,
        boot: pid.boot,
        incarnation: announce.incarnation.to_native(),
        addr: SocketAddr::from(&announce.addr),
        state: State::Alive,
        name: (*announce.name).into(),
        tags: Tags::from_text(&announce.tags),
        signature: Signature::of(signature),
    }
}

impl From<Coordinate> for WireCoordinate {
    #[expect(clippy::cast_possible_truncation, reason = "a part in ten million of a minute at most")]
    fn from(coordinate: Coordinate) -> WireCoordinate {
        let Coordinate { point, height, adjustment, error } = coordinate;
        WireCoordinate {
            point: point.map(|x| x as f32),
            height: height as f32,
            adjustment: adjustment as f32,
            error: error as f32,
        }
    }
}

impl From<&ArchivedWireCoordinate> for Coordinate {
    fn from(coordinate: &ArchivedWireCoordinate) -> Coordinate {
        Coordinate {
            point: coordinate.point.each_ref().map(|x| x.to_native().into()),
            height: coordinate.height.to_native().into(),
            adjustment: coordinate.adjustment.to_native().into(),
            error: coordinate.error.to_native().into(),
        }
    }
}

/// The event, or query, that is told.
pub(crate) fn told(event: &ArchivedWireEvent<'static>) -> Told {
    let terms = event.terms.first().map(|terms| Terms {
        filter: Filter::from_text(&terms.filter),
        timeout: Duration::from_millis(terms.timeout_ms.to_native().into()),
        relays: terms.relays,
        acks: terms.acks,
    });
    let event = UserEvent {
        origin: (&event.origin).into(),
        time: event.time.to_native(),
        name: (*event.name).into(),
        payload: (*event.payload).into(),
    };
    Told { event, terms }
}

impl<'a> From<&'a Told> for WireEvent<'a> {
    fn from(told: &'a Told) -> WireEvent<'a> {
        let UserEvent { origin, time, name, payload } = &told.event;
        let terms = told.terms.iter().map(|terms| WireTerms {
            filter: terms.filter.text(),
            timeout_ms: u32::try_from(terms.timeout.as_millis()).expect("invariant: ten minutes at most"),
            relays: terms.relays,
            acks: terms.acks,
        });
        WireEvent { origin: (*origin).into(), time: *time, name, payload, terms: terms.collect() }
    }
}

impl<'a> From<&'a Reply> for WireReply<'a> {
    fn from(reply: &'a Reply) -> WireReply<'a> {
        match reply {
            Reply::Ack => WireReply::Ack,
            Reply::Declined => WireReply::Declined,
            Reply::Response(bytes) => WireReply::Response(bytes),
        }
    }
}

impl From<&ArchivedWireReply<'static>> for Reply {
    fn from(reply: &ArchivedWireReply<'static>) -> Reply {
        match reply {
            ArchivedWireReply::Ack => Reply::Ack,
            ArchivedWireReply::Declined => Reply::Declined,
            ArchivedWireReply::Response(bytes) => Reply::Response((**bytes).into()),
        }
    }
}

impl From<&ArchivedWireStanding> for Standing {
    fn from(standing: &ArchivedWireStanding) -> Standing {
        Standing {
            boot: standing.pid.boot.to_native(),
            incarnation: standing.incarnation.to_native(),
            state: State::from(&standing.state),
        }
    }
}

impl From<Pid> for WirePid {
    fn from(pid: Pid) -> WirePid {
        WirePid { id: pid.id.0, boot: pid.boot }
    }
}

impl From<&ArchivedWirePid> for Pid {
    fn from(pid: &ArchivedWirePid) -> Pid {
        Pid { id: NodeId(pid.id.to_native()), boot: pid.boot.to_native() }
    }
}

impl From<SocketAddr> for WireAddr {
    fn from(addr: SocketAddr) -> WireAddr {
        match addr.ip() {
            IpAddr::V4(ip) => WireAddr::V4 { ip: ip.octets(), port: addr.port() },
            IpAddr::V6(ip) => WireAddr::V6 { ip: ip.octets(), port: addr.port() },
        }
    }
}

impl From<&ArchivedWireAddr> for SocketAddr {
    fn from(addr: &ArchivedWireAddr) -> SocketAddr {
        match addr {
            ArchivedWireAddr::V4 { ip, port } => (*ip, port.to_native()).into(),
            ArchivedWireAddr::V6 { ip, port } => (*ip, port.to_native()).into(),
        }
    }
}

impl From<State> for Belief {
    fn from(state: State) -> Belief {
        match state {
            State::Alive => Belief::Alive,
            State::Suspect => Belief::Suspect,
            State::Dead => Belief::Dead,
            State::Left => Belief::Left,
            State::Pruned => Belief::Pruned,
        }
    }
}

impl From<&ArchivedBelief> for State {
    fn from(belief: &ArchivedBelief) -> State {
        match belief {
            ArchivedBelief::Alive => State::Alive,
            ArchivedBelief::Suspect => State::Suspect,
            ArchivedBelief::Dead => State::Dead,
            ArchivedBelief::Left => State::Left,
            ArchivedBelief::Pruned => State::Pruned,
        }
    }
}

mod signatures;
#[cfg(test)]
mod tests;
