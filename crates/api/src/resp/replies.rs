//! The replies on their way to a client, encoded as they are made.

/// Room that is kept when a buffer is emptied.
const KEPT_BYTES: usize = 64 << 10;

/// The version of the protocol that a client speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Protocol {
    /// RESP2, with which every connection begins.
    #[default]
    V2,
    /// RESP3, after `HELLO 3`.
    V3,
}

/// Encoded replies. Once they are longer than their limit nothing is added any more and the connection ends:
/// what was left out would shift all replies after it.
#[derive(Debug)]
pub(super) struct Replies {
    bytes: Vec<u8>,
    /// How many of them the client has taken.
    taken: usize,
    /// How many it has taken of all replies so far.
    taken_ever: u64,
    protocol: Protocol,
    limit: usize,
    overflown: bool,
    errors: u64,
}

impl Replies {
    /// No replies, in RESP2, of at most `limit` bytes that the client has not taken.
    pub(super) fn new(limit: usize) -> Replies {
        Replies {
            bytes: Vec::new(),
            taken: 0,
            taken_ever: 0,
            protocol: Protocol::V2,
            limit,
            overflown: false,
            errors: 0,
        }
    }

    /// `+OK`.
    pub(super) fn ok(&mut self) {
        self.put(b"+OK\r\n");
    }

    /// A status that is neither an error nor binary: `PONG`, `QUEUED`. CR and LF become blanks.
    pub(super) fn simple(&mut self, text: &str) {
        self.line(b'+', text);
    }

    /// An error; its first word is its kind: `ERR syntax error`. CR and LF become blanks.
    pub(super) fn error(&mut self, text: &str) {
        self.errors += 1;
        self.line(b'-', text);
    }

    /// A whole number.
    pub(super) fn integer(&mut self, value: i64) {
        let mut header = Header::new(b':');
        if value < 0 {
            header.byte(b'-');
        }
        header.number(value.unsigned_abs());
        self.put(header.end());
    }

    /// A string of any bytes.
    pub(super) fn bulk(&mut self, bytes: &[u8]) {
        let header = Header::of(b'$', bytes.len());
        if self.has_room(header.len() + bytes.len() + 2) {
            self.bytes.extend_from_slice(header.bytes());
            self.bytes.extend_from_slice(bytes);
            self.bytes.extend_from_slice(b"\r\n");
        }
    }

    /// No value.
    pub(super) fn null(&mut self) {
        self.either(b"$-1\r\n", b"_\r\n");
    }

    /// No array: an aborted `EXEC`.
    pub(super) fn null_array(&mut self) {
        self.either(b"*-1\r\n", b"_\r\n");
    }

    /// The start of an array; its elements follow.
    pub(super) fn array(&mut self, elements: usize) {
        self.put(Header::of(b'*', elements).bytes());
    }

    /// The start of a map; its keys and values follow in turn. In RESP2 an array of both.
    pub(super) fn map(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::V2 => self.array(pairs * 2),
            Protocol::V3 => self.put(Header::of(b'%', pairs).bytes()),
        }
    }

    /// The start of a set; its elements follow. In RESP2 an array.
    pub(super) fn set(&mut self, elements: usize) {
        match self.protocol {
            Protocol::V2 => self.array(elements),
            Protocol::V3 => self.put(Header::of(b'~', elements).bytes()),
        }
    }

    /// A text for people; in RESP2 a string.
    pub(super) fn verbatim(&mut self, text: &str) {
        match self.protocol {
            Protocol::V2 => self.bulk(text.as_bytes()),
            Protocol::V3 => {
                let header = Header::of(b'=', text.len() + 4);
                if self.has_room(header.len() + text.len() + 6) {
                    self.bytes.extend_from_slice(header.bytes());
                    self.bytes.extend_from_slice(b"txt:");
                    self.bytes.extend_from_slice(text.as_bytes());
                    self.bytes.extend_from_slice(b"\r\n");
                }
            }
        }
    }

    /// What has been encoded by other [`Replies`].
    pub(super) fn append(&mut self, encoded: &[u8]) {
        self.put(encoded);
    }

    /// The version that is being written.
    pub(super) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Writes another version from now on.
    pub(super) fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// Where the next reply begins; valid until [`Replies::advance`].
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Takes back what was encoded from `len` on.
    pub(super) fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    /// Takes out what was encoded from `len` on.
    pub(super) fn split_off(&mut self, len: usize) -> Vec<u8> {
        if len == self.bytes.len() { Vec::new() } else { self.bytes.split_off(len) }
    }

    /// What the client has not taken.
    pub(super) fn waiting(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    /// How many bytes the client has taken so far.
    pub(super) fn taken_ever(&self) -> u64 {
        self.taken_ever
    }

    /// The client took so many bytes. Gives the memory of large replies back once all is taken.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.taken += bytes;
        self.taken_ever += bytes as u64;
        if self.taken == self.bytes.len() {
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_BYTES);
            self.taken = 0;
        } else if self.taken >= KEPT_BYTES.max(self.bytes.len() / 2) {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
    }

    /// Bytes of memory held.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Leaves out a reply that would be longer than the limit, if there is one.
    pub(super) fn overflow(&mut self, too_long: bool) {
        self.overflown |= too_long;
    }

    /// Whether a reply was left out because of the limit.
    pub(super) fn overflown(&self) -> bool {
        self.overflown
    }

    /// How many errors have been written.
    pub(super) fn errors(&self) -> u64 {
        self.errors
    }

    fn has_room(&mut self, more: usize) -> bool {
        self.overflown |= more > self.limit.saturating_sub(self.bytes.len() - self.taken);
        if !self.overflown {
            self.bytes.reserve(more);
        }
        !self.overflown
    }

    fn put(&mut self, bytes: &[u8]) {
        if self.has_room(bytes.len()) {
            self.bytes.extend_from_slice(bytes);
        }
    }

    fn either(&mut self, two: &[u8], three: &[u8]) {
        match self.protocol {
            Protocol::V2 => self.put(two),
            Protocol::V3 => self.put(three),
        }
    }

    fn line(&mut self, kind: u8, text: &str) {
        if self.has_room(text.len() + 3) {
            self.bytes.push(kind);
            let blank = |byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte };
            self.bytes.extend(text.bytes().map(blank));
            self.bytes.extend_from_slice(b"\r\n");
        }
    }
}

