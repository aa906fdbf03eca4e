//! Numbers as Redis reads them from arguments.

/// A whole number of 64 bits: an optional `-`, no `+`, no blanks, no leading zeros, no `-0`.
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    let magnitude = digits
        .iter()
        .try_fold(0_u64, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u64::from(digit - b'0')))?;
    if negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// A whole number without a sign.
pub(super) fn unsigned(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    digits.then(|| str::from_utf8(text).ok()?.parse().ok())?
}

/// A decimal number, with or without a fraction or an exponent, or an infinity; not a NaN.
pub(super) fn float(text: &[u8]) -> Option<f64> {
    let number: f64 = str::from_utf8(text).ok()?.parse().ok()?;
    (!number.is_nan()).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_those_that_print_as_they_were_written() {
        for value in [0, 1, -1, 10, i64::MAX, i64::MIN, i64::MAX - 1, 999_999_999_999_999_999] {
            assert_eq!(integer(value.to_string().as_bytes()), Some(value));
        }
        for text in [
            "",
            "-",
            "+1",
            "01",
            "-0",
            "00",
            " 1",
            "1 ",
            "1.0",
            "1e3",
            "0x1",
            "a",
            "9223372036854775808",
            "-9223372036854775809",
            "18446744073709551617",
            "99999999999999999999",
            "1-",
        ] {
            assert_eq!(integer(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn floats_are_decimal_and_no_nan() {
        for (text, value) in [("1", 1.0), ("-1.5", -1.5), ("5.0e3", 5000.0), (".5", 0.5), ("+2", 2.0)] {
            assert_eq!(float(text.as_bytes()), Some(value), "{text:?}");
        }
        assert_eq!(float(b"inf"), Some(f64::INFINITY));
        for text in ["", "nan", " 1", "1 ", "abc", "1,5", "0x10"] {
            assert_eq!(float(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn cursors_have_no_sign() {
        assert_eq!(unsigned(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(unsigned(b"007"), Some(7));
        for text in ["", "-1", "+1", "18446744073709551616", "a", "1 "] {
            assert_eq!(unsigned(text.as_bytes()), None, "{text:?}");
        }
    }
}
