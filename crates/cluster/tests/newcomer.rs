//! A newcomer belongs to a cluster from when a member of it has told whom it knows: not before, for then it could act
//! beside others of whom it has not heard.

use std::time::Duration;

use boato_cluster::{
    Config, Digest, Frame, Greeting, Input, Liveness, Machine, Message, Now, Output, Pid, Run, Standing,
};

const ME: Pid = Pid { node: 1, boot: 1 };
const GUIDE: Pid = Pid { node: 2, boot: 1 };
const OTHER: Pid = Pid { node: 3, boot: 1 };

struct Node {
    machine: Machine,
    now: Duration,
}

impl Node {
    fn new() -> Self {
        let now = Duration::ZERO;
        Self { machine: Machine::new(Config::new(ME, 7), Now { at: now, unix_ms: 1 }), now }
    }

    /// What goes out in answer.
    fn feed(&mut self, input: Input) -> Vec<Frame> {
        self.machine.handle(input, Now { at: self.now, unix_ms: 1 });
        let mut frames = Vec::new();
        while let Some(output) = self.machine.poll_output() {
            if let Output::Send { frame, .. } = output {
                frames.push(frame);
            }
        }
        frames
    }

    fn hear_of(&mut self, pid: Pid, liveness: Liveness) -> Vec<Frame> {
        self.feed(Input::Member { pid, liveness, weight: 1 })
    }

    fn hear(&mut self, from: Pid, knows: Option<&[Pid]>) -> Vec<Frame> {
        let digest = knows.map(|live| Digest { live: live.to_vec(), dead: Vec::new() });
        let (standing, greeting) = (Standing::Claimed, Greeting::None);
        self.feed(Input::Frame(Frame { from, to: ME, standing, greeting, digest, runs: Vec::new() }))
    }

    fn pass(&mut self, span: Duration) -> Vec<Frame> {
        let end = self.now + span;
        let mut frames = Vec::new();
        while let Some(at) = self.machine.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            frames.extend(self.feed(Input::Timeout));
        }
        self.now = end;
        frames
    }
}

fn asks_for_members(frames: &[Frame]) -> Vec<Pid> {
    frames.iter().filter(|frame| frame.greeting == Greeting::Members).map(|frame| frame.to).collect()
}

fn asks_for_slots(frames: &[Frame]) -> bool {
    let asks = |run: &Run| matches!(run.message, Message::Acquire | Message::WhoHas { .. });
    frames.iter().flat_map(|frame| &frame.runs).any(asks)
}

#[test]
fn a_newcomer_joins_with_a_members_word_of_whom_it_knows_and_acts_when_it_has_met_them() {
    let second = Duration::from_secs(1);
    let mut node = Node::new();
    assert_eq!(asks_for_members(&node.hear(GUIDE, None)), [], "there is no address yet to ask it at");
    assert_eq!(asks_for_members(&node.hear_of(GUIDE, Liveness::Alive)), [GUIDE]);
    node.hear(GUIDE, None);
    assert_eq!(node.machine.standing(), Standing::Waiting);
    let asked = node.pass(second);
    assert!(asks_for_members(&asked).len() > 2 && !asks_for_slots(&asked), "it asks again");
    node.hear(GUIDE, Some(&[ME, GUIDE, OTHER]));
    assert_eq!(node.machine.standing(), Standing::Claimed);
    let met_one = node.pass(second);
    assert!(asks_for_members(&met_one).is_empty() && !asks_for_slots(&met_one), "it has not met the other");
    node.hear_of(OTHER, Liveness::Alive);
    let met_both = [node.hear(OTHER, None), node.pass(second)].concat();
    assert!(asks_for_slots(&met_both));
}

#[test]
fn one_of_many_members_is_asked_at_a_time() {
    let mut node = Node::new();
    let members: Vec<Pid> = (2..100).map(|node| Pid { node, boot: 1 }).collect();
    let mut frames: Vec<Frame> = members.iter().flat_map(|pid| node.hear_of(*pid, Liveness::Alive)).collect();
    frames.extend(members.iter().flat_map(|pid| node.hear(*pid, None)));
    assert!(asks_for_members(&frames).len() <= 2, "{:?}", asks_for_members(&frames));
    frames.extend(node.pass(Duration::from_secs(10)));
    assert!(asks_for_members(&frames).len() <= 20, "{:?}", asks_for_members(&frames));
}

/// Between the end of the one other process and the beginning of its successor, a node knows nobody whom to ask.
#[test]
fn a_node_whose_peer_restarts_begins_nothing_before_it_hears_of_the_new_boot() {
    let mut node = Node::new();
    node.hear_of(GUIDE, Liveness::Alive);
    node.hear(GUIDE, Some(&[ME, GUIDE]));
    node.pass(Duration::from_secs(1));
    node.hear_of(GUIDE, Liveness::Dead);
    let successor = Pid { boot: 2, ..GUIDE };
    node.hear_of(successor, Liveness::Alive);
    node.pass(Duration::from_secs(1));
    assert_eq!(node.machine.stats().slots_minted, 0, "the successor has not been asked");
    node.hear_of(successor, Liveness::Dead);
    node.pass(Duration::from_secs(1));
    assert_eq!(node.machine.stats().slots_minted, 16384);
}
