//! Messages to bytes and back: exact sizes, checked access, and the ranges of every value.

use std::net::{IpAddr, SocketAddr};

use rkyv::api::low::{LowSerializer, access, to_bytes_in_with_alloc};
use rkyv::rancor::Failure;
use rkyv::ser::allocator::ArenaHandle;
use rkyv::util::with_arena;

use crate::member::{ATTRIBUTE_BYTES_MAX, announceable, attribute_bytes};
use crate::wire::{
    Announce, ArchivedAnnounce, ArchivedBelief, ArchivedClaim, ArchivedMessage, ArchivedPacket,
    ArchivedPushPull, ArchivedRecord, ArchivedWireAddr, ArchivedWirePid, Belief, Claim, Message, WireAddr,
    WirePid,
};
use crate::{DecodeError, Member, NodeId, Pid, State, Tags};

/// Bytes of a packet without news. Nothing is aligned, so there is no padding and all sizes are exact.
pub(crate) const PACKET_BYTES: usize = size_of::<ArchivedMessage<'static>>();
/// Bytes that a claim adds.
pub(crate) const CLAIM_BYTES: usize = size_of::<ArchivedClaim>();
const ANNOUNCE_BYTES: usize = size_of::<ArchivedAnnounce<'static>>();
const RECORD_BYTES: usize = size_of::<ArchivedRecord<'static>>();

/// What every QUIC path carries. The largest announcement fits, with a claim about its reader.
pub(crate) const DATAGRAM_BYTES_MIN: usize = 1162;
const _: () =
    assert!(PACKET_BYTES + CLAIM_BYTES + ANNOUNCE_BYTES + ATTRIBUTE_BYTES_MAX <= DATAGRAM_BYTES_MIN);
/// No network carries larger datagrams unbroken, so no peer sends them.
const PACKET_BYTES_MAX: usize = 65_535;
/// Only the member itself raises its incarnation, one by one: nobody gets this far.
pub(crate) const INCARNATION_MAX: u64 = 1 << 48;

/// Bytes that the announcement of `member` adds.
pub(crate) fn announce_bytes(member: &Member) -> usize {
    ANNOUNCE_BYTES + attribute_bytes(&member.name, member.tags.text())
}

/// Bytes that the record of `member` adds.
pub(crate) fn record_bytes(member: &Member) -> usize {
    RECORD_BYTES + attribute_bytes(&member.name, member.tags.text())
}

/// The bytes of a message; `capacity` spares reallocations.
pub(crate) fn encode(message: &Message<'_>, capacity: usize) -> Vec<u8> {
    with_arena(|arena| to_bytes(message, Vec::with_capacity(capacity), arena.acquire()))
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
    }
    Ok(message)
}

fn ensure(sound: bool, what: &'static str) -> Result<(), DecodeError> {
    if sound { Ok(()) } else { Err(DecodeError::Range(what)) }
}

fn check_packet(packet: &ArchivedPacket<'static>) -> Result<(), DecodeError> {
    packet.announces.iter().try_for_each(check_announce)?;
    packet.claims.iter().try_for_each(|claim| {
        ensure(claim.incarnation <= INCARNATION_MAX, "incarnation of a claim")?;
        ensure(!matches!(claim.state, ArchivedBelief::Alive), "a claim that somebody else is alive")
    })
}

fn check_push_pull(push_pull: &ArchivedPushPull<'static>) -> Result<(), DecodeError> {
    push_pull.records.iter().try_for_each(|record| {
        check_announce(&record.announce)?;
        ensure(record.incarnation <= INCARNATION_MAX, "incarnation of a record")?;
        ensure(record.announce.incarnation <= record.incarnation, "an announcement newer than its record")
    })
}

fn check_announce(announce: &ArchivedAnnounce<'static>) -> Result<(), DecodeError> {
    ensure(announce.incarnation <= INCARNATION_MAX, "incarnation of an announcement")?;
    let addr = SocketAddr::from(&announce.addr);
    ensure(announceable(addr) == Ok(addr), "address of an announcement")?;
    ensure(attribute_bytes(&announce.name, &announce.tags) <= ATTRIBUTE_BYTES_MAX, "size of name and tags")?;
    ensure(Tags::is_text(&announce.tags), "tags")
}

/// What `member` says about itself, in its own words of incarnation `incarnation`.
pub(crate) fn announce(member: &Member, incarnation: u64) -> Announce<'_> {
    Announce {
        pid: member.pid().into(),
        incarnation,
        addr: member.addr.into(),
        name: &member.name,
        tags: member.tags.text(),
    }
}

