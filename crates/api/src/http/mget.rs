//! `POST /_/mget`: several values by one request, as JSON.
//!
//! A key or value that is text comes as text, any other in base64, so that none is ever altered. What failed for one key is said
//! with that key.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::Response;
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};

use super::activity::Activity;
use super::admin::fresh;
use super::body::Body;
use super::door::{Answer, Door};
use super::problem::Problem;
use crate::budget::Share;
use crate::{Action, Command, Failure, Outcome, Reply};

/// Longest key: what clients of RESP wrote is read here, too.
const KEY_BYTES_MAX: usize = 65_535;

/// Keys of one request.
const KEYS_MAX: usize = 1000;

/// Bytes of values in one answer.
const VALUES_MAX: usize = 16 << 20;

/// Values fetched at a time: so many keys, fewer when values turn out so large that a go would bring more bytes than this.
const GO_KEYS: usize = 64;
const FIRST_GO_KEYS: usize = 16;
const GO_BYTES: usize = 4 << 20;

pub(super) fn answer(door: &Arc<Door>, body: Incoming, activity: &Arc<Activity>) -> Result<Answer, Problem> {
    let limit = door.limits.value_bytes;
    door.with_body(body, limit, activity, |door, body| Box::pin(async move { values(&door, &body).await }))
}

async fn values(door: &Door, body: &Bytes) -> Result<Response<Body>, Problem> {
    let keys = keys(body)?;
    let mut share = door.downloads.share();
    let named: usize = keys.iter().map(Vec::len).sum();
    // The answer names them, in base64 at the longest.
    if !share.grow(named + named / 3) {
        return Err(Problem::too_many_bodies());
    }
    let (mut values, mut bytes) = (Vec::with_capacity(keys.len()), 0);
    let mut rest = keys.as_slice();
    while !rest.is_empty() {
        let (go, behind) = rest.split_at(rest.len().min(at_a_time(values.len(), bytes)));
        rest = behind;
        let commands: Vec<Command<'_>> = go.iter().map(|key| Command { key, action: Action::Get }).collect();
        let replies = door.backend.execute_all(&commands).await;
        bytes += take(&mut share, &replies)?;
        if bytes > VALUES_MAX {
            return Err(Problem::too_many_values(VALUES_MAX));
        }
        values.extend(go.iter().zip(replies).map(|(key, reply)| entry(key, reply)));
    }
    let text = json!({ "values": values }).to_string();
    Ok(fresh("application/json", text).map(|body| body.holding(share)))
}

/// A key as a request names it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Named {
    Text(String),
    Base64 { base64: String },
}

/// The keys asked for: a JSON list.
fn keys(body: &[u8]) -> Result<Vec<Vec<u8>>, Problem> {
    let named: Option<Vec<Named>> = serde_json::from_slice(body).ok();
    let bytes = |key| match key {
        Named::Text(text) => Some(text.into_bytes()),
        Named::Base64 { base64 } => BASE64_STANDARD.decode(base64).ok(),
    };
    let keys = named.and_then(|named| named.into_iter().map(bytes).collect::<Option<Vec<_>>>());
    let fits = |key: &Vec<u8>| (1..=KEY_BYTES_MAX).contains(&key.len());
    let keys = keys.filter(|keys| keys.len() <= KEYS_MAX && keys.iter().all(fits));
    keys.ok_or_else(|| {
        Problem::bad_request(format!(
            "the body is a JSON list of at most {KEYS_MAX} keys of 1 to {KEY_BYTES_MAX} bytes: [\"a\", {{\"base64\": \"/w==\"}}]"
        ))
    })
}

/// How many keys to ask for next, after so many values of so many bytes together.
fn at_a_time(values: usize, bytes: usize) -> usize {
    if values == 0 {
        return FIRST_GO_KEYS;
    }
    let average = (bytes / values).max(1);
    (GO_BYTES / average).clamp(1, GO_KEYS)
}

/// Counts the values against the memory for downloads; returns their bytes.
fn take(share: &mut Share, replies: &[Result<Reply, Failure>]) -> Result<usize, Problem> {
    let len = |reply: &Result<Reply, Failure>| match reply {
        Ok(Reply { outcome: Outcome::Value { value, .. }, .. }) => value.len(),
        _ => 0,
    };
    let bytes = replies.iter().map(len).sum();
    // The answer has the values as text, base64 at the longest.
    if share.grow(bytes + bytes / 3) { Ok(bytes) } else { Err(Problem::too_many_bodies()) }
}

/// What is said of one key.
fn entry(key: &[u8], reply: Result<Reply, Failure>) -> Value {
    let mut entry = json!({});
    put(&mut entry, "key", "key_base64", key);
    let outcome = match reply {
        Ok(reply) => reply.outcome,
        Err(failure) => {
            entry["error"] = Problem::from(failure).json();
            return entry;
        }
    };
    let Outcome::Value { value, content_type, version, ttl_left } = outcome else {
        entry["found"] = false.into();
        return entry;
    };
    entry["found"] = true.into();
    entry["etag"] = format!("\"{version}\"").into();
    put(&mut entry, "value", "base64", &value);
    if !content_type.is_empty() {
        entry["content_type"] = String::from_utf8_lossy(&content_type).into();
    }
    if let Some(left) = ttl_left {
        entry["ttl"] = left.as_secs().into();
        entry["ttl_ms"] = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).into();
    }
    entry
}

/// Bytes under one of two names.
fn put(entry: &mut Value, text: &str, base64: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(value) => entry[text] = value.into(),
        Err(_) => entry[base64] = BASE64_STANDARD.encode(bytes).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_the_values_the_fewer_are_fetched_at_a_time() {
        assert_eq!(at_a_time(0, 0), FIRST_GO_KEYS);
        assert_eq!(at_a_time(16, 16 * 64), GO_KEYS);
        assert_eq!(at_a_time(16, 16 << 20), 4);
        assert_eq!(at_a_time(1, 8 << 20), 1);
    }

    #[test]
    fn keys_are_a_list_of_short_strings() {
        assert_eq!(keys(b"[\"a\", {\"base64\": \"/w==\"}]").unwrap(), [&b"a"[..], b"\xff"]);
        assert!(keys(b"[]").unwrap().is_empty());
        let longest = serde_json::to_vec(&["x".repeat(KEY_BYTES_MAX)]).unwrap();
        assert_eq!(keys(&longest).unwrap()[0].len(), KEY_BYTES_MAX);
        let long = serde_json::to_vec(&["x".repeat(KEY_BYTES_MAX + 1)]).unwrap();
        let many = serde_json::to_vec(&vec!["x"; KEYS_MAX + 1]).unwrap();
        for body in [&b""[..], b"{}", b"[1]", b"[\"\"]", b"[\"a\"", b"[{\"base64\":\"?\"}]", &long, &many] {
            assert_eq!(keys(body).unwrap_err().status().as_u16(), 400);
        }
    }
}
