//! The protocols that servers are asked in: requests into bytes, bytes into judged answers.

mod http;
mod memcached;
mod resp;

use anyhow::{Result, bail};

use super::space::Space;

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Operation {
    pub(super) key: u32,
    /// The number of the write; `None` for a read.
    pub(super) write: Option<u32>,
}

/// How a server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Resp,
    Memcached,
    Http,
    /// HTTP of a server that has the same body for every key: [`BODY`] as often as needed.
    HttpBody,
}

/// What the body of a server with a single one consists of.
pub(super) const BODY: u8 = b'x';

impl Protocol {
    /// Appends the requests of a batch.
    pub(super) fn request(self, batch: &[Operation], space: &Space, out: &mut Vec<u8>) {
        match self {
            Self::Resp => {
                for operation in batch {
                    resp::request(*operation, space, out);
                }
            }
            Self::Memcached => memcached::request(batch, space, out),
            Self::Http | Self::HttpBody => {
                for operation in batch {
                    http::request(*operation, space, out);
                }
            }
        }
    }

    /// Takes the answer to operation `index` of a batch from the front of `input`: its length, or `None` if it is not
    /// all there.
    ///
    /// # Errors
    /// The answer is an error or the value a wrong one.
    pub(super) fn answer(
        self,
        batch: &[Operation],
        index: usize,
        space: &Space,
        input: &[u8],
    ) -> Result<Option<usize>> {
        let operation = batch[index];
        let answer = match self {
            Self::Resp => resp::answer(operation, input)?,
            Self::Memcached => memcached::answer(batch, index, input)?,
            Self::Http | Self::HttpBody => http::answer(operation, input)?,
        };
        let Some(answer) = answer else { return Ok(None) };
        if let Some(value) = answer.value {
            let right = match self {
                Self::HttpBody => value.len() == space.bytes && value.iter().all(|byte| *byte == BODY),
                _ => space.is_value(operation.key, value),
            };
            if !right {
                bail!("a wrong value of key {}: {:?}", operation.key, shown(value));
            }
        }
        Ok(Some(answer.length))
    }
}

/// A whole answer.
struct Answer<'a> {
    length: usize,
    /// To a read.
    value: Option<&'a [u8]>,
}

/// The first line and what follows it, if there is one.
fn line(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = input.iter().position(|byte| *byte == b'\n')?;
    let line = &input[..end];
    Some((line.strip_suffix(b"\r").unwrap_or(line), &input[end + 1..]))
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// As much of an answer as fits into an error.
fn shown(answer: &[u8]) -> String {
    String::from_utf8_lossy(&answer[..answer.len().min(100)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers of `protocol` as a right server gives them to reads of keys 1 and 2 and a write of key 3.
    fn answers(protocol: Protocol, space: &Space) -> Vec<u8> {
        let mut out = Vec::new();
        for key in [1, 2] {
            let mut value = Vec::new();
            space.write_value(key, 9, &mut value);
            let head = match protocol {
                Protocol::Resp => format!("${}\r\n", value.len()),
                Protocol::Memcached => format!("VALUE key:{key:016} 0 {}\r\n", value.len()),
                _ => format!("HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: {}\r\n\r\n", value.len()),
            };
            out.extend_from_slice(head.as_bytes());
            out.extend_from_slice(&value);
            out.extend_from_slice(if matches!(protocol, Protocol::Http) { b"" } else { b"\r\n" });
        }
        out.extend_from_slice(match protocol {
            Protocol::Resp => b"+OK\r\n",
            Protocol::Memcached => b"END\r\nSTORED\r\n",
            _ => b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n",
        });
        out
    }

    const BATCH: [Operation; 3] = [
        Operation { key: 1, write: None },
        Operation { key: 2, write: None },
        Operation { key: 3, write: Some(4) },
    ];

    /// Whole answers in `input`, and how much of it they are.
    fn take(protocol: Protocol, space: &Space, input: &[u8]) -> Result<(usize, usize)> {
        let (mut count, mut used) = (0, 0);
        while count < BATCH.len() {
            let Some(length) = protocol.answer(&BATCH, count, space, &input[used..])? else { break };
            used += length;
            count += 1;
        }
        Ok((count, used))
    }

    #[test]
    fn answers_are_taken_wherever_the_bytes_are_cut() {
        let space = Space::new(10, 64);
        for protocol in [Protocol::Resp, Protocol::Memcached, Protocol::Http] {
            let input = answers(protocol, &space);
            assert_eq!(take(protocol, &space, &input).unwrap(), (3, input.len()), "{protocol:?}");
            for cut in 0..input.len() {
                assert!(take(protocol, &space, &input[..cut]).unwrap().0 < 3, "{protocol:?} {cut}");
            }
        }
    }

    #[test]
    fn a_wrong_value_and_an_error_end_the_run() {
        let space = Space::new(10, 64);
        for protocol in [Protocol::Resp, Protocol::Memcached, Protocol::Http] {
            let mut input = answers(protocol, &space);
            let mut value = Vec::new();
            space.write_value(2, 9, &mut value);
            let place = input.windows(value.len()).position(|window| window == value).unwrap();
            input[place + 40] ^= 1;
            assert!(take(protocol, &space, &input).is_err(), "{protocol:?}");
        }
        for (protocol, error) in [
            (Protocol::Resp, &b"-ERR no\r\n"[..]),
            (Protocol::Resp, b"$-1\r\n"),
            (Protocol::Memcached, b"END\r\n"),
            (Protocol::Memcached, b"SERVER_ERROR out of memory\r\n"),
            (Protocol::Http, b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"),
        ] {
            assert!(take(protocol, &space, error).is_err(), "{error:?}");
        }
    }

    #[test]
    fn requests_are_those_of_the_protocol() {
        let space = Space::new(10, 8);
        let value = "\u{3}\0\0\0\u{4}\0\0\0";
        let expected = [
            (
                Protocol::Resp,
                "*2\r\n$3\r\nGET\r\n$20\r\nkey:0000000000000001\r\n\
                 *2\r\n$3\r\nGET\r\n$20\r\nkey:0000000000000002\r\n\
                 *3\r\n$3\r\nSET\r\n$20\r\nkey:0000000000000003\r\n$8\r\nVALUE\r\n",
            ),
            (
                Protocol::Memcached,
                "get key:0000000000000001 key:0000000000000002\r\nset key:0000000000000003 0 0 8\r\nVALUE\r\n",
            ),
            (
                Protocol::Http,
                "GET /key:0000000000000001 HTTP/1.1\r\nhost: localhost\r\n\r\n\
                 GET /key:0000000000000002 HTTP/1.1\r\nhost: localhost\r\n\r\n\
                 PUT /key:0000000000000003 HTTP/1.1\r\nhost: localhost\r\ncontent-length: 8\r\n\r\nVALUE",
            ),
        ];
        for (protocol, expected) in expected {
            let mut out = Vec::new();
            protocol.request(&BATCH, &space, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected.replace("VALUE", value));
        }
    }
}
