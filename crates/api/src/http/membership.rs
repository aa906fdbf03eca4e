//! The routes of a node that is one of several: events, queries, tags, distances.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::request::Parts;
use http::{Method, Response, StatusCode};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};

use super::activity::Activity;
use super::admin::json;
use super::body::Body;
use super::door::{Answer, Door};
use super::problem::Problem;
use super::{events, query};
use crate::{Declined, KeyChange, Membership, Query, TagChange};

/// Largest body of these routes, in bytes: tags take the most.
const BODY_MAX: usize = 256 << 10;

/// Longest time for answers to a query, in seconds.
const TIMEOUT_S_MAX: u64 = 600;

/// Most relays of an answer to a query.
const RELAYS_MAX: u64 = 16;

/// What these routes are about.
pub(super) fn of(door: &Door) -> Result<&dyn Membership, Problem> {
    door.backend.membership().ok_or_else(|| Problem::not_found("this node is no member of a cluster"))
}

/// `POST /_/event?name=deploy`, the payload as its body.
pub(super) fn event(
    door: &Arc<Door>,
    head: &Parts,
    body: Incoming,
    activity: &Arc<Activity>,
) -> Result<Answer, Problem> {
    let [name] = query::parameters(head.uri.query(), ["name"])?;
    let name = text("name", name)?;
    door.with_body(body, BODY_MAX, activity, move |door, payload| {
        async move {
            of(&door)?.event(name, payload).await?;
            Ok(accepted(&serde_json::json!({ "sent": true })))
        }
        .boxed()
    })
}

/// `POST /_/query?name=load&nodes=web*,db1&tags=role=db&timeout=5&relays=2&acks=false`, the payload as its body: what comes of
/// it as server-sent events.
pub(super) fn query(
    door: &Arc<Door>,
    head: &Parts,
    body: Incoming,
    activity: &Arc<Activity>,
) -> Result<Answer, Problem> {
    let names = ["name", "nodes", "tags", "timeout", "relays", "acks"];
    let [name, nodes, tags, timeout, relays, acks] = query::parameters(head.uri.query(), names)?;
    let number = |name, value: Option<&str>, max: u64| {
        let number = value.map(|text| text.parse().ok().filter(|number| *number <= max));
        number.map(|number| {
            number.ok_or_else(|| Problem::bad_request(format!("{name} is a number up to {max}")))
        })
    };
    let timeout = number("timeout", timeout, TIMEOUT_S_MAX).transpose()?.map(Duration::from_secs);
    let relays = number("relays", relays, RELAYS_MAX).transpose()?.unwrap_or(0);
    let acks = flag("acks", acks)?.unwrap_or(true);
    let pair = |text: String| match text.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(Problem::bad_request("tags are key=value,key=value")),
    };
    let query = Query {
        name: text("name", name)?,
        payload: Bytes::new(),
        nodes: list("nodes", nodes)?,
        tags: list("tags", tags)?.into_iter().map(pair).collect::<Result<_, _>>()?,
        acks,
        relays: u8::try_from(relays).unwrap_or(u8::MAX),
        timeout,
    };
    let place = events::place(&door.askers, "wait for answers to queries")?;
    door.with_body(body, BODY_MAX, activity, move |door, payload| {
        async move {
            let replies = of(&door)?.query(Query { payload, ..query }).await?;
            Ok(events::stream(&door, place, replies))
        }
        .boxed()
    })
}

