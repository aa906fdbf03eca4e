//! Names in settings: which texts they may be.

use crate::attributes;

/// Longest name of a node or a cluster, in bytes.
pub const NAME_MAX: usize = 64;

/// A name that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a node name.
    #[error("a node name has 1 to {NAME_MAX} letters, digits or .-_:@ of ASCII, not {0:?}")]
    Node(String),
    /// Not a cluster name.
    #[error(
        "a cluster name has 1 to {NAME_MAX} letters, digits or .-_ of ASCII and starts with a letter or digit, not {0:?}"
    )]
    Cluster(String),
    /// Not a host name.
    #[error("a host name has letters, digits, dots and hyphens, and no port, not {0:?}")]
    Host(String),
    /// Not a tag.
    #[error("a tag is key=value, like role=db, not {0:?}")]
    Tag(String),
    /// A tag with a key of the node's own.
    #[error(transparent)]
    TagKey(#[from] boato_api::Declined),
}

/// A node's name appears in headers and tables: visible ASCII without what would have to be quoted there.
///
/// # Errors
/// Anything else.
pub(crate) fn node(text: &str) -> Result<String, NameError> {
    let known = |b: u8| b.is_ascii_alphanumeric() || b".-_:@".contains(&b);
    if (1..=NAME_MAX).contains(&text.len()) && text.bytes().all(known) {
        Ok(text.to_owned())
    } else {
        Err(NameError::Node(text.to_owned()))
    }
}

/// A cluster's name is part of file names and of the handshake.
///
/// # Errors
/// Anything else.
pub(crate) fn cluster(text: &str) -> Result<String, NameError> {
    let known = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
    let start = text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    if start && text.len() <= NAME_MAX && text.bytes().all(known) {
        Ok(text.to_owned())
    } else {
        Err(NameError::Cluster(text.to_owned()))
    }
}

/// A host name as the `Host` header has it, in lower case.
///
/// # Errors
/// Anything else.
pub(crate) fn host(text: &str) -> Result<String, NameError> {
    let known = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
    if (1..=253).contains(&text.len()) && text.bytes().all(known) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(NameError::Host(text.to_owned()))
    }
}

/// A tag, as `key=value`.
///
/// # Errors
/// Anything else.
pub(crate) fn tag(text: &str) -> Result<(String, String), NameError> {
    let (key, value) = tag_pattern(text)?;
    attributes::check_key(&key)?;
    Ok((key, value))
}

/// A tag to look for, as `key=pattern`.
///
/// # Errors
/// Anything else.
pub(crate) fn tag_pattern(text: &str) -> Result<(String, String), NameError> {
    let (key, pattern) = text.split_once('=').ok_or_else(|| NameError::Tag(text.to_owned()))?;
    Ok((key.to_owned(), pattern.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_and_hosts_are_lower_case() {
        assert_eq!(node("web1-3fa9c2d1").unwrap(), "web1-3fa9c2d1");
        assert_eq!(cluster("edge.eu_1").unwrap(), "edge.eu_1");
        assert_eq!(host("KV.Example.org").unwrap(), "kv.example.org");
    }

    #[test]
    fn a_tag_is_a_key_and_a_value() {
        assert_eq!(tag("a=b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
        assert!(tag("a").unwrap_err().to_string().contains("key=value"));
        assert!(tag("weight=3").unwrap_err().to_string().contains("sets the tag weight itself"));
    }

    #[test]
    fn other_names_are_refused_with_the_rule() {
        for text in ["", "web 1", "w\u{e9}b", "a\nb", &"x".repeat(65)] {
            assert!(node(text).unwrap_err().to_string().starts_with("a node name has"), "{text}");
        }
        for text in ["", "a/b", "..", "-a", &"x".repeat(65)] {
            assert!(cluster(text).unwrap_err().to_string().starts_with("a cluster name has"), "{text}");
        }
        for text in ["", "kv:7480", "http://kv"] {
            assert!(host(text).unwrap_err().to_string().starts_with("a host name has"), "{text}");
        }
    }
}
