//! `/_/events`: what happens in the cluster, as server-sent events, and what is asked for beside.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, future};
use http::Response;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Interval, interval_at};
use tokio_util::sync::CancellationToken;

use super::admin::fresh;
use super::body::Body;
use super::door::Door;
use super::live::{Wanted, shown};
use super::problem::Problem;
use super::query;
use crate::Event;

/// A comment is sent this often, so that proxies keep the connection and dead clients are noticed.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Tells a browser to connect again after this many milliseconds.
const OPENING: &[u8] = b"retry: 2000\n\n";

pub(super) fn response(door: &Door, query: Option<&str>) -> Result<Response<Body>, Problem> {
    let [with] = query::parameters(query, ["with"])?;
    let wanted = with.map_or(Ok(Wanted::default()), Wanted::read)?;
    let place = place(&door.subscribers, "read events and the log")?;
    let (before, events) = door.backend.events();
    let history = wanted.history.then(|| shown("history", &before)).flatten();
    let watched = wanted.shown.into_iter().map(|show| door.live.watch(show, &door.backend, &door.gauges));
    let beside = stream::iter(history).chain(stream::select_all(watched));
    Ok(until(door.closing.clone(), place, events, beside.boxed()))
}

/// A place among those who may do this.
pub(super) fn place(places: &Arc<Semaphore>, what: &str) -> Result<OwnedSemaphorePermit, Problem> {
    Arc::clone(places).try_acquire_owned().map_err(|_| {
        let detail = format!("as many clients as allowed {what}: try again when some of them are done");
        Problem::unavailable(detail, Duration::from_secs(10))
    })
}

/// Events as they come, until they end.
pub(super) fn stream(
    door: &Door,
    place: OwnedSemaphorePermit,
    events: BoxStream<'static, Event>,
) -> Response<Body> {
    until(door.closing.clone(), place, events, stream::pending().boxed())
}

/// Events up to their last, which a door that closes waits for.
pub(super) fn whole(place: OwnedSemaphorePermit, events: BoxStream<'static, Event>) -> Response<Body> {
    until(CancellationToken::new(), place, events, stream::pending().boxed())
}

/// What is shown, whole events, until it ends or the door closes.
pub(super) fn shown_only(
    door: &Door,
    place: OwnedSemaphorePermit,
    shown: BoxStream<'static, Bytes>,
) -> Response<Body> {
    until(door.closing.clone(), place, stream::pending().boxed(), shown)
}

fn until(
    closing: CancellationToken,
    place: OwnedSemaphorePermit,
    events: BoxStream<'static, Event>,
    shown: BoxStream<'static, Bytes>,
) -> Response<Body> {
    let feed = Feed {
        events,
        shown,
        heartbeat: interval_at(Instant::now() + HEARTBEAT, HEARTBEAT),
        closing,
        _place: place,
    };
    let pieces = stream::unfold(feed, |mut feed| async { feed.next().await.map(|piece| (piece, feed)) });
    let opening = stream::once(future::ready(Bytes::from_static(OPENING)));
    let mut response = fresh("text/event-stream", Bytes::new());
    *response.body_mut() = Body::stream(opening.chain(pieces).boxed());
    response
}

struct Feed {
    events: BoxStream<'static, Event>,
    /// What else is shown, whole events.
    shown: BoxStream<'static, Bytes>,
    heartbeat: Interval,
    closing: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl Feed {
    /// The next event or heartbeat; `None` when the node has no more or the door closes.
    async fn next(&mut self) -> Option<Bytes> {
        tokio::select! {
            biased;
            () = self.closing.cancelled() => None,
            event = self.events.next() => event.map(|event| encode(&event)),
            Some(shown) = self.shown.next() => Some(shown),
            _ = self.heartbeat.tick() => Some(Bytes::from_static(b":\n\n")),
        }
    }
}

/// JSON text has no line breaks, so that each event is one line of data.
fn encode(event: &Event) -> Bytes {
    format!("id: {}\nevent: {}\ndata: {}\n\n", event.id, event.kind, event.data).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_block_of_lines() {
        let event = Event { id: 7, kind: "joined".into(), data: serde_json::json!({ "name": "a\nb" }) };
        assert_eq!(encode(&event), "id: 7\nevent: joined\ndata: {\"name\":\"a\\nb\"}\n\n");
    }
}
