//! Leaving when nobody uses a node: for one that is started on demand. Whoever has a RESP connection open uses it, and whoever
//! asks for a key; an HTTP connection that is kept for later, and what is asked for under `/_/`, are no use.
//!
//! The keys of a cluster outlive the pause between two clients, so while there are any, one node stays: that of the smallest id
//! among those that are started on demand, unless a member is there that is not. What the others hold is handed off while they
//! are members still, as by `boato drain`, so that one whose heirs vanish meanwhile takes its part again.

use std::time::Duration;

use boato_api::Readiness;
use boato_gossip::NodeId;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::Node;
use crate::attributes::Attributes;

/// How often use is looked for.
const LOOK: Duration = Duration::from_millis(500);

/// Completes when no client has used the node, since it is ready, for as long as the node was told, and nobody would lose keys by its end.
pub(crate) async fn unused(node: &Node) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Whoever has had it started is waiting.
    while node.backend().readiness() != Readiness::Ready {
        ticks.tick().await;
    }
    let mut use_ = Use { since: Instant::now(), count: 0 };
    let mut told = false;
    // The weight that is asked for again if the node has to stay after all.
    let mut drained: Option<u16> = None;
    loop {
        ticks.tick().await;
        let unused = use_.look(node.used(), Instant::now());
        let idle = node.exit_on_idle().is_some_and(|limit| unused >= limit);
        let status = node.backend().status();
        if idle && status.members <= 1 && status.entries == 0 {
            return tracing::info!(unused_s = unused.as_secs(), "no client uses this node any more");
        }
        if drained.is_some() && node.weight().await > 0 {
            // Another weight was asked for meanwhile.
            drained = None;
        }
        // Who is suspect is no heir to begin with, and no reason to take back what is on its way.
        if !idle || !others_stay(node.id(), &node.takers(drained.is_some())) {
            if let Some(weight) = drained.take().filter(|weight| *weight > 0) {
                tracing::info!(weight, "staying after all: keys come back");
                node.set_weight(weight).await;
            }
            if idle && !std::mem::replace(&mut told, true) {
                let entries = status.entries;
                tracing::info!(
                    entries,
                    "no client uses this node any more; staying, as one node keeps the keys"
                );
            }
            told &= idle;
            continue;
        }
        if drained.is_none() {
            tracing::info!(
                unused_s = unused.as_secs(),
                "no client uses this node any more: handing the keys off"
            );
            drained = Some(node.drain().await);
        } else if node.backend().status().slots == 0 {
            return;
        }
    }
}

/// Whether one of the `others`, to which keys can go, stays whatever they do: it does not leave by itself, or waits for the
/// ones of larger ids.
fn others_stay(me: NodeId, others: &[(NodeId, Attributes)]) -> bool {
    others.iter().any(|(id, other)| !other.on_demand || *id < me)
}

/// When clients were last seen.
struct Use {
    since: Instant,
    count: u64,
}

impl Use {
    /// Takes the connections open, and what else clients have done since the start; how long there has been nothing.
    fn look(&mut self, (open, count): (u64, u64), now: Instant) -> Duration {
        if open > 0 || count != self.count {
            self.since = now;
        }
        self.count = count;
        now - self.since
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use boato_gossip::Tags;

    #[test]
    fn a_connection_that_came_and_went_between_two_looks_counts() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut use_ = Use { since: start, count: 0 };
        let mut look = |used, s| use_.look(used, at(s)).as_secs();
        assert_eq!(look((0, 0), 3), 3);
        assert_eq!(look((0, 1), 4), 0);
        assert_eq!(look((1, 2), 9), 0);
        assert_eq!(look((1, 2), 99), 0);
        assert_eq!(look((0, 2), 100), 1);
    }

    #[test]
    fn of_any_number_of_idle_nodes_one_stays() {
        let other =
            |id, on_demand| (NodeId(id), Attributes { on_demand, ..Attributes::read(&Tags::default()) });
        let nodes = [1, 2, 3];
        let stay = nodes.iter().filter(|me| {
            let others: Vec<_> = nodes.iter().filter(|id| id != me).map(|id| other(*id, true)).collect();
            !others_stay(NodeId(**me), &others)
        });
        assert_eq!(stay.count(), 1);
        assert!(others_stay(NodeId(1), &[other(2, false)]), "the other does not leave by itself");
        assert!(!others_stay(NodeId(1), &[]));
    }
}
