//! The plain case: `GET /{key}` in HTTP/1.1, whole, with none but harmless headers, of a key that is held here and has a small
//! value or none. It is answered from the buffer it was read into.
//!
//! With the first request that is anything else, a connection goes over to the implementation that knows all of HTTP, for good. That
//! answers the plain case with the same bytes, which a test compares.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{Method, StatusCode};
use tokio::time::Instant;

use super::access::Line;
use super::door::Door;
use super::keys::SMALL_VALUE_BYTES;
use super::metrics::{self, About};
use super::outgoing::BYTES_MAX;
use super::target;
use crate::{Entry, FETCH_MAX, Shown};

/// A longer head is not plain. Less than any limit of a head.
const HEAD_BYTES_MAX: usize = 4096;
/// A head with more headers is not plain.
const HEADERS_MAX: usize = 16;
/// What every plain request begins with.
const START: &[u8] = b"GET /";
/// What a connection in HTTP/2 begins with.
const PREFACE: &[u8] = b"PRI ";

/// Answers plain requests.
pub(super) struct Plain {
    door: Arc<Door>,
    date: Date,
    has_answered: bool,
}

/// What comes after the requests that were answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nothing, or the start of a head that may become plain.
    Open,
    /// More, once what waits to be sent is less.
    Waits,
    /// Something else.
    Other,
    /// Something else, which a connection that has carried a request must not carry.
    Wrong,
}

/// The front of a connection's input.
enum Front<'a> {
    Get(Get<'a>),
    Partial,
    Other,
}

/// A plain request, of so many bytes.
#[derive(Clone, Copy, Default)]
struct Get<'a> {
    key: &'a str,
    host: &'a str,
    length: usize,
}

impl Plain {
    pub(super) fn new(door: Arc<Door>) -> Plain {
        Plain { door, date: Date::default(), has_answered: false }
    }

    /// Answers the plain requests at the front of `input`, in order, until `out` holds as much as may wait. Returns how many bytes
    /// they have, and what follows.
    pub(super) fn answer(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Rest) {
        let (mut at, mut started) = (0, Instant::now());
        let mut gets = [Get::default(); FETCH_MAX];
        while at < input.len() {
            let (count, end) = self.look(&input[at..], &mut gets);
            for get in &gets[..count] {
                if out.len() >= BYTES_MAX {
                    return (at, Rest::Waits);
                }
                let is_admitted = self.door.guard.admits_plain(get.host);
                let answered = is_admitted.then(|| self.get(get.key, out)).flatten();
                let Some(status) = answered else { return (at, Rest::Other) };
                at += get.length;
                self.has_answered = true;
                let done = Instant::now();
                self.note(get.key, status, done - started);
                started = done;
            }
            match end {
                None => {}
                Some(Front::Other) if self.has_answered && input[at..].starts_with(PREFACE) => {
                    return (at, Rest::Wrong);
                }
                Some(Front::Other) => return (at, Rest::Other),
                Some(_) => break,
            }
        }
        (at, Rest::Open)
    }

    /// Finds the plain requests at the front of `input`, as many as fit, and has the backend fetch what they look up. Returns how
    /// many there are, and what ends them unless they fill `gets` or the input.
    fn look<'a>(&self, input: &'a [u8], gets: &mut [Get<'a>; FETCH_MAX]) -> (usize, Option<Front<'a>>) {
        let (mut at, mut count, mut end) = (0, 0, None);
        while at < input.len() && count < FETCH_MAX && end.is_none() {
            match front(&input[at..]) {
                Front::Get(get) => {
                    gets[count] = get;
                    at += get.length;
                    count += 1;
                }
                other => end = Some(other),
            }
        }
        if count > 1 {
            let keys = gets.map(|get| get.key.as_bytes());
            self.door.backend.fetch(&keys[..count]);
        }
        (count, end)
    }

    /// Notes that a request was answered.
    fn note(&self, key: &str, status: StatusCode, took: Duration) {
        self.door.metrics.answered(About::Keys, metrics::place(&Method::GET), status, took);
        if self.door.access_log.is_on() {
            let line = Line { method: Method::GET, path: format!("/{key}"), trace: None, span: None };
            self.door.access_log.answered(&line, status, took);
        }
    }

