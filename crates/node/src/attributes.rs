//! What a node says about itself through gossip, as tags.

use std::net::SocketAddr;

use boato_gossip::{Member, Tags};

/// The version of this software.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

const HTTP: &str = "http";
const LEAVING: &str = "leaving";
const VERSION_TAG: &str = "version";
const WEIGHT: &str = "weight";

/// Attributes of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// Address of its HTTP door.
    pub(crate) http: Option<SocketAddr>,
    /// Whether it is handing everything off.
    pub(crate) leaving: bool,
    /// Version of its software.
    pub(crate) version: String,
    /// Share of the keys relative to others.
    pub(crate) weight: u16,
}

impl Attributes {
    /// As a peer's tags say; what is missing or unreadable is as harmless as possible.
    pub(crate) fn of(member: &Member) -> Self {
        Self::read(&member.tags)
    }

    fn read(tags: &Tags) -> Self {
        Self {
            http: tags.get(HTTP).and_then(|text| text.parse().ok()),
            leaving: tags.get(LEAVING).is_some(),
            version: tags.get(VERSION_TAG).unwrap_or_default().to_owned(),
            weight: tags.get(WEIGHT).and_then(|text| text.parse().ok()).unwrap_or(0),
        }
    }

    /// As tags.
    pub(crate) fn tags(&self) -> Vec<(String, String)> {
        let mut tags = vec![
            (VERSION_TAG.to_owned(), self.version.clone()),
            (WEIGHT.to_owned(), self.weight.to_string()),
        ];
        tags.extend(self.http.map(|http| (HTTP.to_owned(), http.to_string())));
        tags.extend(self.leaving.then(|| (LEAVING.to_owned(), "1".to_owned())));
        tags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_say_what_they_were_given() {
        for leaving in [false, true] {
            let http = Some("127.0.0.1:7480".parse().unwrap());
            let attributes = Attributes { http, leaving, version: "1.2.3".to_owned(), weight: 7 };
            assert_eq!(Attributes::read(&Tags::new(attributes.tags()).unwrap()), attributes);
        }
    }

    #[test]
    fn a_member_that_says_nothing_gets_no_slots() {
        let silent = Attributes::read(&Tags::default());
        assert_eq!((silent.weight, silent.leaving, silent.http), (0, false, None));
    }
}
