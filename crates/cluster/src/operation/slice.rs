//! Bytes that are not copied: an operation's lie in what a client has sent, or in the frame it came in, and the values of an
//! answer share the memory of one copy of its frame.

use bytes::Bytes;
use rkyv::rancor::{Fallible, Strategy};
use rkyv::ser::{Allocator, Writer};
use rkyv::vec::{ArchivedVec, VecResolver};
use rkyv::with::{ArchiveWith, DeserializeWith, SerializeWith};
use rkyv::{Archive, Deserialize, Place, Serialize};

/// Bytes in the buffer of someone else. In a frame they are what [`Bytes`] are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Slice<'a>(pub &'a [u8]);

impl AsRef<[u8]> for Slice<'_> {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self.0
    }
}

impl<'a> From<&'a [u8]> for Slice<'a> {
    #[inline]
    fn from(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

/// What is decoded.
#[derive(Debug)]
pub(crate) struct Buffer<'a> {
    bytes: &'a [u8],
    /// The same, once something has to outlive it.
    copy: Option<Bytes>,
}

impl<'a> Buffer<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, copy: None }
    }

    /// Where `part`, which lies in the buffer and is not empty, begins: where nothing is, nothing has a place.
    fn place(&self, part: &[u8]) -> usize {
        part.as_ptr().addr() - self.bytes.as_ptr().addr()
    }

    fn slice(&self, part: &[u8]) -> Slice<'a> {
        if part.is_empty() {
            return Slice::default();
        }
        let start = self.place(part);
        Slice(&self.bytes[start..start + part.len()])
    }

    fn share(&mut self, part: &[u8]) -> Bytes {
        if part.is_empty() {
            return Bytes::new();
        }
        let start = self.place(part);
        self.copy.get_or_insert_with(|| Bytes::copy_from_slice(self.bytes)).slice(start..start + part.len())
    }
}

impl Archive for Slice<'_> {
    type Archived = ArchivedVec<u8>;
    type Resolver = VecResolver;

    fn resolve(&self, resolver: VecResolver, out: Place<ArchivedVec<u8>>) {
        ArchivedVec::resolve_from_slice(self.0, resolver, out);
    }
}

impl<S: Fallible + Allocator + Writer + ?Sized> Serialize<S> for Slice<'_> {
    fn serialize(&self, serializer: &mut S) -> Result<VecResolver, S::Error> {
        ArchivedVec::serialize_from_slice(self.0, serializer)
    }
}

impl<'a, E> Deserialize<Slice<'a>, Strategy<Buffer<'a>, E>> for ArchivedVec<u8> {
    fn deserialize(&self, buffer: &mut Strategy<Buffer<'a>, E>) -> Result<Slice<'a>, E> {
        Ok(buffer.slice(self.as_slice()))
    }
}

/// How [`Bytes`] are read that share one copy of the buffer.
pub(super) struct Shared;

impl ArchiveWith<Bytes> for Shared {
    type Archived = ArchivedVec<u8>;
    type Resolver = VecResolver;

    fn resolve_with(field: &Bytes, resolver: VecResolver, out: Place<ArchivedVec<u8>>) {
        field.resolve(resolver, out);
    }
}

impl<S: Fallible + ?Sized> SerializeWith<Bytes, S> for Shared
where
    Bytes: Serialize<S>,
{
    fn serialize_with(field: &Bytes, serializer: &mut S) -> Result<VecResolver, S::Error> {
        field.serialize(serializer)
    }
}

impl<E> DeserializeWith<ArchivedVec<u8>, Bytes, Strategy<Buffer<'_>, E>> for Shared {
    fn deserialize_with(field: &ArchivedVec<u8>, buffer: &mut Strategy<Buffer<'_>, E>) -> Result<Bytes, E> {
        Ok(buffer.share(field.as_slice()))
    }
}
