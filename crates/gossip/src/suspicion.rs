//! How long a suspicion lasts.

use std::time::Duration;

use crate::{Config, NodeId};

/// A suspicion as this member sees it. It ends by itself, whatever becomes of the member that raised it.
#[derive(Debug)]
pub(crate) struct Suspicion {
    started: Duration,
    shortest: Duration,
    longest: Duration,
    /// Confirmations that bring the time down to the shortest.
    wanted: usize,
    /// Who got no answer, the first one first; at most one more than is wanted.
    accusers: Vec<NodeId>,
    /// Somebody else has concluded that the member is dead: it has the shortest time to say otherwise here.
    condemned: bool,
}

impl Suspicion {
    /// Raised by `by`, in a cluster of `members` live ones.
    pub(crate) fn new(
        config: &Config,
        members: usize,
        by: NodeId,
        now: Duration,
        condemned: bool,
    ) -> Suspicion {
        let wanted = confirmations_wanted(config, members);
        let shortest = shortest(config, members);
        let longest = if wanted == 0 { shortest } else { shortest * config.suspicion_max_multiplier };
        Suspicion { started: now, shortest, longest, wanted, accusers: vec![by], condemned }
    }

    /// Another accuser, or one who has concluded that the member is dead. False if that is no news.
    pub(crate) fn confirm(&mut self, by: NodeId, condemned: bool) -> bool {
        self.condemned |= condemned;
        let news = self.accusers.len() <= self.wanted && !self.accusers.contains(&by);
        if news {
            self.accusers.push(by);
        }
        news
    }

    /// The accuser to name to others: the last one, who is news to most of them.
    pub(crate) fn accuser(&self) -> NodeId {
        *self.accusers.last().expect("invariant: a suspicion has its first accuser")
    }

    /// When the member is dead unless it refutes.
    pub(crate) fn deadline(&self) -> Duration {
        if self.condemned {
            return self.started + self.shortest;
        }
        self.started + timeout(self.shortest, self.longest, self.wanted, self.accusers.len() - 1)
    }

    /// Moves the suspicion on by the time this process did not run.
    pub(crate) fn postpone(&mut self, by: Duration) {
        self.started += by;
    }
}

/// Confirmations to hope for: none where too few others are left to give them.
fn confirmations_wanted(config: &Config, members: usize) -> usize {
    let others = members.saturating_sub(2);
    if others < config.suspicion_confirmations { 0 } else { config.suspicion_confirmations }
}

#[expect(clippy::cast_precision_loss, reason = "a cluster has far fewer than 2^52 members")]
fn shortest(config: &Config, members: usize) -> Duration {
    let scale = (members.max(1) as f64).log10().max(1.0);
    (config.probe_interval * config.suspicion_multiplier).mul_f64(scale)
}

/// Lifeguard, section IV.B: starts at the longest and shrinks with the logarithm of the confirmations.
#[expect(clippy::cast_precision_loss, reason = "confirmations are a handful")]
fn timeout(shortest: Duration, longest: Duration, wanted: usize, confirmations: usize) -> Duration {
    if wanted == 0 {
        return shortest;
    }
    let share = ((confirmations + 1) as f64).ln() / ((wanted + 1) as f64).ln();
    longest.saturating_sub(longest.saturating_sub(shortest).mul_f64(share)).max(shortest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn timeout_follows_the_formula() {
        let millis: Vec<u128> = (0..=3).map(|c| timeout(4 * S, 24 * S, 3, c).as_millis()).collect();
        assert_eq!(millis, [24_000, 14_000, 8_150, 4_000]);
    }

    #[test]
    fn few_members_wait_the_shortest_time() {
        for members in 1..=4 {
            let suspicion = Suspicion::new(&Config::lan(), members, NodeId(1), S, false);
            assert_eq!(suspicion.deadline(), 5 * S, "{members} members");
        }
    }

    #[test]
    fn shortest_time_grows_with_the_logarithm_of_the_cluster() {
        assert_eq!(shortest(&Config::lan(), 10), 4 * S);
        assert_eq!(shortest(&Config::lan(), 1000), 12 * S);
    }

    #[test]
    fn only_other_accusers_confirm() {
        let mut suspicion = Suspicion::new(&Config::lan(), 100, NodeId(1), S, false);
        let first = suspicion.deadline();
        assert!(!suspicion.confirm(NodeId(1), false));
        assert_eq!(suspicion.deadline(), first);
        assert!(suspicion.confirm(NodeId(2), false));
        assert_eq!(suspicion.accuser(), NodeId(2));
        assert!(suspicion.confirm(NodeId(3), false) && suspicion.confirm(NodeId(4), false));
        assert!(!suspicion.confirm(NodeId(5), false), "nothing left to shrink");
        assert_eq!(suspicion.deadline(), S + 8 * S);
    }

    #[test]
    fn who_has_been_found_dead_by_another_has_the_shortest_time() {
        let mut suspicion = Suspicion::new(&Config::lan(), 100, NodeId(1), S, false);
        assert!(!suspicion.confirm(NodeId(1), true), "nothing to tell others");
        assert_eq!(suspicion.deadline(), S + 8 * S);
    }
}
