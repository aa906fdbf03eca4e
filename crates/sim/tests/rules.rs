//! For rules of the slot protocol that only rare orders of events need: the shortest such order, played with the
//! production machines. Without the rule (a deliberate bug) it ends in what the rule prevents.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use boato_cluster::{
    Action, Canary, Config, Frame, Input, Liveness, Machine, Now, Operation, Output, Pid, Standing,
};
use boato_placement::{Candidate, RANGES, Strategy};

/// The heaviest node should have everything.
struct Heaviest;

impl Strategy for Heaviest {
    fn assign(&self, nodes: &[Candidate]) -> Vec<u128> {
        let owner = nodes.iter().max_by_key(|node| (node.weight, node.id)).expect("there is one");
        vec![owner.id; RANGES]
    }
}

/// It is in the one slot there is.
const KEY: &str = "{265b}";

/// Processes with one slot, and ways between them on which messages may be kept back.
struct Stage {
    canary: Option<Canary>,
    now: Duration,
    nodes: BTreeMap<u128, Machine>,
    under_way: VecDeque<Frame>,
    kept: Vec<Frame>,
    slow: BTreeSet<(u128, u128)>,
}

fn pid(node: u128) -> Pid {
    Pid { node, boot: 1 }
}

impl Stage {
    /// A cluster in which the first node holds the slot; all others have joined in this order, and weigh 1.
    fn new(canary: Option<Canary>, nodes: &[u128]) -> Self {
        let (now, nodes_before) = (Duration::ZERO, BTreeMap::new());
        let (under_way, kept, slow) = (VecDeque::new(), Vec::new(), BTreeSet::new());
        let mut stage = Self { canary, now, nodes: nodes_before, under_way, kept, slow };
        for (place, &node) in nodes.iter().enumerate() {
            stage.start(node, if place == 0 { 5 } else { 1 });
            if place == 0 {
                stage.feed(node, Input::Eligible { quiet: Duration::from_millis(100) });
                stage.pass();
            }
            for &other in &nodes[..place] {
                let weight = if other == nodes[0] { 5 } else { 1 };
                stage.tell(node, other, Liveness::Alive, weight);
                stage.tell(other, node, Liveness::Alive, 1);
            }
            stage.pass();
        }
        assert!(stage.nodes.values().all(|node| node.standing() == Standing::Claimed));
        assert_eq!(stage.serving(), [nodes[0]]);
        stage
    }

    fn start(&mut self, node: u128, weight: u16) {
        let base = Config::new(pid(node), 1);
        let config =
            Config { weight, slots: 0..1, canary: self.canary, strategy: Box::new(Heaviest), ..base };
        self.nodes.insert(node, Machine::new(config, Now { at: self.now, unix_ms: 1 }));
    }

    fn tell(&mut self, node: u128, about: u128, liveness: Liveness, weight: u16) {
        self.feed(node, Input::Member { pid: pid(about), liveness, weight });
        self.deliver();
    }

    /// All that happens without further news.
    fn pass(&mut self) {
        self.deliver();
        let end = self.now + Duration::from_secs(2);
        while let Some((at, node)) = self.next_timeout().filter(|next| next.0 <= end) {
            self.now = self.now.max(at);
            self.feed(node, Input::Timeout);
            self.deliver();
        }
        self.now = end;
    }

    fn next_timeout(&self) -> Option<(Duration, u128)> {
        self.nodes.iter().filter_map(|(node, machine)| Some((machine.poll_timeout()?, *node))).min()
    }

    fn feed(&mut self, node: u128, input: Input) {
        let Some(machine) = self.nodes.get_mut(&node) else { return };
        machine.handle(input, Now { at: self.now, unix_ms: 1 });
        while let Some(output) = machine.poll_output() {
            match output {
                Output::Send { frame, .. } if self.slow.contains(&(node, frame.to.node)) => {
                    self.kept.push(frame);
                }
                Output::Send { frame, .. } => self.under_way.push_back(frame),
                _ => {}
            }
        }
    }

    fn deliver(&mut self) {
        while let Some(frame) = self.under_way.pop_front() {
            self.feed(frame.to.node, Input::Frame(frame));
        }
    }

    /// From now on messages on this way are kept back.
    fn keep_back(&mut self, from: u128, to: u128) {
        self.slow.insert((from, to));
    }

    /// What was kept back on this way arrives now.
    fn let_go(&mut self, from: u128, to: u128) {
        self.slow.remove(&(from, to));
        let kept = std::mem::take(&mut self.kept);
        let (released, kept) = kept.into_iter().partition(|it| (it.from.node, it.to.node) == (from, to));
        (self.under_way, self.kept) = (Vec::into(released), kept);
        self.deliver();
    }

    fn crash(&mut self, node: u128) {
        self.nodes.remove(&node);
    }

    fn serving(&self) -> Vec<u128> {
        let serves = |node: &Machine| node.slots().inspect(0, |header| header.serving().is_some());
        self.nodes.iter().filter(|(_, machine)| serves(machine)).map(|(node, _)| *node).collect()
    }
}

