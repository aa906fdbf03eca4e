//! Who believes what: the views of all nodes, kept up by their events.

use std::collections::BTreeMap;
use std::time::Duration;

use boato_gossip::Event;

use super::crash::Crash;
use super::node::host_of;
use crate::Host;
use crate::engine::nth_host;

/// The observer of a run.
pub(super) struct Watch {
    /// Nodes that there are, those not counted that start again elsewhere.
    nodes: usize,
    /// Hosts that there will be: the length of a row.
    row: usize,
    /// What a node (row) holds of another one (column).
    views: Vec<View>,
    /// How many cells of `views` are live, and how many of these are suspect.
    listings: usize,
    suspects: usize,
    /// Nodes below and from this one on cannot reach each other.
    divided_at: Option<usize>,
    crashed: Vec<Option<Crash>>,
    /// Where nodes run that started again, and where they had crashed.
    back: BTreeMap<Host, Host>,
    /// When the last node listed its last other node.
    converged_at: Option<Duration>,
    /// When nodes that ran were declared dead.
    pub(super) false_deaths: Vec<Duration>,
    /// How many of these never stand still.
    pub(super) false_deaths_healthy: u64,
    stalled: Vec<bool>,
    /// Suspicions of nodes that ran.
    pub(super) false_suspicions: u64,
    /// Messages of peers that a core refused.
    pub(super) refused: u64,
}

/// What one node holds of another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum View {
    Gone,
    Suspect,
    Alive,
}

/// The boot of nodes that have not started again.
const FIRST_BOOT: u64 = 1;

impl Watch {
    pub(super) fn new(nodes: usize, row: usize) -> Self {
        Self {
            nodes,
            row,
            views: vec![View::Gone; row * row],
            listings: 0,
            suspects: 0,
            divided_at: None,
            crashed: (0..row).map(|_| None).collect(),
            back: BTreeMap::new(),
            converged_at: None,
            false_deaths: Vec::new(),
            false_deaths_healthy: 0,
            stalled: vec![false; row],
            false_suspicions: 0,
            refused: 0,
        }
    }

    /// More nodes have started.
    pub(super) fn grow(&mut self, more: usize) {
        self.nodes += more;
    }

    /// When every node first listed all the others.
    pub(super) fn converged_at(&self) -> Option<Duration> {
        self.converged_at
    }

    /// Part of the member lists that is complete, 0 to 1.
    pub(super) fn completeness(&self) -> f64 {
        let all = self.nodes * (self.nodes - 1);
        #[expect(clippy::cast_precision_loss, reason = "a share for people to look at")]
        let share = self.listings as f64 / all as f64;
        share
    }

    pub(super) fn crash(&mut self, at: Duration, host: Host) {
        self.crashed[host.index()] = Some(Crash::new(at, self.nodes));
    }

    /// The node that crashed on `former` starts again, knowing nobody.
    pub(super) fn restart(&mut self, at: Duration, former: Host, host: Host) {
        if let Some(crash) = self.crash_of(former) {
            crash.start_again(at);
        }
        self.back.insert(host, former);
        for subject in (0..self.row).map(nth_host) {
            self.list(at, host, subject, View::Gone);
        }
    }

    pub(super) fn event(&mut self, at: Duration, observer: Host, event: &Event) {
        let (member, heard): (_, fn(&mut Self, _, _, _, _)) = match event {
            Event::Joined(member) | Event::Recovered(member) => (member, Self::up),
            Event::Left(member) => (member, Self::left),
            Event::Suspected(member) => (member, Self::suspected),
            Event::Failed(member) => (member, Self::down),
            _ => return,
        };
        if let Some(subject) = host_of(member.addr) {
            heard(self, at, observer, subject, member.boot);
        }
    }

    pub(super) fn up(&mut self, at: Duration, observer: Host, subject: Host, boot: u64) {
        self.list(at, observer, subject, View::Alive);
        let former = self.back.get(&subject).copied().filter(|_| boot > FIRST_BOOT);
        if let Some(crash) = former.and_then(|former| self.crash_of(former)) {
            crash.listed(at, observer);
        }
    }

