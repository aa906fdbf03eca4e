//! Which members are meant: by patterns for names and tags.

/// Whether `text` is what `pattern` says, where each `*` stands for any number of characters. Takes at most as many steps
/// as the product of their lengths.
///
/// ```
/// assert!(boato_gossip::matches("web*.eu", "web12.eu"));
/// assert!(!boato_gossip::matches("web*.eu", "web12.us"));
/// ```
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut from) = (0, 0);
    // Where to go on after a mismatch: behind the last star, one byte of the text later.
    let mut retry: Option<(usize, usize)> = None;
    while from < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                at += 1;
                retry = Some((at, from));
            }
            Some(byte) if *byte == text[from] => (at, from) = (at + 1, from + 1),
            _ => {
                let Some((star, start)) = retry else { return false };
                (at, from) = (star, start + 1);
                retry = Some((star, from));
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text) in [
            ("", ""),
            ("*", ""),
            ("*", "x"),
            ("a*c", "abbc"),
            ("a*c", "ac"),
            ("*b*", "abc"),
            ("**", "x"),
            ("a*bc", "abbc"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("", "x"), ("a", "ab"), ("a*c", "abcd"), ("*b", "abc"), ("A", "a"), ("a*b*c", "acb")]
        {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_do_not_take_long() {
        assert!(!matches(&"*a".repeat(400), &"a".repeat(399)));
        assert!(!matches(&format!("{}b", "*a".repeat(400)), &"a".repeat(900)));
    }
}
