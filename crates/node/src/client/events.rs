//! Server-sent events, read one by one.

use std::io::{self, BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;

use serde_json::Value;
use ureq::BodyReader;

use super::ClientError;

/// Longest line read, in bytes: a response to a query takes the most.
const LINE_MAX: u64 = 4 << 20;

/// Something that happened at a node.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerEvent {
    /// Its number.
    pub id: u64,
    /// What.
    pub kind: String,
    /// The particulars.
    pub data: Value,
}

/// Events as they come. The end is an error, as a node goes on for ever; [`Events::finite`] says otherwise.
pub struct Events {
    reader: BufReader<BodyReader<'static>>,
    addr: SocketAddr,
    ended: bool,
    finite: bool,
}

impl Events {
    pub(super) fn new(reader: BodyReader<'static>, addr: SocketAddr) -> Self {
        Self { reader: BufReader::new(reader), addr, ended: false, finite: false }
    }

    /// Events of which there is a last one.
    #[must_use]
    pub fn finite(self) -> Self {
        Self { finite: true, ..self }
    }

    /// The next event; `None` at the end.
    fn read(&mut self) -> io::Result<Option<ServerEvent>> {
        let mut event = ServerEvent { id: 0, kind: String::new(), data: Value::Null };
        loop {
            let mut line = String::new();
            if self.reader.by_ref().take(LINE_MAX).read_line(&mut line)? == 0 {
                return Ok(None);
            }
            if !line.ends_with('\n') {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match line.trim_end_matches('\n').split_once(": ") {
                Some(("id", id)) => event.id = id.parse().unwrap_or_default(),
                Some(("event", kind)) => kind.clone_into(&mut event.kind),
                Some(("data", data)) => event.data = serde_json::from_str(data)?,
                None if line == "\n" && !event.kind.is_empty() => return Ok(Some(event)),
                Some(_) | None => {}
            }
        }
    }
}

impl Iterator for Events {
    type Item = Result<ServerEvent, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let event = self.read();
        self.ended = !matches!(event, Ok(Some(_)));
        match event {
            Ok(Some(event)) => Some(Ok(event)),
            Ok(None) if self.finite => None,
            Ok(None) => Some(Err(self.broken(io::ErrorKind::UnexpectedEof.into()))),
            Err(error) => Some(Err(self.broken(error))),
        }
    }
}

impl Events {
    fn broken(&self, source: io::Error) -> ClientError {
        ClientError::Ended { addr: self.addr, source }
    }
}
