//! A small HTTP client of a node's front door, for the commands.

mod entries;
mod events;
mod members;
mod question;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::http::request::Builder;
use ureq::http::{Method, Request, Response};
use ureq::{Agent, Body, BodyReader};

use crate::config::{Address, reachable};

/// Longest key in bytes, as the node has it.
const KEY_MAX: usize = 1024;

const CONNECT_MAX: Duration = Duration::from_secs(5);
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Largest JSON document read, in bytes: ten thousand members take about 3 MiB.
const JSON_MAX: u64 = 64 << 20;

/// What stays as it is in the path of a key. Dots are escaped so that nothing on the way takes `..` for a
/// parent.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~').remove(b'/');

pub(crate) use entries::Found;
pub use events::{Events, ServerEvent};
pub use question::Question;

/// Talks to one node.
#[derive(Clone, Debug)]
pub struct Client {
    agent: Agent,
    addr: SocketAddr,
    authorization: Option<String>,
}

/// Why a node gave no answer of use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The host name has no address.
    #[error("cannot resolve {address}")]
    Unresolved {
        /// As given.
        address: Address,
        /// Why.
        source: io::Error,
    },
    /// No connection, or none that lasted.
    #[error("no answer from a node at http://{addr} (is it running? --http ADDR names another){note}")]
    Unreachable {
        /// The node.
        addr: SocketAddr,
        /// What else is to say.
        note: &'static str,
        /// Why.
        source: Box<ureq::Error>,
    },
    /// The node answered that it cannot or may not.
    #[error("the node at http://{addr} answered {status}: {detail}")]
    Refused {
        /// The node.
        addr: SocketAddr,
        /// The HTTP status.
        status: u16,
        /// The reason it gave.
        detail: String,
    },
    /// What answered is no node, or one of a very different version.
    #[error("what answered at http://{addr} does not look like a node")]
    Strange {
        /// The address.
        addr: SocketAddr,
        /// Why.
        source: Box<ureq::Error>,
    },
    /// A stream of events broke off.
    #[error("the node at http://{addr} has ended the stream: it ends itself, or the connection broke")]
    Ended {
        /// The node.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The key cannot be one.
    #[error("a key has 1 to {KEY_MAX} bytes, this one has {0}")]
    Key(usize),
}

/// What came of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// There was no value before.
    Created,
    /// There was one.
    Replaced,
}

/// The error body of a node (RFC 9457).
#[derive(Deserialize)]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
}

