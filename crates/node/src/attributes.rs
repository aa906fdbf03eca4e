//! What a node says about itself through gossip, as tags.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use boato_api::{Declined, TagChange};
use boato_gossip::{Member, Tags};

/// The version of this software.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

const HTTP: &str = "http";
const LEAVING: &str = "leaving";
const ON_DEMAND: &str = "on_demand";
const RESP: &str = "resp";
const RESP_CLUSTER: &str = "resp_cluster";
const VERSION_TAG: &str = "version";
const WEIGHT: &str = "weight";

/// Attributes of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// Address of its HTTP door.
    pub(crate) http: Option<SocketAddr>,
    /// Address of its RESP door for any client.
    pub(crate) resp: Option<SocketAddr>,
    /// Address of its RESP door for cluster clients.
    pub(crate) resp_cluster: Option<SocketAddr>,
    /// Whether it is handing everything off.
    pub(crate) leaving: bool,
    /// Whether it leaves by itself when no client uses it.
    pub(crate) on_demand: bool,
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

    pub(crate) fn read(tags: &Tags) -> Self {
        let addr = |tag| tags.get(tag).and_then(|text| text.parse().ok());
        Self {
            http: addr(HTTP),
            resp: addr(RESP),
            resp_cluster: addr(RESP_CLUSTER),
            leaving: tags.get(LEAVING).is_some(),
            on_demand: tags.get(ON_DEMAND).is_some(),
            version: tags.get(VERSION_TAG).unwrap_or_default().to_owned(),
            weight: tags.get(WEIGHT).and_then(|text| text.parse().ok()).unwrap_or(0),
        }
    }

    /// Whether it takes keys over, and goes on doing so: it neither leaves nor is drained.
    pub(crate) fn takes_keys(&self) -> bool {
        !self.leaving && self.weight > 0
    }

    /// As tags.
    pub(crate) fn tags(&self) -> Vec<(String, String)> {
        let mut tags = vec![
            (VERSION_TAG.to_owned(), self.version.clone()),
            (WEIGHT.to_owned(), self.weight.to_string()),
        ];
        let addrs = [(HTTP, self.http), (RESP, self.resp), (RESP_CLUSTER, self.resp_cluster)];
        tags.extend(addrs.iter().filter_map(|(tag, addr)| Some(((*tag).to_owned(), (*addr)?.to_string()))));
        let flags = [(LEAVING, self.leaving), (ON_DEMAND, self.on_demand)];
        tags.extend(flags.iter().filter(|(_, set)| *set).map(|(tag, _)| ((*tag).to_owned(), "1".to_owned())));
        tags
    }
}

/// Everything a node says about itself: what it has to, and what its operator wants it to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Announced {
    pub(crate) attributes: Attributes,
    pub(crate) custom: BTreeMap<String, String>,
}

impl Announced {
    /// As tags.
    pub(crate) fn tags(&self) -> Vec<(String, String)> {
        let custom = self.custom.iter().map(|(key, value)| (key.clone(), value.clone()));
        self.attributes.tags().into_iter().chain(custom).collect()
    }

    /// With other tags of its operator's.
    ///
    /// # Errors
    /// A key is empty, has a `=`, or is one that the node sets itself.
    pub(crate) fn changed(&self, change: TagChange) -> Result<Self, Declined> {
        change.set.keys().chain(&change.remove).try_for_each(|key| check_key(key))?;
        let mut changed = self.clone();
        changed.custom.extend(change.set);
        changed.custom.retain(|key, _| !change.remove.contains(key));
        Ok(changed)
    }
}

/// Keys that a node sets itself.
const OWN: [&str; 7] = [HTTP, LEAVING, ON_DEMAND, RESP, RESP_CLUSTER, VERSION_TAG, WEIGHT];

/// # Errors
/// An operator cannot give a tag this key.
pub(crate) fn check_key(key: &str) -> Result<(), Declined> {
    if OWN.contains(&key) {
        let own = OWN.join(", ");
        return Err(Declined::Invalid(format!(
            "a node sets the tag {key} itself: choose a key other than {own}"
        )));
    }
    if key.is_empty() || key.contains('=') {
        return Err(Declined::Invalid(format!(
            "a tag's key has at least one character and no =, not {key:?}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_say_what_they_were_given() {
        for leaving in [false, true] {
            let attributes = Attributes {
                http: Some("127.0.0.1:7480".parse().unwrap()),
                resp: Some("127.0.0.1:7379".parse().unwrap()),
                resp_cluster: Some("[::1]:17379".parse().unwrap()),
                leaving,
                on_demand: !leaving,
                version: "1.2.3".to_owned(),
                weight: 7,
            };
            assert_eq!(Attributes::read(&Tags::new(attributes.tags()).unwrap()), attributes);
        }
    }

    #[test]
    fn an_operator_adds_tags_and_leaves_those_of_the_node_alone() {
        let attributes = Attributes::read(&Tags::default());
        let announced = Announced { attributes, custom: BTreeMap::from([("rack".into(), "1".into())]) };
        let change = |set: &str, remove: &str| {
            announced.changed(TagChange {
                set: BTreeMap::from([(set.to_owned(), "x".to_owned())]),
                remove: vec![remove.to_owned()],
            })
        };
        let changed = change("role", "rack").unwrap();
        assert_eq!(changed.custom, BTreeMap::from([("role".into(), "x".into())]));
        assert!(Tags::new(changed.tags()).unwrap().get("role") == Some("x"));
        for (set, remove) in [("weight", "rack"), ("role", "http"), ("", "rack"), ("a=b", "rack")] {
            assert!(matches!(change(set, remove), Err(Declined::Invalid(_))), "{set} {remove}");
        }
    }

    #[test]
    fn a_member_that_says_nothing_gets_no_slots() {
        let silent = Attributes::read(&Tags::default());
        assert_eq!((silent.weight, silent.leaving, silent.http), (0, false, None));
        assert!(!silent.takes_keys());
    }
}
