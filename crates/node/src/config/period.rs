//! Lengths of time as people write them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Unit names and their milliseconds, largest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Ten years: longer than any wait or time to live, short enough that sums of it never overflow.
const MAX_MS: u64 = 3_650 * 86_400_000;

/// A length of time: `25s`, `500ms`, `2m`, `1h`, `7d`; a bare number counts seconds. At most ten years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

/// Text that is not a [`Period`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeriodError {
    /// No digits, or something other than a known unit after them.
    #[error("expected a whole number with a unit ms, s, m, h or d, like 25s (a bare number counts seconds)")]
    Shape,
    /// More than ten years.
    #[error("longer than ten years")]
    TooLong,
    /// Nothing, where it has to be something.
    #[error("expected more than no time")]
    Zero,
}

impl Period {
    /// Reads a length of time that has to be above 0.
    pub(crate) fn positive(text: &str) -> Result<Self, PeriodError> {
        let period: Self = text.parse()?;
        if period.0.is_zero() { Err(PeriodError::Zero) } else { Ok(period) }
    }
}

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        if number.is_empty() {
            return Err(PeriodError::Shape);
        }
        let unit = if unit.is_empty() { "s" } else { unit };
        let (_, unit_ms) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(PeriodError::Shape)?;
        let number: u64 = number.parse().map_err(|_| PeriodError::TooLong)?;
        let ms = number.checked_mul(*unit_ms).filter(|ms| *ms <= MAX_MS).ok_or(PeriodError::TooLong)?;
        Ok(Self(Duration::from_millis(ms)))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        match UNITS.iter().find(|(_, unit_ms)| ms > 0 && ms.is_multiple_of(u128::from(*unit_ms))) {
            Some((name, unit_ms)) => write!(f, "{}{name}", ms / u128::from(*unit_ms)),
            None => write!(f, "0s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_is_a_time_but_where_it_makes_no_sense() {
        assert_eq!("0ms".parse(), Ok(Period(Duration::ZERO)));
        assert_eq!(Period::positive("0ms"), Err(PeriodError::Zero));
        assert_eq!(Period::positive("1ms"), "1ms".parse());
    }

    #[test]
    fn units_multiply_and_a_bare_number_counts_seconds() {
        for (text, ms) in [
            ("0", 0),
            ("25", 25_000),
            ("25s", 25_000),
            ("500ms", 500),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("1d", 86_400_000),
        ] {
            assert_eq!(text.parse(), Ok(Period(Duration::from_millis(ms))), "{text}");
        }
    }

    #[test]
    fn other_text_is_refused_with_the_forms() {
        for text in ["", "s", "1.5s", "-1s", "5 minutes", "1y"] {
            assert_eq!(text.parse::<Period>(), Err(PeriodError::Shape), "{text}");
        }
        assert!(PeriodError::Shape.to_string().contains("like 25s"));
        for text in ["3651d", "99999999999999999999s"] {
            assert_eq!(text.parse::<Period>(), Err(PeriodError::TooLong), "{text}");
        }
    }

    #[test]
    fn what_is_printed_reads_back() {
        for ms in [0, 1, 999, 1_000, 90_000, 7_200_000, 86_400_000, MAX_MS] {
            let period = Period(Duration::from_millis(ms));
            assert_eq!(period.to_string().parse(), Ok(period));
        }
        assert_eq!(Period(Duration::from_secs(90)).to_string(), "90s");
    }
}
