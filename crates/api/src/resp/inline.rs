//! Inline commands: a line of words, for people with `telnet`; quoted as Redis' `sdssplitargs` has it.

use super::parser::ProtocolError;

/// The words of a line.
///
/// In double quotes `\n \r \t \b \a`, `\xHH` and `\` before any other byte stand for one byte; in single quotes only `\'` does.
/// A closing quote ends a word and must be followed by a blank or the end.
pub(super) fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, ProtocolError> {
    let mut words = Vec::new();
    let mut rest = trim_start(line);
    while !rest.is_empty() {
        let (word, after) = word(rest)?;
        words.push(word);
        rest = trim_start(after);
    }
    Ok(words)
}

/// The first word, and what follows it.
fn word(mut rest: &[u8]) -> Result<(Vec<u8>, &[u8]), ProtocolError> {
    let mut word = Vec::new();
    loop {
        match rest {
            [] => return Ok((word, rest)),
            [byte, ..] if is_blank(*byte) => return Ok((word, rest)),
            [quote @ (b'"' | b'\''), quoted @ ..] => {
                let after =
                    if *quote == b'"' { double(quoted, &mut word)? } else { single(quoted, &mut word)? };
                let ends = after.first().is_none_or(|byte| is_blank(*byte));
                return if ends { Ok((word, after)) } else { Err(ProtocolError::Quotes) };
            }
            [byte, after @ ..] => {
                word.push(*byte);
                rest = after;
            }
        }
    }
}

/// Reads up to and over the closing double quote.
fn double<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], ProtocolError> {
    loop {
        let byte;
        (byte, rest) = match rest {
            [] => return Err(ProtocolError::Quotes),
            [b'"', after @ ..] => return Ok(after),
            [b'\\', b'x', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                (hex(*high) << 4 | hex(*low), after)
            }
            [b'\\', escaped, after @ ..] => (unescape(*escaped), after),
            [byte, after @ ..] => (*byte, after),
        };
        word.push(byte);
    }
}

/// Reads up to and over the closing single quote.
fn single<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], ProtocolError> {
    loop {
        let byte;
        (byte, rest) = match rest {
            [] => return Err(ProtocolError::Quotes),
            [b'\'', after @ ..] => return Ok(after),
            [b'\\', b'\'', after @ ..] => (b'\'', after),
            [byte, after @ ..] => (*byte, after),
        };
        word.push(byte);
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => other,
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        digit => digit.to_ascii_lowercase() - b'a' + 10,
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 11 | 12)
}

fn trim_start(line: &[u8]) -> &[u8] {
    let blanks = line.iter().take_while(|byte| is_blank(**byte)).count();
    &line[blanks..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        split(line.as_bytes()).unwrap().into_iter().map(|word| String::from_utf8(word).unwrap()).collect()
    }

    #[test]
    fn blanks_part_words() {
        assert_eq!(words("  set\tkey   value "), ["set", "key", "value"]);
        assert_eq!(words(" \t "), Vec::<String>::new());
    }

    #[test]
    fn quotes_keep_blanks_and_say_bytes() {
        assert_eq!(words(r#"set "a b" 'c d'"#), ["set", "a b", "c d"]);
        assert_eq!(words(r#""\x41\n\t\"\\\q" ''"#), ["A\n\t\"\\q", ""]);
        assert_eq!(words(r#"'it\'s \n' "\xzz""#), ["it's \\n", "xzz"]);
        assert_eq!(words(r#"a"b c""#), ["ab c"]);
    }

    #[test]
    fn quotes_must_close_and_end_the_word() {
        for line in [r#"set "a"#, "set 'a", r#""a"b"#, "'a'b", r#""a\"#] {
            assert_eq!(split(line.as_bytes()), Err(ProtocolError::Quotes), "{line}");
        }
    }
}