/// What is believed about `member`, as `by` has it.
pub(crate) fn claim(member: &Member, by: NodeId) -> Claim {
    Claim { pid: member.pid().into(), incarnation: member.incarnation, state: member.state.into(), by: by.0 }
}

/// The member that announces itself, alive.
pub(crate) fn announced(announce: &ArchivedAnnounce<'static>) -> Member {
    let pid = Pid::from(&announce.pid);
    Member {
        id: pid.id,
        boot: pid.boot,
        incarnation: announce.incarnation.to_native(),
        addr: SocketAddr::from(&announce.addr),
        state: State::Alive,
        name: (*announce.name).into(),
        tags: Tags::from_text(&announce.tags),
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
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{Body, Packet, PushPull, Record};

    fn member() -> impl Strategy<Value = Member> {
        let ip = prop_oneof![
            any::<[u8; 4]>().prop_map(IpAddr::from),
            any::<[u8; 16]>().prop_map(|ip| IpAddr::from(ip).to_canonical()),
        ];
        let addr = (ip, 1..u16::MAX).prop_map(SocketAddr::from);
        let addr = addr.prop_filter("announceable", |addr| announceable(*addr).is_ok());
        let tags = proptest::collection::btree_map("[^\x1e\x1f]{1,9}", "[^\x1e\x1f]{0,20}", 0..4)
            .prop_map(|tags| Tags::new(tags).expect("unique keys"));
        (any::<u128>(), any::<u64>(), 0..=INCARNATION_MAX, addr, ".{0,40}", tags).prop_map(
            |(id, boot, incarnation, addr, name, tags)| Member {
                id: NodeId(id),
                boot,
                incarnation,
                addr,
                state: State::Alive,
                name: name.into(),
                tags,
            },
        )
    }

    proptest! {
        #[test]
        fn announcements_survive_the_way_and_sizes_are_exact(members in proptest::collection::vec(member(), 0..9)) {
            let announces = members.iter().map(|m| announce(m, m.incarnation)).collect();
            let claims = members.iter().map(|m| claim(&Member { state: State::Dead, ..m.clone() }, NodeId(7)));
            let from = Pid { id: NodeId(1), boot: 2 };
            let packet = Packet { from: from.into(), body: Body::News, announces, claims: claims.collect() };
            let bytes = encode(&Message::Packet(packet), 0);
            let news: usize = members.iter().map(|m| announce_bytes(m) + CLAIM_BYTES).sum();
            prop_assert_eq!(bytes.len(), PACKET_BYTES + news);
            let Ok(ArchivedMessage::Packet(packet)) = decode(&bytes) else { panic!("a packet") };
            prop_assert_eq!(Pid::from(&packet.from), from);
            prop_assert_eq!(packet.announces.iter().map(announced).collect::<Vec<_>>(), members.clone());
            for (claim, member) in packet.claims.iter().zip(&members) {
                prop_assert_eq!(Pid::from(&claim.pid), member.pid());
                prop_assert_eq!(claim.incarnation.to_native(), member.incarnation);
                prop_assert_eq!(State::from(&claim.state), State::Dead);
            }
        }

        #[test]
        fn records_survive_the_way_and_sizes_are_exact(members in proptest::collection::vec(member(), 0..9)) {
            let record = |m| Record {
                announce: announce(m, m.incarnation / 2),
                state: Belief::Left,
                incarnation: m.incarnation,
                by: 7,
                gone_s: 9,
            };
            let records = members.iter().map(record).collect();
            let push_pull = PushPull { from: members_pid(&members).into(), number: 5, answer: true, records };
            let bytes = encode(&Message::PushPull(push_pull), 0);
            prop_assert_eq!(bytes.len(), PACKET_BYTES + members.iter().map(record_bytes).sum::<usize>());
            let Ok(ArchivedMessage::PushPull(push_pull)) = decode(&bytes) else { panic!("a push-pull") };
            prop_assert!(push_pull.answer && push_pull.number == 5);
            for (record, member) in push_pull.records.iter().zip(&members) {
                let words = Member { incarnation: member.incarnation / 2, ..member.clone() };
                prop_assert_eq!(announced(&record.announce), words);
                prop_assert_eq!(record.incarnation.to_native(), member.incarnation);
                prop_assert_eq!(State::from(&record.state), State::Left);
            }
        }
    }

    fn members_pid(members: &[Member]) -> Pid {
        members.first().map_or(Pid { id: NodeId(1), boot: 1 }, Member::pid)
    }

    fn sample() -> Member {
        Member {
            id: NodeId(0x0123_4567_89ab_cdef),
            boot: 3,
            incarnation: 5,
            addr: SocketAddr::from(([10, 0, 0, 1], 7400)),
            state: State::Alive,
            name: "one".into(),
            tags: Tags::new([("k".to_owned(), "v".to_owned())]).unwrap(),
        }
    }

    /// What `decode` says about a packet with this announcement and claim.
    fn judged(announce: Announce<'_>, claim: Claim) -> Result<(), DecodeError> {
        let from = Pid { id: NodeId(1), boot: 2 }.into();
        let packet = Packet { from, body: Body::News, announces: vec![announce], claims: vec![claim] };
        decode(&encode(&Message::Packet(packet), 0)).map(|_| ())
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let m = sample();
        let dead = || claim(&Member { state: State::Dead, ..sample() }, NodeId(7));
        let words = || announce(&m, 5);
        assert_eq!(judged(words(), dead()), Ok(()));
        let long = "x".repeat(ATTRIBUTE_BYTES_MAX);
        let nobody = WireAddr::V4 { ip: [0; 4], port: 1 };
        let mapped = WireAddr::V6 { ip: std::net::Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets(), port: 1 };
        let wrong = [
            Announce { incarnation: INCARNATION_MAX + 1, ..words() },
            Announce { name: &long, ..words() },
            Announce { addr: nobody, ..words() },
            Announce { addr: mapped, ..words() },
            Announce { addr: WireAddr::V4 { ip: [10, 0, 0, 1], port: 0 }, ..words() },
            Announce { tags: "a\x1f\x1ea\x1f\x1e", ..words() },
            Announce { tags: "a", ..words() },
        ];
        for announce in wrong {
            assert!(matches!(judged(announce, dead()), Err(DecodeError::Range(_))));
        }
        let ahead = Claim { incarnation: INCARNATION_MAX + 1, ..dead() };
        assert!(matches!(judged(words(), ahead), Err(DecodeError::Range(_))));
        let alive = Claim { state: Belief::Alive, ..dead() };
        assert!(matches!(judged(words(), alive), Err(DecodeError::Range(_))));
        let record = Record { announce: words(), state: Belief::Alive, incarnation: 4, by: 1, gone_s: 0 };
        let push_pull = PushPull { from: m.pid().into(), number: 1, answer: false, records: vec![record] };
        let bytes = encode(&Message::PushPull(push_pull), 0);
        assert!(matches!(decode(&bytes), Err(DecodeError::Range(_))), "words newer than their record");
    }

    /// The bytes of version 1. If this fails, [`PROTOCOL`](crate::PROTOCOL) has to change, too.
    #[test]
    fn the_protocol_is_frozen() {
        let m = sample();
        let ping = Packet {
            from: m.pid().into(),
            body: Body::Ping { number: 9, target: m.pid().into() },
            announces: vec![announce(&m, 5)],
            claims: vec![claim(&Member { state: State::Suspect, ..sample() }, NodeId(7))],
        };
        let record =
            Record { announce: announce(&m, 5), state: Belief::Dead, incarnation: 6, by: 7, gone_s: 8 };
        let push_pull = PushPull { from: m.pid().into(), number: 9, answer: true, records: vec![record] };
        let hex = |message| {
            encode(&message, 0).iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
        };
        assert_eq!(
            hex(Message::Packet(ping)),
            concat!(
                "6f6e656b1f761eefcdab8967452301000000000000000003000000000000000500000000000000000a000001",
                "e81c000000000000000000000000c6ffffff03000000c1ffffff04000000efcdab8967452301000000000000",
                "000003000000000000000500000000000000010700000000000000000000000000000000efcdab8967452301",
                "00000000000000000300000000000000010900000000000000efcdab89674523010000000000000000030000",
                "000000000052ffffff010000008dffffff01000000",
            )
        );
        assert_eq!(
            hex(Message::PushPull(push_pull)),
            concat!(
                "6f6e656b1f761eefcdab8967452301000000000000000003000000000000000500000000000000000a000001",
                "e81c000000000000000000000000c6ffffff03000000c1ffffff040000000206000000000000000700000000",
                "00000000000000000000000800000001efcdab89674523010000000000000000030000000000000009000000",
                "00000000017effffff0100000000000000000000000000000000000000000000000000000000000000000000",
                "00",
            )
        );
    }
}
