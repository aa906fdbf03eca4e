//! A secret that clients show.

use std::fmt;
use std::hint::black_box;
use std::sync::Arc;

use arc_swap::ArcSwap;

/// A secret compared in constant time; `Debug` does not print it.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// A token as a client sends it: after `Bearer ` over HTTP, as the password over RESP.
    pub fn new(text: impl Into<String>) -> Token {
        Token(text.into())
    }

    /// The time tells whether the lengths differ, nothing else.
    pub(crate) fn matches(&self, given: &[u8]) -> bool {
        let own = self.0.as_bytes();
        let differences = own.iter().zip(given).fold(0, |all, (own, given)| black_box(all | (own ^ given)));
        own.len() == given.len() && !own.is_empty() && differences == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Tokens of which any admits. Clones share them, so that they can be replaced while doors are open; requests and
/// `AUTH` that come then need one of the new ones, connections that showed an old one keep what they have.
#[derive(Clone, Debug, Default)]
pub struct Tokens(Arc<ArcSwap<Vec<Token>>>);

impl Tokens {
    /// These and no others; none: everyone is served.
    pub fn new(tokens: impl IntoIterator<Item = Token>) -> Tokens {
        Tokens(Arc::new(ArcSwap::from_pointee(tokens.into_iter().collect())))
    }

    /// Has `tokens` hold from now on, for all clones.
    pub fn replace(&self, tokens: impl IntoIterator<Item = Token>) {
        self.0.store(Arc::new(tokens.into_iter().collect()));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.load().is_empty()
    }

    /// Whether this is one of them.
    pub fn admit(&self, given: &[u8]) -> bool {
        self.0.load().iter().fold(false, |admitted, own| admitted | own.matches(given))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_the_tokens_that_replace_others() {
        let tokens = Tokens::new([Token::new("a"), Token::new("b")]);
        let door = tokens.clone();
        assert!(door.admit(b"a") && door.admit(b"b") && !door.admit(b"c"));
        tokens.replace([Token::new("c")]);
        assert!(!door.admit(b"a") && door.admit(b"c"));
        assert!(Tokens::default().is_empty() && !Tokens::default().admit(b""));
    }

    #[test]
    fn an_empty_token_matches_nothing_and_no_token_is_printed() {
        assert!(!Token::new("").matches(b""));
        assert!(Token::new("a").matches(b"a") && !Token::new("a").matches(b"b"));
        assert_eq!(format!("{:?}", Token::new("secret")), "Token(..)");
    }
}
