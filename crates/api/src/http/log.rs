//! `/_/log`: what is written to the node's log, as server-sent events.

use std::future::ready;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::Response;

use super::body::Body;
use super::door::Door;
use super::membership::text;
use super::problem::Problem;
use super::{events, live, query};
use crate::Logged;

/// A filter of so many bytes at most is read.
const FILTER_MAX: usize = 256;

pub(super) fn response(door: &Door, query: Option<&str>) -> Result<Response<Body>, Problem> {
    let [level] = query::parameters(query, ["level"])?;
    let filter = text("level", Some(level.unwrap_or("info")))?;
    if filter.len() > FILTER_MAX {
        return Err(Problem::bad_request(format!("level has {FILTER_MAX} bytes at most")));
    }
    let place = events::place(&door.subscribers, "read events and the log")?;
    let records = door.backend.log(&filter)?.filter_map(|logged| ready(encode(&logged)));
    Ok(events::shown_only(door, place, records.boxed()))
}

fn encode(logged: &Logged) -> Option<Bytes> {
    match logged {
        Logged::Record(record) => Some(format!("event: log\ndata: {record}\n\n").into()),
        Logged::Missed(records) => live::shown("missed", &serde_json::json!({ "records": records })),
    }
}
