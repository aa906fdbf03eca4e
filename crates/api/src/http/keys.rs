//! `GET|HEAD|PUT|POST|DELETE /{key}`: requests become commands, replies become responses.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use hyper::body::{Body as _, Incoming};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::access;
use super::activity::Activity;
use super::body::Body;
use super::door::{Answer, Door, options, status};
use super::precondition::{Preconditions, Read};
use super::problem::Problem;
use super::{query, ttl};
use crate::budget::Budget;
use crate::{Action, Command, Condition, Execution, Expiry, Failure, Outcome, Reply, Source, Trace, Version};

const ALLOW: &str = "GET, HEAD, PUT, POST, DELETE, OPTIONS";
const X_SOURCE: HeaderName = HeaderName::from_static("x-source");
const X_HOSTNAME: HeaderName = HeaderName::from_static("x-hostname");
const OCTET_STREAM: HeaderValue = HeaderValue::from_static("application/octet-stream");
const FORM: &[u8] = b"application/x-www-form-urlencoded";

/// Longest `Content-Type` a value may have, in bytes.
const CONTENT_TYPE_BYTES_MAX: usize = 255;

/// Values up to this size, in bytes, are sent without counting against the memory for downloads.
pub(super) const SMALL_VALUE_BYTES: usize = 4096;

pub(super) fn answer(
    door: &Arc<Door>,
    head: &Parts,
    key: &[u8],
    body: Incoming,
    activity: &Arc<Activity>,
) -> Result<Answer, Problem> {
    match head.method {
        Method::GET | Method::HEAD => read(door, head, key),
        Method::PUT | Method::POST => write(door, head, key, body, activity),
        Method::DELETE => remove(door, head, key),
        Method::OPTIONS => Ok(options(ALLOW)),
        _ => Err(Problem::method_not_allowed(ALLOW)),
    }
}

fn read(door: &Arc<Door>, head: &Parts, key: &[u8]) -> Result<Answer, Problem> {
    let [] = query::parameters(head.uri.query(), [])?;
    let preconditions = Preconditions::parse(&head.headers)?;
    let execution = execute(door, access::trace(head), &Command { key, action: Action::Get });
    let door = Arc::clone(door);
    Ok(when_done(execution, move |reply| read_response(reply, &preconditions, &door.downloads)))
}

fn remove(door: &Arc<Door>, head: &Parts, key: &[u8]) -> Result<Answer, Problem> {
    let [] = query::parameters(head.uri.query(), [])?;
    let condition = Preconditions::parse(&head.headers)?.condition()?;
    let action = Action::Delete { condition, previous: false };
    Ok(when_done(execute(door, access::trace(head), &Command { key, action }), write_response))
}

/// Judges everything that the head tells before it asks for the body.
fn write(
    door: &Arc<Door>,
    head: &Parts,
    key: &[u8],
    body: Incoming,
    activity: &Arc<Activity>,
) -> Result<Answer, Problem> {
    let [ttl, incr] = query::parameters(head.uri.query(), ["ttl", "incr"])?;
    let ttl = ttl::parse(&head.headers, ttl)?;
    let condition = Preconditions::parse(&head.headers)?.condition()?;
    if let Some(by) = incr {
        if condition != Condition::Always || !body.is_end_stream() || head.method != Method::POST {
            return Err(Problem::bad_request("?incr takes POST, no body and no If-Match or If-None-Match"));
        }
        return add(door, head, key, by, ttl);
    }
    let content_type = content_type(&head.headers)?;
    door.uploads.admit(&body)?;
    let trace = access::trace(head);
    let (door, key, activity) = (Arc::clone(door), Bytes::copy_from_slice(key), Arc::clone(activity));
    Ok(Answer::Pending(Box::pin(async move {
        let (value, _share) = match door.uploads.read(body).await {
            Ok(whole) => whole,
            Err(problem) => return problem.into_response(),
        };
        activity.set_unread(false);
        let content_type = content_type.as_ref().map_or(&b""[..], HeaderValue::as_bytes);
        let expiry = ttl.map_or(Expiry::Never, Expiry::After);
        let action = Action::Put { value: &value, content_type, expiry, condition, previous: false };
        match execute(&door, trace, &Command { key: &key, action }) {
            Execution::Ready(reply) => write_response(reply),
            Execution::Pending(reply) => write_response(reply.await),
        }
    })))
}

