//! A blocking HTTP/1.1 client that keeps its connection: cheap beside the node that it asks.

use std::fmt;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longest wait for bytes of an answer. A node bounds its operations well below.
const ANSWER_MAX: Duration = Duration::from_secs(15);

/// A client of one node.
pub(crate) struct Http {
    addr: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum CallError {
    /// Nobody listens: the request was certainly not received.
    NotSent(io::Error),
    /// The request was sent, and no whole answer came.
    Lost(io::Error),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(error) => write!(f, "no connection: {error}"),
            Self::Lost(error) => write!(f, "no answer: {error}"),
        }
    }
}

/// What a node said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of a header, if it is there; `name` in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find_map(|(field, value)| field.eq_ignore_ascii_case(name).then(|| value.trim()))
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Http {
    pub(crate) fn new(addr: SocketAddr) -> Self {
        Self { addr, stream: None }
    }

    /// One request; `path` is sent as it is, `headers` are whole lines that end in a line break.
    pub(crate) fn call(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> Result<Answer, CallError> {
        let addr = self.addr;
        let stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect().map_err(CallError::NotSent)?,
        };
        let length = body.len();
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nhost: {addr}\r\n{headers}content-length: {length}\r\n\r\n")
                .into_bytes();
        request.extend_from_slice(body);
        let (answer, stream) = exchange(stream, &request, method == "HEAD").map_err(CallError::Lost)?;
        if answer.header("connection") != Some("close") {
            self.stream = Some(stream);
        }
        Ok(answer)
    }

    fn connect(&self) -> io::Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect(self.addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        Ok(BufReader::new(stream))
    }
}

/// Shorthands of those who talk to a node that has to be there.
impl Http {
    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.request("GET", path, "", b"")
    }

    pub(crate) fn put(&mut self, path: &str, body: impl AsRef<[u8]>) -> Answer {
        self.request("PUT", path, "", body)
    }

    pub(crate) fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: impl AsRef<[u8]>,
    ) -> Answer {
        self.call(method, path, headers, body.as_ref())
            .unwrap_or_else(|error| panic!("{method} {path} at {}: {error}", self.addr))
    }
}

fn exchange(
    mut stream: BufReader<TcpStream>,
    request: &[u8],
    to_head: bool,
) -> io::Result<(Answer, BufReader<TcpStream>)> {
    stream.get_mut().write_all(request)?;
    let mut head = String::new();
    loop {
        let start = head.len();
        if stream.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if head[start..] == *"\r\n" {
            break;
        }
    }
    let status = head.get(9..12).and_then(|digits| digits.parse().ok());
    let status = status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, head.clone()))?;
    let mut answer = Answer { status, head, body: Vec::new() };
    let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap_or(0));
    if !to_head && !matches!(status, 204 | 304) {
        answer.body.resize(length, 0);
        stream.read_exact(&mut answer.body)?;
    }
    Ok((answer, stream))
}
