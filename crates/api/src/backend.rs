//! The one trait between the front doors and the node.
//!
//! A door parses bytes into a [`Command`], hands it to [`Backend::execute`] and writes the [`Reply`](crate::Reply) in its
//! own protocol. When this node holds the key the backend answers [`Execution::Ready`] in the same call: no
//! await, channel or task lies between parse and reply. Everything else (another node holds the key, the slot
//! is moving) is [`Execution::Pending`].

use std::collections::BTreeMap;
use std::future::ready;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use crate::command::{Command, Transaction};
use crate::info::{
    Change, Departure, Event, Figures, KeysPage, KeysQuery, Logged, MemberInfo, Operations, Owner, Readiness,
    ScanPage, ScanQuery, SlotMap, Status, Topology,
};
use crate::membership::{Declined, Membership};
use crate::reply::{Execution, Failure, Outcome, Reply, Source};
use crate::trace::Trace;
use crate::version::Version;

/// The most keys in one [`Backend::fetch`].
pub const FETCH_MAX: usize = 16;

/// The node behind the doors.
///
/// Every method is called from a connection's task and must not block; what takes time is a future or a
/// stream. Commands and queries borrow from the connection's buffers: a pending execution copies what it keeps. A door
/// drops a pending execution when its client goes away; an operation that has been sent by then may still be applied.
pub trait Backend: Send + Sync + 'static {
    /// The time in Unix milliseconds, for [`Backend::try_execute`] and [`Backend::read`]. Commands that are run in one go are told
    /// the same, as reading a clock takes a good part of the time that a command takes.
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// The holder in replies of this node.
    fn name(&self) -> Arc<str> {
        self.status().name.into()
    }

    /// Runs one operation on one key, if this node serves its slot now. `None`: it does not, and nothing was done.
    fn try_execute(&self, command: &Command<'_>, now_ms: u64) -> Option<Result<Outcome, Failure>>;

    /// [`Backend::try_execute`] at this moment, with a whole reply.
    fn execute_here(&self, command: &Command<'_>) -> Option<Result<Reply, Failure>> {
        let result = self.try_execute(command, self.now_ms())?;
        Some(result.map(|outcome| Reply { source: Source::Local, holder: self.name(), outcome }))
    }

    /// Runs one operation on one key, wherever it is held.
    fn execute(&self, command: &Command<'_>) -> Execution {
        match self.execute_here(command) {
            Some(result) => Execution::Ready(result),
            None => Execution::Pending(
                self.execute_all(std::slice::from_ref(command))
                    .map(|mut results| results.pop().expect("invariant: an answer per command"))
                    .boxed(),
            ),
        }
    }

    /// [`Backend::execute`] for a command whose client traces it: the trace goes with it to the node that holds the key.
    fn execute_traced(&self, command: &Command<'_>, trace: Trace) -> Execution {
        let _ = trace;
        self.execute(command)
    }

    /// Runs operations on several keys, those of one slot in their order; not one step. The answers are in the order of the
    /// commands, each as [`Backend::execute`] would give it.
    ///
    /// Commands for one node travel together, so this is the cheaper the more commands there are.
    fn execute_all(&self, commands: &[Command<'_>]) -> BoxFuture<'static, Vec<Result<Reply, Failure>>>;

    /// Reads a key that this node holds, without a copy: calls `found` once, with the entry, if there is one, and returns
    /// true. Returns false, and has called nothing, when the slot is not served here now: then [`Backend::execute`] is the
    /// way.
    ///
    /// `found` runs under the slot's lock: it copies what it needs and returns.
    fn read(&self, key: &[u8], now_ms: u64, found: &mut dyn FnMut(Option<Entry<'_>>)) -> bool;

    /// [`Backend::read`] for several keys, those of one slot that follow each other in one step: calls `found` for each, in
    /// their order, and goes on while it says so. False: a slot is not served here now, or `found` has stopped it; what it was
    /// told is as if it had not been. The default reads nothing.
    fn read_all(
        &self,
        keys: &[&[u8]],
        now_ms: u64,
        found: &mut dyn FnMut(Option<Entry<'_>>) -> bool,
    ) -> bool {
        let _ = (keys, now_ms, found);
        false
    }

    /// Applies `count` writes on keys of one slot in one step and in their order, if this node serves the slot
    /// now and takes them together: calls `done` with what came of each, and returns true. Returns false, and has changed and
    /// called nothing, otherwise: then [`Backend::transact`] is the way. `write` gives them, by their places. The default applies
    /// nothing.
    fn write_all<'a>(
        &self,
        count: usize,
        write: &dyn Fn(usize) -> Command<'a>,
        now_ms: u64,
        done: &mut dyn FnMut(Result<Outcome, Failure>),
    ) -> bool {
        let _ = (count, write, now_ms, done);
        false
    }

    /// [`Backend::read`] with all that is known of the entry, and this node's name, for a door that answers some entries this way and
    /// others by [`Backend::execute`]: `found` says whether it has answered. If it has not, this is false, as if nothing had been read.
    fn show(&self, key: &[u8], found: &mut dyn FnMut(&str, Option<Shown<'_>>) -> bool) -> bool {
        let _ = (key, found);
        false
    }

    /// Says that commands on these keys, at most [`FETCH_MAX`], come next: what they will look at may be fetched meanwhile, all
    /// at the same time. Changes nothing.
    fn fetch(&self, keys: &[&[u8]]) {
        let _ = keys;
    }

    /// Whether a command is within the limits that hold whatever is stored. A transaction with one that is not is refused, so that a
    /// caller who wants the others applied leaves it out. The default knows no limits.
    ///
    /// # Errors
    /// [`Failure::TooLarge`], as [`Backend::execute`] would answer.
    fn check(&self, command: &Command<'_>) -> Result<(), Failure> {
        let _ = command;
        Ok(())
    }

    /// Runs commands on keys of one slot in one step, unless a watched key has changed: then `None`, and nothing was
    /// applied. Otherwise what came of each, in the order of the commands; one that failed does not keep the others from
    /// being applied.
    #[expect(clippy::type_complexity, reason = "every part of it is said above")]
    fn transact(
        &self,
        transaction: Transaction<'_>,
    ) -> BoxFuture<'static, Result<Option<Vec<Result<Outcome, Failure>>>, Failure>>;

    /// One page of the cluster's keys, by number.
    fn scan(&self, query: ScanQuery<'_>) -> BoxFuture<'static, Result<ScanPage, Failure>>;

    /// How many keys one slot has, or all; those that have expired count until they are swept, within seconds.
    fn count(&self, slot: Option<u16>) -> BoxFuture<'static, Result<u64, Failure>>;

    /// Removes all keys of the cluster; returns how many there were. Not one step: a key written meanwhile may stay, and where
    /// this fails some keys are gone.
    fn flush(&self) -> BoxFuture<'static, Result<u64, Failure>>;

    /// A key's slot.
    fn slot(&self, key: &[u8]) -> u16;

    /// The door that cluster clients should rather ask for this slot; `None`: this node answers as well as any.
    ///
    /// A node points on only when it neither holds the slot nor is to hold it, and its table has been at rest for a while,
    /// so that no two nodes send a client to and fro.
    fn redirect(&self, slot: u16) -> Option<SocketAddr>;

    /// Which node cluster clients are to ask for which slot.
    fn topology(&self) -> Arc<Topology>;

    /// Whether this node has joined and serves keys.
    fn readiness(&self) -> Readiness;

    /// This node in a few figures.
    fn status(&self) -> Status;

    /// What its clients have asked for so far. The default counts nothing.
    fn operations(&self) -> Operations {
        Operations::default()
    }

    /// What the other members that are alive, or the first 64 of them by name, say of their load, by their ids; `None` where one has not
    /// answered in time. The default knows no others.
    fn figures(&self) -> BoxFuture<'static, BTreeMap<String, Option<Figures>>> {
        ready(BTreeMap::new()).boxed()
    }

    /// Every member this node knows, itself included.
    fn members(&self) -> BoxFuture<'static, Vec<MemberInfo>>;

    /// Who holds which slot.
    fn slots(&self) -> BoxFuture<'static, SlotMap>;

    /// Where a key belongs, by this node's table; asks nobody.
    fn owner(&self, key: &[u8]) -> Owner;

    /// One page of the keys that start with a prefix.
    fn keys(&self, query: KeysQuery<'_>) -> BoxFuture<'static, Result<KeysPage, Failure>>;

    /// The last events, oldest first and bounded, and what happens from then on. The stream is bounded, too: a subscriber that is too slow gets an event that says
    /// how many it missed, it never holds the node up.
    fn events(&self) -> (Vec<Event>, BoxStream<'static, Event>);

    /// What is written to this node's log from now on, also what the log itself does not show: `filter` is a level like `debug`, or
    /// directives like `info,boato_gossip=debug`. The stream is bounded as that of events is. The default has no log.
    ///
    /// # Errors
    /// The filter cannot be read, or the log is not this node's to tell.
    fn log(&self, filter: &str) -> Result<BoxStream<'static, Logged>, Declined> {
        let _ = filter;
        Err(Declined::Unknown("this node has no log".to_owned()))
    }

    /// What this node can do as one of several; `None`: it is alone by nature, as a map is.
    fn membership(&self) -> Option<&dyn Membership> {
        None
    }

    /// Changes how this node runs; returns what has been changed, for people, and nothing when all was so before.
    ///
    /// # Errors
    /// Why nothing has been changed, for people.
    fn change(&self, change: Change) -> BoxFuture<'static, Result<Vec<String>, String>> {
        ready(Err(format!("this node cannot {change}"))).boxed()
    }

    /// Whether a member announces its HTTP door at this address: its page may read what this node tells.
    fn is_peer_door(&self, addr: SocketAddr) -> bool {
        let _ = addr;
        false
    }

    /// Starts a graceful leave and returns; the process exits when it is over. Asking again changes nothing.
    ///
    /// # Errors
    /// When this node cannot leave now, with the reason.
    fn leave(&self) -> Result<(), Failure>;

    /// Completes when this node, which was asked to leave, has handed off what it could. The default never does.
    fn departed(&self) -> BoxFuture<'static, Departure> {
        std::future::pending().boxed()
    }
}

/// A stored entry, as [`Backend::read`] shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The bytes as stored.
    pub value: &'a [u8],
    /// As stored; empty means `application/octet-stream`.
    pub content_type: &'a [u8],
    /// What is left of its time to live, if it has one.
    pub ttl_left: Option<Duration>,
}

/// A stored entry, as [`Backend::show`] shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown<'a> {
    /// What [`Backend::read`] shows of it.
    pub entry: Entry<'a>,
    /// The write that made it.
    pub version: Version,
}
