//! The messages as they travel. Frozen: any change here is another [`PROTOCOL`] version.
//!
//! Field types borrow where a member's own storage can be written as it is; readers work on the archived forms.
//!
//! In front of a message that holds announcements are their signatures, in the same order: for each a byte that says how many
//! bytes follow, and these (none, a signature, or a signature and a digest of the tags). A message without that is one whose
//! announcements are not signed. rkyv reads a message from its end, so version 8 does not see what is in front.

use rkyv::with::{InlineAsBox, Skip};
use rkyv::{Archive, Serialize};

use crate::coordinate::DIMENSIONS;

/// Version of the messages below. Part of the protocol version that two nodes compare before they speak.
///
/// Since 9 there are signatures in front of messages; else 9 is 8.
pub const PROTOCOL: u32 = 9;

/// A datagram, or a probe on a stream; an exchange of state on a stream; events and queries; or an answer to a query.
#[derive(Archive, Serialize)]
pub(crate) enum Message<'a> {
    Packet(Packet<'a>),
    PushPull(PushPull<'a>),
    Events(Events<'a>),
    Answer(Answer<'a>),
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
    /// Where the sender is, with an `Ack`; else none.
    pub(crate) coordinate: Vec<WireCoordinate>,
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

/// A network coordinate, in seconds.
#[derive(Archive, Serialize)]
pub(crate) struct WireCoordinate {
    pub(crate) point: [f32; DIMENSIONS],
    pub(crate) height: f32,
    pub(crate) adjustment: f32,
    pub(crate) error: f32,
}

/// What a member says about itself.
#[derive(Archive, Serialize)]
pub(crate) struct Announce<'a> {
    pub(crate) pid: WirePid,
    pub(crate) incarnation: u64,
    pub(crate) addr: WireAddr,
    #[rkyv(with = InlineAsBox)]
    pub(crate) name: &'a str,
    /// Sorted by key; each is key, U+001F, value, U+001E. In a packet that they are too large for: U+001F and their hash.
    #[rkyv(with = InlineAsBox)]
    pub(crate) tags: &'a str,
    /// Travels in front of the message.
    #[rkyv(with = Skip)]
    pub(crate) signature: &'a [u8],
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
    Pruned,
}

/// A part of the comparison of all that two members know.
#[derive(Archive, Serialize)]
pub(crate) struct PushPull<'a> {
    pub(crate) from: WirePid,
    /// As whoever began gave it, in all steps of one exchange.
    pub(crate) number: u64,
    /// The highest Lamport time of an event that I know of: the next one of whoever reads it has to be later.
    pub(crate) event_time: u64,
    pub(crate) step: Step,
    /// The own record of the sender, and what else belongs to the step.
    pub(crate) records: Vec<Record<'a>>,
}

/// How far an exchange is. Whoever begins takes the first and the third step, the other the second and the last.
#[derive(Archive, Serialize)]
pub(crate) enum Step {
    /// Fingerprints of what I know, one per bucket of node ids, their number a power of two. Answered by `Summary`.
    /// None at all: I know nobody, tell me everything. Answered by `Answer`.
    Digest(Vec<u64>),
    /// Of so many buckets (`2^log2`) these differ, and this is what I know in them. If nothing differs, or whoever
    /// began has nothing newer and wants nothing, this was the last step.
    Summary { log2: u8, buckets: Vec<u16>, standings: Vec<WireStanding> },
    /// What I know better: as standings where you know the member's own words, else as records. And whose records I
    /// want; answered by `Answer` if there are any.
    Difference { standings: Vec<WireStanding>, wanted: Vec<u128> },
    /// The records asked for, as far as there is room.
    Answer,
}

/// What is believed about a member, without its words.
#[derive(Archive, Serialize)]
pub(crate) struct WireStanding {
    pub(crate) pid: WirePid,
    pub(crate) incarnation: u64,
    pub(crate) state: Belief,
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

/// Events of the application: the fresh ones in datagrams, all that are kept on a stream.
#[derive(Archive, Serialize)]
pub(crate) struct Events<'a> {
    pub(crate) from: WirePid,
    /// Please send me all that you keep.
    pub(crate) recall: bool,
    pub(crate) list: Vec<WireEvent<'a>>,
}

#[derive(Archive, Serialize)]
pub(crate) struct WireEvent<'a> {
    pub(crate) origin: WirePid,
    /// Lamport time.
    pub(crate) time: u64,
    #[rkyv(with = InlineAsBox)]
    pub(crate) name: &'a str,
    #[rkyv(with = InlineAsBox)]
    pub(crate) payload: &'a [u8],
    /// It is a query: on which terms. One at most.
    pub(crate) terms: Vec<WireTerms<'a>>,
}

#[derive(Archive, Serialize)]
pub(crate) struct WireTerms<'a> {
    /// Each is a key (none for the name), U+001F, a pattern, U+001E.
    #[rkyv(with = InlineAsBox)]
    pub(crate) filter: &'a str,
    pub(crate) timeout_ms: u32,
    pub(crate) relays: u8,
    pub(crate) acks: bool,
}

/// What `by` says to the query that `asker` sent at `time`.
#[derive(Archive, Serialize)]
pub(crate) struct Answer<'a> {
    pub(crate) by: WirePid,
    pub(crate) asker: WirePid,
    pub(crate) time: u64,
    /// Somebody else passes it on, and is not to be named.
    pub(crate) relayed: bool,
    pub(crate) reply: WireReply<'a>,
}

#[derive(Archive, Serialize)]
pub(crate) enum WireReply<'a> {
    Ack,
    Declined,
    Response(#[rkyv(with = InlineAsBox)] &'a [u8]),
}