/// An answer "not here" binds: whoever gave it does not take the slot while the claim lasts.
fn claim_beside_a_hand_over(canary: Option<Canary>) -> Stage {
    let (first, holder, claimant, third) = (1, 2, 3, 4);
    let mut stage = Stage::new(canary, &[first, holder, claimant, third]);
    // The slot moves on, and the only one ends who could tell the claimant where to.
    for node in [first, holder, claimant, third] {
        stage.tell(node, holder, Liveness::Alive, 6);
    }
    stage.pass();
    assert_eq!(stage.serving(), [holder]);
    // The claimant does not presume the slot at its holder, as it takes a third for its owner.
    stage.tell(claimant, third, Liveness::Alive, 7);
    stage.pass();
    stage.crash(first);
    for node in [holder, claimant, third] {
        stage.tell(node, first, Liveness::Dead, 0);
    }
    stage.pass();
    // The claimant alone knows that it should have the slot; its question does not reach the holder for a while.
    stage.keep_back(claimant, holder);
    stage.tell(claimant, claimant, Liveness::Alive, 8);
    stage.pass();
    // Meanwhile the holder gives the slot to a third, who has answered the claimant.
    stage.tell(third, third, Liveness::Alive, 7);
    stage.tell(holder, third, Liveness::Alive, 7);
    stage.pass();
    stage.let_go(claimant, holder);
    stage.pass();
    stage
}

#[test]
fn nobody_takes_a_slot_of_which_it_has_promised_that_it_is_not_there() {
    assert_eq!(claim_beside_a_hand_over(None).serving().len(), 1);
    assert_eq!(claim_beside_a_hand_over(Some(Canary::NoPromise)).serving().len(), 2);
}

/// Who answers a claim takes all of those for dead whom the claim excuses: a late commit of theirs is not taken.
fn commit_later_than_a_mint(canary: Option<Canary>) -> Stage {
    let (holder, claimant, target) = (1, 2, 3);
    let mut stage = Stage::new(canary, &[holder, claimant, target]);
    stage.keep_back(holder, target);
    stage.tell(holder, target, Liveness::Alive, 6);
    stage.tell(target, target, Liveness::Alive, 6);
    stage.pass();
    // The commit is under way when its source ends; the claimant hears of that, the target does not.
    stage.crash(holder);
    stage.tell(claimant, claimant, Liveness::Alive, 7);
    stage.tell(claimant, holder, Liveness::Dead, 0);
    stage.pass();
    stage.let_go(holder, target);
    stage.pass();
    stage.tell(target, holder, Liveness::Dead, 0);
    stage.pass();
    stage
}

#[test]
fn what_is_begun_anew_does_not_come_from_the_dead_as_well() {
    assert_eq!(commit_later_than_a_mint(None).serving().len(), 1);
    assert_eq!(commit_later_than_a_mint(Some(Canary::NoAgreedDeaths)).serving().len(), 2);
}

/// A newcomer asks for nothing before everybody knows it whom it knows.
fn newcomer_met_by_its_source_only(canary: Option<Canary>) -> Stage {
    let (holder, member, newcomer) = (1, 2, 3);
    let mut stage = Stage::new(canary, &[holder, member]);
    stage.keep_back(newcomer, member);
    stage.start(newcomer, 6);
    stage.tell(holder, newcomer, Liveness::Alive, 6);
    stage.tell(newcomer, holder, Liveness::Alive, 5);
    stage.tell(newcomer, member, Liveness::Alive, 1);
    stage.pass();
    stage.crash(holder);
    stage.tell(member, holder, Liveness::Dead, 0);
    stage.pass();
    stage.tell(newcomer, holder, Liveness::Dead, 0);
    stage.pass();
    stage
}

#[test]
fn nobody_has_a_slot_of_whom_another_that_begins_it_has_not_heard() {
    assert_eq!(newcomer_met_by_its_source_only(None).serving().len(), 1);
    assert_eq!(newcomer_met_by_its_source_only(Some(Canary::NoBarrier)).serving().len(), 2);
}

/// A source that has forgotten a commit lets its target keep the copy, which may be the only one.
fn second_hand_over_before_the_end_of_the_first(canary: Option<Canary>) -> Stage {
    let (source, target, other) = (1, 2, 3);
    let mut stage = Stage::new(canary, &[source, target, other]);
    let put: Operation = Operation::on(KEY, Action::put("value"));
    let stored = stage.nodes[&source].slots().try_apply(&put, 1);
    assert!(stored.is_some());
    // The target takes the slot, and is not told that the source has let go.
    stage.keep_back(source, target);
    stage.keep_back(target, source);
    stage.tell(source, target, Liveness::Alive, 6);
    stage.tell(target, target, Liveness::Alive, 6);
    for _ in 0..3 {
        stage.let_go(source, target);
        stage.keep_back(source, target);
        stage.let_go(target, source);
        stage.keep_back(target, source);
        stage.pass();
    }
    stage.kept.clear();
    assert_eq!(stage.serving(), [0; 0], "the source has let go, the target has not heard so");
    // It is considered dead, the slot begun anew, and given on.
    for node in [source, other] {
        stage.tell(node, target, Liveness::Dead, 0);
    }
    stage.pass();
    assert_eq!(stage.serving(), [source]);
    for node in [source, other] {
        stage.tell(node, other, Liveness::Alive, 7);
    }
    stage.pass();
    assert_eq!(stage.serving(), [other]);
    stage.let_go(target, source);
    stage.let_go(source, target);
    stage.pass();
    stage
}

#[test]
fn a_copy_of_which_its_source_knows_no_more_is_kept() {
    let has_it = |stage: &Stage| stage.nodes[&2].slots().try_read(KEY.as_bytes(), 1, |entry| entry.is_some());
    assert_eq!(has_it(&second_hand_over_before_the_end_of_the_first(None)), Some(true));
    let mutant = second_hand_over_before_the_end_of_the_first(Some(Canary::VoidForForgotten));
    assert_eq!(has_it(&mutant), None, "it has let go of the only copy");
}
