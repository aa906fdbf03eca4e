//! Entries as a whole: values with their content types and times to live.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::json;
use ureq::http::Method;

use super::{Client, ClientError, JSON_MAX, key_path};

/// Largest answer with values, in bytes: 16 MiB of them as JSON at its longest.
const VALUES_MAX: u64 = 2 * JSON_MAX;

/// What was found of a key.
#[derive(Debug)]
pub(crate) enum Found {
    /// A value.
    Value(FoundValue),
    /// There is none.
    Nothing,
    /// It cannot be said, with the status and the reason.
    Failed(u16, String),
}

/// A value, with what is kept beside it.
#[derive(Debug)]
pub(crate) struct FoundValue {
    pub(crate) bytes: Vec<u8>,
    pub(crate) content_type: Option<String>,
    pub(crate) ttl: Option<Duration>,
}

#[derive(Deserialize)]
struct Values {
    values: Vec<Value>,
}

/// A value as `/_/mget` gives it.
#[derive(Deserialize)]
struct Value {
    #[serde(rename = "value")]
    text: Option<String>,
    base64: Option<String>,
    content_type: Option<String>,
    ttl_ms: Option<u64>,
    error: Option<Problem>,
}

#[derive(Deserialize)]
struct Problem {
    status: u16,
    detail: String,
}

impl Client {
    /// What there is of several keys, in their order.
    ///
    /// # Errors
    /// See [`ClientError`]; 413 asks for fewer keys at a time.
    pub(crate) fn values(&self, keys: &[&[u8]]) -> Result<Vec<Found>, ClientError> {
        let named = keys.iter().map(|key| match std::str::from_utf8(key) {
            Ok(text) => json!(text),
            Err(_) => json!({ "base64": BASE64_STANDARD.encode(key) }),
        });
        let body = named.collect::<serde_json::Value>().to_string();
        let response = self.call(Method::POST, "/_/mget", body.as_bytes())?;
        if !response.status().is_success() {
            return Err(self.refused(response));
        }
        let read = response.into_body().into_with_config().limit(VALUES_MAX).read_json::<Values>();
        let values = read.map_err(|error| self.failed(error, false))?.values;
        values.into_iter().map(|value| self.found(value)).collect()
    }

    fn found(&self, value: Value) -> Result<Found, ClientError> {
        let Value { text, base64, content_type, ttl_ms, error } = value;
        let bytes = match (error, text, base64) {
            (Some(problem), ..) => return Ok(Found::Failed(problem.status, problem.detail)),
            (None, Some(text), _) => text.into_bytes(),
            (None, None, Some(base64)) => BASE64_STANDARD
                .decode(base64)
                .map_err(|error| self.strange(serde::de::Error::custom(error)))?,
            (None, None, None) => return Ok(Found::Nothing),
        };
        Ok(Found::Value(FoundValue { bytes, content_type, ttl: ttl_ms.map(Duration::from_millis) }))
    }

    /// Creates or replaces a value with its content type; with `keep`, only where there is none. Whether it was written.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) fn put(
        &self,
        key: &[u8],
        value: &[u8],
        content_type: &str,
        ttl_s: Option<u64>,
        keep: bool,
    ) -> Result<bool, ClientError> {
        let query = ttl_s.map(|ttl_s| format!("?ttl={ttl_s}")).unwrap_or_default();
        let path = key_path(key)? + &query;
        let mut request = self.request(Method::PUT, &path).header("content-type", content_type);
        if keep {
            request = request.header("if-none-match", "*");
        }
        let answer =
            request.body(value).map_err(ureq::Error::from).and_then(|request| self.agent.run(request));
        let response = answer.map_err(|error| self.failed(error, true))?;
        match response.status().as_u16() {
            200 | 201 => Ok(true),
            412 if keep => Ok(false),
            _ => Err(self.refused(response)),
        }
    }
}
