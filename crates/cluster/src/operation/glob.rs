//! Patterns as of Redis' `KEYS`: `*`, `?`, `[a-z]`, `[^a]`, `\x`; what is odd in them is odd as there.

/// Steps, each a byte of the pattern looked at, after which a match is given up, as no match: a few milliseconds. Only a
/// pattern with many stars or a long set, made for the purpose, gets there.
const STEPS_MAX: usize = 1 << 22;

/// Whether a key matches a pattern, byte by byte.
///
/// As every element but a star matches one byte, only the last star ever needs another try: time is bounded by the
/// product of both lengths.
pub(super) fn matches(pattern: &[u8], key: &[u8]) -> bool {
    let (mut pattern, mut rest) = (pattern, key);
    // Where to go on when what follows the last star does not fit: the pattern behind it, the key behind what it took.
    let mut star: Option<(&[u8], &[u8])> = None;
    let mut steps = 0;
    while steps < STEPS_MAX {
        steps += 1;
        if let [b'*', behind @ ..] = pattern {
            pattern = behind;
            if pattern.is_empty() {
                return true;
            }
            star = Some((pattern, rest));
            continue;
        }
        let fits = match (rest.split_first(), pattern.is_empty()) {
            (None, true) => return true,
            (None, false) => return false,
            (Some(_), true) => None,
            (Some((&byte, behind)), false) => {
                let (matches, further) = element(pattern, byte);
                steps += pattern.len() - further.len();
                matches.then_some((further, behind))
            }
        };
        (pattern, rest) = match (fits, &mut star) {
            (Some(further), _) => further,
            (None, None) => return false,
            (None, Some((pattern, taken))) => {
                let Some((_, behind)) = taken.split_first() else { return false };
                *taken = behind;
                (*pattern, behind)
            }
        };
    }
    false
}

/// Whether the first element of a pattern, which is no star, matches a byte; and what follows it.
fn element(pattern: &[u8], byte: u8) -> (bool, &[u8]) {
    match pattern {
        [b'?', rest @ ..] => (true, rest),
        [b'[', b'^', rest @ ..] => {
            let (matches, rest) = set(rest, byte);
            (!matches, rest)
        }
        [b'[', rest @ ..] => set(rest, byte),
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => (*literal == byte, rest),
        [] => (false, &[]),
    }
}

/// Whether a byte is in a set, given from behind its bracket; and what follows it. The end of the pattern ends it, too.
fn set(mut set: &[u8], byte: u8) -> (bool, &[u8]) {
    let mut matches = false;
    loop {
        let one;
        (one, set) = match set {
            [] => return (matches, set),
            [b'\\', literal, rest @ ..] => (*literal == byte, rest),
            [b']', rest @ ..] => return (matches, rest),
            [from, b'-', to, rest @ ..] => ((*from.min(to)..=*from.max(to)).contains(&byte), rest),
            [literal, rest @ ..] => (*literal == byte, rest),
        };
        matches |= one;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the definition says, with all tries.
    fn naive(pattern: &[u8], key: &[u8]) -> bool {
        match (pattern, key) {
            ([], key) => key.is_empty(),
            ([b'*', rest @ ..], key) => (0..=key.len()).any(|taken| naive(rest, &key[taken..])),
            (_, []) => false,
            (pattern, [byte, behind @ ..]) => {
                let (matches, rest) = element(pattern, *byte);
                matches && naive(rest, behind)
            }
        }
    }

    #[test]
    fn elements_match_as_in_redis() {
        for (pattern, key, expected) in [
            ("*", "", true),
            ("h?llo", "hallo", true),
            ("h?llo", "hllo", false),
            ("h*llo", "heeeello", true),
            ("h[ae]llo", "hello", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("[\\]]", "]", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a\\", "a\\", true),
            ("[ab", "a", true),
            ("[a-]", "^", true),
            ("[]", "a", false),
            ("a*b*c", "aXbXbc", true),
            ("a*b*c", "aXbXbcd", false),
            ("a**", "a", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), key.as_bytes()), expected, "{pattern} on {key}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_ends_soon() {
        let (pattern, key) = (b"*a".repeat(30_000), b"a".repeat(60_000));
        assert!(!matches(&[&pattern[..], b"b"].concat(), &key));
    }

    #[test]
    fn a_pattern_of_a_long_set_ends_soon() {
        let (set, key) = ([&b"*["[..], &b"a".repeat(60_000), b"]b"].concat(), b"a".repeat(60_000));
        assert!(!matches(&set, &key));
    }

    proptest! {
        #[test]
        fn one_way_back_is_enough(pattern in "[ab*?\\[\\]\\\\^-]{0,10}", key in "[ab]{0,8}") {
            prop_assert_eq!(matches(pattern.as_bytes(), key.as_bytes()), naive(pattern.as_bytes(), key.as_bytes()));
        }
    }
}
