//! Messages survive the way, sizes are exact, values out of range are refused, bytes are frozen.

use proptest::prelude::*;

use super::*;
use crate::signature::SIGNATURE_BYTES_MAX;
use crate::wire::{Answer, Body, Events, Packet, PushPull, Record, Step};

fn member() -> impl Strategy<Value = Member> {
    let ip = prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 16]>().prop_map(|ip| IpAddr::from(ip).to_canonical()),
    ];
    let addr = (ip, 1..u16::MAX).prop_map(SocketAddr::from);
    let addr = addr.prop_filter("announceable", |addr| announceable(*addr).is_ok());
    let tags = proptest::collection::btree_map("[^\x1e\x1f]{1,9}", "[^\x1e\x1f]{0,20}", 0..4)
        .prop_map(|tags| Tags::new(tags).expect("unique keys"));
    let length = prop_oneof![Just(0), Just(SIGNATURE_BYTES), Just(SIGNATURE_BYTES_MAX)];
    let signature = length.prop_flat_map(|length| proptest::collection::vec(any::<u8>(), length));
    (any::<u128>(), any::<u64>(), 0..=INCARNATION_MAX, addr, ".{0,40}", tags, signature).prop_map(
        |(id, boot, incarnation, addr, name, tags, signature)| Member {
            id: NodeId(id),
            boot,
            incarnation,
            addr,
            state: State::Alive,
            name: name.into(),
            tags,
            signature: Signature::of(&signature),
        },
    )
}

proptest! {
    #[test]
    fn announcements_survive_the_way_and_sizes_are_exact(members in proptest::collection::vec(member(), 0..9)) {
        let announces = members.iter().map(|m| announce(m, m.incarnation)).collect();
        let claims = members.iter().map(|m| claim(m, State::Dead, NodeId(7)));
        let from = Pid { id: NodeId(1), boot: 2 };
        let packet = Packet { from: from.into(), body: Body::News, coordinate: vec![], announces, claims: claims.collect() };
        let bytes = encode(&Message::Packet(packet), 0);
        let news: usize = members.iter().map(|m| announce_bytes(m) + CLAIM_BYTES).sum();
        prop_assert_eq!(bytes.len(), PACKET_BYTES + news);
        let message = decode(&bytes).unwrap();
        let ArchivedMessage::Packet(packet) = message else { panic!("a packet") };
        prop_assert_eq!(Pid::from(&packet.from), from);
        let words = packet.announces.iter().zip(Signatures::of(message, &bytes));
        let words = words.map(|(announce, signature)| announced(Words { announce, signature }));
        prop_assert_eq!(words.collect::<Vec<_>>(), members.clone());
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
        let push_pull = PushPull { from: members_pid(&members).into(), number: 5, event_time: 0, step: Step::Answer, records };
        let bytes = encode(&Message::PushPull(push_pull), 0);
        prop_assert_eq!(bytes.len(), PACKET_BYTES + members.iter().map(record_bytes).sum::<usize>());
        let message = decode(&bytes).unwrap();
        let ArchivedMessage::PushPull(push_pull) = message else { panic!("a push-pull") };
        let mut signatures = Signatures::of(message, &bytes);
        prop_assert!(matches!(push_pull.step, ArchivedStep::Answer) && push_pull.number == 5);
        for (record, member) in push_pull.records.iter().zip(&members) {
            let words = Member { incarnation: member.incarnation / 2, ..member.clone() };
            let signature = signatures.next().unwrap();
            prop_assert_eq!(announced(Words { announce: &record.announce, signature }), words);
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
        signature: Signature::default(),
    }
}

/// What `decode` says about a packet with this announcement and claim.
fn judged(announce: Announce<'_>, claim: Claim) -> Result<(), DecodeError> {
    let from = Pid { id: NodeId(1), boot: 2 }.into();
    let packet =
        Packet { from, body: Body::News, coordinate: vec![], announces: vec![announce], claims: vec![claim] };
    decode(&encode(&Message::Packet(packet), 0)).map(|_| ())
}

#[test]
fn values_out_of_range_are_refused() {
    let m = sample();
    let dead = || claim(&sample(), State::Dead, NodeId(7));
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
    let push_pull = PushPull {
        from: m.pid().into(),
        number: 1,
        event_time: 0,
        step: Step::Answer,
        records: vec![record],
    };
    let bytes = encode(&Message::PushPull(push_pull), 0);
    assert!(matches!(decode(&bytes), Err(DecodeError::Range(_))), "words newer than their record");
}

/// The bytes of versions 8 and 9; those of 8 without what is in front of announcements. If this fails,
/// [`PROTOCOL`](crate::PROTOCOL) has to change, too.
#[test]
fn the_protocol_is_frozen() {
    let m = sample();
    let ping = Packet {
        from: m.pid().into(),
        body: Body::Ping { number: 9, target: m.pid().into() },
        coordinate: vec![],
        announces: vec![announce(&m, 5)],
        claims: vec![claim(&sample(), State::Suspect, NodeId(7))],
    };
    let record =
        || Record { announce: announce(&m, 5), state: Belief::Dead, incarnation: 6, by: 7, gone_s: 8 };
    let push_pull = |step| {
        let records = vec![record()];
        Message::PushPull(PushPull { from: m.pid().into(), number: 9, event_time: 7, step, records })
    };
    let signatures = |message: &Message<'_>| match message {
        Message::Packet(packet) => packet.announces.len(),
        Message::PushPull(push_pull) => push_pull.records.len(),
        Message::Events(_) | Message::Answer(_) => 0,
    };
    let hash = |message: &Message<'_>| {
        let bytes = encode(message, 0);
        let (front, bytes) = bytes.split_at(signatures(message));
        assert!(front.iter().all(|length| *length == 0), "no signatures");
        bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
        })
    };
    let event = UserEvent { origin: m.pid(), time: 7, name: "n".into(), payload: [1, 2].into() };
    let filter = Filter::new(&["a".into()], &[]);
    let terms = Terms { filter, timeout: Duration::from_secs(3), relays: 2, acks: true };
    let told = [Told { event: event.clone(), terms: None }, Told { event, terms: Some(terms) }];
    let reply = WireReply::Response(&[1, 2, 3]);
    let known = |state| Standing { boot: m.boot, incarnation: m.incarnation, state };
    let standings = || vec![standing(m.id, known(m.state))];
    let gone = || vec![standing(m.id, known(State::Left))];
    let ack = Packet {
        from: m.pid().into(),
        body: Body::Ack { number: 9, target: m.pid().into() },
        coordinate: vec![Coordinate::ORIGIN.into()],
        announces: vec![],
        claims: vec![],
    };
    let messages = [
        Message::Packet(ping),
        Message::Packet(ack),
        push_pull(Step::Digest(vec![1, 2])),
        push_pull(Step::Summary { log2: 1, buckets: vec![1], standings: standings() }),
        push_pull(Step::Difference { standings: gone(), wanted: vec![3] }),
        push_pull(Step::Answer),
        Message::Events(Events {
            from: m.pid().into(),
            recall: false,
            list: told.iter().map(WireEvent::from).collect(),
        }),
        Message::Answer(Answer { by: m.pid().into(), asker: m.pid().into(), time: 7, relayed: false, reply }),
    ];
    let (lengths, hashes): (Vec<usize>, Vec<String>) = messages
        .into_iter()
        .map(|message| (encode(&message, 0).len() - signatures(&message), format!("{:016x}", hash(&message))))
        .unzip();
    assert_eq!(lengths, [205, 126, 201, 220, 234, 185, 217, 85]);
    assert_eq!(
        hashes,
        [
            "5e9c2f34ffb12e41",
            "60e4e8017dcc2c98",
            "47b18011637b79bb",
            "e0d5e5945edb6e41",
            "5724cf63cf19fff5",
            "45a2be7d31513891",
            "9720f47d88a9dc8f",
            "3e3b8454a60ebb95"
        ]
    );
}