/// The first line of a reply: a sign and a number.
struct Header {
    bytes: [u8; 24],
    len: usize,
}

impl Header {
    fn new(sign: u8) -> Header {
        let mut bytes = [0; 24];
        bytes[0] = sign;
        Header { bytes, len: 1 }
    }

    fn of(sign: u8, number: usize) -> Header {
        let mut header = Header::new(sign);
        header.number(number as u64);
        header.end();
        header
    }

    fn byte(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    /// At most 20 digits.
    fn number(&mut self, mut number: u64) {
        let digits = number.checked_ilog10().map_or(1, |log| log as usize + 1);
        for place in (self.len..self.len + digits).rev() {
            self.bytes[place] = b'0' + (number % 10) as u8;
            number /= 10;
        }
        self.len += digits;
    }

    fn end(&mut self) -> &[u8] {
        self.byte(b'\r');
        self.byte(b'\n');
        self.bytes()
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(protocol: Protocol, write: impl FnOnce(&mut Replies)) -> String {
        let mut replies = Replies::new(1 << 20);
        replies.set_protocol(protocol);
        write(&mut replies);
        String::from_utf8(replies.waiting().to_vec()).unwrap()
    }

    fn both(write: impl Fn(&mut Replies)) -> (String, String) {
        (written(Protocol::V2, &write), written(Protocol::V3, &write))
    }

    fn same(text: &str) -> (String, String) {
        (text.to_owned(), text.to_owned())
    }

    #[test]
    fn what_both_versions_write_alike() {
        assert_eq!(both(Replies::ok), same("+OK\r\n"));
        assert_eq!(both(|out| out.simple("PONG")), same("+PONG\r\n"));
        assert_eq!(both(|out| out.bulk(b"")), same("$0\r\n\r\n"));
        assert_eq!(both(|out| out.bulk(b"0123456789")), same("$10\r\n0123456789\r\n"));
        assert_eq!(both(|out| out.array(0)), same("*0\r\n"));
    }

    #[test]
    fn integers_of_every_length_are_written_as_rust_prints_them() {
        let mut powers = (0..63).flat_map(|bit| [1_i64 << bit, -(1_i64 << bit), (1_i64 << bit) - 1]);
        for value in [i64::MIN, i64::MAX, 9, 10, 99, 100].into_iter().chain(&mut powers) {
            assert_eq!(written(Protocol::V2, |out| out.integer(value)), format!(":{value}\r\n"));
        }
    }

    #[test]
    fn what_the_versions_write_differently() {
        let pair = |two: &str, three: &str| (two.to_owned(), three.to_owned());
        assert_eq!(both(Replies::null), pair("$-1\r\n", "_\r\n"));
        assert_eq!(both(Replies::null_array), pair("*-1\r\n", "_\r\n"));
        assert_eq!(both(|out| out.map(2)), pair("*4\r\n", "%2\r\n"));
        assert_eq!(both(|out| out.set(2)), pair("*2\r\n", "~2\r\n"));
        assert_eq!(both(|out| out.verbatim("x")), pair("$1\r\nx\r\n", "=5\r\ntxt:x\r\n"));
    }

    #[test]
    fn a_line_stays_one_line_and_errors_are_counted() {
        let mut replies = Replies::new(100);
        replies.error("ERR a\r\nb");
        replies.error("ERR c\n");
        assert_eq!(replies.waiting(), b"-ERR a  b\r\n-ERR c \r\n");
        assert_eq!(replies.errors(), 2);
    }

    #[test]
    fn what_the_client_has_taken_makes_room() {
        let mut replies = Replies::new(200_000);
        replies.bulk(&vec![b'x'; 150_000]);
        replies.advance(100_000);
        replies.bulk(&vec![b'y'; 100_000]);
        assert!(!replies.overflown());
        assert!(replies.waiting().starts_with(b"x") && replies.waiting().ends_with(b"y\r\n"));
        replies.advance(replies.waiting().len());
        assert!(replies.waiting().is_empty() && replies.held_bytes() <= KEPT_BYTES);
    }

    #[test]
    fn nothing_is_added_once_something_was_left_out() {
        let mut replies = Replies::new(12);
        replies.bulk(b"123456");
        assert!(!replies.overflown());
        replies.bulk(b"");
        assert!(replies.overflown());
        replies.truncate(0);
        replies.ok();
        assert_eq!(replies.len(), 0);
    }
}
