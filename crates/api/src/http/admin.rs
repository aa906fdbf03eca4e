//! The routes under `/_/`.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use hyper::body::Incoming;
use serde::Serialize;

use super::activity::Activity;
use super::body::Body;
use super::door::{Answer, Door, options, redirect};
use super::problem::Problem;
use super::target::{self, path_of};
use super::{events, exposition, leave, log, membership, mget, openapi, page, query};
use crate::{Change, KeysPage, KeysQuery, Readiness};

const READ: &str = "GET, HEAD, OPTIONS";
const ACT: &str = "POST, OPTIONS";
const BOTH: &str = "GET, HEAD, POST, OPTIONS";

const KEYS_DEFAULT: usize = 100;
const KEYS_MAX: usize = 1000;

/// What lies under `/_/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Page,
    Livez,
    Readyz,
    Status,
    Metrics,
    Members,
    Slots,
    Figures,
    Owner,
    Keys,
    MultiGet,
    Events,
    Log,
    OpenApi,
    Reload,
    Weight,
    Drain,
    Leave,
    Event,
    Query,
    Keyring,
    Reachability,
    Join,
    Remove,
    RoundTrip,
    Tags,
}

impl Route {
    /// Every route with its path after `/_/`; the owner's goes on with a key.
    pub(super) const ALL: &[(&'static str, Route)] = &[
        ("", Route::Page),
        ("livez", Route::Livez),
        ("readyz", Route::Readyz),
        ("status", Route::Status),
        ("metrics", Route::Metrics),
        ("members", Route::Members),
        ("slots", Route::Slots),
        ("figures", Route::Figures),
        ("owner/", Route::Owner),
        ("keys", Route::Keys),
        ("mget", Route::MultiGet),
        ("events", Route::Events),
        ("log", Route::Log),
        ("openapi.json", Route::OpenApi),
        ("reload", Route::Reload),
        ("weight", Route::Weight),
        ("drain", Route::Drain),
        ("leave", Route::Leave),
        ("event", Route::Event),
        ("query", Route::Query),
        ("keyring", Route::Keyring),
        ("reachability", Route::Reachability),
        ("join", Route::Join),
        ("force-leave", Route::Remove),
        ("rtt", Route::RoundTrip),
        ("tags", Route::Tags),
    ];

    /// The methods that it takes.
    fn allow(self) -> &'static str {
        match self {
            Route::MultiGet
            | Route::Event
            | Route::Query
            | Route::Join
            | Route::Remove
            | Route::Reload
            | Route::Weight
            | Route::Drain
            | Route::Leave => ACT,
            Route::Tags | Route::Keyring => BOTH,
            _ => READ,
        }
    }

    /// The route of a path after `/_/`, and what is left of the path.
    fn find(path: &str) -> Option<(Route, &str)> {
        Route::ALL.iter().find_map(|(name, route)| match (route, path.strip_prefix(name)?) {
            (Route::Owner, rest) => Some((*route, rest)),
            (_, "") => Some((*route, "")),
            _ => None,
        })
    }
}

pub(super) fn answer(
    door: &Arc<Door>,
    head: &Parts,
    path: &str,
    body: Incoming,
    activity: &Arc<Activity>,
) -> Result<Answer, Problem> {
    let found = Route::find(path);
    // The page shows nothing before it is told the secret; a browser asks for permission without one.
    let open = matches!(found, Some((Route::Livez | Route::Readyz | Route::Page, _)));
    if !open && head.method != Method::OPTIONS {
        door.guard.admit_client(&head.headers)?;
    }
    let (route, rest) =
        found.ok_or_else(|| Problem::not_found("there is no such path; /_/openapi.json lists all"))?;
    let allow = route.allow();
    match head.method {
        Method::OPTIONS => return Ok(options(allow)),
        Method::POST if allow != READ => {}
        Method::GET | Method::HEAD if allow != ACT => {}
        _ => return Err(Problem::method_not_allowed(allow)),
    }
    match route {
        Route::MultiGet => {
            let [] = query::parameters(head.uri.query(), [])?;
            mget::answer(door, body, activity)
        }
        Route::Event => membership::event(door, head, body, activity),
        Route::Query => membership::query(door, head, body, activity),
        Route::Keyring => membership::keyring(door, head, body, activity),
        Route::Reachability => membership::reachability(door, head),
        Route::Join => membership::join(door, head),
        Route::Remove => membership::remove(door, head),
        Route::RoundTrip => membership::round_trip(door, head),
        Route::Tags => membership::tags(door, head, body, activity),
        _ => respond(door, head, route, rest),
    }
}

pub(super) fn redirect_to_page(method: &Method) -> Result<Answer, Problem> {
    match *method {
        Method::GET | Method::HEAD => Ok(redirect("/_/")),
        Method::OPTIONS => Ok(options(READ)),
        _ => Err(Problem::method_not_allowed(READ)),
    }
}

