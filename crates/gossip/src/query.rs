//! Questions to all members, or to some of them: what is asked, and what can be answered.

use std::sync::Arc;
use std::time::Duration;

use crate::{Member, Pid, filter};

/// Most bytes of a query: name, payload and filter together. One fits a datagram.
pub const QUERY_BYTES_MAX: usize = 864;
/// Most bytes of one response.
pub const RESPONSE_BYTES_MAX: usize = 1 << 20;
/// Longest time for answers.
pub const QUERY_TIMEOUT_MAX: Duration = Duration::from_mins(10);
/// Most relays.
pub const QUERY_RELAYS_MAX: u8 = 16;

/// Which members a query is for: those with one of the names (any, where there are none) and all of the tags. In names and
/// in the values of tags `*` stands for anything ([`matches`](crate::matches)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter(String);

/// Between a key and its pattern, and after each pattern, as in tags. The key of names is empty.
const BETWEEN: char = '\x1f';
const AFTER: char = '\x1e';

impl Filter {
    /// Members with one of these names and all of these tags.
    pub fn new(names: &[String], tags: &[(String, String)]) -> Filter {
        let mut text = String::new();
        let names = names.iter().map(|name| ("", name.as_str()));
        let tags =
            tags.iter().filter(|(key, _)| !key.is_empty()).map(|(key, value)| (key.as_str(), value.as_str()));
        for (key, pattern) in names.chain(tags) {
            for (part, end) in [(key, BETWEEN), (pattern, AFTER)] {
                text.extend(part.chars().filter(|c| ![BETWEEN, AFTER].contains(c)));
                text.push(end);
            }
        }
        Filter(text)
    }

    /// As it travels.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// The filter that a peer wrote.
    pub(crate) fn from_text(text: &str) -> Filter {
        Filter(text.to_owned())
    }

    /// Whether a member is meant.
    pub fn includes(&self, member: &Member) -> bool {
        let (mut named, mut is_named) = (false, false);
        for (key, pattern) in self.0.split_terminator(AFTER).filter_map(|pair| pair.split_once(BETWEEN)) {
            if key.is_empty() {
                named = true;
                is_named |= filter::matches(pattern, &member.name);
            } else if !member.tags.get(key).is_some_and(|value| filter::matches(pattern, value)) {
                return false;
            }
        }
        is_named || !named
    }
}

/// A question to members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// What it is called, for the application. Without a name it is answered by an acknowledgement alone, and no application
    /// hears of it.
    pub name: String,
    /// What it says, for the application. With name and filter at most [`QUERY_BYTES_MAX`].
    pub payload: Vec<u8>,
    /// Who is asked.
    pub filter: Filter,
    /// Whether to say who has received it.
    pub acks: bool,
    /// Through how many other members each answer goes, beside its direct way; at most [`QUERY_RELAYS_MAX`]. Where some
    /// pairs of members cannot reach each other, 2 or 3 make up for it.
    pub relays: u8,
    /// How long answers are taken, at most [`QUERY_TIMEOUT_MAX`]; by itself 16 gossip intervals for each digit of the
    /// number of members.
    pub timeout: Option<Duration>,
}

/// Which query an answer is to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId {
    /// Who asks.
    pub asker: Pid,
    /// Its Lamport time.
    pub time: u64,
}

/// A query as it arrives at a member that is meant. [`Input::Answer`](crate::Input::Answer) answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What to answer to.
    pub id: QueryId,
    /// What it is called.
    pub name: Arc<str>,
    /// What it says.
    pub payload: Arc<[u8]>,
    /// How long answers are taken.
    pub timeout: Duration,
}

/// What a member said to a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It has received it.
    Ack,
    /// It has nothing to answer.
    Declined,
    /// Its answer, at most [`RESPONSE_BYTES_MAX`].
    Response(Arc<[u8]>),
}

/// How a query is passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) filter: Filter,
    pub(crate) timeout: Duration,
    pub(crate) relays: u8,
    pub(crate) acks: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NodeId, State, Tags};

    #[test]
    fn a_filter_takes_any_of_the_names_and_all_of_the_tags() {
        let pairs = [("role", "db"), ("zone", "eu-1")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        let member = Member {
            id: NodeId(1),
            boot: 1,
            incarnation: 0,
            addr: ([127, 0, 0, 1], 7400).into(),
            state: State::Alive,
            name: "web1".into(),
            tags: Tags::new(pairs).unwrap(),
            signature: crate::Signature::default(),
        };
        let includes = |names: &[&str], tags: &[(&str, &str)]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let tags: Vec<(String, String)> =
                tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            let filter = Filter::new(&names, &tags);
            assert_eq!(Filter::from_text(filter.text()), filter);
            filter.includes(&member)
        };
        assert!(
            includes(&[], &[])
                && includes(&["x", "web*"], &[])
                && includes(&[], &[("role", "db"), ("zone", "eu-*")])
        );
        assert!(!includes(&["x"], &[]) && !includes(&[""], &[]) && !includes(&[], &[("rack", "*")]));
        assert!(!includes(&["web1"], &[("role", "db"), ("zone", "us-*")]));
    }
}
