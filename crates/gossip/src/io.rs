//! What goes into the state machine and what comes out of it.

use std::net::SocketAddr;

use crate::{Member, NodeId, Pid, Query, QueryId, Question, Reply, UserEvent};

/// One thing that happened to the member.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// A datagram arrived.
    Datagram {
        /// Where it came from; answers go there.
        from: SocketAddr,
        /// Its payload.
        bytes: &'a [u8],
    },
    /// A message arrived on a stream.
    Stream {
        /// Where it came from; answers go there.
        from: SocketAddr,
        /// The whole message.
        bytes: &'a [u8],
    },
    /// Exchange state with whoever is at this address. Nothing happens if a live member is known there.
    Join(SocketAddr),
    /// Have everybody take a dead member for one that left, so that nobody knocks at it any more, or forget it. Should it
    /// live after all, it says so and is back. Whether the caller may ask for this is the caller's to judge.
    Remove {
        /// Whom.
        id: NodeId,
        /// Whether to forget it: it is not listed any more.
        prune: bool,
    },
    /// Announce another name.
    SetName(String),
    /// Announce other tags, in place of all former ones.
    SetTags(Vec<(String, String)>),
    /// Announce another address.
    SetAddr(SocketAddr),
    /// Tell all members something; [`Event::User`] says it at each, this one included, once. Whoever joins later does not
    /// hear of it.
    Event {
        /// What it is called, for the application.
        name: String,
        /// What it says, for the application. With the name at most [`USER_EVENT_BYTES_MAX`](crate::USER_EVENT_BYTES_MAX).
        payload: Vec<u8>,
    },
    /// Ask members something. [`Event::Reply`] tells each answer, [`Event::QueryDone`] the end.
    Query {
        /// What these events are to name, for the application.
        number: u64,
        /// The question.
        query: Query,
    },
    /// Nobody waits for the answers to a query any more: no event follows.
    Forget {
        /// As given in [`Input::Query`].
        number: u64,
    },
    /// Answer a query that [`Event::Query`] told of, once.
    Answer {
        /// Which.
        query: QueryId,
        /// At most [`RESPONSE_BYTES_MAX`](crate::RESPONSE_BYTES_MAX); none: there is nothing to answer, and the asker need
        /// not wait.
        response: Option<Vec<u8>>,
    },
    /// Ask some of those with the lowest boots for the recent events that they keep: one member now and one per probe interval,
    /// until four have answered or 20 intervals are over. Events that are news here follow as [`Event::User`].
    Recall,
    /// Say goodbye; [`Event::LeaveDone`] tells when it has spread.
    Leave,
    /// The time of [`poll_timeout`](crate::Gossip::poll_timeout) has come.
    Timeout,
}

/// One thing the driver has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a datagram: small, may get lost, must never wait for a connection.
    Datagram {
        /// Whom to send it to.
        to: SocketAddr,
        /// Payload, at most [`Config::datagram_bytes`](crate::Config) long.
        bytes: Vec<u8>,
    },
    /// Send a message on a stream, whole and in order, dialling if need be.
    Stream {
        /// Whom to send it to.
        to: SocketAddr,
        /// The whole message.
        bytes: Vec<u8>,
    },
    /// The same, on a stream that others go before: an answer to a query, which may be large. It comes in as
    /// [`Input::Stream`].
    Bulk {
        /// Whom to send it to.
        to: SocketAddr,
        /// The whole message.
        bytes: Vec<u8>,
    },
    /// Tell the application.
    Event(Event),
}

/// A change the application may care about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The member was unknown, dead or gone and is alive now. After a false death it is the same boot as before.
    Joined(Member),
    /// A live member, perhaps this one, announced another address, name or tags.
    Updated(Member),
    /// A live member is suspected.
    Suspected(Member),
    /// A suspected member turned out alive.
    Recovered(Member),
    /// A live member was declared dead; for a restarted node its old boot, followed by `Joined` for the new one.
    Failed(Member),
    /// A live member said goodbye.
    Left(Member),
    /// Somebody had a dead member removed, or one that had left forgotten ([`Input::Remove`]).
    Removed(Member),
    /// A live member has this member's name, and has had it longer: its process is older. Another name keeps people from
    /// taking one for the other; nothing else depends on names.
    NameTaken(Member),
    /// Probes of the member are answered on streams only, again and again: datagrams to or from it seem blocked.
    StreamsOnly(Member),
    /// A member, perhaps this one, tells all others something.
    User(UserEvent),
    /// A member, perhaps this one, asks this member something.
    Query(Question),
    /// A member has said something to a query of this one: each at most an acknowledgement and one word more.
    Reply {
        /// As given in [`Input::Query`].
        number: u64,
        /// Who.
        from: Pid,
        /// What.
        reply: Reply,
    },
    /// All members that were meant have answered a query of this one, or its time is over.
    QueryDone {
        /// As given in [`Input::Query`].
        number: u64,
        /// Who was meant and has not answered (a query without a name: not acknowledged).
        missing: Vec<NodeId>,
    },
    /// The address that was joined is this member's own.
    SelfJoin {
        /// As given in [`Input::Join`].
        addr: SocketAddr,
    },
    /// Own goodbye has spread, as far as that can be known; the process may end.
    LeaveDone,
    /// A newer boot of this very node is in the cluster; this one has fallen silent and has to end.
    Replaced {
        /// The newer boot.
        boot: u64,
    },
}
