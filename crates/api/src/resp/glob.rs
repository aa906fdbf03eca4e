//! Patterns as in Redis' `KEYS`: `*`, `?`, `[a-z]`, `[^a]`, `\x`.

/// Longer patterns match nothing: what they are compared with here are names.
const PATTERN_BYTES_MAX: usize = 4096;

/// Whether the whole text matches the pattern. Without `fold`, letters of different case differ.
///
/// Backtracks to the last `*` only, so it takes at most pattern times text steps.
pub(crate) fn matches(pattern: &[u8], text: &[u8], fold: bool) -> bool {
    if pattern.len() > PATTERN_BYTES_MAX {
        return false;
    }
    let (mut pattern, mut text) = (pattern, text);
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match step(pattern, text, fold) {
            Step::Matched => return true,
            Step::One(rest) => (pattern, text) = (rest, &text[1..]),
            Step::Star(rest) => {
                pattern = rest;
                retry = Some((rest, text));
            }
            Step::Failed => match retry {
                Some((rest, [_, skipped @ ..])) => {
                    (pattern, text) = (rest, skipped);
                    retry = Some((rest, skipped));
                }
                _ => return false,
            },
        }
    }
}

enum Step<'a> {
    Matched,
    /// One byte of the text is matched; what is left of the pattern.
    One(&'a [u8]),
    /// Any number of bytes may be skipped before what is left of the pattern.
    Star(&'a [u8]),
    Failed,
}

fn step<'a>(pattern: &'a [u8], text: &[u8], fold: bool) -> Step<'a> {
    let Some((first, rest)) = pattern.split_first() else {
        return if text.is_empty() { Step::Matched } else { Step::Failed };
    };
    if *first == b'*' {
        return Step::Star(rest);
    }
    let Some(byte) = text.first() else { return Step::Failed };
    let (matched, rest) = match (first, rest) {
        (b'?', rest) => (true, rest),
        (b'[', rest) => class(rest, *byte, fold),
        (b'\\', [escaped, rest @ ..]) => (same(*escaped, *byte, fold), rest),
        (plain, rest) => (same(*plain, *byte, fold), rest),
    };
    if matched { Step::One(rest) } else { Step::Failed }
}

/// Whether the class behind a `[` has the byte, and what follows its `]`; a class without an end lasts to the end.
fn class(set: &[u8], byte: u8, fold: bool) -> (bool, &[u8]) {
    let (negated, mut set) = match set {
        [b'^', set @ ..] => (true, set),
        set => (false, set),
    };
    let mut found = false;
    loop {
        set = match set {
            [] => return (found != negated, set),
            [b']', rest @ ..] => return (found != negated, rest),
            [b'\\', escaped, rest @ ..] => {
                found |= same(*escaped, byte, fold);
                rest
            }
            [first, b'-', last, rest @ ..] => {
                found |= within(*first, *last, byte, fold);
                rest
            }
            [one, rest @ ..] => {
                found |= same(*one, byte, fold);
                rest
            }
        };
    }
}

fn within(first: u8, last: u8, byte: u8, fold: bool) -> bool {
    let fold = |byte: u8| if fold { byte.to_ascii_lowercase() } else { byte };
    let (first, last, byte) = (fold(first), fold(last), fold(byte));
    (first.min(last)..=first.max(last)).contains(&byte)
}

fn same(a: u8, b: u8, fold: bool) -> bool {
    if fold { a.eq_ignore_ascii_case(&b) } else { a == b }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("***", "abc", true),
            ("a*c", "abbbc", true),
            ("a*c", "abbb", false),
            ("*ab*ab", "abxabyab", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[c-a]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            ("[a\\]]", "]", true),
            ("[abc", "c", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a\\", "a\\", true),
            ("[]a", "a", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes(), false), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn folding_ignores_case() {
        assert!(matches(b"MAX[M]emor?", b"maxmemory", true));
        assert!(!matches(b"MAX*", b"maxmemory", false));
    }

    #[test]
    fn many_stars_do_not_explode() {
        let pattern = b"*a".repeat(64);
        assert!(!matches(&pattern, &b"a".repeat(63), false));
        assert!(!matches(&[pattern, b"b".to_vec()].concat(), &b"a".repeat(4096), false));
    }
}