    fn left(&mut self, at: Duration, observer: Host, subject: Host, _: u64) {
        self.list(at, observer, subject, View::Gone);
    }

    fn list(&mut self, at: Duration, observer: Host, subject: Host, view: View) {
        let former = std::mem::replace(&mut self.views[observer.index() * self.row + subject.index()], view);
        self.listings += usize::from(view != View::Gone);
        self.listings -= usize::from(former != View::Gone);
        self.suspects += usize::from(view == View::Suspect);
        self.suspects -= usize::from(former == View::Suspect);
        if self.listings == self.nodes * (self.nodes - 1) {
            self.converged_at.get_or_insert(at);
        }
    }

    /// From now on, the first `near` nodes and the others cannot reach each other.
    pub(super) fn divide(&mut self, near: usize) {
        self.divided_at = Some(near);
    }

    pub(super) fn heal(&mut self) {
        self.divided_at = None;
    }

    /// Whether every node lists all others and suspects none.
    pub(super) fn is_one(&self) -> bool {
        self.listings == self.nodes * (self.nodes - 1) && self.suspects == 0
    }

    /// These nodes stand still now and then.
    pub(super) fn stall(&mut self, host: Host) {
        self.stalled[host.index()] = true;
    }

    fn reaches(&self, observer: Host, subject: Host) -> bool {
        let Some(near) = self.divided_at else { return true };
        (observer.index() < near) == (subject.index() < near)
    }

    /// Somebody begins to ask a node whether it is there.
    pub(super) fn probe(&mut self, at: Duration, subject: Host, boot: u64) {
        if let Some(crash) = self.crash_of_boot(subject, boot) {
            crash.probe(at);
        }
    }

    fn suspected(&mut self, at: Duration, observer: Host, subject: Host, boot: u64) {
        self.list(at, observer, subject, View::Suspect);
        let reaches = self.reaches(observer, subject);
        match self.crash_of_boot(subject, boot) {
            Some(crash) => crash.notice(at, observer, false),
            None => self.false_suspicions += u64::from(reaches),
        }
    }

    /// A death counts as a suspicion too: who hears of it late never suspects.
    pub(super) fn down(&mut self, at: Duration, observer: Host, subject: Host, boot: u64) {
        self.list(at, observer, subject, View::Gone);
        let reaches = self.reaches(observer, subject);
        match self.crash_of_boot(subject, boot) {
            Some(crash) => crash.notice(at, observer, true),
            None if reaches => {
                self.false_deaths.push(at);
                self.false_deaths_healthy += u64::from(!self.stalled[subject.index()]);
            }
            None => {}
        }
    }

    /// The crash that ended this boot of a host.
    fn crash_of_boot(&mut self, host: Host, boot: u64) -> Option<&mut Crash> {
        self.crash_of(host).filter(|_| boot == FIRST_BOOT)
    }

    fn crash_of(&mut self, subject: Host) -> Option<&mut Crash> {
        self.crashed.get_mut(subject.index())?.as_mut()
    }

    /// The nodes that have never crashed.
    fn survivors(&self) -> impl Iterator<Item = usize> {
        (0..self.nodes).filter(|host| self.crashed[*host].is_none())
    }

    fn runs(&self, host: usize) -> bool {
        let survives = host < self.nodes && self.crashed[host].is_none();
        survives || self.back.contains_key(&nth_host(host))
    }

    /// How long it took until somebody first asked each crashed node, those that nobody asked left out.
    pub(super) fn first_probes(&self) -> Vec<Duration> {
        self.crashed.iter().flatten().filter_map(|crash| crash.probed).collect()
    }

    /// How long each survivor took to suspect each crashed node, `None` for never.
    pub(super) fn suspicions(&self) -> Vec<Option<Duration>> {
        self.noticed(|crash| &crash.suspected)
    }

    /// How long each survivor took to declare each crashed node dead, `None` for never.
    pub(super) fn deaths(&self) -> Vec<Option<Duration>> {
        self.noticed(|crash| &crash.declared)
    }

