//! Frames as bytes: rkyv with checked access, then every value checked against its range. The types are
//! frozen per protocol version.

use boato_placement::SLOTS;
use rkyv::rancor;

use crate::message::{Frame, Message, Request, Response, Run};
use crate::pid::{Epoch, Hint};

/// Why bytes from a peer are not taken. Nothing was changed by them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// Not an archive of the expected type: the peer runs another build, or the bytes were damaged.
    #[error(
        "the bytes are not a message of this protocol version; check that all nodes run the same version"
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
    /// An epoch beyond any that counting could reach.
    #[error("a message carries an epoch beyond 2^62")]
    Epoch,
}

macro_rules! codec {
    ($($name:ident),*) => {$(
        impl $name {
            /// The bytes for a peer.
            pub fn encode(&self) -> Vec<u8> {
                rkyv::to_bytes::<rancor::Error>(self)
                    .expect("invariant: these types hold nothing that cannot be serialised")
                    .into_vec()
            }
        }
    )*};
}
codec!(Frame, Request, Response);

impl Frame {
    /// A peer's frame.
    ///
    /// # Errors
    ///
    /// [`WireError`], for anything but a whole frame with every value in its range.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let frame: Self = rkyv::from_bytes::<_, rancor::Failure>(bytes).map_err(|_| WireError::Structure)?;
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
        let request: Self =
            rkyv::from_bytes::<_, rancor::Failure>(bytes).map_err(|_| WireError::Structure)?;
        if let Self::Operate { operation, .. } = &request {
            check_slot(operation.slot(), 1)?;
        }
        Ok(request)
    }
}

impl Response {
    /// A peer's answer.
    ///
    /// # Errors
    ///
    /// [`WireError`], as [`Frame::decode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        rkyv::from_bytes::<_, rancor::Failure>(bytes).map_err(|_| WireError::Structure)
    }
}

fn check_slot(start: u16, len: u16) -> Result<(), WireError> {
    let fits = len > 0 && usize::from(start) + usize::from(len) <= SLOTS;
    if fits { Ok(()) } else { Err(WireError::Slots { start, len }) }
}

fn check_run(run: &Run) -> Result<(), WireError> {
    check_slot(run.start, run.len)?;
    epochs(&run.message).into_iter().flatten().try_for_each(|epoch| {
        if epoch.counter <= Epoch::COUNTER_MAX { Ok(()) } else { Err(WireError::Epoch) }
    })
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
        | Message::Merge { epoch, .. } => [Some(*epoch), None],
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
