//! Looks ahead at the commands of a pipeline, so that the backend can fetch what they look up all at once.

use crate::{Backend, FETCH_MAX};

/// Commands with more words are not looked into.
const WORDS_MAX: usize = 16;
/// Longer keys take more time to hash than it takes to wait for what they lead to.
const KEY_BYTES_MAX: usize = 256;

/// How far the input of one read has been looked at.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    until: usize,
}

impl Ahead {
    /// Has the backend fetch what the commands from `at` on look up, unless it has done so already: then this is false.
    #[inline]
    pub(super) fn fetch(&mut self, input: &[u8], at: usize, backend: &dyn Backend) -> bool {
        let is_new = at >= self.until;
        if is_new {
            self.look(input, at, backend);
        }
        is_new
    }

    fn look(&mut self, input: &[u8], mut at: usize, backend: &dyn Backend) {
        let (mut keys, mut count) = ([&[][..]; FETCH_MAX], 0);
        while count < FETCH_MAX {
            let Some((key, length)) = input.get(at..).and_then(command) else {
                // The parser will say what it is. Nothing that has arrived by now is looked at again.
                at = usize::MAX;
                break;
            };
            at += length;
            if let Some(key) = key.filter(|key| key.len() <= KEY_BYTES_MAX) {
                keys[count] = key;
                count += 1;
            }
        }
        self.until = at;
        if count > 1 {
            backend.fetch(&keys[..count]);
        }
    }
}

/// The second word of the short command at the front, which is a key if the command has one, and the command's length.
/// `None`: what is there is something else, or not complete.
fn command(input: &[u8]) -> Option<(Option<&[u8]>, usize)> {
    let (words, mut at) = number(input, 0, b'*')?;
    let mut second = None;
    for word in 0..Some(words).filter(|words| *words <= WORDS_MAX)? {
        let (length, start) = number(input, at, b'$')?;
        let end = start.checked_add(length)?;
        let bytes = input.get(start..end)?;
        if word == 1 {
            second = Some(bytes);
        }
        at = end + 2;
    }
    (at <= input.len()).then_some((second, at))
}

/// The number behind `sign` at `at`, and where the next line begins.
#[inline]
fn number(input: &[u8], at: usize, sign: u8) -> Option<(usize, usize)> {
    let digits = input.get(at..)?.strip_prefix(&[sign])?;
    let mut number = 0;
    for (index, byte) in digits.iter().enumerate().take(8) {
        match byte {
            b'0'..=b'9' => number = number * 10 + usize::from(byte - b'0'),
            b'\r' => return Some((number, at + index + 3)),
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_word_of_a_complete_command_is_found() {
        let get = b"*2\r\n$3\r\nGET\r\n$5\r\nhello\r\n";
        assert_eq!(command(get), Some((Some(&b"hello"[..]), get.len())));
        assert_eq!(command(b"*1\r\n$4\r\nPING\r\n*2"), Some((None, 14)));
        for length in 0..get.len() {
            assert_eq!(command(&get[..length]), None, "{length} bytes");
        }
        for other in
            ["PING\r\n", "*-1\r\n", "*2\r\n:3\r\n", "*2\r\n$3\r\nGET\r\n$99999999\r\n", "*17\r\n$1\r\na\r\n"]
        {
            assert_eq!(command(other.as_bytes()), None, "{other:?}");
        }
    }
}
