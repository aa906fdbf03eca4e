//! A node's key in the simulation: as large as a real one's signatures, but cheap, and nobody keeps it secret.

use boato_gossip::{NodeId, SIGNATURE_BYTES, Signer};

/// The key of this node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key(pub(crate) NodeId);

impl Signer for Key {
    fn keyed(&self, _: NodeId) -> bool {
        true
    }

    fn sign(&self, words: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let Self(NodeId(id)) = *self;
        let seed = id.to_le_bytes().chunks(8).chain(words.chunks(8)).fold(0, |hash, chunk| {
            let word = chunk.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
            mix(hash ^ word)
        });
        spread(seed)
    }

    fn verify(&self, id: NodeId, words: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> bool {
        Self(id).sign(words) == *signature
    }

    fn digest(&self, text: &[u8]) -> [u8; 32] {
        let [digest, _, _] = *Self(NodeId(0)).sign(text).as_chunks::<32>().0 else {
            unreachable!("96 bytes")
        };
        digest
    }
}

/// So many bytes of one hash.
fn spread(seed: u64) -> [u8; SIGNATURE_BYTES] {
    let mut bytes = [0; SIGNATURE_BYTES];
    for (chunk, nth) in bytes.chunks_mut(8).zip(0..) {
        chunk.copy_from_slice(&mix(seed ^ nth).to_le_bytes());
    }
    bytes
}

/// The finalizer of splitmix64 (Steele, Lea, Flood 2014), after its increment.
fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
