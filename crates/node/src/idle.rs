//! Leaving when nobody uses a node: for one that is started on demand.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::Node;

/// How often connections are counted.
const LOOK: Duration = Duration::from_millis(500);

/// Completes when no client has been connected for as long as the node was told, and nobody would lose keys by its end.
pub(crate) async fn unused(node: &Node) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut use_ = Use { since: Instant::now(), opened: 0 };
    let mut told = false;
    loop {
        ticks.tick().await;
        let now = Instant::now();
        let unused = use_.look(node.connections(), now);
        let Some(limit) = node.exit_on_idle() else { continue };
        if unused < limit {
            told = false;
            continue;
        }
        let status = node.backend().status();
        if status.members > 1 || status.entries == 0 {
            return tracing::info!(unused_s = unused.as_secs(), "no client is connected any more");
        }
        if !std::mem::replace(&mut told, true) {
            tracing::info!(
                entries = status.entries,
                "no client is connected any more; staying, as the last node of the cluster has keys"
            );
        }
    }
}

/// When clients were last seen.
struct Use {
    since: Instant,
    opened: u64,
}

impl Use {
    /// Takes the connections open and those accepted since the start; how long there have been none.
    fn look(&mut self, (open, opened): (u64, u64), now: Instant) -> Duration {
        if open > 0 || opened != self.opened {
            self.since = now;
        }
        self.opened = opened;
        now - self.since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_came_and_went_between_two_looks_counts() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut use_ = Use { since: start, opened: 0 };
        let mut look = |connections, s| use_.look(connections, at(s)).as_secs();
        assert_eq!(look((0, 0), 3), 3);
        assert_eq!(look((0, 1), 4), 0);
        assert_eq!(look((1, 2), 9), 0);
        assert_eq!(look((1, 2), 99), 0);
        assert_eq!(look((0, 2), 100), 1);
    }
}