/// Adds to a counter. A second time is not the same as once, so it is no PUT.
fn add(
    door: &Arc<Door>,
    head: &Parts,
    key: &[u8],
    by: &str,
    ttl: Option<Duration>,
) -> Result<Answer, Problem> {
    let by =
        by.parse().map_err(|_| Problem::bad_request("incr is a whole number of 64 bits, say ?incr=1"))?;
    let command = Command { key, action: Action::Add { by, ttl } };
    Ok(when_done(execute(door, access::trace(head), &command), write_response))
}

fn execute(door: &Door, trace: Option<Trace>, command: &Command<'_>) -> Execution {
    match trace {
        Some(trace) => door.backend.execute_traced(command, trace),
        None => door.backend.execute(command),
    }
}

fn when_done(
    execution: Execution,
    respond: impl FnOnce(Result<Reply, Failure>) -> Response<Body> + Send + 'static,
) -> Answer {
    match execution {
        Execution::Ready(reply) => Answer::Ready(respond(reply)),
        Execution::Pending(reply) => Answer::Pending(Box::pin(reply.map(respond))),
    }
}

/// The type to store: `None` for none and for a form's, which is what `curl -d` sends whatever it carries.
fn content_type(headers: &HeaderMap) -> Result<Option<HeaderValue>, Problem> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() || value.len() > CONTENT_TYPE_BYTES_MAX {
        let detail = format!("a value has one Content-Type of at most {CONTENT_TYPE_BYTES_MAX} bytes");
        return Err(Problem::bad_request(detail));
    }
    let essence = value.as_bytes().split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    Ok(Some(value.clone()).filter(|_| !essence.is_empty() && !essence.eq_ignore_ascii_case(FORM)))
}

fn read_response(
    result: Result<Reply, Failure>,
    preconditions: &Preconditions,
    downloads: &Arc<Budget>,
) -> Response<Body> {
    let Reply { source, holder, outcome } = match result {
        Ok(reply) => reply,
        Err(failure) => return Problem::from(failure).into_response(),
    };
    let mut response = match outcome {
        Outcome::Value { value, content_type, version, ttl_left } => {
            let mut response = match preconditions.judge_read(version) {
                Read::Send => value_response(value, content_type, downloads),
                Read::NotModified => status(StatusCode::NOT_MODIFIED),
                Read::Failed => refused(),
            };
            response.headers_mut().insert(ETAG, etag(version));
            if let Some(left) = ttl_left {
                response.headers_mut().insert(CACHE_CONTROL, max_age(left.as_secs()));
            }
            response
        }
        Outcome::Missing if preconditions.needs_value() => refused(),
        Outcome::Missing => not_found(),
        _ => Problem::internal().into_response(),
    };
    stamp(response.headers_mut(), source, &holder);
    response
}

fn write_response(result: Result<Reply, Failure>) -> Response<Body> {
    let Reply { source, holder, outcome } = match result {
        Ok(reply) => reply,
        Err(failure) => return Problem::from(failure).into_response(),
    };
    let (mut response, version) = match outcome {
        Outcome::Created(version) => (status(StatusCode::CREATED), Some(version)),
        Outcome::Replaced { version, .. } => (status(StatusCode::OK), Some(version)),
        Outcome::Deleted { .. } => (status(StatusCode::NO_CONTENT), None),
        Outcome::Missing => (not_found(), None),
        Outcome::Refused { version, .. } => (refused(), version),
        Outcome::Full => (Problem::memory_full().into_response(), None),
        Outcome::Integer { value, version } => (number(value), Some(version)),
        Outcome::NotAnInteger => (
            Problem::conflict("the key's value is no whole number of 64 bits; nothing was changed")
                .into_response(),
            None,
        ),
        Outcome::Overflow => (
            Problem::conflict("the sum does not fit a whole number of 64 bits; nothing was changed")
                .into_response(),
            None,
        ),
        _ => (Problem::internal().into_response(), None),
    };
    if let Some(version) = version {
        response.headers_mut().insert(ETAG, etag(version));
    }
    stamp(response.headers_mut(), source, &holder);
    response
}

