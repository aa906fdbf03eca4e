//! A client that sends and reads whole replies as bytes.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// How long any answer may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct TestClient {
    stream: BufReader<TcpStream>,
}

impl TestClient {
    pub(crate) async fn connect(addr: SocketAddr) -> TestClient {
        let stream = TcpStream::connect(addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        TestClient { stream: BufReader::new(stream) }
    }

    /// Where it connects from.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.stream.get_ref().local_addr().unwrap()
    }

    /// Sends bytes as they are.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).await.unwrap();
    }

    /// Sends a command.
    pub(crate) async fn command<W: AsRef<[u8]>>(&mut self, words: &[W]) {
        self.send(&encoded(words)).await;
    }

    /// Sends a command of words without blanks, and brings its reply.
    pub(crate) async fn ask(&mut self, line: &str) -> String {
        self.command(&line.split(' ').collect::<Vec<_>>()).await;
        String::from_utf8_lossy(&self.reply().await).into_owned()
    }

    /// Sends a command of any words, and brings its reply.
    pub(crate) async fn ask_words<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Vec<u8> {
        self.command(words).await;
        self.reply().await
    }

    /// One whole reply.
    pub(crate) async fn reply(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(PATIENCE, self.read(&mut bytes)).await;
        read.unwrap_or_else(|_| {
            panic!("no whole reply in time, only {:?}", String::from_utf8_lossy(&bytes));
        });
        bytes
    }

    /// Whether the door has closed the connection, once it has.
    pub(crate) async fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        matches!(tokio::time::timeout(PATIENCE, self.stream.read(&mut byte)).await, Ok(Ok(0) | Err(_)))
    }

    async fn read(&mut self, bytes: &mut Vec<u8>) {
        let mut replies = 1_usize;
        while replies > 0 {
            replies -= 1;
            let start = bytes.len();
            self.stream.read_until(b'\n', bytes).await.unwrap();
            let line = &bytes[start..];
            assert!(
                line.ends_with(b"\r\n"),
                "the end instead of a reply: {:?}",
                String::from_utf8_lossy(bytes)
            );
            let number = || -> i64 { str::from_utf8(&line[1..line.len() - 2]).unwrap().parse().unwrap() };
            match line[0] {
                b'$' | b'=' => {
                    if let Ok(length) = u64::try_from(number()) {
                        let (stream, length) = (&mut self.stream, length + 2);
                        stream.take(length).read_to_end(bytes).await.unwrap();
                    }
                }
                b'*' | b'~' => replies += usize::try_from(number()).unwrap_or(0),
                b'%' => replies += 2 * usize::try_from(number()).unwrap(),
                b'+' | b'-' | b':' | b'_' | b',' | b'#' => {}
                other => panic!("{:?} begins no reply", char::from(other)),
            }
        }
    }
}

/// A command as it is sent.
pub(crate) fn encoded<W: AsRef<[u8]>>(words: &[W]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words.iter().map(AsRef::as_ref) {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}