/// `GET /_/keyring`, or `POST /_/keyring` with a [`KeyChange`] like `{"use": "0123456789abcdef"}`; `?force=true` removes a
/// secret that members may need to come back.
pub(super) fn keyring(
    door: &Arc<Door>,
    head: &Parts,
    body: Incoming,
    activity: &Arc<Activity>,
) -> Result<Answer, Problem> {
    let [force] = query::parameters(head.uri.query(), ["force"])?;
    door.guard.admit_admin(&head.headers)?;
    if head.method != Method::POST {
        return Ok(pending(of(door)?.keys()));
    }
    let force = flag("force", force)?.unwrap_or(false);
    let local = activity.is_local();
    door.with_body(body, BODY_MAX, activity, move |door, body| {
        async move {
            let change: KeyChange =
                parse(&body, r#"{"install": "SECRET"}, {"use": "ID"} or {"remove": "ID"}"#)?;
            if matches!(change, KeyChange::Install(_)) && !local {
                let detail = "a secret is taken from clients on the node's own machine only, as HTTP does not encrypt it: \
                              run boato keys install there (in a container: inside it)";
                return Err(Problem::forbidden(detail));
            }
            Ok(json(&of(&door)?.change_keys(change, force).await?))
        }
        .boxed()
    })
}

/// `GET /_/reachability`.
pub(super) fn reachability(door: &Door, head: &Parts) -> Result<Answer, Problem> {
    let [] = query::parameters(head.uri.query(), [])?;
    Ok(pending(of(door)?.reachability()))
}

/// `POST /_/join?addr=web1:7400`.
pub(super) fn join(door: &Door, head: &Parts) -> Result<Answer, Problem> {
    let [addr] = query::parameters(head.uri.query(), ["addr"])?;
    door.guard.admit_admin(&head.headers)?;
    let done = of(door)?.join(text("addr", addr)?);
    Ok(pending(done.map(|done| done.map(|()| serde_json::json!({ "joined": true }))).boxed()))
}

/// `POST /_/force-leave?member=web1&prune=true`.
pub(super) fn remove(door: &Door, head: &Parts) -> Result<Answer, Problem> {
    let [member, prune] = query::parameters(head.uri.query(), ["member", "prune"])?;
    door.guard.admit_admin(&head.headers)?;
    let prune = flag("prune", prune)?.unwrap_or(false);
    let done = of(door)?.remove(text("member", member)?, prune);
    Ok(pending(done.map(|done| done.map(|()| serde_json::json!({ "removed": true }))).boxed()))
}

/// `GET /_/rtt?from=web1&to=web2`.
pub(super) fn round_trip(door: &Door, head: &Parts) -> Result<Answer, Problem> {
    let [from, to] = query::parameters(head.uri.query(), ["from", "to"])?;
    let (from, to) = (text("from", from)?, text("to", to)?);
    Ok(pending(of(door)?.round_trip(from, to)))
}

/// `GET /_/tags`, or `POST /_/tags` with a [`Change`].
pub(super) fn tags(
    door: &Arc<Door>,
    head: &Parts,
    body: Incoming,
    activity: &Arc<Activity>,
) -> Result<Answer, Problem> {
    let [] = query::parameters(head.uri.query(), [])?;
    if head.method != Method::POST {
        return Ok(Answer::Ready(json(&of(door)?.tags())));
    }
    door.guard.admit_admin(&head.headers)?;
    door.with_body(body, BODY_MAX, activity, move |door, body| {
        async move {
            let change: Change = parse(&body, r#"{"set": {"role": "db"}, "remove": ["rack"]}"#)?;
            let Change { set, remove } = change;
            let membership = of(&door)?;
            membership.change_tags(TagChange { set, remove }).await?;
            Ok(json(&membership.tags()))
        }
        .boxed()
    })
}

/// A change of tags, as JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    #[serde(default)]
    set: BTreeMap<String, String>,
    #[serde(default)]
    remove: Vec<String>,
}

/// A parameter that is true or false.
pub(super) fn flag(name: &str, value: Option<&str>) -> Result<Option<bool>, Problem> {
    let flag = value
        .map(|value| value.parse().map_err(|_| Problem::bad_request(format!("{name} is true or false"))));
    flag.transpose()
}

/// Texts, separated by commas before they were escaped.
fn list(name: &str, value: Option<&str>) -> Result<Vec<String>, Problem> {
    let values = value.unwrap_or_default().split(',').filter(|value| !value.is_empty());
    values.map(|value| text(name, Some(value))).collect()
}

/// A parameter that has to be there, as text.
pub(super) fn text(name: &str, value: Option<&str>) -> Result<String, Problem> {
    let value = value.ok_or_else(|| Problem::bad_request(format!("say which: ?{name}=...")))?;
    String::from_utf8(query::decoded(value)?)
        .map_err(|_| Problem::bad_request(format!("the query parameter {name} is not UTF-8")))
}

fn parse<'a, T: Deserialize<'a>>(body: &'a Bytes, like: &str) -> Result<T, Problem> {
    serde_json::from_slice(body)
        .map_err(|error| Problem::bad_request(format!("the body is JSON like {like}: {error}")))
}

fn pending<T: Serialize + 'static>(value: BoxFuture<'static, Result<T, Declined>>) -> Answer {
    Answer::Pending(Box::pin(value.map(|value| match value {
        Ok(value) => json(&value),
        Err(declined) => Problem::from(declined).into_response(),
    })))
}

fn accepted(value: &impl Serialize) -> Response<Body> {
    let mut response = json(value);
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}
