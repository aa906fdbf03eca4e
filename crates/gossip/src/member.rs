//! A member of the cluster as others see it, and the attributes it announces.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::{AddressError, AttributeError, NodeId, Pid, Signature};

/// Most bytes a member's attributes may take: name, tag keys and tag values in UTF-8, and 2 for each tag.
///
/// Every member keeps those of all, and a newcomer is sent them: large ones cost the cluster's size times as much.
pub const ATTRIBUTE_BYTES_MAX: usize = 64 << 10;

/// Most bytes of a name.
pub const NAME_BYTES_MAX: usize = 384;

/// Most bytes of attributes that travel in a datagram. Larger tags are named there by their hash, and fetched on a stream.
///
/// Chosen so that one announcement, its signature, a claim about its reader and the frame around them fit one datagram.
pub(crate) const SHORT_BYTES_MAX: usize = 816;

/// Tags up to this size are never named by their hash, whatever the name is.
const SHORT_TAGS_MAX: usize = SHORT_BYTES_MAX - NAME_BYTES_MAX;

/// What is believed about a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It answers.
    Alive,
    /// Somebody got no answer from it. It still counts as live, and has time to refute.
    Suspect,
    /// The suspicion was not refuted in time, or a newer boot of the node appeared.
    Dead,
    /// It said goodbye.
    Left,
    /// It was dead, and an operator had it forgotten. It is kept for a while so that nobody brings it back.
    Pruned,
}

/// A member of the cluster. Cheap to clone: name and tags are shared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// The node.
    pub id: NodeId,
    /// Boot epoch of the process.
    pub boot: u64,
    /// How often this boot has announced itself anew; only the member itself raises it.
    pub incarnation: u64,
    /// Where it receives gossip.
    pub addr: SocketAddr,
    /// What is believed about it.
    pub state: State,
    /// Its name: for people, not unique.
    pub name: Arc<str>,
    /// What it says about itself.
    pub tags: Tags,
    /// Its own, of its last words.
    pub signature: Signature,
}

impl Member {
    /// Id and boot together.
    pub fn pid(&self) -> Pid {
        Pid { id: self.id, boot: self.boot }
    }

    /// Alive or suspect: a suspect counts as live until the suspicion ends.
    pub fn is_live(&self) -> bool {
        matches!(self.state, State::Alive | State::Suspect)
    }

    /// Its tags as a datagram has them: as they are, or a hash of them.
    pub(crate) fn short_tags(&self) -> &str {
        match &self.tags.hash {
            Some(hash) if is_large(&self.name, self.tags.text()) => hash,
            _ => self.tags.text(),
        }
    }
}

/// A member's tags: pairs of strings, sorted by key, each key once. Cheap to clone.
///
/// One text holds them all, as it travels: key, unit separator, value, record separator, and so on.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tags {
    text: Arc<str>,
    /// What stands for it in a datagram, if it may be too large for one: U+001F, with which no tags begin, and its hash.
    hash: Option<Arc<str>>,
}

/// Between a key and its value (ASCII unit separator).
const BETWEEN: char = '\x1f';
/// After each value (ASCII record separator).
const AFTER: char = '\x1e';

impl Tags {
    /// Sorts the pairs.
    ///
    /// # Errors
    /// A key is empty or occurs twice, or a separator (U+001E, U+001F) is part of a key or value.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Tags, AttributeError> {
        let mut pairs: Vec<(String, String)> = pairs.into_iter().collect();
        pairs.sort();
        let (mut text, mut last) = (String::new(), "");
        for (key, value) in &pairs {
            if key.is_empty() {
                return Err(AttributeError::EmptyKey);
            }
            if key == last {
                return Err(AttributeError::DuplicateKey(key.clone()));
            }
            if key.contains([BETWEEN, AFTER]) || value.contains([BETWEEN, AFTER]) {
                return Err(AttributeError::Separator(key.clone()));
            }
            text.push_str(key);
            text.push(BETWEEN);
            text.push_str(value);
            text.push(AFTER);
            last = key;
        }
        Ok(Tags::from_text(&text))
    }

    /// Whether a text is one that [`Tags::text`] gives.
    pub(crate) fn is_text(text: &str) -> bool {
        let (mut last, mut rest) = ("", text);
        while !rest.is_empty() {
            let Some((pair, next)) = rest.split_once(AFTER) else { return false };
            let Some((key, value)) = pair.split_once(BETWEEN) else { return false };
            if key <= last || value.contains(BETWEEN) {
                return false;
            }
            (last, rest) = (key, next);
        }
        true
    }

    /// The tags in a text that has been found to be one.
    pub(crate) fn from_text(text: &str) -> Tags {
        let hash = (text.len() > SHORT_TAGS_MAX).then(|| hash_of(text).into());
        Tags { text: text.into(), hash }
    }

    /// Whether a text stands for tags that are too large for a datagram.
    pub(crate) fn is_hash(text: &str) -> bool {
        let digits = text.strip_prefix(BETWEEN).unwrap_or_default();
        digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    }

    /// What stands for tags of this text.
    pub(crate) fn text_hash(text: &str) -> String {
        hash_of(text)
    }

    /// Whether `hash` stands for tags of this text.
    pub(crate) fn has_text_hash(text: &str, hash: &str) -> bool {
        hash_of(text) == hash
    }

    /// Whether a hash stands for these tags.
    pub(crate) fn have_hash(&self, hash: &str) -> bool {
        self.hash.as_deref() == Some(hash)
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(k, _)| *k == key).map(|(_, value)| value)
    }

    /// All pairs, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.text.split_terminator(AFTER).filter_map(|pair| pair.split_once(BETWEEN))
    }
}

