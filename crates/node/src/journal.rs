//! What happened, for the log's readers and the subscribers of `/_/events`.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};

use boato_api::Event;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// Events kept for a subscriber that is slow.
const EVENTS: usize = 1024;

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
                    Some((Event { id, kind: Cow::Borrowed("missed"), data }, (receiver, id)))
                }
                Err(RecvError::Closed) => None,
            }
        })
        .boxed()
    }
}
