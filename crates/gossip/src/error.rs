//! What can be wrong with what the caller or a peer hands in.

use thiserror::Error;

use crate::NodeId;
use crate::member::{ATTRIBUTE_BYTES_MAX, NAME_BYTES_MAX};
use crate::query::{QUERY_BYTES_MAX, RESPONSE_BYTES_MAX};
use crate::user_event::USER_EVENT_BYTES_MAX;

/// Why [`Gossip::new`](crate::Gossip::new) refuses to start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NewError {
    /// A setting is out of its range.
    #[error("gossip setting {0}")]
    Config(&'static str),
    /// The own address cannot be announced.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Name and tags cannot be announced.
    #[error(transparent)]
    Attributes(#[from] AttributeError),
}

/// An address that no peer could send to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{0} cannot be announced to peers: give a specific unicast address and a port other than 0")]
pub struct AddressError(pub std::net::SocketAddr);

/// Why a name and tags cannot be announced.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AttributeError {
    /// They are too large.
    #[error(
        "name and tags take {bytes} bytes, at most {ATTRIBUTE_BYTES_MAX} are announced: shorten or drop tags"
    )]
    TooLarge {
        /// Bytes they take, counted as [`ATTRIBUTE_BYTES_MAX`] says.
        bytes: usize,
    },
    /// The name is too long.
    #[error("the name takes {bytes} bytes, at most {NAME_BYTES_MAX} are announced: shorten it")]
    LongName {
        /// Bytes it takes.
        bytes: usize,
    },
    /// A tag has no key.
    #[error("a tag has an empty key: name every tag")]
    EmptyKey,
    /// A tag holds a character that separates tags on their way.
    #[error("tag {0:?} holds U+001E or U+001F, which separate tags: leave them out")]
    Separator(String),
    /// Two tags have one key.
    #[error("tag {0:?} is given twice: give each key once")]
    DuplicateKey(String),
}

/// Why an input was refused. Nothing was changed by it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InputError {
    /// The bytes of a peer are not a message.
    #[error("message refused: {0}")]
    Malformed(#[from] DecodeError),
    /// Name and tags cannot be announced.
    #[error(transparent)]
    Attributes(#[from] AttributeError),
    /// An address cannot be announced or joined.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// An event would not fit a datagram.
    #[error(
        "name and payload take {bytes} bytes, at most {USER_EVENT_BYTES_MAX} fit a datagram: send a reference instead"
    )]
    EventTooLarge {
        /// Bytes they take.
        bytes: usize,
    },
    /// A query would not fit a datagram.
    #[error(
        "name, payload and filter take {bytes} bytes, at most {QUERY_BYTES_MAX} fit a datagram: send a reference instead"
    )]
    QueryTooLarge {
        /// Bytes they take.
        bytes: usize,
    },
    /// A response is too large.
    #[error(
        "the response takes {bytes} bytes, at most {RESPONSE_BYTES_MAX} are taken: send a reference instead"
    )]
    ResponseTooLarge {
        /// Bytes it takes.
        bytes: usize,
    },
    /// The query has been answered, or nobody waits for an answer any more.
    #[error("nobody waits for an answer to this query (any more): answer once, and in time")]
    NotAsked,
    /// The member to be removed is not known.
    #[error("no member has the id {0}: it may have been forgotten already")]
    NoMember(NodeId),
    /// The member to be removed lives.
    #[error(
        "{0} is alive: ask it to leave; should it be cut off, it is dead within seconds and can be removed then"
    )]
    Lives(String),
    /// Too many events wait to be told.
    #[error("too many events are waiting to be told: send fewer, or later")]
    EventsFull,
    /// The clock of events is at its end.
    #[error(
        "no event can be later than the last one: some member has driven the clock of events to its end; find and stop it, then \
         start all nodes anew, together"
    )]
    EventsWorn,
    /// Too many queries of this member are under way.
    #[error("too many queries are under way: ask again when some are over")]
    QueriesFull,
    /// Too many joins wait for their turn.
    #[error("{0} joins are waiting already: try again when some have been answered")]
    JoinsFull(usize),
    /// This member has left, or a newer boot of it has replaced it.
    #[error("this member has left the cluster: start a new one with a higher boot epoch")]
    Ended,
}

/// What is wrong with the bytes of a peer. Peers are authenticated, so this is a defect or another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes do not hold the structure of a message.
    #[error("not a message of this protocol version")]
    Structure,
    /// A value is outside its range.
    #[error("value out of range: {0}")]
    Range(&'static str),
    /// The message names another node as its sender than the peer has proved to be.
    #[error("the message names another node as its sender than the peer's certificate")]
    Sender,
    /// The kind of message does not belong on this way.
    #[error("unexpected on this way: {0}")]
    Way(&'static str),
}
