//! The messages as they travel. Frozen: any change here is another [`PROTOCOL`] version.
//!
//! Field types borrow where a member's own storage can be written as it is; readers work on the archived forms.

use rkyv::with::InlineAsBox;
use rkyv::{Archive, Serialize};

/// Version of the messages below. Part of the protocol version that two nodes compare before they speak.
pub const PROTOCOL: u32 = 1;

/// A datagram, or a probe on a stream; or an exchange of state on a stream.
#[derive(Archive, Serialize)]
pub(crate) enum Message<'a> {
    Packet(Packet<'a>),
    PushPull(PushPull<'a>),
}

#[derive(Archive, Serialize)]
pub(crate) struct WirePid {
    pub(crate) id: u128,
    pub(crate) boot: u64,
}

#[derive(Archive, Serialize)]
pub(crate) enum WireAddr {
    V4 { ip: [u8; 4], port: u16 },
    V6 { ip: [u8; 16], port: u16 },
}

/// A small message and the news that rides on it.
#[derive(Archive, Serialize)]
pub(crate) struct Packet<'a> {
    pub(crate) from: WirePid,
    pub(crate) body: Body,
    pub(crate) announces: Vec<Announce<'a>>,
    pub(crate) claims: Vec<Claim>,
}

#[derive(Archive, Serialize)]
pub(crate) enum Body {
    /// Only what rides along.
    News,
    /// Is `target` there? Answered by `Ack`, or by `Other` where somebody else lives.
    Ping { number: u64, target: WirePid },
    /// `target` is there: itself says so, or the relay that asked it.
    Ack { number: u64, target: WirePid },
    /// The address is mine, and I am not the one you asked for. My own announcement rides along.
    Other { number: u64 },
    /// I do not know you: who are you? Answered by `Me`.
    Who,
    /// This is me. My own announcement rides along.
    Me,
    /// Please ping `target` for me.
    Relay { number: u64, target: WirePid },
    /// I am still here, but the target of your `Relay` has not answered me so far.
    Nack { number: u64 },
}

/// What a member says about itself.
#[derive(Archive, Serialize)]
pub(crate) struct Announce<'a> {
    pub(crate) pid: WirePid,
    pub(crate) incarnation: u64,
    pub(crate) addr: WireAddr,
    #[rkyv(with = InlineAsBox)]
    pub(crate) name: &'a str,
    /// Sorted by key; each is key, U+001F, value, U+001E.
    #[rkyv(with = InlineAsBox)]
    pub(crate) tags: &'a str,
}

/// What somebody says about another; never that it is alive, which only its own announcement says.
#[derive(Archive, Serialize)]
pub(crate) struct Claim {
    pub(crate) pid: WirePid,
    pub(crate) incarnation: u64,
    pub(crate) state: Belief,
    /// The node that got no answer, for a suspicion; else whoever concluded it.
    pub(crate) by: u128,
}

#[derive(Archive, Serialize, Clone, Copy)]
pub(crate) enum Belief {
    Alive,
    Suspect,
    Dead,
    Left,
}

/// The full state of one side.
#[derive(Archive, Serialize)]
pub(crate) struct PushPull<'a> {
    pub(crate) from: WirePid,
    pub(crate) number: u64,
    /// A request is answered with an answer of the same number.
    pub(crate) answer: bool,
    pub(crate) records: Vec<Record<'a>>,
}

/// All that is known about one member.
#[derive(Archive, Serialize)]
pub(crate) struct Record<'a> {
    /// Its last own words.
    pub(crate) announce: Announce<'a>,
    pub(crate) state: Belief,
    /// The incarnation `state` speaks of, which may be ahead of the announcement.
    pub(crate) incarnation: u64,
    pub(crate) by: u128,
    /// Seconds since it died or left, rounded up; 0 for the live.
    pub(crate) gone_s: u32,
}
