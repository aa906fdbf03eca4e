//! A node's key signs what the node says about itself.

use boato_transport::{NodeKey, is_key_id, proves};
use ring::digest::{SHA256, digest};

use crate::{NodeId, SIGNATURE_BYTES, Signer};

impl Signer for NodeKey {
    /// Nodes of older builds have ids without a key.
    fn keyed(&self, id: NodeId) -> bool {
        is_key_id(id.0)
    }

    fn sign(&self, words: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.prove(words)
    }

    fn verify(&self, id: NodeId, words: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> bool {
        proves(id.0, words, signature)
    }

    fn digest(&self, text: &[u8]) -> [u8; 32] {
        digest(&SHA256, text).as_ref().try_into().expect("invariant: SHA-256 yields 32 bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_signs_for_its_own_id_alone() {
        let (key, other) = (NodeKey::from_seed(&[1; 32]), NodeKey::from_seed(&[2; 32]));
        let (id, signature) = (NodeId(key.node()), key.sign(b"words"));
        assert!(other.verify(id, b"words", &signature) && other.keyed(id));
        assert!(!other.verify(id, b"other words", &signature));
        assert!(!other.verify(NodeId(other.node()), b"words", &signature));
        assert!(!other.keyed(NodeId(1)), "of an older build");
        assert_ne!(key.digest(b"tags"), key.digest(b"other tags"));
    }
}
