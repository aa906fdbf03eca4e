//! What happened, for the log's readers and the subscribers of `/_/events`.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};

use boato_api::Event;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// Events kept for a subscriber that is slow.
const EVENTS: usize = 1024;

/// The kinds of events.
pub(crate) const KINDS: [&str; 18] = [
    "joined",
    "updated",
    "suspected",
    "recovered",
    "failed",
    "left",
    "removed",
    "user",
    "name_conflict",
    "name_regained",
    "streams_only",
    "cluster_begun",
    "cluster_joined",
    "member_unanswered",
    "slots_lost",
    "slots_merging",
    "keys_superseded",
    MISSED,
];

/// Tells a subscriber that it was too slow.
const MISSED: &str = "missed";

/// Numbers events and passes them on.
#[derive(Debug)]
pub(crate) struct Journal {
    sender: broadcast::Sender<Event>,
    count: AtomicU64,
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self { sender: broadcast::Sender::new(EVENTS), count: AtomicU64::new(0) }
    }

    pub(crate) fn write(&self, kind: &'static str, data: serde_json::Value) {
        debug_assert!(KINDS.contains(&kind), "{kind} is not among the kinds of events");
        let id = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        // Nobody may be listening.
        let _ = self.sender.send(Event { id, kind: Cow::Borrowed(kind), data });
    }

    /// What is written from now on; a gap is told by an event `missed`.
    pub(crate) fn read(&self) -> BoxStream<'static, Event> {
        let receiver = self.sender.subscribe();
        stream::unfold((receiver, 0), |(mut receiver, last)| async move {
            match receiver.recv().await {
                Ok(event) => {
                    let id = event.id;
                    Some((event, (receiver, id)))
                }
                Err(RecvError::Lagged(missed)) => {
                    let data = serde_json::json!({ "events": missed });
                    let id = last + missed;
                    Some((Event { id, kind: Cow::Borrowed(MISSED), data }, (receiver, id)))
                }
                Err(RecvError::Closed) => None,
            }
        })
        .boxed()
    }
}