impl Client {
    /// A client of the node at `address` (without a host: this machine) that shows `secret` if there is one.
    ///
    /// # Errors
    /// The host name does not resolve.
    pub fn new(address: &Address, secret: Option<&str>) -> Result<Self, ClientError> {
        let addr = address
            .resolve(IpAddr::from(Ipv4Addr::LOCALHOST))
            .map_err(|source| ClientError::Unresolved { address: address.clone(), source })?;
        let config = Agent::config_builder()
            .proxy(None)
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_MAX))
            .timeout_recv_response(Some(ANSWER_MAX))
            .user_agent(concat!("boato/", env!("CARGO_PKG_VERSION")))
            .build();
        let authorization = secret.map(|secret| format!("Bearer {secret}"));
        Ok(Self { agent: config.into(), addr: reachable(addr), authorization })
    }

    /// The value of a key, to be read to its end; `None` when there is none.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn get(&self, key: &[u8]) -> Result<Option<BodyReader<'static>>, ClientError> {
        let response = self.call(Method::GET, &key_path(key)?, &[])?;
        match response.status().as_u16() {
            200 => Ok(Some(response.into_body().into_with_config().limit(u64::MAX).reader())),
            404 => Ok(None),
            _ => Err(self.refused(response)),
        }
    }

    /// Creates or replaces the value of a key; `ttl_s` is its time to live in seconds.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn set(&self, key: &[u8], value: &[u8], ttl_s: Option<u64>) -> Result<Written, ClientError> {
        let query = ttl_s.map(|ttl_s| format!("?ttl={ttl_s}")).unwrap_or_default();
        let response = self.call(Method::PUT, &(key_path(key)? + &query), value)?;
        match response.status().as_u16() {
            201 => Ok(Written::Created),
            200 => Ok(Written::Replaced),
            _ => Err(self.refused(response)),
        }
    }

    /// Adds to a number; `ttl_s` is the time to live, in seconds, of a key that this creates. Returns the sum.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn increment(&self, key: &[u8], by: i64, ttl_s: Option<u64>) -> Result<i64, ClientError> {
        let ttl = ttl_s.map(|ttl_s| format!("&ttl={ttl_s}")).unwrap_or_default();
        let response = self.call(Method::POST, &format!("{}?incr={by}{ttl}", key_path(key)?), &[])?;
        if !response.status().is_success() {
            return Err(self.refused(response));
        }
        let read = response.into_body().into_with_config().limit(64).read_json();
        read.map_err(|error| self.failed(error, true))
    }

    /// A page of the keys that start with a prefix: at most `limit` (up to 1000), from where `cursor` says.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn keys<T: DeserializeOwned>(
        &self,
        prefix: &[u8],
        cursor: Option<&str>,
        limit: u64,
    ) -> Result<T, ClientError> {
        let prefix = percent_encode(prefix, NON_ALPHANUMERIC);
        let cursor = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        self.json(&format!("/_/keys?prefix={prefix}&limit={limit}{cursor}"))
    }

    /// Removes a key. False when there was none.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn delete(&self, key: &[u8]) -> Result<bool, ClientError> {
        let response = self.call(Method::DELETE, &key_path(key)?, &[])?;
        match response.status().as_u16() {
            204 => Ok(true),
            404 => Ok(false),
            _ => Err(self.refused(response)),
        }
    }

    /// A JSON document under `/_/`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let response = self.call(Method::GET, path, &[])?;
        self.read_json(response)
    }

    fn read_json<T: DeserializeOwned>(&self, response: Response<Body>) -> Result<T, ClientError> {
        if !response.status().is_success() {
            return Err(self.refused(response));
        }
        let read = response.into_body().into_with_config().limit(JSON_MAX).read_json();
        read.map_err(|error| self.failed(error, false))
    }

    /// A text under `/_/`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn text(&self, path: &str) -> Result<String, ClientError> {
        let response = self.call(Method::GET, path, &[])?;
        if response.status().as_u16() != 200 {
            return Err(self.refused(response));
        }
        let read = response.into_body().into_with_config().limit(JSON_MAX).read_to_string();
        read.map_err(|error| self.failed(error, false))
    }

    /// Where a key belongs, as JSON.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn owner<T: DeserializeOwned>(&self, key: &[u8]) -> Result<T, ClientError> {
        self.json(&format!("/_/owner/{}", escape(key)?))
    }

    /// Asks the node to hand off its keys and end. Returns when it has begun.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn leave(&self) -> Result<(), ClientError> {
        let response = self.call(Method::POST, "/_/leave", &[])?;
        if response.status().is_success() { Ok(()) } else { Err(self.refused(response)) }
    }

    /// Server-sent events under `path`, as they come, until the node ends or closes the stream.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn events(&self, path: &str) -> Result<Events, ClientError> {
        let response = self.call(Method::GET, path, &[])?;
        self.read_events(response)
    }

    /// What is written to the node's log from now on, down to `level`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn log(&self, level: &str) -> Result<Events, ClientError> {
        self.events(&format!("/_/log?level={}", parameter(level)))
    }

    /// Asks the node to leave, and tells how it goes: events `progress`, of which the last is `left`. They break off after
    /// `longest`, whether the node is heard of or not.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn leave_slowly(&self, longest: Duration) -> Result<Events, ClientError> {
        let request = self.request(Method::POST, "/_/leave?wait=true").body(());
        let limited =
            |request| self.agent.configure_request(request).timeout_recv_body(Some(longest)).build();
        let answer = request.map_err(ureq::Error::from).and_then(|request| self.agent.run(limited(request)));
        let response = answer.map_err(|error| self.failed(error, true))?;
        Ok(self.read_events(response)?.finite())
    }

    fn read_events(&self, response: Response<Body>) -> Result<Events, ClientError> {
        if !response.status().is_success() {
            return Err(self.refused(response));
        }
        Ok(Events::new(response.into_body().into_with_config().limit(u64::MAX).reader(), self.addr))
    }

    /// Asks the node to change something, by POST to a path under `/_/`; gives its answer.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn act(&self, path: &str) -> Result<serde_json::Value, ClientError> {
        let response = self.call(Method::POST, path, &[])?;
        if !response.status().is_success() {
            return Err(self.refused(response));
        }
        self.read_json(response)
    }

    fn request(&self, method: Method, path: &str) -> Builder {
        let request = Request::builder().method(method).uri(format!("http://{}{path}", self.addr));
        match &self.authorization {
            Some(authorization) => request.header("authorization", authorization),
            None => request,
        }
    }

    fn call(&self, method: Method, path: &str, body: &[u8]) -> Result<Response<Body>, ClientError> {
        let write = method != Method::GET;
        let bodiless = matches!(method, Method::GET | Method::DELETE);
        let request = self.request(method, path);
        let answer = if bodiless {
            request.body(()).map_err(ureq::Error::from).and_then(|request| self.agent.run(request))
        } else {
            request.body(body).map_err(ureq::Error::from).and_then(|request| self.agent.run(request))
        };
        answer.map_err(|error| self.failed(error, write))
    }

    fn failed(&self, error: ureq::Error, write: bool) -> ClientError {
        let (addr, source) = (self.addr, Box::new(error));
        match &*source {
            ureq::Error::Timeout(ureq::Timeout::Connect) | ureq::Error::ConnectionFailed => {
                ClientError::Unreachable { addr, note: "", source }
            }
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                ClientError::Unreachable { addr, note: "", source }
            }
            ureq::Error::Io(_) | ureq::Error::Timeout(_) => {
                let note = if write { "; the write may have been applied" } else { "" };
                ClientError::Unreachable { addr, note, source }
            }
            _ => ClientError::Strange { addr, source },
        }
    }

    /// What answered gave JSON of another shape.
    pub(crate) fn strange(&self, source: serde_json::Error) -> ClientError {
        ClientError::Strange { addr: self.addr, source: Box::new(ureq::Error::Json(source)) }
    }

    fn refused(&self, response: Response<Body>) -> ClientError {
        let status = response.status();
        let reason = status.canonical_reason().unwrap_or("an unknown status").to_owned();
        let problem = response.into_body().into_with_config().limit(JSON_MAX).read_json::<Problem>().ok();
        let mut detail = problem.and_then(|problem| problem.detail.or(problem.title)).unwrap_or(reason);
        if status.as_u16() == 401 {
            detail += " (commands take it from --client-secret-file, and what only operators may do from --secret-file, \
                       with --cluster if its name is not boato)";
        }
        ClientError::Refused { addr: self.addr, status: status.as_u16(), detail }
    }
}