    /// How often a survivor has not declared a crashed node dead that has not started again.
    pub(super) fn undetected(&self) -> usize {
        let crashes = self.crashed.iter().flatten().filter(|crash| crash.again.is_none());
        crashes.map(|crash| self.survivors().filter(|host| crash.declared[*host].is_none()).count()).sum()
    }

    /// How long after a node started again each survivor listed its new process, those that never did left out.
    pub(super) fn returns(&self) -> Vec<Duration> {
        let again = self.crashed.iter().flatten().filter_map(|crash| crash.again.as_ref());
        again.flat_map(|again| self.survivors().filter_map(|host| again.listed[host])).collect()
    }

    /// How many nodes have started again.
    pub(super) fn restarts(&self) -> usize {
        self.back.len()
    }

    fn noticed(&self, times: impl Fn(&Crash) -> &Vec<Option<Duration>>) -> Vec<Option<Duration>> {
        let crashes = self.crashed.iter().flatten();
        crashes
            .flat_map(|crash| self.survivors().map(|host| times(crash)[host]).collect::<Vec<_>>())
            .collect()
    }

    /// Of each crash, how long the survivors took to suspect the node, ascending.
    pub(super) fn infections(&self) -> Vec<Vec<Duration>> {
        let times = |crash: &Crash| {
            let mut times: Vec<_> = self.survivors().filter_map(|host| crash.suspected[host]).collect();
            times.sort();
            times
        };
        self.crashed.iter().flatten().map(times).collect()
    }

    /// What an observer's list must be by its events: whether it counts `subject` as live.
    pub(super) fn lists(&self, observer: Host, subject: Host) -> bool {
        self.views[observer.index() * self.row + subject.index()] != View::Gone
    }

    /// How many running nodes list one that does not run or miss one that does.
    pub(super) fn wrong_views(&self) -> usize {
        let runs: Vec<bool> = (0..self.row).map(|host| self.runs(host)).collect();
        let wrong = |observer: usize| {
            let row = &self.views[observer * self.row..][..self.row];
            let differs = |subject: usize| (row[subject] != View::Gone) != runs[subject];
            (0..self.row).any(|subject| subject != observer && differs(subject))
        };
        (0..self.row).filter(|observer| runs[*observer] && wrong(*observer)).count()
    }
}

#[cfg(test)]
mod tests {
    use boato_gossip::{Member, NodeId, Signature, State, Tags};

    use super::super::node::addr_of;
    use super::*;

    const A: Host = Host(0);
    const B: Host = Host(1);
    const C: Host = Host(2);

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn member(host: Host) -> Member {
        let (id, addr) = (NodeId(u128::from(host.0)), addr_of(host));
        Member {
            id,
            boot: 1,
            incarnation: 0,
            addr,
            state: State::Alive,
            name: "n".into(),
            tags: Tags::default(),
            signature: Signature::default(),
        }
    }

    /// Three nodes that list each other since the second 1.
    fn converged() -> Watch {
        let mut watch = Watch::new(3, 3);
        for (observer, subject) in [(A, B), (B, A), (A, C), (C, A), (B, C), (C, B)] {
            assert_eq!(watch.converged_at(), None);
            watch.event(s(1), observer, &Event::Joined(member(subject)));
        }
        watch
    }

    #[test]
    fn converged_is_when_the_last_listing_is_made() {
        let mut watch = Watch::new(2, 2);
        watch.event(s(1), A, &Event::Joined(member(B)));
        watch.event(s(2), A, &Event::Failed(member(B)));
        watch.event(s(3), B, &Event::Joined(member(A)));
        assert_eq!((watch.converged_at(), watch.completeness()), (None, 0.5));
        watch.event(s(4), A, &Event::Joined(member(B)));
        watch.event(s(5), A, &Event::Left(member(B)));
        watch.event(s(6), A, &Event::Joined(member(B)));
        assert_eq!(watch.converged_at(), Some(s(4)));
    }

