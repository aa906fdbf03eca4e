//! Finds commands in a connection's buffer: arrays of bulk strings and inline lines, by reference.
//!
//! The parser remembers how far it has come in a command that is not complete, as distances from the command's first byte, so
//! that no byte is looked at twice however slowly it comes in.

/// Longest inline command, in bytes without its line break.
const INLINE_MAX: usize = 64 << 10;

/// Longest line with a count, in bytes without sign and line break: more than any count needs.
const COUNT_MAX: usize = 24;

/// What a client may send before it has shown a password.
const STRANGER_ARGUMENTS: usize = 10;
const STRANGER_BULK_BYTES: usize = 16 << 10;

/// Arguments whose places are kept in memory between commands.
const KEPT_SPANS: usize = 1024;

/// How large a command may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Arguments, the name included.
    pub(super) arguments: usize,
    /// Bytes of one argument.
    pub(super) bulk_bytes: usize,
    /// Bytes of all of it.
    pub(super) command_bytes: usize,
    /// Whether the client has yet to show a password: much smaller bounds hold.
    pub(super) stranger: bool,
}

/// Something complete at the front of the buffer, and how many bytes it takes there.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// A command, whose parts have been added to the caller's.
    Command(usize),
    /// An inline command, still to be split, without its line break.
    Line(&'a [u8], usize),
    /// An array without elements.
    Nothing(usize),
}

/// Why a connection cannot go on. Nothing after it can be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProtocolError {
    #[error("Protocol error: too big mbulk count string")]
    LongCount,
    #[error("Protocol error: invalid multibulk length")]
    Count,
    #[error("Protocol error: unauthenticated multibulk length")]
    StrangerCount,
    #[error("Protocol error: too big bulk count string")]
    LongLength,
    #[error("Protocol error: invalid bulk length")]
    Length,
    #[error("Protocol error: unauthenticated bulk length")]
    StrangerLength,
    #[error("Protocol error: expected '$', got '{}'", char::from(*.0).escape_default())]
    NoBulk(u8),
    #[error("Protocol error: expected a line break after a bulk string")]
    Unterminated,
    #[error("Protocol error: too big command")]
    LongCommand,
    #[error("Protocol error: too big inline request")]
    LongLine,
    #[error("Protocol error: unbalanced quotes in request")]
    Quotes,
    /// A browser or an HTTP client, perhaps at the behest of a web page: it is told nothing.
    #[error("an HTTP request")]
    Http,
}

/// The state of one connection's input.
#[derive(Debug, Default)]
pub(super) struct Parser {
    /// How far the command at the front of the buffer has been read.
    at: usize,
    /// How many of its arguments are missing; 0 between commands.
    missing: usize,
    /// The length of the argument that begins at `at`, once it is known.
    bulk: Option<usize>,
    /// First and last (exclusive) byte of its arguments so far.
    spans: Vec<(usize, usize)>,
}

