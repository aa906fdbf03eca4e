//! Who knows whom, which is what gossip makes of it. What a node cannot learn from whom it knows, and from whom these
//! know, is another cluster to it: no protocol could tell.

use std::collections::{BTreeMap, BTreeSet};

use boato_cluster::Pid;

use super::node::Node;
use super::run::Run;
use crate::Host;

impl Run<'_> {
    /// The seats of running nodes by circle: whoever lists somebody, be it as dead, is in one circle with it.
    pub(super) fn circles(&self) -> Vec<Vec<usize>> {
        let running: Vec<(usize, &Node)> = (0..self.seats.len())
            .filter(|&index| self.seats[index].running)
            .filter_map(|index| Some((index, self.engine.process(self.seats[index].host)?)))
            .filter(|(_, node)| !node.has_left())
            .collect();
        let seats: BTreeMap<u128, usize> =
            running.iter().map(|(index, _)| (self.seats[*index].pid.node, *index)).collect();
        let mut circles: Vec<Vec<usize>> = running.iter().map(|(index, _)| vec![*index]).collect();
        for (index, node) in &running {
            for known in node.gossip.members().filter_map(|member| seats.get(&member.id.0)) {
                join(&mut circles, *index, *known);
            }
        }
        circles
    }

    /// Whether the slots of `host` can learn of every other node that runs: from those that they take for alive, and
    /// so on.
    pub(super) fn reaches_all(&self, host: Host) -> bool {
        let running: Vec<(Host, Pid)> =
            self.seats.iter().filter(|seat| seat.running).map(|seat| (seat.host, seat.pid)).collect();
        let mut reached = BTreeSet::from([host]);
        let mut next = vec![host];
        while let Some(node) = next.pop().and_then(|host| self.engine.process(host)) {
            let routes = node.slots.routes();
            let listed = running.iter().filter(|(_, pid)| routes.is_live(*pid)).map(|(host, _)| *host);
            next.extend(listed.filter(|host| reached.insert(*host)));
        }
        running.iter().all(|(host, _)| reached.contains(host))
    }
}

/// Makes the circles of two seats one.
fn join(circles: &mut Vec<Vec<usize>>, one: usize, other: usize) {
    let find = |seat| circles.iter().position(|circle| circle.contains(&seat));
    if let (Some(one), Some(other)) = (find(one), find(other))
        && one != other
    {
        let moved = circles.swap_remove(one.max(other));
        circles[one.min(other)].extend(moved);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_grow_together() {
        let mut circles = vec![vec![0], vec![1], vec![2], vec![3], vec![4]];
        for (one, other) in [(3, 1), (0, 4), (1, 3), (4, 1)] {
            join(&mut circles, one, other);
        }
        for circle in &mut circles {
            circle.sort_unstable();
        }
        circles.sort();
        assert_eq!(circles, [vec![0, 1, 3, 4], vec![2]]);
    }
}