/// FNV-1a: tells texts apart that nobody has made to be alike. What a member has signed holds a digest that tells all apart.
fn hash_of(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{BETWEEN}{hash:016x}")
}

/// Bytes that name and tags take in an announcement, as [`ATTRIBUTE_BYTES_MAX`] counts them.
pub(crate) fn attribute_bytes(name: &str, tags: &str) -> usize {
    name.len() + tags.len()
}

/// Whether a datagram names these tags by their hash.
pub(crate) fn is_large(name: &str, tags: &str) -> bool {
    tags.len() > SHORT_TAGS_MAX && attribute_bytes(name, tags) > SHORT_BYTES_MAX
}

/// Checks that name and tags fit their announcement.
pub(crate) fn check_attributes(name: &str, tags: &Tags) -> Result<(), AttributeError> {
    if name.len() > NAME_BYTES_MAX {
        return Err(AttributeError::LongName { bytes: name.len() });
    }
    let bytes = attribute_bytes(name, tags.text());
    if bytes > ATTRIBUTE_BYTES_MAX { Err(AttributeError::TooLarge { bytes }) } else { Ok(()) }
}

/// Whether packets can be sent to the address at all.
pub(crate) fn is_reachable(addr: SocketAddr) -> bool {
    let ip = addr.ip();
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    addr.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}

/// The address in the form it is announced: IPv4 as IPv4, no IPv6 scope. A scope means something on one machine
/// only, so an address that needs one cannot be announced.
pub(crate) fn announceable(addr: SocketAddr) -> Result<SocketAddr, AddressError> {
    let scoped = matches!(addr.ip(), IpAddr::V6(ip) if ip.is_unicast_link_local());
    if is_reachable(addr) && !scoped {
        Ok(SocketAddr::new(addr.ip().to_canonical(), addr.port()))
    } else {
        Err(AddressError(addr))
    }
}

/// Who this member is, when it starts.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The node's id.
    pub id: NodeId,
    /// Boot epoch: must be higher than at the node's last start. A counter in the data directory does.
    pub boot: u64,
    /// Where others reach this member: a unicast address that means the same to all of them.
    pub addr: SocketAddr,
    /// A name for people.
    pub name: String,
    /// What it says about itself; see [`ATTRIBUTE_BYTES_MAX`].
    pub tags: Vec<(String, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Result<Tags, AttributeError> {
        Tags::new(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn tags_are_sorted_and_found_by_key() {
        let tags = tags(&[("b", "2"), ("a", ""), ("ä", "=;")]).unwrap();
        assert_eq!(tags.iter().collect::<Vec<_>>(), [("a", ""), ("b", "2"), ("ä", "=;")]);
        assert_eq!((tags.get("a"), tags.get("b"), tags.get("c")), (Some(""), Some("2"), None));
        assert!(Tags::is_text(tags.text()));
        assert_eq!(Tags::from_text(tags.text()), tags);
        assert_eq!(Tags::default().iter().count(), 0);
    }

    #[test]
    fn tags_that_cannot_be_announced_are_refused() {
        assert_eq!(tags(&[("", "1")]), Err(AttributeError::EmptyKey));
        assert_eq!(tags(&[("a", "1"), ("a", "2")]), Err(AttributeError::DuplicateKey("a".to_owned())));
        assert_eq!(tags(&[("a", "\x1e")]), Err(AttributeError::Separator("a".to_owned())));
        assert!(matches!(tags(&[("\x1f", "")]), Err(AttributeError::Separator(_))));
    }

    #[test]
    fn large_tags_have_a_hash_that_no_tags_are() {
        let large = |byte: &str| tags(&[("a", &byte.repeat(SHORT_TAGS_MAX))]).unwrap();
        let (one, other) = (large("x"), large("y"));
        let hash = one.hash.clone().unwrap();
        assert!(
            Tags::is_hash(&hash) && !Tags::is_text(&hash) && one.have_hash(&hash) && !other.have_hash(&hash)
        );
        assert_eq!(tags(&[("a", "1")]).unwrap().hash, None);
        assert!(!Tags::is_hash("") && !Tags::is_hash("a\x1f1\x1e"));
    }

    #[test]
    fn only_texts_of_tags_are_read() {
        assert!(Tags::is_text("") && Tags::is_text("a\x1f1\x1eb\x1f\x1e"));
        for text in [
            "a",
            "a\x1f1",
            "a\x1e",
            "\x1f1\x1e",
            "a\x1f1\x1f2\x1e",
            "b\x1f\x1ea\x1f\x1e",
            "a\x1f\x1ea\x1f\x1e",
        ] {
            assert!(!Tags::is_text(text), "{text:?}");
        }
    }

    #[test]
    fn only_addresses_that_mean_the_same_everywhere_are_announced() {
        let announce = |addr: &str| announceable(addr.parse().unwrap()).map(|addr| addr.to_string());
        assert_eq!(announce("10.0.0.1:7400").as_deref(), Ok("10.0.0.1:7400"));
        assert_eq!(announce("[::ffff:10.0.0.1]:7400").as_deref(), Ok("10.0.0.1:7400"));
        assert_eq!(announce("[2001:db8::1]:7400").as_deref(), Ok("[2001:db8::1]:7400"));
        for addr in [
            "0.0.0.0:1",
            "[::]:1",
            "10.0.0.1:0",
            "224.0.0.1:1",
            "255.255.255.255:1",
            "[fe80::1]:1",
            "[ff02::1]:1",
        ] {
            assert!(announce(addr).is_err(), "{addr}");
        }
    }
}
