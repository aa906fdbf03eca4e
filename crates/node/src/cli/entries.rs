//! Entries as lines of JSON, which `boato export` writes and `boato import` reads.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    /// As HTTP has it; `None`: it was not given one.
    pub(super) content_type: Option<String>,
    /// When it expires, in milliseconds since the Unix epoch.
    pub(super) expires_at_ms: Option<u64>,
}

/// `{"key":"a","value":"b"}`; what is not text is in `key_base64`, `value_base64`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at_ms: Option<u64>,
}

/// A line that is no entry.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("{0} is not base64")]
    Base64(&'static str),
    #[error("give either {0} or {0}_base64")]
    Either(&'static str),
}

impl Entry {
    /// The line, without its end.
    pub(super) fn to_line(&self) -> String {
        let (key, key_base64) = text_or_base64(&self.key);
        let (value, value_base64) = text_or_base64(&self.value);
        let (content_type, expires_at_ms) = (self.content_type.clone(), self.expires_at_ms);
        let line = Line { key, key_base64, value, value_base64, content_type, expires_at_ms };
        serde_json::to_string(&line).expect("invariant: strings and numbers are JSON")
    }

    pub(super) fn from_line(line: &str) -> Result<Self, LineError> {
        let line: Line = serde_json::from_str(line)?;
        Ok(Self {
            key: bytes("key", line.key, line.key_base64)?,
            value: bytes("value", line.value, line.value_base64)?,
            content_type: line.content_type,
            expires_at_ms: line.expires_at_ms,
        })
    }

    /// The key, for people.
    pub(super) fn shown(&self) -> String {
        shown(&self.key)
    }
}

/// A key, for people: what is no text is escaped.
pub(super) fn shown(key: &[u8]) -> String {
    format!("\"{}\"", key.escape_ascii())
}

/// The line for a key that is not there.
pub(super) fn nothing(key: &[u8]) -> String {
    match text_or_base64(key) {
        (Some(text), _) => serde_json::json!({ "key": text, "value": null }),
        (None, base64) => serde_json::json!({ "key_base64": base64, "value": null }),
    }
    .to_string()
}

fn text_or_base64(bytes: &[u8]) -> (Option<String>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(BASE64_STANDARD.encode(bytes))),
    }
}

fn bytes(name: &'static str, text: Option<String>, base64: Option<String>) -> Result<Vec<u8>, LineError> {
    match (text, base64) {
        (Some(text), None) => Ok(text.into_bytes()),
        (None, Some(base64)) => BASE64_STANDARD.decode(base64).map_err(|_| LineError::Base64(name)),
        _ => Err(LineError::Either(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_carry_every_byte() {
        for (key, value, expires_at_ms) in [
            (&b"a"[..], &b"b\n\"\0"[..], None),
            (b"\xff", b"", Some(7)),
            (b"caf\xc3\xa9", b"\xc3", Some(u64::MAX)),
        ] {
            let content_type = expires_at_ms.map(|_| "text/html".to_owned());
            let entry = Entry { key: key.to_vec(), value: value.to_vec(), content_type, expires_at_ms };
            let line = entry.to_line();
            assert!(!line.contains('\n'));
            assert_eq!(Entry::from_line(&line).unwrap(), entry);
        }
    }

    #[test]
    fn other_lines_say_what_is_wrong() {
        for (line, reason) in [
            (r#"{"key":"a"}"#, "value or value_base64"),
            (r#"{"key":"a","value":"b","value_base64":"Yg=="}"#, "value or value_base64"),
            (r#"{"key_base64":"?","value":"b"}"#, "key is not base64"),
            (r#"{"key":"a","value":"b","ttl":7}"#, "unknown field"),
            ("a b", "expected value"),
        ] {
            let error = Entry::from_line(line).unwrap_err().to_string();
            assert!(error.contains(reason), "{line}: {error}");
        }
    }
}
