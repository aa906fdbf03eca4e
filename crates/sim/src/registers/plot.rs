//! Plots: ambushes with a plan. Each goes the shortest way known to what one rule of the protocol is there to prevent, as
//! far as that rule lets it. The tests in `tests/rules.rs` go the same ways step by step.

use std::collections::BTreeSet;
use std::time::Duration;

use super::agenda::Action;
use super::ambush::{Ambush, Moment};
use super::message::Command;
use super::run::Run;
use crate::{Effect, Host, Hosts, Latency};

/// How much a weight is raised, so that most slots should go there.
const HEAVY: u16 = 8;
/// How much longer messages take that are to outlive what they are about.
const OUTLIVES: Duration = Duration::from_secs(1);
/// By then a process that stands still is considered dead, in a small cluster on one machine.
const FORGOTTEN: Duration = Duration::from_secs(8);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn only(host: Host) -> Hosts {
    std::iter::once(host).collect()
}

impl Run<'_> {
    /// Begins one of the plots. False: another one is under way, or the cluster is too small.
    pub(super) fn begin_plot(&mut self) -> bool {
        if self.engine.now() < self.ambush.from() {
            return false;
        }
        let mut hosts = self.staying_hosts();
        self.rng.shuffle(&mut hosts);
        // First of all somebody who has something to lose.
        let slot = self.clients.keys[self.rng.usize(..self.clients.keys.len())].slot;
        let holder = self.custody.holder(slot);
        hosts.sort_by_key(|host| Some(self.seats[host.index()].pid) != holder);
        let plot = if self.scenario.may_fork() && self.rng.bool() { 5 } else { self.rng.u8(..5) };
        match (plot, &hosts[..]) {
            (0, &[introducer, _, ..]) if self.room() > 0 => self.introduce_and_end(introducer),
            (1, &[holder, target, claimant, ..]) => self.late_commit(holder, target, claimant),
            (2, &[first, _, _, ..]) => self.contradicting_claims(first, &hosts[1..]),
            (3, &[first, _, _, _, ..]) => {
                // What it had is begun by somebody of whom nobody has heard where it is.
                self.end_after(first, ms(1));
                self.ambush = Ambush::wait_for(Moment::Mints, self.engine.now());
            }
            (4, &[holder, target, ..]) => self.slow_copy(holder, target),
            (5, &[_, target, ..]) => {
                self.raise(target, HEAVY);
                self.ambush = Ambush::wait_for(Moment::Ready, self.engine.now());
            }
            _ => return false,
        }
        true
    }

    /// Goes on with a plot at the moment for which it has waited, at which `host` does something about a slot that it
    /// shares with `peer`; returns for how long.
    pub(super) fn plot(&mut self, moment: Moment, host: Host, peer: Host) -> Option<Duration> {
        match moment {
            Moment::Mints => self.hand_over_beside(host),
            Moment::Ready if self.scenario.may_fork() => Some(self.lost_release(host, peer)),
            Moment::Copies => Some(self.copy_again(host, peer)),
            _ => None,
        }
    }

    /// Answers "not here" bind. Somebody claims a slot that has a holder, whom it does not reach for a while; meanwhile the
    /// holder hands the slot to a third node, which has answered the claim.
    fn hand_over_beside(&mut self, holder: Host) -> Option<Duration> {
        let mut others = self.staying_hosts();
        others.retain(|host| *host != holder);
        self.rng.shuffle(&mut others);
        let &[third, claimant, ..] = &others[..] else { return None };
        let now = self.engine.now();
        let step = ms(self.rng.u64(150..400)) + self.scenario.latency.mul_f64(6.0);
        self.say(format_args!("plot: host {} claims beside a hand-over to host {}", claimant.0, third.0));
        // The claimant hears first that the third should have it, then the holder; that the claimant should, neither.
        self.raise(third, HEAVY);
        self.unaware(third, 8 * step);
        self.unaware(holder, step + step / 4);
        self.agenda.add(now + step + step / 4 + ms(10), Action::Tell(holder, Command::Unaware(6 * step)));
        let weight = self.seats[claimant.index()].weight.saturating_add(4 * HEAVY);
        self.agenda.add(now + step, Action::Tell(claimant, Command::Weight(weight)));
        self.hamper(vec![(only(claimant), only(holder), Effect::Cut)], 6 * step);
        Some(6 * step)
    }

    /// Who answers a claim agrees on its dead. The commit of a holder takes long, and comes when the holder has ended and
    /// others have begun the slot anew.
    fn late_commit(&mut self, holder: Host, target: Host, claimant: Host) {
        let now = self.engine.now();
        let delay = ms(self.rng.u64(1_000..4_000));
        self.say(format_args!("plot: host {} commits late to host {}", holder.0, target.0));
        self.hamper(vec![(only(holder), only(target), Effect::Delay(Latency::around(delay)))], delay);
        self.raise(target, HEAVY);
        self.unaware(target, 3 * delay);
        let life = ms(self.rng.u64(300..1_000));
        self.end_after(holder, life);
        let weight = self.seats[claimant.index()].weight.saturating_add(4 * HEAVY);
        self.agenda.add(now + life, Action::Tell(claimant, Command::Weight(weight)));
    }

    /// Of several that claim a slot the first goes on. When its holder has ended, all think that it is theirs.
    fn contradicting_claims(&mut self, holder: Host, others: &[Host]) {
        self.say(format_args!("plot: all claim what host {} has", holder.0));
        let back = self.end_after(holder, ms(1));
        let at = back + ms(self.rng.u64(20..300)) + self.scenario.latency.mul_f64(6.0 * self.rng.f64());
        for &host in others {
            let weight = self.seats[host.index()].weight;
            self.agenda.add(at, Action::Tell(host, Command::Weight(weight.saturating_add(HEAVY))));
            self.agenda.add(at + ms(4_000), Action::Tell(host, Command::Weight(weight)));
        }
    }

    /// A copy of which its source knows no more is kept. A target has everything and is not told that the slot is its own,
    /// before it stands still for so long that it counts as dead. When it goes on and asks, its source has given the
    /// slot, begun anew, to others.
    fn lost_release(&mut self, target: Host, source: Host) -> Duration {
        let now = self.engine.now();
        let span = FORGOTTEN + ms(self.rng.u64(2_000..10_000));
        self.hamper(vec![(only(source), only(target), Effect::Cut)], self.scenario.latency.mul_f64(20.0));
        self.say(format_args!("plot: host {} stands still for {span:?}, ready", target.0));
        self.engine.pause(target, (now + span).min(self.scenario.length.max(now)));
        let mut at = now + FORGOTTEN.mul_f64(0.7);
        for weight in [HEAVY, 0, HEAVY, 0, 1] {
            self.agenda.add(at, Action::Tell(source, Command::Weight(weight)));
            at += ms(1_500);
        }
        span
    }

    /// No part of one copy counts for another, though it arrives when its copy is over. What a source sends takes long; see
    /// [`Run::copy_again`] for the rest.
    fn slow_copy(&mut self, source: Host, target: Host) {
        self.say(format_args!("plot: host {} copies slowly to host {}", source.0, target.0));
        let slow = Effect::Delay(Latency::with_tail(OUTLIVES, 0.0));
        self.hamper(vec![(only(source), only(target), slow)], 5 * OUTLIVES);
        self.raise(target, HEAVY);
        self.ambush = Ambush::wait_for(Moment::Copies, self.engine.now()).between(source, target);
    }

    /// A source gives up a copy that is still under way, clients write, and it copies anew. The former copy arrives, and
    /// that it did so; the new one gets lost, as far as it was sent by then.
    fn copy_again(&mut self, source: Host, target: Host) -> Duration {
        let now = self.engine.now();
        let hop = self.scenario.latency;
        let weight = self.seats[source.index()].weight;
        let up = now + hop + ms(self.rng.u64(1..30));
        let back = up + ms(self.rng.u64(60..200));
        self.visit(source, now, up + ms(20));
        self.agenda.add(up, Action::Tell(source, Command::Weight(weight.saturating_add(4 * HEAVY))));
        self.agenda.add(back, Action::Tell(source, Command::Weight(weight)));
        self.unaware(target, 3 * OUTLIVES);
        let cut = vec![(only(source), only(target), Effect::Cut)];
        let over = OUTLIVES + hop.mul_f64(0.5 + 4.0 * self.rng.f64());
        let lost = ms(self.rng.u64(600..1_200)) + 6 * hop;
        self.agenda.add(now + over, Action::Hamper(cut, lost));
        over + lost
    }

    /// Nobody acts before everybody knows it whom it knows. A newcomer is known to its introducer only, which ends soon:
    /// nobody else may begin what the newcomer has.
    fn introduce_and_end(&mut self, introducer: Host) {
        let others = self.staying_hosts();
        let joins = std::iter::once(introducer).chain(others).collect();
        let newcomer = self.start(None, joins);
        let rest: Hosts = self.engine.hosts().filter(|host| ![newcomer, introducer].contains(host)).collect();
        let cut = |from: &Hosts, to: &Hosts| (from.clone(), to.clone(), Effect::Cut);
        let (new, old) = (only(newcomer), only(introducer));
        let life = ms(self.rng.u64(100..400)) + self.scenario.latency.mul_f64(10.0 + 20.0 * self.rng.f64());
        self.say(format_args!("plot: host {} introduces host {}, and ends", introducer.0, newcomer.0));
        let unknown = life + ms(self.rng.u64(500..3_000));
        self.hamper(vec![cut(&new, &rest), cut(&rest, &new)], unknown);
        self.hamper(vec![cut(&old, &rest)], life);
        self.end_after(introducer, life);
    }

    /// For a while all clients come to one node, those of its own slots as fast as they can.
    fn visit(&mut self, host: Host, now: Duration, until: Duration) {
        self.visited = Some((host, until));
        let pid = self.seats[host.index()].pid;
        let slots: BTreeSet<u16> = self.clients.keys.iter().map(|key| key.slot).collect();
        for slot in slots.into_iter().filter(|slot| self.custody.holder(*slot) == Some(pid)) {
            self.clients.burst(slot, now, until);
        }
    }

    fn staying_hosts(&self) -> Vec<Host> {
        self.staying().into_iter().map(|index| self.seats[index].host).collect()
    }

    /// More slots are to go to `host` than before, for a while.
    fn raise(&mut self, host: Host, by: u16) {
        let weight = self.seats[host.index()].weight;
        self.engine.post(host, Command::Weight(weight.saturating_add(by)).into());
        let after = ms(self.rng.u64(2_000..8_000));
        self.agenda.add(self.engine.now() + after, Action::Tell(host, Command::Weight(weight)));
    }

    fn unaware(&mut self, host: Host, span: Duration) {
        self.engine.post(host, Command::Unaware(span).into());
    }

    /// The process ends after `span`, and comes back with nothing; returns when.
    fn end_after(&mut self, host: Host, span: Duration) -> Duration {
        let boot = self.seats[host.index()].pid.boot;
        let (end, down) = (self.engine.now() + span, ms(self.rng.u64(..500)));
        self.agenda.add(end, Action::Die { seat: host.index(), boot, down: Some(down) });
        end + down
    }
}