/// The answer to a request without a body.
fn respond(door: &Arc<Door>, head: &Parts, route: Route, rest: &str) -> Result<Answer, Problem> {
    if !matches!(route, Route::Keys | Route::Weight | Route::Leave | Route::Events | Route::Log) {
        let [] = query::parameters(head.uri.query(), [])?;
    }
    let response = match route {
        Route::Page => page::response(),
        Route::OpenApi => openapi::response(),
        Route::Livez => json(&serde_json::json!({ "live": true })),
        Route::Readyz => readiness(door),
        Route::Status => json(&door.backend.status()),
        Route::Metrics => exposition::response(&door.registry, &head.headers)?,
        Route::Members => return Ok(pending_json(door.backend.members())),
        Route::Slots => return Ok(pending_json(door.backend.slots())),
        Route::Figures => {
            let gauges = Arc::clone(&door.gauges);
            return Ok(pending_json(async move { gauges.all().await }.boxed()));
        }
        Route::Keys => return keys(door, head.uri.query()),
        Route::Owner => owner(door, &target::key(rest)?),
        Route::Events => events::response(door, head.uri.query())?,
        Route::Log => log::response(door, head.uri.query())?,
        Route::Reload => return change(door, &head.headers, Change::Reload),
        Route::Weight => return change(door, &head.headers, Change::Weight(weight(head.uri.query())?)),
        Route::Drain => return change(door, &head.headers, Change::Drain),
        Route::Leave => leave::response(door, head)?,
        Route::MultiGet
        | Route::Event
        | Route::Query
        | Route::Keyring
        | Route::Reachability
        | Route::Join
        | Route::Remove
        | Route::RoundTrip
        | Route::Tags => return Err(Problem::internal()),
    };
    Ok(Answer::Ready(response))
}

fn readiness(door: &Door) -> Response<Body> {
    match door.backend.readiness() {
        Readiness::Ready => json(&serde_json::json!({ "ready": true })),
        Readiness::Unready { reason } => {
            let mut response = json(&serde_json::json!({ "ready": false, "reason": reason }));
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            response
        }
    }
}

fn owner(door: &Door, key: &[u8]) -> Response<Body> {
    let owner = door.backend.owner(key);
    json(
        &serde_json::json!({ "key": String::from_utf8_lossy(key), "slot": owner.slot, "owner": owner.owner }),
    )
}

fn keys(door: &Door, query: Option<&str>) -> Result<Answer, Problem> {
    let [prefix, cursor, limit] = query::parameters(query, ["prefix", "cursor", "limit"])?;
    let prefix = query::decoded(prefix.unwrap_or_default())?;
    let limit =
        limit.map_or(Ok(KEYS_DEFAULT), str::parse).ok().filter(|limit| (1..=KEYS_MAX).contains(limit));
    let limit =
        limit.ok_or_else(|| Problem::bad_request(format!("limit is a number from 1 to {KEYS_MAX}")))?;
    let page = door.backend.keys(KeysQuery { prefix: &prefix, cursor, limit });
    Ok(Answer::Pending(Box::pin(page.map(|page| match page {
        Ok(page) => json(&KeysJson::from(page)),
        Err(failure) => Problem::from(failure).into_response(),
    }))))
}

#[derive(Serialize)]
struct KeysJson {
    keys: Vec<KeyJson>,
    cursor: Option<String>,
}

/// A key as text, which is lossy when it is not UTF-8, and as the path that names it, which never is.
#[derive(Serialize)]
struct KeyJson {
    key: String,
    path: String,
}

impl From<KeysPage> for KeysJson {
    fn from(page: KeysPage) -> KeysJson {
        let key_json =
            |key: &Bytes| KeyJson { key: String::from_utf8_lossy(key).into_owned(), path: path_of(key) };
        KeysJson { keys: page.keys.iter().map(key_json).collect(), cursor: page.cursor }
    }
}

/// A number, or `None` for `auto`.
fn weight(query: Option<&str>) -> Result<Option<u16>, Problem> {
    let [to] = query::parameters(query, ["to"])?;
    let weight = to.and_then(|to| if to == "auto" { Some(None) } else { to.parse().ok().map(Some) });
    weight
        .ok_or_else(|| Problem::bad_request("say the new weight with ?to=, a number from 0 to 65535 or auto"))
}

fn change(door: &Door, headers: &HeaderMap, change: Change) -> Result<Answer, Problem> {
    door.guard.admit_admin(headers)?;
    Ok(Answer::Pending(Box::pin(door.backend.change(change).map(|changed| match changed {
        Ok(changed) => json(&serde_json::json!({ "changed": changed })),
        Err(reason) => Problem::conflict(reason).into_response(),
    }))))
}

fn pending_json<T: Serialize + 'static>(value: BoxFuture<'static, T>) -> Answer {
    Answer::Pending(Box::pin(value.map(|value| json(&value))))
}

pub(super) fn json(value: &impl Serialize) -> Response<Body> {
    match serde_json::to_string(value) {
        Ok(text) => fresh("application/json", text),
        Err(_) => Problem::internal().into_response(),
    }
}

/// An answer that holds for this moment only.
pub(super) fn fresh(content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_found_by_its_whole_path() {
        assert_eq!(Route::find(""), Some((Route::Page, "")));
        assert_eq!(Route::find("slots"), Some((Route::Slots, "")));
        assert_eq!(Route::find("owner/a/b"), Some((Route::Owner, "a/b")));
        for path in ["slots/", "slotsx", "owner", "x", "Slots", "/"] {
            assert_eq!(Route::find(path), None, "{path}");
        }
    }
}
