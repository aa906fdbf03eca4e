//! Frames as bytes: rkyv with checked access, then every value checked against its range. The types are
//! frozen per [`PROTOCOL`] version.

use boato_placement::SLOTS;
use rkyv::api::deserialize_using;
use rkyv::api::high::{HighSerializer, HighValidator, access, to_bytes_in};
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::{self, Failure};
use rkyv::ser::allocator::ArenaHandle;
use rkyv::{Archive, Deserialize, Serialize};

use crate::batch;
use crate::message::{Answer, Frame, Message, Request, Response, Run};
use crate::operation::{Buffer, Operation, Slice};
use crate::pid::{Epoch, Hint};

/// The version of what nodes say to each other about slots. Any change of [`Frame`], [`Request`] or [`Response`], or of
/// a type in them, is another one. It is not part of the bytes: whoever connects nodes knows what each speaks.
///
/// Since 6 a request may come with a trace, on a channel of its own; else 6 is 5.
pub const PROTOCOL: u32 = 6;

/// Bytes of a message that brings none of a client's, about.
const SIZE: usize = 256;

/// Why bytes from a peer are not taken. Nothing was changed by them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// Not an archive of the expected type: the peer runs another build, or the bytes were damaged.
    #[error(
        "the bytes are not a message of this protocol version; check that no two nodes are more than one wire version apart"
    )]
    Structure,
    /// A run of slots that do not exist.
    #[error("a message names slots {start} to {start}+{len}, but slots end at 16383")]
    Slots {
        /// The first slot.
        start: u16,
        /// How many.
        len: u16,
    },
    /// Entries said to belong to several slots.
    #[error("a message gives entries of other slots to {len} slots from {start} on")]
    Spread {
        /// The first slot.
        start: u16,
        /// How many.
        len: u16,
    },
    /// A key, a value or a number of things beyond what an operation may have, or keys of several slots.
    #[error("an operation is larger than any may be, or has keys of several slots")]
    Operation,
    /// An epoch beyond any that counting could reach.
    #[error("a message carries an epoch beyond 2^62")]
    Epoch,
}

/// The bytes for a peer, of about `size`.
fn encode<T>(value: &T, size: usize) -> Vec<u8>
where
    T: for<'a> Serialize<HighSerializer<Vec<u8>, ArenaHandle<'a>, rancor::Error>>,
{
    to_bytes_in(value, Vec::with_capacity(size))
        .expect("invariant: these types hold nothing that cannot be serialised")
}

/// What a peer's bytes say, as far as its structure goes.
fn decode<'a, T>(bytes: &'a [u8]) -> Result<T, WireError>
where
    T: Archive,
    T::Archived: for<'b> CheckBytes<HighValidator<'b, Failure>>
        + Deserialize<T, rancor::Strategy<Buffer<'a>, Failure>>,
{
    let archived = access::<T::Archived, Failure>(bytes).map_err(|_| WireError::Structure)?;
    deserialize_using(archived, &mut Buffer::new(bytes)).map_err(|_| WireError::Structure)
}

impl Frame {
    /// The bytes for a peer.
    pub fn encode(&self) -> Vec<u8> {
        encode(self, SIZE)
    }

    /// A peer's frame.
    ///
    /// # Errors
    ///
    /// [`WireError`], for anything but a whole frame with every value in its range.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let frame: Self = decode(bytes)?;
        frame.runs.iter().try_for_each(check_run)?;
        Ok(frame)
    }
}

impl Request {
    /// A peer's request.
    ///
    /// # Errors
    ///
    /// [`WireError`], as [`Frame::decode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        Request::view(bytes).map(|request| request.to_bytes())
    }
}

impl<'a> Request<Slice<'a>> {
    /// A peer's request, whose operations borrow their bytes from it.
    ///
    /// # Errors
    ///
    /// [`WireError`], as [`Frame::decode`].
    pub fn view(bytes: &'a [u8]) -> Result<Self, WireError> {
        let request: Self = decode(bytes)?;
        match &request {
            Self::Operate { operation, used, .. } => {
                check_operation(operation)?;
                used.map_or(Ok(()), check_epoch)?;
            }
            Self::Batch { operations, .. } if operations.len() > batch::OPERATIONS_MAX => {
                return Err(WireError::Operation);
            }
            Self::Batch { operations, .. } => operations.iter().try_for_each(check_operation)?,
            Self::Status | Self::Load => {}
        }
        Ok(request)
    }
}

