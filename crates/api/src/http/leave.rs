//! `POST /_/leave`: the end of a node, and how it comes to it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use http::request::Parts;
use http::{Response, StatusCode};
use serde_json::json;
use tokio::time::{Interval, interval};

use super::body::Body;
use super::door::Door;
use super::membership::flag;
use super::problem::Problem;
use super::{admin, events, query};
use crate::{Backend, Departure, Event};

/// Clients that may wait for the node to leave, beside those that read events.
pub(super) const WAITING_MAX: usize = 8;

/// How often it is said what is left.
const LOOK: Duration = Duration::from_millis(200);

/// 202 at once; with `?wait=true` a stream of events instead: `progress` now and then, `left` in the end.
pub(super) fn response(door: &Door, head: &Parts) -> Result<Response<Body>, Problem> {
    let [wait] = query::parameters(head.uri.query(), ["wait"])?;
    let wait = flag("wait", wait)?.unwrap_or(false);
    door.guard.admit_admin(&head.headers)?;
    if wait {
        let place = events::place(&door.leavers, "wait until this node has left")?;
        let departed = door.backend.departed();
        door.backend.leave()?;
        return Ok(events::whole(place, progress(Arc::clone(&door.backend), departed)));
    }
    door.backend.leave()?;
    let mut response = admin::json(&json!({ "leaving": true }));
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

fn progress(backend: Arc<dyn Backend>, departed: BoxFuture<'static, Departure>) -> BoxStream<'static, Event> {
    let state = Some((backend, departed, interval(LOOK), 1));
    stream::unfold(state, |state| async {
        let (backend, mut departed, mut ticks, id): (_, _, Interval, u64) = state?;
        tokio::select! {
            biased;
            departure = &mut departed => {
                let data = json!({ "slots_lost": departure.slots_lost, "entries_lost": departure.entries_lost });
                Some((Event { id, kind: "left".into(), data }, None))
            }
            _ = ticks.tick() => {
                let left = backend.status();
                let data = json!({ "slots": left.slots, "entries": left.entries, "bytes": left.bytes });
                Some((Event { id, kind: "progress".into(), data }, Some((backend, departed, ticks, id + 1))))
            }
        }
    })
    .boxed()
}
