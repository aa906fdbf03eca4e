//! A command that outlives the connection's buffer.

use std::sync::Arc;

use crate::budget::{Budget, Share};
use crate::resp::request::Request;
use crate::resp::step::Refusal;

/// What a kept command takes beyond its bytes and its words.
const OVERHEAD_BYTES: usize = 64;

/// A copy of a command, paid for from the memory that all connections share.
#[derive(Debug)]
pub(in crate::resp) struct Owned {
    bytes: Vec<u8>,
    /// Where each word ends.
    ends: Vec<usize>,
    _share: Share,
}

impl Owned {
    /// Copies a command, if there is room for it.
    pub(super) fn of(request: &Request<'_>, memory: &Arc<Budget>) -> Result<Owned, Refusal> {
        let length = request.name().len() + request.args().iter().map(|word| word.len()).sum::<usize>();
        let mut share = memory.share();
        if !share.grow(length + request.len() * size_of::<usize>() + OVERHEAD_BYTES) {
            return Err(Refusal::NO_MEMORY);
        }
        let mut owned = Owned {
            bytes: Vec::with_capacity(length),
            ends: Vec::with_capacity(request.len()),
            _share: share,
        };
        for word in std::iter::once(request.name()).chain(request.args().iter().copied()) {
            owned.bytes.extend_from_slice(word);
            owned.ends.push(owned.bytes.len());
        }
        Ok(owned)
    }

    /// The command.
    pub(super) fn request(&self) -> Request<'_> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        Request::new(starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end]).collect())
    }

    /// How long it is.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_says_the_same_and_gives_its_memory_back() {
        let memory = Budget::new(200);
        let request = Request::new(vec![b"SET", b"", b"value"]);
        let owned = Owned::of(&request, &memory).unwrap();
        assert!(Owned::of(&request, &memory).is_ok() && !memory.has(150));
        let copy = owned.request();
        assert_eq!((copy.name(), copy.args()), (request.name(), request.args()));
        drop(owned);
        assert!(memory.has(200));
    }

    #[test]
    fn without_memory_there_is_no_copy() {
        let request = Request::new(vec![b"GET", b"key"]);
        assert!(Owned::of(&request, &Budget::new(10)).is_err());
    }
}
