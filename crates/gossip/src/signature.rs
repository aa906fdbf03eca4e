//! Signatures of what members say about themselves: given with their words, so that whoever hears these from others can tell
//! them from words that somebody else has made up.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::member::is_large;
use crate::wire::ArchivedAnnounce;
use crate::{Member, NodeId, Pid, Tags};

/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 96;
/// Bytes of the digest of a member's tags.
const DIGEST_BYTES: usize = 32;
/// Most bytes that stand for a signature in a message: of tags that a datagram names by a hash it brings the digest.
pub(crate) const SIGNATURE_BYTES_MAX: usize = SIGNATURE_BYTES + DIGEST_BYTES;
/// What these signatures are made for.
const DOMAIN: &[u8] = b"boato member words 1\0";

/// What signs this member's words, and knows the signatures of others. Nothing here does I/O; it is asked often, so it
/// should take microseconds.
pub trait Signer: fmt::Debug + Send + Sync {
    /// Whether words of this node count only if they are signed, or heard from itself.
    fn keyed(&self, id: NodeId) -> bool;

    /// This member's signature of `words`. The same words should give the same one.
    fn sign(&self, words: &[u8]) -> [u8; SIGNATURE_BYTES];

    /// Whether `signature` is what the node `id` makes of `words`.
    fn verify(&self, id: NodeId, words: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> bool;

    /// A digest of `text` for which nobody can find another text. The same at all members.
    fn digest(&self, text: &[u8]) -> [u8; DIGEST_BYTES];
}

/// A member's own signature of its last words: boot, incarnation, address, name and tags. Cheap to clone.
///
/// Empty where the member runs without a [`Signer`], or came here through one that does.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signature(Arc<[u8]>);

impl Signature {
    /// As it travels: nothing, a signature, or one and the digest of the tags.
    pub(crate) fn of(bytes: &[u8]) -> Signature {
        if bytes.is_empty() { Signature::default() } else { Signature(bytes.into()) }
    }

    /// Of the words of `member`, which is the signer's own.
    pub(crate) fn make(signer: &dyn Signer, member: &Member) -> Signature {
        let digest = signer.digest(member.tags.text().as_bytes());
        let tags = SignedTags { digest, hash: &Tags::text_hash(member.tags.text()) };
        let mut bytes =
            signer.sign(&words(member.pid(), member.incarnation, member.addr, &member.name, &tags)).to_vec();
        if Tags::is_hash(member.short_tags()) {
            bytes.extend(digest);
        }
        Signature(bytes.into())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Whether so many bytes can stand for a signature in a message.
pub(crate) fn is_length(bytes: usize) -> bool {
    matches!(bytes, 0 | SIGNATURE_BYTES | SIGNATURE_BYTES_MAX)
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({} bytes)", self.0.len())
    }
}

/// What a member says about itself, as it came in a message.
#[derive(Clone, Copy)]
pub(crate) struct Words<'a> {
    pub(crate) announce: &'a ArchivedAnnounce<'static>,
    pub(crate) signature: &'a [u8],
}

impl Words<'_> {
    /// Whether the member has signed them. False where tags are named by a hash and their digest is missing, or a digest is told
    /// that no datagram needs.
    pub(crate) fn are_signed(&self, signer: &dyn Signer) -> bool {
        let Some((signature, digest)) = self.signature.split_first_chunk() else { return false };
        let announce = self.announce;
        let told = digest.try_into().ok();
        let hash = Tags::is_hash(&announce.tags);
        let digest = if hash { told } else { Some(signer.digest(announce.tags.as_bytes())) };
        let Some(digest) = digest else { return false };
        if told != (hash || is_large(&announce.name, &announce.tags)).then_some(digest) {
            return false;
        }
        let text_hash = if hash { (*announce.tags).into() } else { Tags::text_hash(&announce.tags) };
        let tags = SignedTags { digest, hash: &text_hash };
        let (pid, incarnation) = (Pid::from(&announce.pid), announce.incarnation.to_native());
        let said = words(pid, incarnation, SocketAddr::from(&announce.addr), &announce.name, &tags);
        signer.verify(pid.id, &said, signature)
    }
}

/// What is signed of tags: a digest that no others have, and what datagrams name them by.
struct SignedTags<'a> {
    digest: [u8; DIGEST_BYTES],
    hash: &'a str,
}

/// What is signed. Frozen per [`PROTOCOL`](crate::PROTOCOL).
fn words(pid: Pid, incarnation: u64, addr: SocketAddr, name: &str, tags: &SignedTags<'_>) -> Vec<u8> {
    let mut words = DOMAIN.to_vec();
    words.extend(pid.id.0.to_le_bytes());
    words.extend(pid.boot.to_le_bytes());
    words.extend(incarnation.to_le_bytes());
    match addr.ip() {
        IpAddr::V4(ip) => words.extend(ip.to_ipv6_mapped().octets()),
        IpAddr::V6(ip) => words.extend(ip.octets()),
    }
    words.extend(addr.port().to_le_bytes());
    words.extend(tags.digest);
    words.extend(tags.hash.as_bytes());
    words.extend(name.as_bytes());
    words
}
