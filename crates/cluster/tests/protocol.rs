//! The bytes of the protocol's version. If this fails, [`boato_cluster::PROTOCOL`] has to change, too: nodes of both
//! builds would take each other's bytes for damaged ones.

use boato_cluster::{
    Answer, Digest, Epoch, Frame, Guard, Hint, Item, Message, Operation, Outcome, Pid, Request, Response,
    Run, SlotRun, Standing, Status,
};
use bytes::Bytes;

const PID: Pid = Pid { node: 0x0102_0304, boot: 5 };
const EPOCH: Epoch = Epoch { counter: 6, pid: PID };

fn messages() -> Vec<Message> {
    let (epoch, floor, hint) = (EPOCH, EPOCH, Some(Hint { pid: PID, epoch: EPOCH }));
    let (xfer, seq, nonce, hlc) = (7, 8, 9, 10);
    let item = Item {
        key: Bytes::from("key"),
        value: Bytes::from("value"),
        content_type: Bytes::from("text/plain"),
        version: (11, 12),
        expires_at_ms: Some(13),
        tombstone: true,
    };
    vec![
        Message::Acquire,
        Message::Later,
        Message::NotHolder { hint, floor },
        Message::Chunk { xfer, seq, items: vec![item.clone()] },
        Message::ChunkAck { xfer, seq },
        Message::Abort { xfer },
        Message::Commit { xfer, epoch, chunks: 14, hlc },
        Message::Need { xfer, epoch, missing: vec![15] },
        Message::Taken { epoch },
        Message::Refuse { epoch, floor },
        Message::Released { epoch, floor },
        Message::Void { epoch, floor },
        Message::Forgotten { epoch, floor },
        Message::WhoHas { nonce },
        Message::NotHere { nonce, floor, hint },
        Message::Has { nonce, epoch },
        Message::ClaimEnd { nonce, floor },
        Message::Offer { epoch },
        Message::Holding { epoch },
        Message::Merge { xfer, epoch, seq, hlc, items: vec![item] },
        Message::Merged { xfer, seq },
        Message::MergeNo { epoch, hint },
        Message::MergeEnd { epoch },
    ]
}

fn frame() -> Frame {
    let runs = messages().into_iter().map(|message| Run { start: 16, len: 1, message }).collect();
    let digest = Some(Digest { live: vec![PID], dead: vec![PID] });
    Frame { from: PID, to: PID, standing: Standing::Claimed, hello: true, digest, runs }
}

fn requests() -> Vec<Request> {
    let key = || Bytes::from("key");
    let versions = || vec![(17, 18)];
    let put = |guard| Operation::Put {
        key: key(),
        value: Bytes::from("value"),
        content_type: Bytes::from("text/plain"),
        ttl_ms: Some(19),
        guard,
    };
    let guards =
        [Guard::Always, Guard::Absent, Guard::Present, Guard::Is(versions()), Guard::IsNot(versions())];
    let mut operations: Vec<Operation> = guards.into_iter().map(put).collect();
    operations.extend([
        Operation::Get { key: key() },
        Operation::Delete { key: key(), guard: Guard::Always },
        Operation::List { slot: 20, prefix: key(), after: Some(key()), limit: 21 },
    ]);
    let operate = |operation| Request::Operate { to: PID, used: Some(EPOCH), wait_ms: 22, operation };
    operations.into_iter().map(operate).chain([Request::Status]).collect()
}

fn responses() -> Vec<Response> {
    let version = (23, 24);
    let value = Outcome::Value {
        value: Bytes::from("value"),
        content_type: Bytes::from("text/plain"),
        version,
        ttl_ms: Some(25),
    };
    let outcomes = [
        value,
        Outcome::Missing,
        Outcome::Created(version),
        Outcome::Replaced(version),
        Outcome::Deleted(version),
        Outcome::Refused(Some(version)),
        Outcome::Keys(vec![Bytes::from("key")]),
        Outcome::Full,
        Outcome::TooFewMembers { members: 26, needed: 27 },
        Outcome::TooLarge,
    ];
    let answers = outcomes.into_iter().map(|outcome| Answer::Done { outcome, epoch: EPOCH });
    let moved = Answer::Moved(Some(Hint { pid: PID, epoch: EPOCH }));
    let answers = answers.chain([moved, Answer::Busy, Answer::Expired]);
    let runs = vec![SlotRun { from: 28, to: 29, state: "held".to_owned(), custody: true }];
    let status = Status { slots: 30, slots_lost: 31, entries: 32, bytes: 33, runs };
    answers.map(Response::Operate).chain([Response::Status(status)]).collect()
}

/// 64-bit FNV-1a.
fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[test]
fn the_bytes_of_the_protocol_change_with_its_version_only() {
    let requests: Vec<u8> = requests().iter().flat_map(Request::encode).collect();
    let responses: Vec<u8> = responses().iter().flat_map(Response::encode).collect();
    let hashes = [frame().encode(), requests, responses].map(|bytes| hash(&bytes));
    assert_eq!(
        (boato_cluster::PROTOCOL, hashes),
        (3, [9_032_237_546_937_174_581, 1_897_803_770_623_974_909, 12_767_783_334_103_668_110])
    );
}
