//! A blocking client that keeps its connections and never sends a request twice.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;
use ureq::http::{HeaderName, Method, Request, Response, header};
use ureq::{Agent, Body, Error, Timeout};

/// Longest answer read, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// A client of any number of nodes, with one connection to each at most.
pub(crate) struct Http(Agent);

/// What must hold of a key for a write to be applied.
pub(crate) enum Condition<'a> {
    Always,
    Absent,
    /// An entity tag.
    Is(&'a str),
}

/// What a node said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The entity tag, as it stands in the header.
    pub(crate) etag: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum CallError {
    /// Nobody listens: the request was certainly not received.
    NotSent,
    /// The request may have been received, and no whole answer came in time.
    Lost,
}

impl Http {
    /// A client that waits at most `patience` for an answer.
    pub(crate) fn new(patience: Duration) -> Self {
        let config = Agent::config_builder()
            .proxy(None)
            .max_redirects(0)
            .max_idle_connections_per_host(1)
            .http_status_as_error(false)
            .timeout_global(Some(patience))
            .build();
        Self(config.into())
    }

    pub(crate) fn get(&self, node: SocketAddr, path: &str) -> Result<Answer, CallError> {
        self.call(node, Method::GET, path, &Condition::Always, None)
    }

    pub(crate) fn put(
        &self,
        node: SocketAddr,
        path: &str,
        condition: &Condition<'_>,
        value: &[u8],
    ) -> Result<Answer, CallError> {
        self.call(node, Method::PUT, path, condition, Some(value))
    }

    /// Has the node add one to a key.
    pub(crate) fn add(&self, node: SocketAddr, path: &str) -> Result<Answer, CallError> {
        self.call(node, Method::POST, &format!("{path}?incr=1"), &Condition::Always, Some(b""))
    }

    pub(crate) fn delete(&self, node: SocketAddr, path: &str) -> Result<Answer, CallError> {
        self.call(node, Method::DELETE, path, &Condition::Always, None)
    }

    /// A document under `/_/`.
    pub(crate) fn json<T: DeserializeOwned>(&self, node: SocketAddr, path: &str) -> Result<T> {
        serde_json::from_slice(&self.admin(node, path)?.body)
            .with_context(|| format!("reading {path} of {node}"))
    }

    /// The sum of a counter or gauge without labels.
    pub(crate) fn metric(&self, node: SocketAddr, name: &str) -> Result<u64> {
        let text = String::from_utf8(self.admin(node, "/_/metrics")?.body).context("reading metrics")?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.and_then(|value| value.parse().ok()).with_context(|| format!("{node} has no metric {name}"))
    }

    fn admin(&self, node: SocketAddr, path: &str) -> Result<Answer> {
        let answer = self.get(node, path).ok().with_context(|| format!("{node} does not answer {path}"))?;
        ensure!(answer.status == 200, "{node} answers {} to {path}", answer.status);
        Ok(answer)
    }

    fn call(
        &self,
        node: SocketAddr,
        method: Method,
        path: &str,
        condition: &Condition<'_>,
        body: Option<&[u8]>,
    ) -> Result<Answer, CallError> {
        let mut request = Request::builder().method(method).uri(format!("http://{node}{path}"));
        let header: Option<(HeaderName, &str)> = match condition {
            Condition::Always => None,
            Condition::Absent => Some((header::IF_NONE_MATCH, "*")),
            Condition::Is(etag) => Some((header::IF_MATCH, etag)),
        };
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let answer = match body {
            Some(body) => request.body(body).map_err(Error::from).and_then(|request| self.0.run(request)),
            None => request.body(()).map_err(Error::from).and_then(|request| self.0.run(request)),
        };
        answer.and_then(read).map_err(|error| CallError::of(&error))
    }
}

fn read(response: Response<Body>) -> Result<Answer, Error> {
    let status = response.status().as_u16();
    let etag = response.headers().get(header::ETAG).and_then(|etag| etag.to_str().ok()).map(str::to_owned);
    let body = response.into_body().into_with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
    Ok(Answer { status, etag, body })
}

impl CallError {
    fn of(error: &Error) -> Self {
        match error {
            Error::Timeout(Timeout::Connect) | Error::ConnectionFailed => Self::NotSent,
            Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => Self::NotSent,
            _ => Self::Lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    /// Serves one connection with `answer` to its first request.
    fn serve(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _request = stream.read(&mut [0; 4096]).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        });
        addr
    }

    #[test]
    fn an_answer_has_its_entity_tag_and_body() {
        let node = serve("HTTP/1.1 503 Later\r\netag: \"1-2\"\r\ncontent-length: 2\r\n\r\nno");
        let answer = Http::new(PATIENCE).get(node, "/k").unwrap();
        assert_eq!(
            (answer.status, answer.etag.as_deref(), &*answer.body),
            (503, Some("\"1-2\""), &b"no"[..])
        );
    }

    #[test]
    fn a_request_nobody_took_differs_from_one_nobody_answered() {
        let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let http = Http::new(PATIENCE);
        assert!(matches!(http.put(unused, "/k", &Condition::Always, b"v"), Err(CallError::NotSent)));
        assert!(matches!(http.put(serve(""), "/k", &Condition::Always, b"v"), Err(CallError::Lost)));
    }
}
