//! A member of the cluster as others see it, and the attributes it announces.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::{AttributeError, NodeId, Pid};

/// Most bytes a member's attributes may take: name, tag keys and tag values in UTF-8, and 16 for each tag.
///
/// Chosen so that one announcement, a claim about its reader and the frame around them fit one datagram.
pub const ATTRIBUTE_BYTES_MAX: usize = 800;

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
pub struct Tags(Arc<[(Box<str>, Box<str>)]>);

impl Tags {
    /// Sorts the pairs.
    ///
    /// # Errors
    /// A key is empty or occurs twice.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Tags, AttributeError> {
        let mut tags: Vec<(Box<str>, Box<str>)> =
            pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        tags.sort();
        if tags.first().is_some_and(|(key, _)| key.is_empty()) {
            return Err(AttributeError::EmptyKey);
        }
        match tags.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(AttributeError::DuplicateKey(pair[0].0.to_string())),
            None => Ok(Tags(tags.into())),
        }
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(k, _)| (**k).cmp(key)).ok()?;
        Some(&self.0[at].1)
    }

    /// All pairs, sorted by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }
}

/// Who this member is, when it starts.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The node's id.
    pub id: NodeId,
    /// Boot epoch: must be higher than at the node's last start. A counter in the data directory does.
    pub boot: u64,
    /// Where others reach this member.
    pub addr: SocketAddr,
    /// A name for people.
    pub name: String,
    /// What it says about itself; see [`ATTRIBUTE_BYTES_MAX`].
    pub tags: Vec<(String, String)>,
}
