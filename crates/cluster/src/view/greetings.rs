//! Greeting those who have not been met.

use std::time::Duration;

use super::{Hello, View};
use crate::pid::Pid;

/// Greetings, one a second from the sixth on, after which a member should have answered.
const HELLOS_IN_VAIN: u32 = 10;
const HELLOS_A_MINUTE: u32 = 60;

impl View {
    /// The processes to greet now: those not met yet after growing pauses, the others every `again`.
    pub(crate) fn due_hellos(
        &mut self,
        now: Duration,
        again: Option<Duration>,
        mut pause: impl FnMut(u32) -> Duration,
    ) -> Vec<Pid> {
        let mut due = Vec::new();
        for (&pid, peer) in &mut self.peers {
            let wait = if peer.met { again } else { Some(pause(peer.hello.attempts)) };
            if let Some(wait) = wait
                && peer.hello.at <= now
            {
                peer.hello = Hello { at: now + wait, attempts: peer.hello.attempts + 1 };
                due.push(pid);
            }
        }
        due
    }

    /// Whether a member that is alive, as membership says, has left so many greetings without an answer that somebody should
    /// be told: at the first of these, and about once a minute.
    pub(crate) fn is_unanswered(&self, pid: Pid) -> bool {
        let told = |attempts: u32| attempts == HELLOS_IN_VAIN || attempts.is_multiple_of(HELLOS_A_MINUTE);
        self.peers
            .get(&pid)
            .is_some_and(|peer| !peer.met && peer.weight.is_some() && told(peer.hello.attempts))
    }

    pub(crate) fn next_hello(&self, also_met: bool) -> Option<Duration> {
        self.peers.values().filter(|peer| also_met || !peer.met).map(|peer| peer.hello.at).min()
    }
}
