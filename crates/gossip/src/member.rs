//! A member of the cluster as others see it, and the attributes it announces.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::wire::Tag;
use crate::{AddressError, AttributeError, NodeId, Pid};

/// Most bytes a member's attributes may take: name, tag keys and tag values in UTF-8, and 16 for each tag.
///
/// Chosen so that one announcement, a claim about its reader and the frame around them fit one datagram.
pub const ATTRIBUTE_BYTES_MAX: usize = 896;

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
}

/// A member of the cluster. Cheap to clone: name and tags are shared.
#[derive(Clone, Debug, PartialEq, Eq)]
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
}

/// A member's tags: pairs of strings, sorted by key, each key once. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(pub(crate) Arc<[Tag]>);

impl Tags {
    /// Sorts the pairs.
    ///
    /// # Errors
    /// A key is empty or occurs twice.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Tags, AttributeError> {
        let mut tags: Vec<Tag> =
            pairs.into_iter().map(|(key, value)| Tag { key: key.into(), value: value.into() }).collect();
        tags.sort();
        if tags.first().is_some_and(|tag| tag.key.is_empty()) {
            return Err(AttributeError::EmptyKey);
        }
        match tags.windows(2).find(|pair| pair[0].key == pair[1].key) {
            Some(pair) => Err(AttributeError::DuplicateKey(pair[0].key.to_string())),
            None => Ok(Tags(tags.into())),
        }
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|tag| (*tag.key).cmp(key)).ok()?;
        Some(&self.0[at].value)
    }

    /// All pairs, sorted by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|tag| (&*tag.key, &*tag.value))
    }
}

/// Bytes that name and tags take in an announcement, as [`ATTRIBUTE_BYTES_MAX`] counts them.
pub(crate) fn attribute_bytes<'a>(name: &str, tags: impl Iterator<Item = (&'a str, &'a str)>) -> usize {
    name.len() + tags.map(|(key, value)| 16 + key.len() + value.len()).sum::<usize>()
}

/// Checks that name and tags fit their announcement.
pub(crate) fn check_attributes(name: &str, tags: &Tags) -> Result<(), AttributeError> {
    let bytes = attribute_bytes(name, tags.iter());
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
