//! What a request is aimed at: the raw path, read once.

use std::borrow::Cow;

use http::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use super::problem::Problem;

/// Longest key a URL may name, in decoded bytes.
pub const KEY_BYTES_MAX: usize = 1024;

/// What RFC 3986 lets stand unescaped everywhere, and the slash.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// What a request is aimed at.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target<'a> {
    /// `/`
    Root,
    /// `/_` or `/_/...`: what follows `/_/`, still escaped; `None` without the second slash.
    Reserved(Option<&'a str>),
    /// Everything after the first slash, decoded once and never normalised.
    Key(Cow<'a, [u8]>),
}

/// Reads a request target. Reserved paths are judged before decoding: `/%5F/x` is the key `_/x`.
///
/// HTTP/2 carries scheme and authority beside the path; an HTTP/1 target that has them was meant for a proxy.
pub(super) fn parse(uri: &Uri, http2: bool) -> Result<Target<'_>, Problem> {
    if !http2 && (uri.scheme().is_some() || uri.authority().is_some()) {
        return Err(not_a_path());
    }
    let raw =
        uri.path_and_query().and_then(|target| target.path().strip_prefix('/')).ok_or_else(not_a_path)?;
    match raw {
        "" => Ok(Target::Root),
        "_" => Ok(Target::Reserved(None)),
        _ => match raw.strip_prefix("_/") {
            Some(rest) => Ok(Target::Reserved(Some(rest))),
            None => key(raw).map(Target::Key),
        },
    }
}

/// Reads the escaped text of a key: 1 to [`KEY_BYTES_MAX`] bytes once decoded.
pub(super) fn key(raw: &str) -> Result<Cow<'_, [u8]>, Problem> {
    let key = decode(raw).ok_or_else(|| {
        Problem::bad_request("a '%' in the path must be followed by two hexadecimal digits")
    })?;
    match key.len() {
        0 => Err(Problem::bad_request("a key has at least one byte")),
        1..=KEY_BYTES_MAX => Ok(key),
        _ => Err(Problem::uri_too_long(format!(
            "a key has at most {KEY_BYTES_MAX} bytes once percent-decoded"
        ))),
    }
}

/// Percent-decodes once; `None` when an escape is malformed. `+` is a plus sign.
pub(super) fn decode(raw: &str) -> Option<Cow<'_, [u8]>> {
    if !raw.contains('%') {
        return Some(Cow::Borrowed(raw.as_bytes()));
    }
    let mut decoded = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' { hex(bytes.next()?)? << 4 | hex(bytes.next()?)? } else { byte });
    }
    Some(Cow::Owned(decoded))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// The path that names a key: the inverse of [`parse`].
pub(super) fn path_of(key: &[u8]) -> String {
    let escaped = percent_encode(key, ESCAPED);
    match key {
        [b'_'] | [b'_', b'/', ..] => format!("/%5F{}", percent_encode(&key[1..], ESCAPED)),
        _ => format!("/{escaped}"),
    }
}

fn not_a_path() -> Problem {
    Problem::bad_request("the request target must be a path: this is not a proxy")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(path: &str) -> Target<'static> {
        let uri: Uri = path.parse().unwrap();
        match parse(&uri, false).unwrap() {
            Target::Root => Target::Root,
            Target::Reserved(rest) => Target::Reserved(rest.map(|rest| &*rest.to_owned().leak())),
            Target::Key(key) => Target::Key(Cow::Owned(key.into_owned())),
        }
    }

    fn key_of(path: &str) -> Vec<u8> {
        match parsed(path) {
            Target::Key(key) => key.into_owned(),
            other => panic!("{path} is {other:?}"),
        }
    }

    fn refused(path: &str, http2: bool) -> u16 {
        let uri: Uri = path.parse().unwrap();
        parse(&uri, http2).unwrap_err().status().as_u16()
    }

    #[test]
    fn keys_are_taken_as_written() {
        for (path, key) in [
            ("/a", "a"),
            ("/a/b", "a/b"),
            ("/a//b", "a//b"),
            ("//b", "/b"),
            ("///", "//"),
            ("/a/../b", "a/../b"),
            ("/.", "."),
            ("/a/", "a/"),
            ("/a+b", "a+b"),
            ("/_x", "_x"),
            ("/__/x", "__/x"),
            ("/caf\u{e9}", "caf\u{e9}"),
        ] {
            assert_eq!(key_of(path), key.as_bytes(), "{path}");
        }
    }

    #[test]
    fn escapes_are_decoded_once() {
        assert_eq!(key_of("/%41%2fb"), b"A/b");
        assert_eq!(key_of("/%2541"), b"%41");
        assert_eq!(key_of("/%00%ff"), [0, 255]);
        assert_eq!(key_of("/a%3Fb%23c"), b"a?b#c");
    }

    #[test]
    fn reserved_paths_are_judged_before_decoding() {
        assert_eq!(parsed("/"), Target::Root);
        assert_eq!(parsed("/?x"), Target::Root);
        assert_eq!(parsed("/_"), Target::Reserved(None));
        assert_eq!(parsed("/_/"), Target::Reserved(Some("")));
        assert_eq!(parsed("/_/owner/%41"), Target::Reserved(Some("owner/%41")));
        assert_eq!(key_of("/%5F/x"), b"_/x");
        assert_eq!(key_of("/%5f"), b"_");
        assert_eq!(key_of("/_%2Fx"), b"_/x");
    }

    #[test]
    fn bad_escapes_are_refused() {
        for path in ["/%", "/%4", "/%zz", "/a%4", "/%+1", "/%4%41"] {
            assert_eq!(refused(path, false), 400, "{path}");
        }
    }

    #[test]
    fn targets_that_are_not_a_path_are_refused() {
        for target in ["*", "http://example.com/key", "example.com:80"] {
            assert_eq!(refused(target, false), 400, "{target}");
        }
        assert_eq!(refused("*", true), 400);
        let uri: Uri = "http://example.com/key".parse().unwrap();
        assert_eq!(parse(&uri, true).unwrap(), Target::Key(Cow::Borrowed(b"key")));
    }

    #[test]
    fn the_length_limit_counts_decoded_bytes() {
        assert_eq!(key_of(&format!("/{}", "%61".repeat(KEY_BYTES_MAX))).len(), KEY_BYTES_MAX);
        assert_eq!(refused(&format!("/{}", "a".repeat(KEY_BYTES_MAX + 1)), false), 414);
    }

    proptest! {
        #[test]
        fn every_key_has_a_path(key in proptest::collection::vec(any::<u8>(), 1..=KEY_BYTES_MAX)) {
            prop_assert_eq!(key_of(&path_of(&key)), key);
        }

        #[test]
        fn underscores_and_slashes_round_trip(key in "[_/%.]{1,6}") {
            prop_assert_eq!(key_of(&path_of(key.as_bytes())), key.into_bytes());
        }

        #[test]
        fn any_visible_path_is_read_or_refused(path in "/[!-~]{0,40}") {
            if let Ok(uri) = path.parse::<Uri>() {
                let _ = parse(&uri, false);
            }
        }
    }
}
