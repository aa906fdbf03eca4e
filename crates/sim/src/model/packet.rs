//! What is on its way between processes.

use std::hash::{BuildHasher, BuildHasherDefault, Hash};

use boato_cluster::{Answer, Epoch, Frame, Operation, Pid};
use rapidhash::quality::RapidHasher;

/// A fingerprint; the same in every run.
pub(super) fn fingerprint(value: impl Hash) -> u64 {
    BuildHasherDefault::<RapidHasher<'_>>::default().hash_one(value)
}

#[derive(Clone, Hash)]
pub(super) enum Body {
    Frame(Frame),
    /// An operation for a peer of the node that a client asked.
    Request {
        token: u64,
        used: Option<Epoch>,
        operation: Operation,
    },
    /// The answer to a request.
    Reply {
        token: u64,
        answer: Answer,
    },
}

pub(super) struct Packet {
    pub(super) from: Pid,
    pub(super) to: Pid,
    pub(super) body: Body,
    pub(super) hash: u64,
}

impl Packet {
    pub(super) fn new(from: Pid, to: Pid, body: Body) -> Self {
        let hash = fingerprint((from, to, &body));
        Self { from, to, body, hash }
    }

    pub(super) fn is_frame(&self) -> bool {
        matches!(self.body, Body::Frame(_))
    }
}
