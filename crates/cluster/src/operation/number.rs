//! Numbers as values: decimal text, read as Redis reads it.

use super::Outcome;

/// A whole number in its canonical form: no sign but `-`, no leading zero, no blank.
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let canonical = match digits {
        [b'0'] => text == digits,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    let text = std::str::from_utf8(text).ok().filter(|_| canonical)?;
    text.parse().ok()
}

/// The longest text that is read as a number with a fraction, in bytes.
const FLOAT_MAX: usize = 5 * 1024;

/// Digits behind the point that are kept.
const PLACES: usize = 17;

/// The sum of a value and a number as text, without an exponent and without idle zeros.
///
/// Exact for up to 17 places behind the point and 20 before, where a sum of binary numbers would show their errors.
pub(super) fn sum(value: &[u8], by: f64) -> Result<String, Outcome> {
    let text = std::str::from_utf8(value).ok().filter(|text| text.len() <= FLOAT_MAX);
    let text = text.ok_or(Outcome::NotAFloat)?;
    let number = text.parse().ok().filter(|number: &f64| !number.is_nan()).ok_or(Outcome::NotAFloat)?;
    if let (Some(left), Some(right)) = (fixed(text), fixed(&by.to_string())) {
        return Ok(fixed_text(left + right));
    }
    let sum = number + by;
    if sum.is_finite() { Ok(sum.to_string()) } else { Err(Outcome::Overflow) }
}

/// A decimal as a multiple of 10^-17, if it is one and below 10^20.
fn fixed(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fits = !whole.is_empty() && whole.len() <= 20 && fraction.len() <= PLACES;
    let all_digits = whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    let number: i128 = format!("{whole}{fraction:0<PLACES$}").parse().ok().filter(|_| fits && all_digits)?;
    Some(if negative { -number } else { number })
}

fn fixed_text(number: i128) -> String {
    let digits = format!("{:0>width$}", number.unsigned_abs(), width = PLACES + 1);
    let (whole, fraction) = digits.split_at(digits.len() - PLACES);
    let fraction = fraction.trim_end_matches('0');
    let sign = if number < 0 { "-" } else { "" };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_canonical() {
        for text in ["0", "1", "-1", "9223372036854775807", "-9223372036854775808"] {
            assert_eq!(integer(text.as_bytes()), text.parse().ok(), "{text}");
        }
        for text in ["", "-", "-0", "00", "01", "+1", " 1", "1 ", "1.0", "9223372036854775808", "a", "1\n"] {
            assert_eq!(integer(text.as_bytes()), None, "{text:?}");
        }
    }

    fn added(value: &str, by: f64) -> Result<String, Outcome> {
        sum(value.as_bytes(), by)
    }

    #[test]
    fn sums_of_decimals_are_exact() {
        for (value, by, expected) in [
            ("0.1", 0.2, "0.3"),
            ("10.50", 0.1, "10.6"),
            ("5.0e3", 2.0e2, "5200"),
            ("-1", 1.0, "0"),
            ("3", -3.5, "-0.5"),
            ("1e300", 1.0, "1000"),
            ("+1", 0.5, "1.5"),
            (".5", 1.0, "1.5"),
            ("99999999999999999999", 1.0, "100000000000000000000"),
        ] {
            let text = added(value, by).expect("a number");
            assert!(text.starts_with(expected) && !text.contains('e'), "{value} + {by} = {text}");
        }
    }

    #[test]
    fn what_is_no_number_is_told_from_a_sum_that_is_none() {
        for value in ["", "x", "1x", " 1", "1 ", "nan", "0x"] {
            assert_eq!(added(value, 1.0), Err(Outcome::NotAFloat), "{value:?}");
        }
        assert_eq!(added("inf", 1.0), Err(Outcome::Overflow));
        assert_eq!(added("1.7e308", 1.7e308), Err(Outcome::Overflow));
    }
}
