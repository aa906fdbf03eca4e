//! The trace that a client's operation belongs to, on its way to the holder.

use std::fmt;

/// Which trace a client's operation belongs to: the fields of a `traceparent` header (W3C Trace Context).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trace {
    /// The trace; not 0.
    pub id: u128,
    /// The span in it that asks; not 0.
    pub parent: u64,
    /// Bit 0: it is sampled.
    pub flags: u8,
}

impl fmt::Display for Trace {
    /// Its id, as in a header.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.id)
    }
}

/// Bytes of a trace: its three fields, big-endian.
const BYTES: usize = 25;

impl Trace {
    /// A request of this trace: the trace in front of it.
    pub(crate) fn before(self, request: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BYTES + request.len());
        bytes.extend_from_slice(&self.id.to_be_bytes());
        bytes.extend_from_slice(&self.parent.to_be_bytes());
        bytes.push(self.flags);
        bytes.extend_from_slice(request);
        bytes
    }

    /// A request, and what is in front of it.
    pub(crate) fn split(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (id, rest) = bytes.split_first_chunk()?;
        let (parent, rest) = rest.split_first_chunk()?;
        let (&flags, request) = rest.split_first()?;
        let trace = Self { id: u128::from_be_bytes(*id), parent: u64::from_be_bytes(*parent), flags };
        (trace.id > 0 && trace.parent > 0).then_some((trace, request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_goes_in_front_of_a_request() {
        let trace = Trace { id: 0x0102 << 112, parent: 2, flags: 3 };
        let bytes = trace.before(b"request");
        // Frozen with the version.
        let frozen = [&[1, 2][..], &[0; 14], &[0, 0, 0, 0, 0, 0, 0, 2], &[3], b"request"].concat();
        assert_eq!(bytes, frozen);
        assert_eq!(Trace::split(&bytes), Some((trace, &b"request"[..])));
        assert_eq!(Trace::split(&bytes[..BYTES]), Some((trace, &b""[..])));
        assert!((0..BYTES).all(|len| Trace::split(&bytes[..len]).is_none()));
        assert!(Trace::split(&[0; 30]).is_none());
    }
}