impl<B: AsRef<[u8]>> Request<B> {
    /// The bytes for a peer.
    pub fn encode(&self) -> Vec<u8>
    where
        Self: for<'a> Serialize<HighSerializer<Vec<u8>, ArenaHandle<'a>, rancor::Error>>,
    {
        let size = match self {
            Self::Operate { operation, .. } => operation.bytes(),
            Self::Batch { operations, .. } => operations.iter().map(Operation::bytes).sum(),
            Self::Status | Self::Load => 0,
        };
        encode(self, SIZE + size)
    }

    /// A copy that borrows nothing.
    fn to_bytes(&self) -> Request {
        match self {
            Self::Operate { to, used, wait_ms, operation } => {
                let operation = operation.to_bytes();
                Request::Operate { to: *to, used: *used, wait_ms: *wait_ms, operation }
            }
            Self::Batch { to, operations } => {
                let operations = operations.iter().map(Operation::to_bytes).collect();
                Request::Batch { to: *to, operations }
            }
            Self::Status => Request::Status,
            Self::Load => Request::Load,
        }
    }
}

impl Response {
    /// The bytes for a peer.
    pub fn encode(&self) -> Vec<u8> {
        let size = match self {
            Self::Operate(Answer::Done { effect, .. }) => effect.bytes(),
            Self::Batch(answers) => {
                size_of_val(&**answers)
                    + answers.iter().flatten().map(|applied| applied.effect.bytes()).sum::<usize>()
            }
            _ => 0,
        };
        encode(self, SIZE + size)
    }

    /// A peer's answer.
    ///
    /// # Errors
    ///
    /// [`WireError`], as [`Frame::decode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let response: Self = decode(bytes)?;
        match &response {
            Self::Operate(Answer::Done { epoch, .. }) => check_epoch(*epoch)?,
            Self::Operate(Answer::Moved(Some(hint))) => check_epoch(hint.epoch)?,
            Self::Operate(Answer::Moved(None) | Answer::Busy | Answer::Expired) | Self::Load(_) => {}
            Self::Batch(answers) => {
                answers.iter().flatten().try_for_each(|applied| check_epoch(applied.epoch))?;
            }
            Self::Status(status) => status.runs.iter().try_for_each(|run| {
                check_slot(run.from, run.to.saturating_sub(run.from).saturating_add(1))
            })?,
        }
        Ok(response)
    }
}

fn check_operation(operation: &Operation<Slice<'_>>) -> Result<(), WireError> {
    // Keys have slots that exist.
    if operation.key().is_none() {
        check_slot(operation.slot(), 1)?;
    }
    operation.check().map_err(|_| WireError::Operation)
}

fn check_slot(start: u16, len: u16) -> Result<(), WireError> {
    let fits = len > 0 && usize::from(start) + usize::from(len) <= SLOTS;
    if fits { Ok(()) } else { Err(WireError::Slots { start, len }) }
}

fn check_run(run: &Run) -> Result<(), WireError> {
    check_slot(run.start, run.len)?;
    if let Message::Chunk { items, .. } | Message::Merge { items, .. } = &run.message
        && (run.len > 1 || items.iter().any(|item| boato_placement::slot(&item.key) != run.start))
    {
        return Err(WireError::Spread { start: run.start, len: run.len });
    }
    epochs(&run.message).into_iter().flatten().try_for_each(check_epoch)
}

fn check_epoch(epoch: Epoch) -> Result<(), WireError> {
    if epoch.counter <= Epoch::COUNTER_MAX { Ok(()) } else { Err(WireError::Epoch) }
}

