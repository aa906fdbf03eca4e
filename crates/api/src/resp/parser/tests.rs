//! The parser against what was encoded, and against itself with other pieces of the same bytes.

use proptest::prelude::*;

use super::super::inline;
use super::*;

const BOUNDS: Bounds = Bounds { arguments: 1000, bulk_bytes: 100, command_bytes: 10_000, stranger: false };

/// Commands found, and the error after them.
type Found = (Vec<Vec<Vec<u8>>>, Option<ProtocolError>);

/// Parses as a connection does: whatever is there after each piece.
fn parse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, bounds: &Bounds) -> Found {
    let (mut parser, mut buffer, mut found) = (Parser::default(), Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        let mut taken = 0;
        loop {
            let mut parts = Vec::new();
            let frame = match parser.next(&buffer[taken..], bounds, &mut parts) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            };
            let (words, bytes) = match frame {
                Frame::Command(bytes) => (parts.into_iter().map(<[u8]>::to_vec).collect(), bytes),
                Frame::Nothing(bytes) => (Vec::new(), bytes),
                Frame::Line(line, bytes) => match inline::split(line) {
                    Ok(words) => (words, bytes),
                    Err(error) => return (found, Some(error)),
                },
            };
            assert!(bytes > 0, "it moves on");
            taken += bytes;
            if !words.is_empty() {
                found.push(words);
            }
        }
        buffer.drain(..taken);
    }
    (found, None)
}

fn error_of(input: &[u8]) -> Option<String> {
    parse([input], &BOUNDS).1.map(|error| error.to_string())
}

fn encode(command: &[Vec<u8>]) -> Vec<u8> {
    let mut encoded = format!("*{}\r\n", command.len()).into_bytes();
    for part in command {
        encoded.extend(format!("${}\r\n", part.len()).into_bytes());
        encoded.extend(part);
        encoded.extend(b"\r\n");
    }
    encoded
}

/// The pieces of `bytes` between places, given as fractions of its length.
fn pieces<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

fn commands() -> impl Strategy<Value = Vec<Vec<Vec<u8>>>> {
    let part = prop::collection::vec(any::<u8>(), 0..40);
    prop::collection::vec(prop::collection::vec(part, 1..6), 0..6)
}

