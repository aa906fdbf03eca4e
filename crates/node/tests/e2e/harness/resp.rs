//! A blocking RESP client that knows nothing but the protocol.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longest wait for bytes of a reply. A node bounds its operations well below.
const REPLY_MAX: Duration = Duration::from_secs(15);

/// A connection to one door.
pub(crate) struct Resp(BufReader<TcpStream>);

/// What a node said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Status(String),
    Error(String),
    Integer(i64),
    Text(String),
    Nothing,
    Array(Vec<Said>),
}

impl Resp {
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(REPLY_MAX)).unwrap();
        stream.set_write_timeout(Some(REPLY_MAX)).unwrap();
        Self(BufReader::new(stream))
    }

    /// One command, of words without blanks.
    pub(crate) fn ask(&mut self, line: &str) -> Said {
        self.pipeline(&[line]).remove(0)
    }

    /// Commands sent in one piece, and their replies.
    pub(crate) fn pipeline(&mut self, lines: &[impl AsRef<str>]) -> Vec<Said> {
        let mut bytes = Vec::new();
        for line in lines {
            let words: Vec<&str> = line.as_ref().split(' ').collect();
            write!(bytes, "*{}\r\n", words.len()).unwrap();
            for word in words {
                write!(bytes, "${}\r\n{word}\r\n", word.len()).unwrap();
            }
        }
        self.0.get_mut().write_all(&bytes).unwrap();
        lines.iter().map(|_| self.reply()).collect()
    }

    fn reply(&mut self) -> Said {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        let line = line.strip_suffix("\r\n").expect("a whole line, not the end of the connection");
        let (kind, rest) = line.split_at(1);
        match (kind, rest) {
            ("+", text) => Said::Status(text.to_owned()),
            ("-", text) => Said::Error(text.to_owned()),
            (":", number) => Said::Integer(number.parse().unwrap()),
            ("$" | "*", "-1") => Said::Nothing,
            ("$", length) => {
                let mut bytes = vec![0; length.parse::<usize>().unwrap() + 2];
                self.0.read_exact(&mut bytes).unwrap();
                bytes.truncate(bytes.len() - 2);
                Said::Text(String::from_utf8(bytes).unwrap())
            }
            ("*", count) => Said::Array((0..count.parse().unwrap()).map(|_| self.reply()).collect()),
            other => panic!("{other:?} is no reply"),
        }
    }
}

impl Said {
    pub(crate) fn ok() -> Self {
        Self::Status("OK".to_owned())
    }

    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(crate) fn into_array(self) -> Vec<Said> {
        match self {
            Self::Array(elements) => elements,
            other => panic!("{other:?} is no array"),
        }
    }
}
