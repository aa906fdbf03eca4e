//! What nodes say about their cluster under `/_/`.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use anyhow::Result;
use serde::Deserialize;

use crate::nodes::Http;

/// Slots of a cluster.
pub(super) const SLOTS: usize = 16_384;

/// Any set of slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SlotSet(Vec<bool>);

impl SlotSet {
    pub(super) fn all() -> Self {
        Self(vec![true; SLOTS])
    }

    pub(super) fn contains(&self, slot: u16) -> bool {
        self.0[usize::from(slot)]
    }

    /// The slots in both.
    pub(super) fn and(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(one, other)| *one && *other).collect())
    }

    /// The slots in either.
    pub(super) fn or(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(one, other)| *one || *other).collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.iter().filter(|held| **held).count()
    }

    #[cfg(test)]
    pub(super) fn of_slots(slots: &[u16]) -> Self {
        Self((0..SLOTS).map(|index| slots.iter().any(|slot| usize::from(*slot) == index)).collect())
    }

    fn of<'a>(runs: impl Iterator<Item = &'a SlotRun>) -> Self {
        let mut slots = vec![false; SLOTS];
        for run in runs {
            slots[run.from..=run.to].fill(true);
        }
        Self(slots)
    }
}

/// All slots as runs of one holder and one state.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SlotMap(Vec<SlotRun>);

#[derive(Deserialize)]
struct Slots {
    runs: Vec<SlotRun>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct SlotRun {
    from: usize,
    to: usize,
    holder: Option<String>,
    state: String,
}

impl SlotMap {
    /// As the node at `node` puts it together from what all members say.
    pub(super) fn ask(http: &Http, node: SocketAddr) -> Result<Self> {
        let Slots { runs } = http.json(node, "/_/slots")?;
        anyhow::ensure!(
            runs.iter().all(|run| run.from <= run.to && run.to < SLOTS),
            "{node} lists impossible slots: {runs:?}"
        );
        Ok(Self(runs))
    }

    /// The slots of one holder.
    pub(super) fn of(&self, holder: &str) -> SlotSet {
        SlotSet::of(self.0.iter().filter(|run| run.holder.as_deref() == Some(holder)))
    }

    /// The slots that nobody has.
    pub(super) fn unheld(&self) -> SlotSet {
        SlotSet::of(self.0.iter().filter(|run| run.holder.is_none()))
    }

    /// Why the slots are not all at rest, each of `names` with its share.
    fn unrest(&self, names: &BTreeSet<&str>) -> Option<String> {
        if let Some(run) = self.0.iter().find(|run| run.state != "held") {
            return Some(format!("slots {} to {} are {}", run.from, run.to, run.state));
        }
        let holders: BTreeSet<_> = self.0.iter().filter_map(|run| run.holder.as_deref()).collect();
        (holders != *names).then(|| format!("{holders:?} hold the slots"))
    }
}

#[derive(Deserialize)]
struct Member {
    name: String,
    state: String,
}

/// Why the nodes are not one cluster at rest, if they are not: each lists exactly all of them as alive, and each slot is held.
pub(super) fn unrest(http: &Http, nodes: &[(&str, SocketAddr)]) -> Result<Option<String>> {
    let names: BTreeSet<_> = nodes.iter().map(|(name, _)| *name).collect();
    for (name, addr) in nodes {
        let members: Vec<Member> = http.json(*addr, "/_/members")?;
        let listed = members.iter().filter(|member| !matches!(&*member.state, "dead" | "left"));
        if let Some(member) = listed.clone().find(|member| member.state != "alive") {
            return Ok(Some(format!("{name} lists {} as {}", member.name, member.state)));
        }
        let listed: BTreeSet<_> = listed.map(|member| member.name.as_str()).collect();
        if listed != names {
            return Ok(Some(format!("{name} lists {listed:?}")));
        }
    }
    let Some((_, addr)) = nodes.first() else { return Ok(None) };
    Ok(SlotMap::ask(http, *addr)?.unrest(&names))
}

/// The slot of a key, given its path.
pub(super) fn slot(http: &Http, node: SocketAddr, path: &str) -> Result<u16> {
    #[derive(Deserialize)]
    struct Owner {
        slot: u16,
    }
    let owner: Owner = http.json(node, &format!("/_/owner{path}"))?;
    anyhow::ensure!(usize::from(owner.slot) < SLOTS, "{path} lies in slot {}", owner.slot);
    Ok(owner.slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(runs: &[(usize, usize, &str, &str)]) -> SlotMap {
        let run = |&(from, to, holder, state): &(usize, usize, &str, &str)| SlotRun {
            from,
            to,
            holder: (!holder.is_empty()).then(|| holder.to_owned()),
            state: state.to_owned(),
        };
        SlotMap(runs.iter().map(run).collect())
    }

    #[test]
    fn slots_are_told_by_holder() {
        let map =
            map(&[(0, 9, "a", "held"), (10, 10, "b", "held"), (11, 12, "a", "held"), (13, 99, "", "unheld")]);
        assert_eq!((map.of("a").len(), map.of("b").len(), map.unheld().len()), (12, 1, 87));
        assert!(map.of("a").contains(12) && !map.of("a").contains(10));
        let (a, first) = (map.of("a"), SlotSet::of_slots(&[0, 10]));
        assert_eq!((a.and(&first).len(), a.or(&first).len()), (1, 13));
    }

    #[test]
    fn a_slot_that_moves_or_a_node_without_slots_is_unrest() {
        let names = |names: &[&'static str]| names.iter().copied().collect();
        assert_eq!(map(&[(0, 9, "a", "held"), (10, 99, "b", "held")]).unrest(&names(&["a", "b"])), None);
        assert!(map(&[(0, 9, "a", "held"), (10, 99, "b", "copying")]).unrest(&names(&["a", "b"])).is_some());
        assert!(map(&[(0, 99, "a", "held")]).unrest(&names(&["a", "b"])).is_some());
    }
}
