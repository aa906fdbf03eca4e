//! The trace that a request belongs to (W3C Trace Context, level 1).

use std::fmt;

/// What a `traceparent` header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The trace; never 0.
    pub id: u128,
    /// The caller's span in it; never 0.
    pub parent: u64,
    /// Bit 0: it is sampled.
    pub flags: u8,
}

impl Trace {
    /// Reads the value of a header, as section 3.2.2 says: a higher version than 00 may go on after the flags.
    pub fn parse(text: &str) -> Option<Trace> {
        let mut fields = text.split('-');
        let version = hex(fields.next()?, 2)?;
        let [id, parent, flags] = [32, 16, 2].map(|len| fields.next().and_then(|field| hex(field, len)));
        let trace =
            Trace { id: id?, parent: u64::try_from(parent?).ok()?, flags: u8::try_from(flags?).ok()? };
        let known = version < 0xff && (version > 0 || fields.next().is_none());
        (known && trace.id > 0 && trace.parent > 0).then_some(trace)
    }

    /// Whether its caller records it.
    pub fn is_sampled(self) -> bool {
        self.flags & 1 == 1
    }
}

/// A number of exactly `len` hexadecimal digits, lower case.
fn hex(text: &str, len: usize) -> Option<u128> {
    let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (text.len() == len && digits).then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

impl fmt::Display for Trace {
    /// Its id, as in a header.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_read_as_the_standard_says() {
        let id = "0bf92f3577b34da6a3ce929d0e0e4736";
        let trace = Trace::parse(&format!("00-{id}-00f067aa0ba902b7-01")).unwrap();
        assert_eq!((trace.to_string().as_str(), trace.parent), (id, 0x00f0_67aa_0ba9_02b7));
        assert!(trace.is_sampled());
        assert!(
            Trace::parse(&format!("00-{id}-00f067aa0ba902b7-02")).is_some_and(|trace| !trace.is_sampled())
        );
        assert!(Trace::parse(&format!("01-{id}-00f067aa0ba902b7-01-more")).is_some());
        let parent = "00f067aa0ba902b7";
        for text in [
            "",
            "00",
            "00-x-y-01",
            &format!("00-{}-{parent}-01", "0".repeat(32)),
            &format!("00-{id}-{}-01", "0".repeat(16)),
            &format!("00-{}-{parent}-01", id.to_uppercase()),
            &format!("ff-{id}-{parent}-01"),
            &format!("0-{id}-{parent}-01"),
            &format!("00-{id}-{parent}-01-more"),
            &format!("00-{id}-{parent}"),
        ] {
            assert_eq!(Trace::parse(text), None, "{text}");
        }
    }
}
