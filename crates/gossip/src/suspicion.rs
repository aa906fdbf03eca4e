//! How long a suspicion lasts.

use std::time::Duration;

use crate::{Config, NodeId, State};

/// What others make of a suspect that nobody here has asked in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// No more than that.
    Suspect,
    /// Somebody has concluded that it is dead: it has the shortest time to say otherwise here.
    Condemned,
    /// It said goodbye, says somebody other than itself: if it does not say otherwise, it has left.
    Goodbye,
}

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
    condemned: bool,
    goodbye: bool,
    /// This process stood still: what was said meanwhile has to be heard first.
    not_before: Duration,
}

impl Suspicion {
    /// Raised by `by`, in a cluster of `members` live ones.
    pub(crate) fn new(config: &Config, members: usize, by: NodeId, now: Duration, doubt: Doubt) -> Suspicion {
        let wanted = confirmations_wanted(config, members);
        let shortest = shortest(config, members);
        let longest = if wanted == 0 { shortest } else { shortest * config.suspicion_max_multiplier };
        let (condemned, goodbye) = (doubt == Doubt::Condemned, doubt == Doubt::Goodbye);
        let accusers = vec![by];
        Suspicion { started: now, shortest, longest, wanted, accusers, condemned, goodbye, not_before: now }
    }

    /// Another accuser, or another doubt. False if that is no news to others.
    pub(crate) fn confirm(&mut self, by: NodeId, doubt: Doubt) -> bool {
        self.condemned |= doubt == Doubt::Condemned;
        let news = self.accusers.len() <= self.wanted && !self.accusers.contains(&by);
        if news {
            self.accusers.push(by);
        }
        let said_before = self.goodbye;
        self.goodbye |= doubt == Doubt::Goodbye;
        news || self.goodbye != said_before
    }

    /// What the member is when nobody has said otherwise in time.
    pub(crate) fn verdict(&self) -> State {
        if self.goodbye { State::Left } else { State::Dead }
    }

    /// The accuser to name to others: the last one, who is news to most of them.
    pub(crate) fn accuser(&self) -> NodeId {
        *self.accusers.last().expect("invariant: a suspicion has its first accuser")
    }

    /// When the member is dead unless it refutes.
    pub(crate) fn deadline(&self) -> Duration {
        let lasts = if self.condemned {
            self.shortest
        } else {
            timeout(self.shortest, self.longest, self.wanted, self.accusers.len() - 1)
        };
        (self.started + lasts).max(self.not_before)
    }

    /// Moves the suspicion on by the time this process did not run; it ends at `not_before` at the earliest.
    pub(crate) fn postpone(&mut self, by: Duration, not_before: Duration) {
        self.started += by;
        self.not_before = not_before;
    }
}

/// Confirmations to hope for: none where too few others are left to give them.
fn confirmations_wanted(config: &Config, members: usize) -> usize {
    let others = members.saturating_sub(2);
    if others < config.suspicion_confirmations { 0 } else { config.suspicion_confirmations }
}

#[expect(clippy::cast_precision_loss, reason = "a cluster has far fewer than 2^52 members")]
fn shortest(config: &Config, members: usize) -> Duration {
    let scaled =
        (config.probe_interval * config.suspicion_multiplier).mul_f64((members.max(1) as f64).log10());
    scaled.max(config.probe_interval * config.suspicion_floor)
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
            let suspicion = Suspicion::new(&Config::lan(), members, NodeId(1), S, Doubt::Suspect);
            assert_eq!(suspicion.deadline(), 5 * S, "{members} members");
        }
    }

    #[test]
    fn shortest_time_grows_with_the_logarithm_of_the_cluster_from_a_floor_on() {
        let seconds = [1, 10, 100, 1000].map(|members| shortest(&Config::lan(), members).as_secs());
        assert_eq!(seconds, [4, 4, 7, 10]);
    }

    #[test]
    fn who_stood_still_waits_for_what_was_said_meanwhile() {
        let mut suspicion = Suspicion::new(&Config::lan(), 100, NodeId(1), S, Doubt::Condemned);
        suspicion.postpone(2 * S, 3 * S);
        assert_eq!(suspicion.deadline(), 10 * S, "by the time it did not run");
        suspicion.postpone(S, 20 * S);
        assert_eq!(suspicion.deadline(), 20 * S);
    }

    #[test]
    fn only_other_accusers_confirm() {
        let mut suspicion = Suspicion::new(&Config::lan(), 100, NodeId(1), S, Doubt::Suspect);
        let first = suspicion.deadline();
        assert!(!suspicion.confirm(NodeId(1), Doubt::Suspect));
        assert_eq!(suspicion.deadline(), first);
        assert!(suspicion.confirm(NodeId(2), Doubt::Suspect));
        assert_eq!(suspicion.accuser(), NodeId(2));
        assert!(suspicion.confirm(NodeId(3), Doubt::Suspect) && suspicion.confirm(NodeId(4), Doubt::Suspect));
        assert!(!suspicion.confirm(NodeId(5), Doubt::Suspect), "nothing left to shrink");
        assert_eq!(suspicion.deadline(), S + 7 * S);
    }

    #[test]
    fn who_has_been_found_dead_by_another_has_the_shortest_time() {
        let mut suspicion = Suspicion::new(&Config::lan(), 100, NodeId(1), S, Doubt::Suspect);
        assert!(!suspicion.confirm(NodeId(1), Doubt::Condemned), "nothing to tell others");
        assert_eq!(suspicion.deadline(), S + 7 * S);
    }

    #[test]
    fn a_goodbye_that_is_passed_on_ends_as_a_leave_and_takes_as_long_as_any_suspicion() {
        let mut suspicion = Suspicion::new(&Config::lan(), 100, NodeId(1), S, Doubt::Suspect);
        let silent = suspicion.deadline();
        assert_eq!(suspicion.verdict(), State::Dead);
        assert!(suspicion.confirm(NodeId(1), Doubt::Goodbye), "nobody had said that before");
        assert!(!suspicion.confirm(NodeId(1), Doubt::Goodbye));
        assert_eq!((suspicion.verdict(), suspicion.deadline()), (State::Left, silent));
        assert!(suspicion.confirm(NodeId(2), Doubt::Suspect) && suspicion.deadline() < silent);
        assert_eq!(suspicion.verdict(), State::Left);
    }
}
