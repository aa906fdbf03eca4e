//! The cluster's shared secret and what is derived from it.

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD, URL_SAFE_NO_PAD};
use base64::{alphabet, engine::DecodePaddingMode};
use ring::hkdf;
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use crate::SecretError;

/// Fewest bytes a secret may have: 128 bits.
const SECRET_BYTES_MIN: usize = 16;
/// What [`Secret::generate`] makes.
const SECRET_BYTES: usize = 32;
/// Extraction salt of every derivation; a change of it is a change of protocol.
const SALT: &[u8] = b"boato transport 1";
/// The key of clusters without a secret. It keeps nobody out, therefore only loopback may be bound with it.
const WELL_KNOWN: &[u8] = b"boato without a secret";

/// Takes the standard and the URL-safe alphabet, with and without padding.
const fn lenient(alphabet: &alphabet::Alphabet) -> GeneralPurpose {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(alphabet, config)
}

/// At least 128 bits that all nodes of a cluster share. Wiped from memory when dropped; `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Reads base64 (either alphabet, padding optional) with surrounding white space.
    ///
    /// # Errors
    /// [`SecretError`] when the text is not base64 or decodes to fewer than 16 bytes.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let text = text.trim();
        let bytes = lenient(&alphabet::STANDARD)
            .decode(text)
            .or_else(|_| lenient(&alphabet::URL_SAFE).decode(text))
            .map(Zeroizing::new)
            .map_err(|_| SecretError::NotBase64)?;
        if bytes.len() < SECRET_BYTES_MIN {
            return Err(SecretError::TooShort(bytes.len()));
        }
        Ok(Self(bytes))
    }

    /// A new secret of 256 random bits as base64, ready for a secret file.
    ///
    /// # Panics
    /// When the system has no randomness to give.
    pub fn generate() -> String {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        SystemRandom::new().fill(bytes.as_mut()).expect("invariant: the system provides random bytes");
        STANDARD.encode(bytes.as_ref())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The token that authorises administrative calls in this cluster: 256 bits as URL-safe base64. It reveals nothing
    /// of the secret.
    pub fn admin_token(&self, cluster: &str) -> String {
        URL_SAFE_NO_PAD.encode(derive(Some(self), &["admin token", cluster]).as_ref())
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// 32 bytes for one purpose (RFC 5869, HKDF-SHA256). The parts of `info` are length-prefixed, so that no two lists of
/// parts collide.
pub(crate) fn derive(secret: Option<&Secret>, info: &[&str]) -> Zeroizing<[u8; 32]> {
    let key = secret.map_or(WELL_KNOWN, |secret| &secret.0);
    let mut label = Vec::new();
    for part in info {
        label.extend_from_slice(&(part.len() as u64).to_be_bytes());
        label.extend_from_slice(part.as_bytes());
    }
    let mut out = Zeroizing::new([0; 32]);
    hkdf::Salt::new(hkdf::HKDF_SHA256, SALT)
        .extract(key)
        .expand(&[&label], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(out.as_mut()))
        .expect("invariant: 32 bytes are within what HKDF-SHA256 yields");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_secret_parses_with_white_space_around() {
        let text = Secret::generate();
        assert_ne!(text, Secret::generate());
        assert_eq!(Secret::parse(&text), Secret::parse(&format!("\n {text}\r\n")));
        assert!(Secret::parse(&text).is_ok());
    }

    #[test]
    fn both_alphabets_and_missing_padding_are_read() {
        let bytes = [0xfb; 17];
        let (plain, url) = (STANDARD.encode(bytes), URL_SAFE_NO_PAD.encode(bytes));
        assert_ne!(plain, url);
        assert_eq!(Secret::parse(&plain), Secret::parse(&url));
    }

    #[test]
    fn short_and_malformed_secrets_are_refused() {
        assert_eq!(Secret::parse("AAAA"), Err(SecretError::TooShort(3)));
        assert_eq!(Secret::parse(""), Err(SecretError::TooShort(0)));
        assert_eq!(Secret::parse("not base64!"), Err(SecretError::NotBase64));
        assert_eq!(Secret::parse(&STANDARD.encode([1; 15])), Err(SecretError::TooShort(15)));
    }

    #[test]
    fn the_admin_token_depends_on_secret_and_cluster() {
        let (a, b) = (Secret(vec![1; 16].into()), Secret(vec![2; 16].into()));
        assert_eq!(a.admin_token("x"), a.admin_token("x"));
        assert_ne!(a.admin_token("x"), a.admin_token("y"));
        assert_ne!(a.admin_token("x"), b.admin_token("x"));
    }

    #[test]
    fn parts_of_a_label_do_not_run_into_each_other() {
        assert_ne!(derive(None, &["ab", "c"]), derive(None, &["a", "bc"]));
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret(vec![1; 16].into())), "Secret(..)");
    }
}
