//! Who knows whom, which is what gossip makes of it. What a node cannot learn from whom it knows, and from whom these
//! know, is another cluster to it: no protocol could tell.

use std::collections::BTreeMap;

use super::node::Node;
use super::run::{Run, Seat};
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

    /// Whether somebody has the slot of whom `host` cannot know: then there are two clusters, as far as either can tell.
    /// It can know whom it knows and whom they know, and whoever knew one of those when it set out for the slot: it has
    /// met them first.
    pub(super) fn is_stranger(&self, host: Host, slot: u16) -> bool {
        let running: Vec<(&Seat, &Node)> = (self.seats.iter().filter(|seat| seat.running))
            .filter_map(|seat| Some((seat, self.engine.process(seat.host)?)))
            .collect();
        let (mut within, mut others): (Vec<_>, Vec<_>) = running.iter().partition(|it| it.0.host == host);
        let mut next = 0;
        while let Some(&&(one, node)) = within.get(next) {
            next += 1;
            let routes = node.slots.routes();
            let (new, rest): (Vec<_>, Vec<_>) = others.into_iter().partition(|(other, _)| {
                routes.is_live(other.pid) || self.custody.knew(slot, other.pid, one.pid)
            });
            within.extend(new);
            others = rest;
        }
        self.custody.holders(slot).any(|holder| others.iter().any(|(seat, _)| seat.pid == holder))
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
