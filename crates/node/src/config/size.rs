//! Sizes in bytes as people write them.

use std::fmt;
use std::str::FromStr;

/// Unit names and their bytes, largest first so that a size prints in the largest unit that divides it.
const UNITS: [(&str, u64); 8] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
];

/// A number of bytes: `512MiB`, `2GB`, `1048576`. Suffixes are case-insensitive; there are no fractions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// Text that is not a [`ByteSize`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ByteSizeError {
    /// No digits, or something other than a known suffix after them.
    #[error(
        "expected a whole number of bytes with an optional suffix KiB, MiB, GiB, TiB, KB, MB, GB or TB, like 512MiB"
    )]
    Shape,
    /// More than `u64::MAX` bytes.
    #[error("more bytes than 64 bits can count")]
    TooLarge,
}

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, ByteSizeError> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, suffix) = text.split_at(digits);
        if number.is_empty() {
            return Err(ByteSizeError::Shape);
        }
        let number: u64 = number.parse().map_err(|_| ByteSizeError::TooLarge)?;
        let unit = unit(suffix.trim_start()).ok_or(ByteSizeError::Shape)?;
        number.checked_mul(unit).map(Self).ok_or(ByteSizeError::TooLarge)
    }
}

fn unit(suffix: &str) -> Option<u64> {
    if suffix.is_empty() || suffix.eq_ignore_ascii_case("B") {
        return Some(1);
    }
    UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(suffix)).map(|(_, bytes)| *bytes)
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().find(|(_, bytes)| self.0 > 0 && self.0.is_multiple_of(*bytes)) {
            Some((name, bytes)) => write!(f, "{}{name}", self.0 / bytes),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_multiply() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("17B", 17),
            ("1KiB", 1024),
            ("2 MB", 2_000_000),
            ("3gib", 3 << 30),
            ("1TB", 1_000_000_000_000),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
    }

    #[test]
    fn other_text_is_refused_with_the_forms() {
        for text in ["", "MiB", "1.5GiB", "-1", "1 parsec", "1K"] {
            let error = text.parse::<ByteSize>().unwrap_err();
            assert!(error.to_string().contains("like 512MiB"), "{text}: {error}");
        }
        assert_eq!("99999999999TiB".parse::<ByteSize>(), Err(ByteSizeError::TooLarge));
        assert_eq!("99999999999999999999999".parse::<ByteSize>(), Err(ByteSizeError::TooLarge));
    }

    #[test]
    fn what_is_printed_reads_back() {
        for bytes in [0, 1, 1000, 1024, 1_536_000, 5 << 30, u64::MAX] {
            assert_eq!(ByteSize(bytes).to_string().parse(), Ok(ByteSize(bytes)));
        }
        assert_eq!(ByteSize(512 << 20).to_string(), "512MiB");
    }
}