/// Bytes that mean something to the parser, more often than chance would have it.
fn telling_bytes() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        prop::sample::select(vec![
            "*",
            "$",
            "\r\n",
            "\n",
            "-1",
            "0",
            "1",
            "3",
            "11",
            "101",
            "1001",
            "\"",
            "'",
            "\\x41",
            " ",
            "PING",
            "*1\r\n",
            "*2\r\n",
            "$4\r\nPING\r\n",
            "$0\r\n\r\n",
            "*0\r\n",
            "POST ",
            "99999999999999999999",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(token, 0..20).prop_map(|tokens| tokens.concat())
}

proptest! {
    #[test]
    fn what_was_encoded_is_found_however_it_is_cut(commands in commands(), cuts: Vec<prop::sample::Index>) {
        let bytes: Vec<u8> = commands.iter().flat_map(|command| encode(command)).collect();
        prop_assert_eq!(parse(pieces(&bytes, &cuts), &BOUNDS), (commands, None));
    }

    #[test]
    fn any_bytes_mean_the_same_however_they_are_cut(
        bytes in telling_bytes(),
        cuts: Vec<prop::sample::Index>,
        stranger: bool,
    ) {
        let bounds = Bounds { stranger, ..BOUNDS };
        let whole = parse([&*bytes], &bounds);
        prop_assert_eq!(parse(pieces(&bytes, &cuts), &bounds), whole.clone());
        prop_assert_eq!(parse(bytes.chunks(1), &bounds), whole);
    }
}

#[test]
fn errors_are_those_of_redis() {
    for (input, text) in [
        ("*a\r\n", "invalid multibulk length"),
        ("*01\r\n", "invalid multibulk length"),
        ("*1001\r\n", "invalid multibulk length"),
        ("*99999999999999999999\r\n", "invalid multibulk length"),
        ("*1111111111111111111111111", "too big mbulk count string"),
        ("*1\r\n$a\r\n", "invalid bulk length"),
        ("*1\r\n$-1\r\n", "invalid bulk length"),
        ("*1\r\n$101\r\n", "invalid bulk length"),
        ("*1\r\n$1111111111111111111111111", "too big bulk count string"),
        ("*1\r\n:1\r\n", "expected '$', got ':'"),
        ("set \"a\r\n", "unbalanced quotes in request"),
    ] {
        assert_eq!(error_of(input.as_bytes()), Some(format!("Protocol error: {text}")), "{input:?}");
    }
}

#[test]
fn a_bulk_string_ends_with_a_line_break() {
    assert_eq!(parse([&b"*1\r\n$4\r\nPINGxx"[..]], &BOUNDS).1, Some(ProtocolError::Unterminated));
}

#[test]
fn a_command_has_a_longest_length() {
    let long = encode(&vec![vec![b'x'; 100]; 101]);
    assert_eq!(parse([&*long], &BOUNDS).1, Some(ProtocolError::LongCommand));
    let short = encode(&vec![vec![b'x'; 100]; 90]);
    assert_eq!(parse([&*short], &BOUNDS).1, None);
}

#[test]
fn an_inline_command_has_a_longest_length() {
    let line = |length| [vec![b'x'; length], b"\r\n".to_vec()].concat();
    assert_eq!(parse([&*line(INLINE_MAX)], &BOUNDS).1, None);
    assert_eq!(parse([&*line(INLINE_MAX + 1)], &BOUNDS).1, Some(ProtocolError::LongLine));
    let endless = vec![b'x'; INLINE_MAX + 2];
    assert_eq!(parse(endless.chunks(1000), &BOUNDS).1, Some(ProtocolError::LongLine));
}

#[test]
fn strangers_may_send_little() {
    let bounds = Bounds { stranger: true, arguments: 1000, bulk_bytes: 1 << 20, command_bytes: 1 << 20 };
    let error = |input: &str| parse([input.as_bytes()], &bounds).1;
    assert_eq!(error("*10\r\n$16384\r\n"), None);
    assert_eq!(error("*11\r\n"), Some(ProtocolError::StrangerCount));
    assert_eq!(error("*1\r\n$16385\r\n"), Some(ProtocolError::StrangerLength));
}

#[test]
fn http_is_recognised() {
    for line in ["GET / HTTP/1.1", "POST / HTTP/1.1", "post x", "Host: localhost", "OPTIONS * HTTP/1.0"] {
        assert_eq!(parse([format!("{line}\r\n").as_bytes()], &BOUNDS).1, Some(ProtocolError::Http), "{line}");
    }
    for line in ["GET key", "SET page HTTP/1.1 EX 5", "ECHO Host:"] {
        assert_eq!(parse([format!("{line}\r\n").as_bytes()], &BOUNDS).1, None, "{line}");
    }
}

#[test]
fn empty_commands_are_nothing() {
    let (found, error) = parse([&b"*0\r\n\r\n*-1\r\n  \nPING\n"[..]], &BOUNDS);
    assert_eq!((found, error), (vec![vec![b"PING".to_vec()]], None));
}

#[test]
fn a_command_of_many_arguments_takes_one_pass_though_it_comes_byte_by_byte() {
    let command = vec![b"ab".to_vec(); 100_000];
    let bounds = Bounds { arguments: 100_000, command_bytes: 1 << 20, ..BOUNDS };
    let (mut parser, bytes) = (Parser::default(), encode(&command));
    let mut read = 0;
    for end in 1..bytes.len() {
        let before = parser.at;
        assert_eq!(parser.next(&bytes[..end], &bounds, &mut Vec::new()), Ok(None));
        assert!(parser.at >= before, "it goes back");
        read += end - parser.at;
    }
    assert!(read < bytes.len() * 12, "looked at {read} bytes of {}", bytes.len());
    let mut parts = Vec::new();
    assert_eq!(parser.next(&bytes, &bounds, &mut parts), Ok(Some(Frame::Command(bytes.len()))));
    assert_eq!(parts.len(), command.len());
}