#[test]
fn what_is_in_front_of_a_message_is_its_signatures_or_nothing() {
    let signature = [[7; SIGNATURE_BYTES].as_slice(), &[8; SIGNATURE_BYTES_MAX]];
    let members = signature.map(|signature| Member { signature: Signature::of(signature), ..sample() });
    let announces = members.iter().map(|member| announce(member, member.incarnation)).collect();
    let from = sample().pid().into();
    let packet = Packet { from, body: Body::News, coordinate: vec![], announces, claims: vec![] };
    let bytes = encode(&Message::Packet(packet), 0);
    let read = |bytes: &[u8]| {
        let message = decode(bytes)?;
        Ok::<_, DecodeError>(Signatures::of(message, bytes).take(2).map(<[u8]>::to_vec).collect::<Vec<_>>())
    };
    assert_eq!(read(&bytes).unwrap(), signature.map(<[u8]>::to_vec));
    // As version 8 sends it, and reads it.
    let front = 2 + SIGNATURE_BYTES + SIGNATURE_BYTES_MAX;
    assert_eq!(read(&bytes[front..]).unwrap(), [vec![], vec![]]);
    assert!(access::<ArchivedMessage<'static>, Failure>(&bytes).is_ok());
    for start in 1..front {
        assert_eq!(read(&bytes[start..]), Err(DecodeError::Structure), "without the first {start}");
    }
    let long = [&[0], &*bytes].concat();
    assert_eq!(read(&long), Err(DecodeError::Structure), "more than there are announcements");
}