/// 200 with a value. A browser neither guesses its type nor runs it with the rights of the door's own page.
fn value_response(value: Bytes, content_type: Bytes, downloads: &Arc<Budget>) -> Response<Body> {
    let mut share = downloads.share();
    let is_large = value.len() > SMALL_VALUE_BYTES;
    if is_large && !share.grow(value.len()) {
        return Problem::too_many_bodies().into_response();
    }
    let body = Body::full(value);
    let mut response = Response::new(if is_large { body.holding(share) } else { body });
    let headers = response.headers_mut();
    headers.reserve(8);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if content_type.is_empty() {
        headers.insert(CONTENT_TYPE, OCTET_STREAM);
    } else {
        headers.insert(CONTENT_TYPE, HeaderValue::from_maybe_shared(content_type).unwrap_or(OCTET_STREAM));
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    }
    response
}

fn number(value: i64) -> Response<Body> {
    let mut response = Response::new(Body::full(value.to_string()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

fn not_found() -> Response<Body> {
    let mut response = Response::new(Body::full("key not found"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

fn refused() -> Response<Body> {
    Problem::precondition_failed("the key's value is not of the version asked for; read it and try again")
        .into_response()
}

/// Says who answered; every answer about a key carries it.
fn stamp(headers: &mut HeaderMap, source: Source, holder: &str) {
    let source = match source {
        Source::Local => HeaderValue::from_static("local"),
        Source::Cluster => HeaderValue::from_static("cluster"),
    };
    headers.insert(X_SOURCE, source);
    headers.insert(X_HOSTNAME, text(holder));
}

/// A node's name as a header, escaped when it has bytes a header cannot carry.
fn text(name: &str) -> HeaderValue {
    HeaderValue::from_str(name).unwrap_or_else(|_| {
        let escaped = Cow::from(utf8_percent_encode(name, NON_ALPHANUMERIC));
        HeaderValue::from_str(&escaped).expect("invariant: percent-encoded text is visible ASCII")
    })
}

fn etag(version: Version) -> HeaderValue {
    use std::fmt::Write;
    let mut text = BytesMut::with_capacity(52);
    write!(text, "\"{version}\"").expect("invariant: a buffer takes all text");
    HeaderValue::from_maybe_shared(text.freeze()).expect("invariant: hexadecimal digits fit a header")
}

fn max_age(seconds: u64) -> HeaderValue {
    HeaderValue::try_from(format!("max-age={seconds}")).expect("invariant: digits fit a header")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(values: &[&str]) -> Result<Option<String>, u16> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CONTENT_TYPE, value.parse().unwrap());
        }
        content_type(&headers)
            .map(|value| value.map(|value| value.to_str().unwrap().to_owned()))
            .map_err(|problem| problem.status().as_u16())
    }

    #[test]
    fn a_forms_type_is_none() {
        for values in [
            &[][..],
            &[""],
            &["application/x-www-form-urlencoded"],
            &["Application/X-WWW-form-urlencoded ; charset=x"],
        ] {
            assert_eq!(stored(values), Ok(None), "{values:?}");
        }
        assert_eq!(stored(&["text/html; charset=utf-8"]), Ok(Some("text/html; charset=utf-8".into())));
        assert_eq!(stored(&["application/x-www-form-urlencodedx"]).unwrap().unwrap().len(), 34);
    }

    #[test]
    fn one_type_of_bounded_length_is_taken() {
        assert_eq!(stored(&["a/b", "a/b"]), Err(400));
        assert_eq!(stored(&[&"x".repeat(CONTENT_TYPE_BYTES_MAX + 1)]), Err(400));
    }

    #[test]
    fn names_that_no_header_carries_are_escaped() {
        assert_eq!(text("node-1 a"), "node-1 a");
        assert_eq!(text("n\u{f6}de\n"), "n%C3%B6de%0A");
    }
}
