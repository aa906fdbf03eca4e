//! What a node says under `/_/`.

use std::collections::BTreeMap;

use boato_placement::{Candidate, Rendezvous, SLOTS, Table};
use serde::Deserialize;
use serde_json::Value;

use super::{Http, Node, ensure, wait};

/// A node's answers about itself and its cluster.
pub(crate) struct View(Http);

/// A run of slots.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct SlotRun {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) holder: Option<String>,
    pub(crate) state: String,
}

impl View {
    pub(crate) fn new(http: Http) -> Self {
        Self(http)
    }

    pub(crate) fn json(&mut self, path: &str) -> Value {
        let answer = self.0.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// Every member's state by name.
    pub(crate) fn members(&mut self) -> BTreeMap<String, String> {
        let members = self.json("/_/members");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        members
            .as_array()
            .unwrap()
            .iter()
            .map(|member| (text(&member["name"]), text(&member["state"])))
            .collect()
    }

    /// All slots; panics unless they are the runs that the interface promises.
    pub(crate) fn slots(&mut self) -> Vec<SlotRun> {
        let runs: Vec<SlotRun> = serde_json::from_value(self.json("/_/slots")["runs"].take()).unwrap();
        let mut next = 0;
        for run in &runs {
            assert!(run.from == next && run.to >= run.from, "gap or overlap in {runs:?}");
            next = run.to + 1;
        }
        assert_eq!(next, SLOTS, "{runs:?}");
        runs
    }

    /// Slots lost in crashes, as the members have counted.
    pub(crate) fn slots_lost(&mut self) -> u64 {
        self.json("/_/slots")["lost"].as_u64().unwrap()
    }

    /// The holder of every slot; an error while one is moving or has none.
    pub(crate) fn holders(&mut self) -> Result<Vec<String>, String> {
        let mut holders = Vec::with_capacity(SLOTS);
        for run in self.slots() {
            ensure(run.state == "held", || format!("slots {}..={} are {}", run.from, run.to, run.state))?;
            let holder =
                run.holder.ok_or_else(|| format!("slots {}..={} have no holder", run.from, run.to))?;
            holders.resize(run.to + 1, holder);
        }
        Ok(holders)
    }

    /// Whether it serves, and why not.
    pub(crate) fn readiness(&mut self) -> Result<(), String> {
        let answer = self.0.get("/_/readyz");
        let said: Value = serde_json::from_slice(&answer.body).unwrap();
        match answer.status {
            200 => Ok(()),
            503 => Err(said["reason"].as_str().expect("a reason").to_owned()),
            status => panic!("/_/readyz answered {status}: {said}"),
        }
    }

    /// The value of a metric without labels.
    pub(crate) fn metric(&mut self, name: &str) -> u64 {
        let text = self.0.get("/_/metrics").text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in:\n{text}")).parse().unwrap()
    }
}

/// Waits until `nodes` are one cluster at rest: each serves and lists exactly them as alive, and each slot is held by the
/// node that the placement of these members names.
pub(crate) fn settle(nodes: &[&Node]) {
    let names: BTreeMap<&str, u128> = nodes.iter().map(|node| (node.name.as_str(), node.id)).collect();
    let candidates = nodes.iter().map(|node| Candidate { id: node.id, weight: 1 });
    let table = Table::build(&Rendezvous::default(), candidates);
    for node in nodes {
        let mut view = node.view();
        wait(&format!("{} of {:?} is at rest", node.name, names.keys()), || {
            view.readiness()?;
            let members = view.members();
            let alive: Vec<_> =
                members.iter().filter(|(_, state)| *state == "alive").map(|(name, _)| name).collect();
            let expected: Vec<_> = names.keys().collect();
            ensure(alive == expected, || format!("it lists {members:?}"))?;
            let holders = view.holders()?;
            let misplaced = (0_u16..)
                .zip(&holders)
                .filter(|(slot, holder)| names.get(holder.as_str()).copied() != table.owner(*slot));
            let misplaced = misplaced.count();
            ensure(misplaced == 0, || format!("{misplaced} slots are not where they belong"))
        });
    }
}
