//! A query, as a request.

use std::time::Duration;

use super::parameter;

/// What is asked, and whom.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What it is called.
    pub name: &'a str,
    /// What it says.
    pub payload: &'a [u8],
    /// Only members of one of these names, if there are any.
    pub nodes: &'a [String],
    /// Only members with all of these tags.
    pub tags: &'a [(String, String)],
    /// How long to wait, in whole seconds; by itself what fits the size of the cluster.
    pub timeout: Option<Duration>,
    /// Through how many others each answer goes, too.
    pub relays: u8,
    /// Whether all who were asked are to say that they heard.
    pub acks: bool,
}

impl Question<'_> {
    pub(super) fn path(&self) -> String {
        let nodes: Vec<String> = self.nodes.iter().map(|name| parameter(name)).collect();
        let tags = self.tags.iter().map(|(key, value)| parameter(&format!("{key}={value}")));
        let timeout = self.timeout.map(|time| time.as_secs().max(1).to_string()).unwrap_or_default();
        let parts = [
            ("name", parameter(self.name)),
            ("relays", self.relays.to_string()),
            ("nodes", nodes.join(",")),
            ("tags", tags.collect::<Vec<_>>().join(",")),
            ("timeout", timeout),
            ("acks", if self.acks { String::new() } else { "false".to_owned() }),
        ];
        let given = parts.iter().filter(|(name, value)| *name == "name" || !value.is_empty());
        let given: Vec<String> = given.map(|(name, value)| format!("{name}={value}")).collect();
        format!("/_/query?{}", given.join("&"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_escaped() {
        let question = Question {
            name: "a b",
            payload: b"",
            nodes: &["x,y".into(), "z*".into()],
            tags: &[("k".into(), "v=&".into())],
            timeout: Some(Duration::from_millis(100)),
            relays: 2,
            acks: false,
        };
        let path = "/_/query?name=a%20b&relays=2&nodes=x%2Cy,z%2A&tags=k%3Dv%3D%26&timeout=1&acks=false";
        assert_eq!(question.path(), path);
    }
}