    #[test]
    fn a_crash_is_noticed_from_its_time_on_and_the_first_time_counts() {
        let mut watch = converged();
        watch.crash(s(10), C);
        watch.event(s(11), A, &Event::Suspected(member(C)));
        watch.event(s(12), A, &Event::Suspected(member(C)));
        watch.event(s(15), A, &Event::Failed(member(C)));
        assert_eq!(watch.suspicions(), [Some(s(1)), None]);
        assert_eq!(watch.deaths(), [Some(s(5)), None]);
        assert_eq!(watch.wrong_views(), 1, "B still lists C");
        watch.event(s(17), B, &Event::Failed(member(C)));
        assert_eq!(watch.suspicions(), [Some(s(1)), Some(s(7))], "a death is a suspicion too");
        assert_eq!((watch.wrong_views(), watch.false_deaths.len(), watch.false_suspicions), (0, 0, 0));
    }

    #[test]
    fn the_first_probe_after_a_crash_counts() {
        let mut watch = converged();
        watch.probe(s(9), C, FIRST_BOOT);
        watch.crash(s(10), C);
        watch.crash(s(10), B);
        assert!(watch.first_probes().is_empty());
        for at in [13, 14] {
            watch.probe(s(at), C, FIRST_BOOT);
        }
        watch.probe(s(12), B, FIRST_BOOT + 1);
        assert_eq!(watch.first_probes(), [s(3)]);
    }

    #[test]
    fn a_node_that_starts_again_elsewhere_is_another_to_list_and_its_old_death_is_not_false() {
        let mut watch = Watch::new(3, 4);
        for (observer, subject) in [(A, B), (B, A), (A, C), (C, A), (B, C), (C, B)] {
            watch.event(s(1), observer, &Event::Joined(member(subject)));
        }
        watch.crash(s(10), C);
        watch.event(s(14), A, &Event::Failed(member(C)));
        let there = Host(3);
        watch.restart(s(15), C, there);
        for host in [A, B] {
            watch.event(s(15), there, &Event::Joined(member(host)));
        }
        watch.event(s(16), B, &Event::Failed(member(C)));
        assert_eq!(watch.wrong_views(), 2, "A and B do not list it yet");
        let again = Member { boot: 2, ..member(there) };
        for host in [A, B] {
            watch.event(s(17), host, &Event::Joined(again.clone()));
        }
        assert_eq!((watch.wrong_views(), watch.undetected(), watch.restarts()), (0, 0, 1));
        assert_eq!((watch.deaths(), watch.returns()), (vec![Some(s(4)), None], vec![s(2), s(2)]));
        assert!(watch.false_deaths.is_empty());
        watch.event(s(18), A, &Event::Failed(again));
        assert_eq!(watch.false_deaths, [s(18)]);
    }

    #[test]
    fn what_is_said_of_a_running_node_is_false() {
        let mut watch = converged();
        watch.event(s(2), A, &Event::Suspected(member(B)));
        watch.event(s(3), A, &Event::Failed(member(B)));
        assert_eq!((watch.false_suspicions, watch.false_deaths.len(), watch.wrong_views()), (1, 1, 1));
        assert!(!watch.lists(A, B) && watch.lists(B, A));
        watch.event(s(4), A, &Event::Joined(member(B)));
        assert_eq!(watch.wrong_views(), 0);
    }

    #[test]
    fn across_a_partition_nothing_said_is_false_and_a_suspect_is_not_healed() {
        let mut watch = converged();
        watch.divide(1);
        watch.event(s(2), A, &Event::Suspected(member(B)));
        watch.event(s(3), A, &Event::Failed(member(B)));
        watch.event(s(3), B, &Event::Suspected(member(C)));
        assert_eq!((watch.false_suspicions, watch.false_deaths.len()), (1, 0));
        watch.heal();
        watch.event(s(4), A, &Event::Joined(member(B)));
        assert!(!watch.is_one());
        watch.event(s(4), B, &Event::Recovered(member(C)));
        assert!(watch.is_one());
    }
}
