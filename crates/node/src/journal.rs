//! What happened, for the log's readers and the subscribers of `/_/events`.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

use boato_api::Event;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use parking_lot::Mutex;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// Events kept for a subscriber that is slow, beside the user events of one recall.
const EVENTS: usize = 1024;

/// The last events that are kept for who comes later.
const LAST: usize = 100;

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

/// Tells a subscriber that it was too slow, or all that this node was, before it could write.
const MISSED: &str = "missed";

/// Numbers events, says when they were, passes them on and keeps the last.
#[derive(Debug)]
pub(crate) struct Journal {
    sender: broadcast::Sender<Event>,
    /// Held while an event is sent, too, so that who reads misses none and gets none twice.
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    count: u64,
    last: VecDeque<Event>,
}

impl Journal {
    /// `recalled`: as many user events one recall can bring at once; so many more are kept for slow subscribers.
    pub(crate) fn new(recalled: usize) -> Self {
        let written = Written { count: 0, last: VecDeque::with_capacity(LAST) };
        Self { sender: broadcast::Sender::new(EVENTS + recalled), written: Mutex::new(written) }
    }

    /// `data` is an object, which is given the time as `at_ms`.
    pub(crate) fn write(&self, kind: &'static str, mut data: serde_json::Value) {
        debug_assert!(KINDS.contains(&kind), "{kind} is not among the kinds of events");
        data["at_ms"] = now_ms().into();
        let mut written = self.written.lock();
        written.count += 1;
        let event = Event { id: written.count, kind: Cow::Borrowed(kind), data };
        if written.last.len() == LAST {
            written.last.pop_front();
        }
        written.last.push_back(event.clone());
        // Nobody may be listening.
        let _ = self.sender.send(event);
    }

    /// Events did not get here: they came faster than this node took them.
    pub(crate) fn miss(&self, events: u64) {
        tracing::warn!(
            events,
            "events of this node were missed, user events and queries perhaps among them: they came faster than it took \
             them; give it more processor, or send less often"
        );
        self.write(MISSED, serde_json::json!({ "events": events }));
    }

    /// The last events, oldest first, and all from then on, as [`read`](Self::read) gives them.
    pub(crate) fn read_all(&self) -> (Vec<Event>, BoxStream<'static, Event>) {
        let written = self.written.lock();
        (written.last.iter().cloned().collect(), self.follow(written.count))
    }

    /// What is written from now on; a gap is told by an event `missed`.
    pub(crate) fn read(&self) -> BoxStream<'static, Event> {
        let written = self.written.lock();
        self.follow(written.count)
    }

    /// What follows the event `last`, the newest one. To be called while nothing can be written.
    fn follow(&self, last: u64) -> BoxStream<'static, Event> {
        let receiver = self.sender.subscribe();
        stream::unfold((receiver, last), |(mut receiver, last)| async move {
            match receiver.recv().await {
                Ok(event) => {
                    let id = event.id;
                    Some((event, (receiver, id)))
                }
                Err(RecvError::Lagged(missed)) => {
                    let data = serde_json::json!({ "events": missed, "at_ms": now_ms() });
                    let id = last + missed;
                    Some((Event { id, kind: Cow::Borrowed(MISSED), data }, (receiver, id)))
                }
                Err(RecvError::Closed) => None,
            }
        })
        .boxed()
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_comes_late_reads_the_last_events_and_then_each_that_comes_once() {
        let journal = Journal::new(0);
        for _ in 0..=LAST {
            journal.write("joined", serde_json::json!({}));
        }
        let (before, mut next) = journal.read_all();
        journal.write("left", serde_json::json!({ "name": "web1" }));
        let ids: Vec<_> = before.iter().map(|event| event.id).collect();
        assert_eq!(ids, (2..=101).collect::<Vec<_>>());
        let event = next.next().await.unwrap();
        assert_eq!((event.id, &*event.kind, event.data["name"].as_str()), (102, "left", Some("web1")));
        assert!(event.data["at_ms"].as_u64() >= before[0].data["at_ms"].as_u64());
    }

    #[tokio::test]
    async fn who_is_too_slow_is_told_how_many_events_it_missed() {
        let journal = Journal::new(0);
        journal.write("joined", serde_json::json!({}));
        let mut events = journal.read();
        for _ in 0..EVENTS + 2 {
            journal.write("updated", serde_json::json!({}));
        }
        let missed = events.next().await.unwrap();
        assert_eq!((missed.id, &*missed.kind, missed.data["events"].as_u64()), (3, MISSED, Some(2)));
        assert!(missed.data["at_ms"].is_u64());
        assert_eq!(events.next().await.unwrap().id, 4);
    }
}