    /// Writes the answer, if the key is held here and its value is small.
    fn get(&mut self, key: &str, out: &mut Vec<u8>) -> Option<StatusCode> {
        let (mut status, date) = (StatusCode::NOT_FOUND, self.date.now());
        let answered = self.door.backend.show(key.as_bytes(), &mut |holder, shown| {
            let body: &[u8] = match &shown {
                Some(Shown { entry, .. })
                    if entry.value.len() > SMALL_VALUE_BYTES || !is_text(entry.content_type) =>
                {
                    return false;
                }
                _ if !is_text(holder.as_bytes()) => return false,
                Some(shown) => {
                    status = StatusCode::OK;
                    found(out, shown);
                    shown.entry.value
                }
                None => {
                    out.extend_from_slice(b"HTTP/1.1 404 Not Found\r\ncontent-type: text/plain\r\n");
                    b"key not found"
                }
            };
            end(out, holder, date, body);
            true
        });
        answered.then_some(status)
    }
}

/// The headers of every answer, and the body.
fn end(out: &mut Vec<u8>, holder: &str, date: &str, body: &[u8]) {
    out.extend_from_slice(b"x-source: local\r\nx-hostname: ");
    out.extend_from_slice(holder.as_bytes());
    out.extend_from_slice(b"\r\ncontent-length: ");
    put(out, format_args!("{}", body.len()));
    out.extend_from_slice(b"\r\ndate: ");
    out.extend_from_slice(date.as_bytes());
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(body);
}

/// The status line of a value, and the headers about it.
fn found(out: &mut Vec<u8>, shown: &Shown<'_>) {
    let Shown { entry: Entry { content_type, ttl_left, .. }, version } = shown;
    out.extend_from_slice(b"HTTP/1.1 200 OK\r\nx-content-type-options: nosniff\r\ncontent-type: ");
    if content_type.is_empty() {
        out.extend_from_slice(b"application/octet-stream");
    } else {
        out.extend_from_slice(content_type);
        out.extend_from_slice(b"\r\ncontent-security-policy: sandbox");
    }
    put(out, format_args!("\r\netag: \"{version}\"\r\n"));
    if let Some(left) = ttl_left {
        put(out, format_args!("cache-control: max-age={}\r\n", left.as_secs()));
    }
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("invariant: a buffer takes all text");
}

/// What is at the front of `input`, which is not empty.
fn front(input: &[u8]) -> Front<'_> {
    if !input.starts_with(&START[..START.len().min(input.len())]) {
        return if input.len() < PREFACE.len() && PREFACE.starts_with(input) {
            Front::Partial
        } else {
            Front::Other
        };
    }
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut headers);
    match head.parse(&input[..input.len().min(HEAD_BYTES_MAX)]) {
        Ok(httparse::Status::Complete(length)) => match plain(&head) {
            Some((key, host)) => Front::Get(Get { key, host, length }),
            None => Front::Other,
        },
        Ok(httparse::Status::Partial) if input.len() < HEAD_BYTES_MAX => Front::Partial,
        _ => Front::Other,
    }
}

/// Key and host of a plain request.
fn plain<'a>(head: &httparse::Request<'_, 'a>) -> Option<(&'a str, &'a str)> {
    let key = head.path?.strip_prefix('/')?;
    let is_plain = !key.is_empty()
        && key.len() <= target::KEY_BYTES_MAX
        && !key.starts_with(['_', '/'])
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:/".contains(&byte));
    if head.method != Some("GET") || head.version != Some(1) || !is_plain {
        return None;
    }
    let mut host = None;
    for header in &*head.headers {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("host") {
            let value = std::str::from_utf8(header.value).ok().filter(|value| is_text(value.as_bytes()))?;
            if host.replace(value).is_some() {
                return None;
            }
        } else if is("connection") {
            header.value.eq_ignore_ascii_case(b"keep-alive").then_some(())?;
        } else if !(is("user-agent") || is("accept") || is("accept-encoding") || is("accept-language")) {
            return None;
        }
    }
    Some((key, host?))
}

/// Whether these bytes are what a header carries as they are.
fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| (b' '..=b'~').contains(byte))
}

/// The date, written out once a second.
#[derive(Default)]
struct Date {
    second: u64,
    text: String,
}