/// The path of a key. Paths that start with `/_` are the node's own, so a key's first `_` is escaped.
fn key_path(key: &[u8]) -> Result<String, ClientError> {
    let escaped = escape(key)?;
    Ok(match escaped.strip_prefix('_') {
        Some(rest) => format!("/%5F{rest}"),
        None => format!("/{escaped}"),
    })
}

/// A text as the value of a query parameter.
fn parameter(text: &str) -> String {
    percent_encode(text.as_bytes(), NON_ALPHANUMERIC).to_string()
}

fn escape(key: &[u8]) -> Result<String, ClientError> {
    if (1..=KEY_MAX).contains(&key.len()) {
        Ok(percent_encode(key, PATH).to_string())
    } else {
        Err(ClientError::Key(key.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_escaped_into_paths() {
        for (key, path) in [
            (b"greeting".as_slice(), "/greeting"),
            (b"a//b", "/a//b"),
            (b"_/x", "/%5F/x"),
            (b"a_b", "/a_b"),
            (b"../x?y#z", "/%2E%2E/x%3Fy%23z"),
            (b"caf\xc3\xa9 100%", "/caf%C3%A9%20100%25"),
            (b"\xff\x00", "/%FF%00"),
        ] {
            assert_eq!(key_path(key).unwrap(), path);
        }
        assert!(matches!(key_path(b""), Err(ClientError::Key(0))));
        assert!(matches!(key_path(&[b'x'; 1025]), Err(ClientError::Key(1025))));
    }
}
