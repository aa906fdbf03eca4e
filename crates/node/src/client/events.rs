//! Server-sent events, read one by one.

use std::io::{self, BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;

use serde::Deserialize;
use serde_json::Value;
use ureq::BodyReader;

use super::ClientError;

/// Longest line read, in bytes. A response to a query takes the most: up to six bytes of JSON (`\u0000`) for each of its own,
/// and a mebibyte for what else is in the line.
const LINE_MAX: u64 = 6 * boato_gossip::RESPONSE_BYTES_MAX as u64 + (1 << 20);

/// Something that happened at a node.
#[derive(Clone, Debug, PartialEq, Deserialize)]
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
            if line.len() as u64 == LINE_MAX && !line.ends_with('\n') {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is too long"));
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

    /// Those that an event `history` lists, each by itself, and then the others.
    pub(crate) fn with_history(self) -> impl Iterator<Item = Result<ServerEvent, ClientError>> {
        let addr = self.addr;
        self.flat_map(move |event| match event {
            Ok(ServerEvent { kind, data, .. }) if kind == "history" => {
                match serde_json::from_value::<Vec<ServerEvent>>(data) {
                    Ok(before) => before.into_iter().map(Ok).collect(),
                    Err(error) => vec![Err(ClientError::Ended { addr, source: error.into() })],
                }
            }
            other => vec![other],
        })
    }

    fn broken(&self, source: io::Error) -> ClientError {
        ClientError::Ended { addr: self.addr, source }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: String) -> Events {
        let body = ureq::Body::builder().data(text.into_bytes());
        Events::new(body.into_with_config().limit(u64::MAX).reader(), ([127, 0, 0, 1], 1).into())
    }

    #[test]
    fn the_longest_answer_to_a_query_is_read_however_it_is_escaped() {
        let response = "\0".repeat(boato_gossip::RESPONSE_BYTES_MAX);
        let data = serde_json::json!({ "from": "a", "response": response });
        let mut events = events(format!("id: 1\nevent: response\ndata: {data}\n\n")).finite();
        assert_eq!(events.next().unwrap().unwrap().data["response"], response);
        assert!(events.next().is_none());
    }

    #[test]
    fn a_longer_line_is_refused_as_such() {
        let line = "x".repeat(usize::try_from(LINE_MAX).unwrap() + 1);
        let error = events(line).next().unwrap().unwrap_err();
        assert!(
            matches!(error, ClientError::Ended { source, .. } if source.kind() == io::ErrorKind::InvalidData)
        );
    }
}