impl Date {
    fn now(&mut self) -> &str {
        let now = SystemTime::now();
        let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if second != self.second || self.text.is_empty() {
            (self.second, self.text) = (second, httpdate::fmt_http_date(now));
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Requests, whole, cut off and spoilt.
    fn telling_bytes() -> impl Strategy<Value = Vec<u8>> {
        let token = prop_oneof![
            prop::sample::select(vec![
                "GET /",
                "GET ",
                "PUT /",
                "PRI ",
                "a",
                "_",
                "%41",
                "?",
                " HTTP/1.1\r\n",
                " HTTP/1.0\r\n",
                "\r\n",
                "\n",
                "\0",
                "Host: x\r\n",
                "host:",
                "Connection: keep-alive\r\n",
                "Connection: close\r\n",
                "Accept: */*\r\n",
                "Content-Length: 1\r\n",
                "Transfer-Encoding: chunked\r\n",
                "X: y\r\n",
                " folded\r\n",
                "GET /a HTTP/1.1\r\nHost: x\r\n\r\n",
            ])
            .prop_map(|text| text.as_bytes().to_vec()),
            prop::collection::vec(any::<u8>(), 0..4),
        ];
        prop::collection::vec(token, 1..12).prop_map(|tokens| tokens.concat())
    }

    proptest! {
        /// hyper does not see a request that is plain, so whatever is taken for one has to be one, by the other parser's account.
        #[test]
        fn what_is_plain_is_a_whole_request_however_much_follows(bytes in telling_bytes()) {
            prop_assume!(!bytes.is_empty());
            let whole = front(&bytes);
            if let Front::Get(Get { key, host, length }) = whole {
                prop_assert!(bytes[..length].ends_with(b"\n"));
                prop_assert!(!key.is_empty() && is_text(key.as_bytes()) && is_text(host.as_bytes()));
                let text = String::from_utf8_lossy(&bytes[..length]).to_lowercase();
                let line = format!("get /{} http/1.1", key.to_lowercase());
                prop_assert!(text.starts_with(&line), "{}", text);
                for other in ["connection: close", "content-length:", "transfer-encoding:", "x:"] {
                    prop_assert!(!text.contains(&format!("\n{other}")), "{}", text);
                }
            }
            // What has arrived so far is never taken for more than all of it is.
            for end in 1..bytes.len() {
                match (front(&bytes[..end]), &whole) {
                    (Front::Partial, _) => {}
                    (Front::Other, whole) => prop_assert!(matches!(whole, Front::Other)),
                    (Front::Get(Get { length, key, .. }), Front::Get(Get { length: all, key: same, .. })) => {
                        prop_assert_eq!((length, key), (*all, *same));
                    }
                    (Front::Get(_), _) => prop_assert!(false, "a front of it is plain and it is not"),
                }
            }
        }
    }

    fn key(head: &str) -> Option<(&str, &str)> {
        match front(head.as_bytes()) {
            Front::Get(Get { key, host, length }) => {
                assert_eq!(length, head.len());
                Some((key, host))
            }
            Front::Partial | Front::Other => None,
        }
    }

    #[test]
    fn a_whole_get_of_a_key_is_plain() {
        assert_eq!(key("GET /key:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"), Some(("key:1", "a:1")));
        let much = "GET /a/b~ HTTP/1.1\r\nACCEPT: */*\r\nconnection: Keep-Alive\r\nhost: x\r\nUser-Agent: \u{e9}\r\n\r\n";
        assert_eq!(key(much), Some(("a/b~", "x")));
        for length in 1..much.len() - 1 {
            assert!(matches!(front(&much.as_bytes()[..length]), Front::Partial), "{length} bytes");
        }
    }

    #[test]
    fn whatever_else_is_not_plain() {
        let host = "HTTP/1.1\r\nHost: x\r\n";
        for head in [
            "PRI * HTTP/2.0\r\n\r\n".to_owned(),
            format!("PUT /a {host}\r\n"),
            format!("get /a {host}\r\n"),
            "GET /a HTTP/1.0\r\nHost: x\r\n\r\n".to_owned(),
            "GET /a HTTP/1.1\r\n\r\n".to_owned(),
            format!("GET /a {host}Host: x\r\n\r\n"),
            format!("GET / {host}\r\n"),
            format!("GET /_/cluster {host}\r\n"),
            format!("GET //a {host}\r\n"),
            format!("GET /%41 {host}\r\n"),
            format!("GET /a?b {host}\r\n"),
            format!("GET http://x/a {host}\r\n"),
            format!("GET /{} {host}\r\n", "a".repeat(target::KEY_BYTES_MAX + 1)),
            format!("GET /a {host}Accept: {}\r\n\r\n", "a".repeat(HEAD_BYTES_MAX)),
        ] {
            assert_eq!(key(&head), None, "{head}");
        }
        let headers = [
            "Connection: close",
            "Content-Length: 0",
            "Content-Length: 1",
            "Transfer-Encoding: chunked",
            "If-Match: \"1-1\"",
            "If-None-Match: *",
            "Range: bytes=0-1",
            "Origin: http://x",
            "Sec-Fetch-Site: cross-site",
            "Authorization: Bearer x",
            "Expect: 100-continue",
            "Upgrade: h2c",
            "Host : y",
            " folded",
        ];
        for header in headers {
            assert_eq!(key(&format!("GET /a {host}{header}\r\n\r\n")), None, "{header}");
        }
    }
}
