//! The bytes of the protocol's version. If this fails, [`boato_cluster::PROTOCOL`] has to change, too: nodes of both
//! builds would take each other's bytes for damaged ones.

use boato_cluster::{
    Action, Answer, Applied, Digest, Effect, Epoch, ExpireWhen, Expiry, Frame, Greeting, Guard, Hint, Item,
    Load, Message, Operation, Outcome, Page, Pid, Request, Response, Run, SlotRun, Standing, Status, Step,
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
    let (standing, greeting) = (Standing::Claimed, Greeting::Members);
    Frame { from: PID, to: PID, standing, greeting, digest, runs }
}

fn actions() -> Vec<Action> {
    let bytes = || Bytes::from("bytes");
    let versions = || vec![(17, 18)];
    let put = |expiry, guard| Action::Put {
        value: Bytes::from("value"),
        content_type: Bytes::from("text/plain"),
        expiry,
        guard,
        previous: true,
    };
    let expire = |expiry, when| Action::Expire { expiry, when, value: true };
    vec![
        Action::Get,
        Action::GetRange { first: -19, last: 20 },
        Action::Head,
        put(Expiry::Never, Guard::Always),
        put(Expiry::Keep, Guard::Absent),
        put(Expiry::After(21), Guard::Present),
        put(Expiry::At(22), Guard::Is(versions())),
        put(Expiry::Never, Guard::IsNot(versions())),
        put(Expiry::Never, Guard::ValueIs(bytes())),
        Action::Delete { guard: Guard::Present, previous: true },
        expire(Expiry::At(23), ExpireWhen::Always),
        expire(Expiry::Never, ExpireWhen::NoExpiry),
        expire(Expiry::Never, ExpireWhen::HasExpiry),
        expire(Expiry::Never, ExpireWhen::Later),
        expire(Expiry::Never, ExpireWhen::Sooner),
        Action::Add { by: -24, ttl_ms: Some(25) },
        Action::AddFloat { by_bits: 0.5_f64.to_bits() },
        Action::Append { bytes: bytes() },
        Action::SetRange { offset: 26, bytes: bytes() },
        Action::SetBit { offset: 27, bit: true },
        Action::Rename { to: Bytes::from("{key}2"), replace: true, keep: false },
    ]
}

fn requests() -> Vec<Request> {
    let key = || Bytes::from("key");
    let slot = boato_placement::slot(b"key");
    let mut operations: Vec<Operation> =
        actions().into_iter().map(|action| Operation::on(key(), action)).collect();
    let step = Step { key: key(), action: Action::Get };
    let watched = vec![(key(), Some((28, 29))), (key(), None)];
    operations.extend([
        Operation::List { slot: 20, prefix: key(), after: Some(key()), limit: 21 },
        Operation::Scan { slot: 20, position: 30, count: 31, pattern: Some(key()) },
        Operation::Count { slot: 20 },
        Operation::Flush { slot: 20 },
        Operation::Transaction { slot, watched, steps: vec![step] },
    ]);
    let operate = |operation| Request::Operate { to: PID, used: Some(EPOCH), wait_ms: 22, operation };
    let batch = Request::Batch { to: PID, operations: operations.clone() };
    operations.into_iter().map(operate).chain([batch, Request::Status, Request::Load]).collect()
}

fn outcomes() -> Vec<Outcome> {
    let version = (23, 24);
    let previous = || Some(Bytes::from("previous"));
    vec![
        Outcome::Value {
            value: Bytes::from("value"),
            content_type: Bytes::from("text/plain"),
            version,
            ttl_ms: Some(25),
        },
        Outcome::Found { length: 26, version, expires_at_ms: Some(27), ttl_ms: Some(28) },
        Outcome::Missing,
        Outcome::Created(version),
        Outcome::Replaced { version, previous: previous() },
        Outcome::Deleted { version, previous: previous() },
        Outcome::Refused { version: Some(version), previous: previous() },
        Outcome::Changed(true),
        Outcome::Integer { value: -29, version },
        Outcome::Float { bits: 0.5_f64.to_bits(), version },
        Outcome::Length(30),
        Outcome::NotAnInteger,
        Outcome::NotAFloat,
        Outcome::Overflow,
        Outcome::Full,
        Outcome::TooLarge,
    ]
}

fn responses() -> Vec<Response> {
    let keys = || vec![Bytes::from("key")];
    let effects = outcomes().into_iter().map(Effect::Key).chain([
        Effect::Keys(keys()),
        Effect::Page(Page { keys: keys(), seen: 31, next: Some(32) }),
        Effect::Count { keys: 33, left: 34 },
        Effect::Transaction(Some(outcomes())),
        Effect::Transaction(None),
        Effect::TooFewMembers { members: 26, needed: 27 },
    ]);
    let answers = effects.map(|effect| Answer::Done { effect, epoch: EPOCH });
    let moved = Answer::Moved(Some(Hint { pid: PID, epoch: EPOCH }));
    let answers = answers.chain([moved, Answer::Busy, Answer::Expired]);
    let runs = vec![SlotRun { from: 28, to: 29, state: "held".to_owned(), custody: true }];
    let status = Status { slots: 30, slots_lost: 31, entries: 32, bytes: 33, runs };
    let applied = Applied { effect: Effect::Key(Outcome::Missing), epoch: EPOCH };
    let batch = Response::Batch(vec![Some(applied), None]);
    let load = Load { slots: 34, bytes: 35 };
    answers.map(Response::Operate).chain([batch, Response::Status(status), Response::Load(load)]).collect()
}

#[test]
fn every_request_and_answer_is_read_as_it_was_written() {
    for request in requests() {
        assert_eq!(Request::decode(&request.encode()), Ok(request));
    }
    for response in responses() {
        assert_eq!(Response::decode(&response.encode()), Ok(response));
    }
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
        (6, [13_178_627_992_692_474_702, 10_865_533_246_094_704_239, 17_660_132_240_836_640_078])
    );
}
