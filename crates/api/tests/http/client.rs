//! A door to test against, and a client that sends exactly the bytes it is told to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use boato_api::http::{Config, Guard, Limits, Metrics, run};
use boato_api::{Token, Tokens};
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::memory::Memory;

/// How long any answer may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct TestDoor {
    pub(crate) address: SocketAddr,
    pub(crate) memory: Arc<Memory>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) served: JoinHandle<()>,
}

impl TestDoor {
    pub(crate) async fn open() -> TestDoor {
        TestDoor::with(Guard::default(), Limits::default()).await
    }

    pub(crate) async fn limited(limits: Limits) -> TestDoor {
        TestDoor::with(Guard::default(), limits).await
    }

    pub(crate) async fn with(guard: Guard, limits: Limits) -> TestDoor {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (memory, shutdown) = (Memory::new(), CancellationToken::new());
        let mut registry = Registry::with_prefix("boato");
        let metrics = Metrics::register(&mut registry);
        let config = Config { guard, limits, metrics, registry: Arc::new(registry), ..Config::default() };
        let backend = Arc::clone(&memory);
        let served = tokio::spawn(run(listener, backend, config, shutdown.clone().cancelled_owned()));
        TestDoor { address, memory, shutdown, served }
    }

    pub(crate) async fn connect(&self) -> Client {
        Client { stream: TcpStream::connect(self.address).await.unwrap(), read: Vec::new() }
    }

    /// One request on a connection of its own; `rest` is further header lines, an empty line and a body.
    pub(crate) async fn send(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut client = self.connect().await;
        client.write(request).await;
        client.answer().await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await
    }

    pub(crate) async fn put(&self, path: &str, headers: &str, value: &str) -> Answer {
        self.request("PUT", path, headers, value).await
    }

    pub(crate) async fn post(&self, path: &str, headers: &str, body: &str) -> Answer {
        self.request("POST", path, headers, body).await
    }

    /// A request with header lines that each end in a line break, and a body of announced length.
    pub(crate) async fn request(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let mut client = self.connect().await;
        let length = body.len();
        client
            .write(format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {length}\r\n\r\n{body}"))
            .await;
        client.read_answer(method == "HEAD").await
    }
}

pub(crate) fn secrets() -> Guard {
    Guard {
        client: Tokens::new([Token::new("client")]),
        admin: Some(Tokens::new([Token::new("admin")])),
        ..Guard::default()
    }
}

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// The next answer to a request other than HEAD.
    pub(crate) async fn answer(&mut self) -> Answer {
        self.read_answer(false).await
    }

    pub(crate) async fn read_answer(&mut self, to_head: bool) -> Answer {
        let end = loop {
            if let Some(end) = self.read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end;
            }
            assert!(
                self.more().await,
                "the connection closed within {:?}",
                String::from_utf8_lossy(&self.read)
            );
        };
        let head = String::from_utf8(self.read.drain(..end + 4).collect()).unwrap();
        let mut answer = Answer { status: head[9..12].parse().unwrap(), head, body: Vec::new() };
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        if !to_head && answer.status != 304 {
            while self.read.len() < length {
                assert!(self.more().await, "the connection closed within a body");
            }
            answer.body = self.read.drain(..length).collect();
        }
        answer
    }

    /// Reads until what was read contains `text`.
    pub(crate) async fn read_until(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let read = String::from_utf8_lossy(&self.read).into_owned();
            if read.contains(text) {
                return read;
            }
            assert!(Instant::now() < deadline, "{text:?} did not come: {read:?}");
            assert!(self.more().await, "the connection closed before {text:?} came: {read:?}");
        }
    }

    /// Waits for the door to close the connection; whatever comes before is returned.
    pub(crate) async fn closed(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.read)
    }

    /// Reads more bytes; `false` once the connection is closed.
    async fn more(&mut self) -> bool {
        let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.read)).await;
        matches!(read.expect("the door must answer or close"), Ok(1..))
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (given, value) = line.split_once(':')?;
            given.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// Head and body as they came.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        [self.head.as_bytes(), &self.body].concat()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Checks that this is an error of that status in the one form that errors have, and returns what it
    /// says.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16) -> String {
        assert_eq!(
            (self.status, self.header("content-type")),
            (status, Some("application/problem+json")),
            "{self:?}"
        );
        let json = self.json();
        assert_eq!(json["status"], status);
        assert!(json["title"].is_string() && json["type"] == "about:blank");
        json["detail"].as_str().unwrap().to_owned()
    }
}