impl Parser {
    /// The next complete thing in `input`, which begins where the one before ended; the parts of a command are added to
    /// `parts`. `None`: there is more to come.
    ///
    /// Between two calls that find nothing the input may move and must grow at its end only.
    pub(super) fn next<'a>(
        &mut self,
        input: &'a [u8],
        bounds: &Bounds,
        parts: &mut Vec<&'a [u8]>,
    ) -> Result<Option<Frame<'a>>, ProtocolError> {
        if self.missing == 0 {
            match input.first() {
                None => return Ok(None),
                Some(b'*') => {}
                Some(_) => return self.line(input),
            }
            let Some(count) = self.count(input, bounds)? else { return Ok(None) };
            if count == 0 {
                return Ok(Some(Frame::Nothing(self.finish())));
            }
            self.missing = count;
        }
        while self.missing > 0 {
            let Some(span) = self.argument(input, bounds)? else { return Ok(None) };
            self.spans.push(span);
            self.missing -= 1;
        }
        parts.extend(self.spans.iter().map(|&(from, to)| &input[from..to]));
        self.spans.clear();
        self.spans.shrink_to(KEPT_SPANS);
        Ok(Some(Frame::Command(self.finish())))
    }

    /// How many bytes the buffer has to hold before there is anything new to find.
    pub(super) fn needed(&self) -> usize {
        self.at + self.bulk.map_or(1, |length| length + 2)
    }

    /// Bytes of memory that the places of arguments take, here and as parts.
    pub(super) fn held_bytes(&self) -> usize {
        2 * self.spans.capacity() * size_of::<(usize, usize)>()
    }

    /// Forgets the command and says how long it was.
    fn finish(&mut self) -> usize {
        std::mem::take(&mut self.at)
    }

    /// How many arguments the array at the front has.
    fn count(&mut self, input: &[u8], bounds: &Bounds) -> Result<Option<usize>, ProtocolError> {
        use ProtocolError::{Count, LongCount, StrangerCount};
        let Some((count, end)) = number(input, 1, LongCount, Count)? else { return Ok(None) };
        // Redis takes a negative count for none.
        let count = usize::try_from(count).unwrap_or(0);
        if count > bounds.arguments {
            return Err(Count);
        }
        if bounds.stranger && count > STRANGER_ARGUMENTS {
            return Err(StrangerCount);
        }
        self.at = end;
        Ok(Some(count))
    }

    /// The place of the argument that begins at `at`.
    fn argument(&mut self, input: &[u8], bounds: &Bounds) -> Result<Option<(usize, usize)>, ProtocolError> {
        let length = match self.bulk {
            Some(length) => length,
            None => match self.length(input, bounds)? {
                Some(length) => length,
                None => return Ok(None),
            },
        };
        let end = self.at + length;
        let Some(line_break) = input.get(end..end + 2) else { return Ok(None) };
        if line_break != b"\r\n" {
            return Err(ProtocolError::Unterminated);
        }
        let span = (self.at, end);
        self.at = end + 2;
        self.bulk = None;
        Ok(Some(span))
    }

    /// The length of the argument whose first line begins at `at`; moves on to its bytes.
    fn length(&mut self, input: &[u8], bounds: &Bounds) -> Result<Option<usize>, ProtocolError> {
        use ProtocolError::{Length, LongCommand, LongLength, NoBulk, StrangerLength};
        match input.get(self.at) {
            None => return Ok(None),
            Some(b'$') => {}
            Some(other) => return Err(NoBulk(*other)),
        }
        let Some((length, end)) = number(input, self.at + 1, LongLength, Length)? else { return Ok(None) };
        let length = usize::try_from(length).map_err(|_| Length)?;
        if length > bounds.bulk_bytes {
            return Err(Length);
        }
        if bounds.stranger && length > STRANGER_BULK_BYTES {
            return Err(StrangerLength);
        }
        if end + length > bounds.command_bytes {
            return Err(LongCommand);
        }
        self.at = end;
        self.bulk = Some(length);
        Ok(Some(length))
    }

    /// The inline command at the front.
    fn line<'a>(&mut self, input: &'a [u8]) -> Result<Option<Frame<'a>>, ProtocolError> {
        let window = &input[..input.len().min(INLINE_MAX + 2)];
        let Some(end) = window[self.at..].iter().position(|byte| *byte == b'\n') else {
            self.at = window.len();
            return if input.len() > INLINE_MAX + 1 { Err(ProtocolError::LongLine) } else { Ok(None) };
        };
        let end = self.at + end;
        self.at = end + 1;
        let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
        if line.len() > INLINE_MAX {
            return Err(ProtocolError::LongLine);
        }
        if is_http(line) {
            return Err(ProtocolError::Http);
        }
        Ok(Some(Frame::Line(line, self.finish())))
    }
}

/// The number from `from` to the end of its line, and where the next line begins.
#[inline]
fn number(
    input: &[u8],
    from: usize,
    too_long: ProtocolError,
    invalid: ProtocolError,
) -> Result<Option<(i64, usize)>, ProtocolError> {
    let window = &input[from..input.len().min(from + COUNT_MAX + 1)];
    let Some(digits) = window.iter().position(|byte| *byte == b'\r') else {
        return if window.len() > COUNT_MAX { Err(too_long) } else { Ok(None) };
    };
    let end = from + digits + 2;
    match input.get(end - 1) {
        None => Ok(None),
        Some(b'\n') => Ok(Some((whole_number(&window[..digits]).ok_or(invalid)?, end))),
        Some(_) => Err(invalid),
    }
}

/// A whole number as Redis writes it: no blanks, no plus sign, no leading zeros.
#[inline]
fn whole_number(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 18 => {}
        _ => return None,
    }
    let mut number = 0_i64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number * 10 + i64::from(digit - b'0');
    }
    Some(if negative { -number } else { number })
}

/// Whether a line is one of HTTP: a request line, or the header that every request carries.
fn is_http(line: &[u8]) -> bool {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let first = words.next().unwrap_or(b"");
    let header = first.eq_ignore_ascii_case(b"post") || first.eq_ignore_ascii_case(b"host:");
    header || words.nth(1).is_some_and(|third| third.starts_with(b"HTTP/")) && words.next().is_none()
}

#[cfg(test)]
mod tests;
