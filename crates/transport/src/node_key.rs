//! Who a node is: the key that its id is made of, and by which it proves what it says.

use std::fmt;
use std::sync::Arc;

use ring::digest;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use zeroize::Zeroizing;

/// Bytes of a proof: the public key (32), then the signature (64).
pub const PROOF_BYTES: usize = PUBLIC_BYTES + 64;

const PUBLIC_BYTES: usize = 32;
/// What an id and a signature are made for; a change of either is a change of protocol.
const ID_DOMAIN: &[u8] = b"boato node id 1\0";
const PROOF_DOMAIN: &[u8] = b"boato proof 1\0";
/// The last bits of every id that a key gives, and how many they are. An id that was drawn at random ends like that once
/// in 268 million times.
const MARK: u128 = 0xed2_5519;
const MARK_BITS: u32 = 28;
/// What precedes the public key in a certificate's `SubjectPublicKeyInfo` (RFC 8410, section 4).
const SPKI_ED25519: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// An Ed25519 key. The node id follows from it, so that nobody else can show the id's certificate or sign for it.
#[derive(Clone)]
pub struct NodeKey {
    seed: Zeroizing<[u8; 32]>,
    pair: Arc<Ed25519KeyPair>,
    node: u128,
}

impl NodeKey {
    /// A new key.
    ///
    /// # Panics
    /// When the system has no randomness to give.
    pub fn generate() -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        SystemRandom::new().fill(seed.as_mut()).expect("invariant: the system provides random bytes");
        Self::from_seed(&seed)
    }

    /// The key of a seed, which whoever knows it holds.
    #[expect(clippy::missing_panics_doc, reason = "any 32 bytes are a seed")]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("invariant: any 32 bytes are a seed");
        let node = node_of(pair.public_key().as_ref());
        Self { seed: Zeroizing::new(*seed), pair: Arc::new(pair), node }
    }

    /// What [`NodeKey::from_seed`] takes: keep it where only its owner reads it.
    pub fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    /// The node id: the first 100 bits of SHA-256 over a domain string and the public key, then `ed25519` in hexadecimal
    /// digits, by which [`is_key_id`] knows it.
    pub fn node(&self) -> u128 {
        self.node
    }

    /// A key that claims an id which is not its own.
    #[cfg(test)]
    pub(crate) fn pretending(&self, node: u128) -> Self {
        Self { node, ..self.clone() }
    }

    /// Shows that the holder of this key says `words`; checked by [`proves`]. The same words give the same proof.
    pub fn prove(&self, words: &[u8]) -> [u8; PROOF_BYTES] {
        let mut proof = [0; PROOF_BYTES];
        let (public, signature) = proof.split_at_mut(PUBLIC_BYTES);
        public.copy_from_slice(self.pair.public_key().as_ref());
        signature.copy_from_slice(self.pair.sign(&statement(words)).as_ref());
        proof
    }
}

/// Whether `proof` shows that `node` itself says `words`: it is as long as a proof, of the key that the id is made of,
/// and that key signed these words.
pub fn proves(node: u128, words: &[u8], proof: &[u8]) -> bool {
    let Some((public, signature)) = proof.split_at_checked(PUBLIC_BYTES) else { return false };
    // The length of a signature is checked with it.
    node_of(public) == node
        && UnparsedPublicKey::new(&ED25519, public).verify(&statement(words), signature).is_ok()
}

/// Whether `node` is the id of the key in a certificate's `SubjectPublicKeyInfo`.
pub(crate) fn is_of(node: u128, key_info: &[u8]) -> bool {
    key_info.strip_prefix(&SPKI_ED25519).is_some_and(|public| node_of(public) == node)
}

/// Whether this is the id of some key, which only its holder may use.
pub const fn is_key_id(node: u128) -> bool {
    node & ((1 << MARK_BITS) - 1) == MARK
}

fn node_of(public: &[u8]) -> u128 {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(ID_DOMAIN);
    context.update(public);
    let hash = context.finish();
    let first = hash.as_ref().first_chunk().expect("invariant: SHA-256 yields 32 bytes");
    u128::from_be_bytes(*first) >> MARK_BITS << MARK_BITS | MARK
}

/// What is signed for `words`. No handshake of TLS 1.3 begins like that, which this key signs as well.
fn statement(words: &[u8]) -> Vec<u8> {
    [PROOF_DOMAIN, words].concat()
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey({:032x})", self.node)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_id_follows_from_the_seed_and_stays() {
        let key = NodeKey::from_seed(&[7; 32]);
        // As other implementations of Ed25519 and SHA-256 have it.
        assert_eq!(format!("{:032x}", key.node()), "78dd6e1ed59ce984f31030955ed25519");
        assert_eq!(NodeKey::from_seed(key.seed()).node(), key.node());
        assert_ne!(NodeKey::generate().node(), NodeKey::generate().node());
        assert!(is_key_id(key.node()) && !is_key_id(key.node() ^ 1) && !is_key_id(7));
    }

    #[test]
    fn a_proof_is_of_its_words_and_its_node_alone() {
        let (key, other) = (NodeKey::from_seed(&[1; 32]), NodeKey::from_seed(&[2; 32]));
        let proof = key.prove(b"words");
        assert!(proves(key.node(), b"words", &proof));
        assert!(!proves(key.node(), b"word", &proof));
        assert!(!proves(other.node(), b"words", &proof));
        assert!(!proves(key.node(), b"words", &other.prove(b"words")), "signed by another");
        let signature = key.pair.sign(b"words");
        let bare = [key.pair.public_key().as_ref(), signature.as_ref()].concat();
        assert!(!proves(key.node(), b"words", &bare), "signed for another purpose");
    }

    #[test]
    fn a_key_of_another_kind_is_nobodys() {
        let key = NodeKey::from_seed(&[1; 32]);
        let info = [SPKI_ED25519.as_slice(), key.pair.public_key().as_ref()].concat();
        assert!(is_of(key.node(), &info));
        assert!(!is_of(key.node() ^ 1, &info));
        assert!(!is_of(key.node(), &info[1..]));
    }

    #[test]
    fn debug_shows_the_id_and_nothing_of_the_seed() {
        let key = NodeKey::from_seed(&[7; 32]);
        assert_eq!(format!("{key:?}"), format!("NodeKey({:032x})", key.node()));
    }

    proptest! {
        #[test]
        fn what_differs_in_a_bit_is_refused(
            seed in any::<[u8; 32]>(),
            words in prop::collection::vec(any::<u8>(), 1..200),
            bit in any::<prop::sample::Index>(),
        ) {
            let key = NodeKey::from_seed(&seed);
            let proof = key.prove(&words);
            prop_assert!(proves(key.node(), &words, &proof));
            let flipped = |bytes: &[u8]| {
                let (mut bytes, bit) = (bytes.to_vec(), bit.index(bytes.len() * 8));
                bytes[bit / 8] ^= 1 << (bit % 8);
                bytes
            };
            prop_assert!(!proves(key.node(), &words, &flipped(&proof)));
            prop_assert!(!proves(key.node(), &flipped(&words), &proof));
            prop_assert!(!proves(key.node() ^ 1 << bit.index(128), &words, &proof));
        }

        #[test]
        fn a_proof_of_another_length_is_refused(cut in 0..PROOF_BYTES, more in 1..8_usize) {
            let key = NodeKey::from_seed(&[3; 32]);
            let proof = key.prove(b"words");
            prop_assert!(!proves(key.node(), b"words", &proof[..cut]));
            prop_assert!(!proves(key.node(), b"words", &[proof.as_slice(), &vec![0; more]].concat()));
        }
    }
}