/// The epochs a message carries.
pub(crate) fn epochs(message: &Message) -> [Option<Epoch>; 2] {
    let of = |hint: &Option<Hint>| hint.map(|hint| hint.epoch);
    match message {
        Message::Commit { epoch, .. }
        | Message::Need { epoch, .. }
        | Message::Taken { epoch }
        | Message::Has { epoch, .. }
        | Message::Offer { epoch }
        | Message::Holding { epoch }
        | Message::Merge { epoch, .. }
        | Message::MergeEnd { epoch } => [Some(*epoch), None],
        Message::Refuse { epoch, floor }
        | Message::Released { epoch, floor }
        | Message::Void { epoch, floor }
        | Message::Forgotten { epoch, floor } => [Some(*epoch), Some(*floor)],
        Message::ClaimEnd { floor, .. } => [Some(*floor), None],
        Message::NotHolder { hint, floor } | Message::NotHere { hint, floor, .. } => [of(hint), Some(*floor)],
        Message::MergeNo { epoch, hint } => [Some(*epoch), of(hint)],
        Message::Acquire
        | Message::Later
        | Message::Chunk { .. }
        | Message::ChunkAck { .. }
        | Message::Abort { .. }
        | Message::WhoHas { .. }
        | Message::Merged { .. } => [None, None],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Digest, Greeting, Item, Standing};
    use crate::operation::{Action, Step};
    use crate::pid::Pid;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn pid() -> impl Strategy<Value = Pid> {
        (any::<u128>(), any::<u64>()).prop_map(|(node, boot)| Pid { node, boot })
    }

    fn epoch() -> impl Strategy<Value = Epoch> {
        (0..=Epoch::COUNTER_MAX, pid()).prop_map(|(counter, pid)| Epoch { counter, pid })
    }

    fn item() -> impl Strategy<Value = Item> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
        let rest = (any::<(u64, u128)>(), any::<Option<u64>>(), any::<bool>());
        (bytes(), bytes(), bytes(), rest).prop_map(|(key, value, content_type, rest)| Item {
            key,
            value,
            content_type,
            version: rest.0,
            expires_at_ms: rest.1,
            tombstone: rest.2,
        })
    }

    fn message() -> impl Strategy<Value = Message> {
        let hint = proptest::option::of((pid(), epoch()).prop_map(|(pid, epoch)| Hint { pid, epoch }));
        let items = proptest::collection::vec(item(), 0..4);
        prop_oneof![
            Just(Message::Acquire),
            (hint, epoch()).prop_map(|(hint, floor)| Message::NotHolder { hint, floor }),
            (any::<u64>(), any::<u32>(), items).prop_map(|(xfer, seq, items)| Message::Chunk {
                xfer,
                seq,
                items
            }),
            (epoch(), any::<u64>(), any::<u32>()).prop_map(|(epoch, xfer, chunks)| Message::Commit {
                xfer,
                epoch,
                chunks,
                hlc: xfer
            }),
            (any::<u64>(), epoch()).prop_map(|(nonce, floor)| Message::ClaimEnd { nonce, floor }),
        ]
    }

    fn frame() -> impl Strategy<Value = Frame> {
        let run = (0_u16..16384, 1_u16..=16384, message()).prop_map(|(start, len, message)| match message {
            Message::Chunk { xfer, seq, mut items } => {
                let start = items.first().map_or(start, |item| boato_placement::slot(&item.key));
                items.truncate(1);
                Run { start, len: 1, message: Message::Chunk { xfer, seq, items } }
            }
            message => Run { start, len: len.min(16384 - start), message },
        });
        let pids = || proptest::collection::vec(pid(), 0..4);
        let digest = proptest::option::of((pids(), pids()).prop_map(|(live, dead)| Digest { live, dead }));
        let greeting = prop_oneof![Just(Greeting::None), Just(Greeting::Hello), Just(Greeting::Members)];
        (pid(), pid(), greeting, digest, proptest::collection::vec(run, 0..6)).prop_map(
            |(from, to, greeting, digest, runs)| Frame {
                from,
                to,
                standing: Standing::Eligible,
                greeting,
                digest,
                runs,
            },
        )
    }

    fn with_run(start: u16, len: u16, message: Message) -> Vec<u8> {
        let pid = Pid { node: 1, boot: 1 };
        let runs = vec![Run { start, len, message }];
        let (standing, greeting) = (Standing::Claimed, Greeting::None);
        Frame { from: pid, to: pid, standing, greeting, digest: None, runs }.encode()
    }

    #[test]
    fn slots_that_do_not_exist_are_refused() {
        for (start, len) in [(0, 0), (16383, 2), (16384, 1), (u16::MAX, u16::MAX)] {
            let bytes = with_run(start, len, Message::Acquire);
            assert_eq!(Frame::decode(&bytes), Err(WireError::Slots { start, len }));
        }
        let list = Operation::List { slot: 16384, prefix: Bytes::new(), after: None, limit: 1 };
        let to = Pid { node: 1, boot: 1 };
        let bytes = Request::Operate { to, used: None, wait_ms: 1, operation: list }.encode();
        assert_eq!(Request::decode(&bytes), Err(WireError::Slots { start: 16384, len: 1 }));
    }

    #[test]
    fn entries_belong_to_one_slot() {
        let chunk = Message::Chunk { xfer: 1, seq: 0, items: Vec::new() };
        assert_eq!(Frame::decode(&with_run(7, 2, chunk)), Err(WireError::Spread { start: 7, len: 2 }));
        let item = Item {
            key: Bytes::from_static(b"123456789"), // in slot 12739
            value: Bytes::new(),
            content_type: Bytes::new(),
            version: (1, 1),
            expires_at_ms: None,
            tombstone: false,
        };
        let chunk = Message::Chunk { xfer: 1, seq: 0, items: vec![item] };
        assert!(Frame::decode(&with_run(12739, 1, chunk.clone())).is_ok());
        assert_eq!(Frame::decode(&with_run(7, 1, chunk)), Err(WireError::Spread { start: 7, len: 1 }));
    }

    #[test]
    fn epochs_near_overflow_are_refused() {
        let epoch = Epoch { counter: Epoch::COUNTER_MAX + 1, ..Epoch::ZERO };
        for message in [Message::Offer { epoch }, Message::Refuse { epoch: Epoch::ZERO, floor: epoch }] {
            assert_eq!(Frame::decode(&with_run(0, 1, message)), Err(WireError::Epoch));
        }
    }

    fn refused(operation: Operation) -> bool {
        let to = Pid { node: 1, boot: 1 };
        let bytes = Request::Operate { to, used: None, wait_ms: 1, operation }.encode();
        Request::decode(&bytes) == Err(WireError::Operation)
    }

    #[test]
    fn operations_beyond_their_limits_are_refused() {
        let on = |action| Operation::on("k", action);
        let rename = |to: &'static str| on(Action::Rename { to: to.into(), replace: true, keep: false });
        assert!(!refused(rename("{k}2")) && refused(rename("other")));
        assert!(refused(Operation::get(vec![0; 65536])) && !refused(Operation::get(vec![0; 65535])));
        let huge = 8 << 20;
        assert!(refused(on(Action::put(vec![0; huge + 1]))) && !refused(on(Action::put(vec![0; huge]))));
        let bits = |offset| on(Action::SetBit { offset, bit: true });
        assert!(refused(bits(8 * huge as u64)) && !refused(bits(8 * huge as u64 - 1)));
        let range = |offset| on(Action::SetRange { offset, bytes: "x".into() });
        assert!(refused(range(huge as u64)) && refused(range(u64::MAX)) && !refused(range(huge as u64 - 1)));
        assert!(refused(on(Action::AddFloat { by_bits: f64::NAN.to_bits() })));
        let scan = |position| Operation::Scan { slot: 1, position, count: 1, pattern: None };
        assert!(refused(scan(1 << 39)) && !refused(scan((1 << 39) - 1)));
    }

    #[test]
    fn a_transaction_is_about_one_slot() {
        let slot = boato_placement::slot(b"k");
        let step = |key: &'static str| Step { key: key.into(), action: Action::Get };
        let transaction = |watched: &'static str, steps| Operation::Transaction {
            slot,
            watched: vec![(watched.into(), None)],
            steps,
        };
        assert!(!refused(transaction("k", vec![step("k"), step("{k}2")])));
        assert!(refused(transaction("other", vec![step("k")])));
        assert!(refused(transaction("k", vec![step("other")])));
        assert!(refused(transaction("k", vec![step("k"); crate::TRANSACTION_LIMIT + 1])));
    }

    proptest! {
        #[test]
        fn frames_round_trip(frame in frame()) {
            prop_assert_eq!(Frame::decode(&frame.encode()), Ok(frame));
        }

        #[test]
        fn damaged_frames_never_panic(frame in frame(), place: prop::sample::Index, bit in 0..8_u8) {
            let mut bytes = frame.encode();
            let place = place.index(bytes.len());
            bytes[place] ^= 1 << bit;
            let _ = Frame::decode(&bytes);
            let _ = Frame::decode(&bytes[..place]);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = (Frame::decode(&bytes), Request::decode(&bytes), Response::decode(&bytes));
        }
    }
}
