//! A newcomer belongs to a cluster from when a member of it has told whom it knows: not before, for then it could act
//! beside others of whom it has not heard.

use std::time::Duration;

use boato_cluster::{
    Config, Digest, Epoch, Event, Frame, Greeting, Input, Liveness, Machine, Message, Now, Output, Pid, Run,
    Standing,
};

const ME: Pid = Pid { node: 1, boot: 1 };
const GUIDE: Pid = Pid { node: 2, boot: 1 };
const OTHER: Pid = Pid { node: 3, boot: 1 };

struct Node {
    machine: Machine,
    now: Duration,
    /// The members that do not answer, each time that it was told.
    told: Vec<Pid>,
}

impl Node {
    fn new() -> Self {
        let now = Duration::ZERO;
        Self { machine: Machine::new(Config::new(ME, 7), Now { at: now, unix_ms: 1 }), now, told: Vec::new() }
    }

    /// What goes out in answer.
    fn feed(&mut self, input: Input) -> Vec<Frame> {
        self.machine.handle(input, Now { at: self.now, unix_ms: 1 });
        let mut frames = Vec::new();
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Send { frame, .. } => frames.push(frame),
                Output::Event(Event::Unanswered { pid }) => self.told.push(pid),
                _ => {}
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

/// Or it would hold slots of which members have not heard that it exists.
#[test]
fn a_newcomer_takes_no_offer_before_it_belongs_to_a_cluster() {
    let offer = || {
        let runs = vec![Run {
            start: 0,
            len: 8,
            message: Message::Offer { epoch: Epoch { counter: 3, pid: GUIDE } },
        }];
        let (standing, greeting) = (Standing::Claimed, Greeting::None);
        Input::Frame(Frame { from: GUIDE, to: ME, standing, greeting, digest: None, runs })
    };
    let mut node = Node::new();
    node.hear_of(GUIDE, Liveness::Alive);
    assert!(!asks_for_slots(&node.feed(offer())), "who else is there, it has not been told");
    node.hear(GUIDE, Some(&[ME, GUIDE]));
    assert!(asks_for_slots(&node.feed(offer())));
}

#[test]
fn a_member_that_never_answers_is_told_of_once_and_then_about_every_minute() {
    let mut node = Node::new();
    node.hear_of(GUIDE, Liveness::Alive);
    node.hear(GUIDE, Some(&[ME, GUIDE, OTHER]));
    node.told.clear();
    node.pass(Duration::from_secs(30));
    assert_eq!(node.told, [], "no address is known of somebody whom only a message speaks of");
    node.hear_of(OTHER, Liveness::Alive);
    node.pass(Duration::from_secs(4));
    assert_eq!(node.told, []);
    node.pass(Duration::from_secs(46));
    assert_eq!(node.told, [OTHER]);
    node.pass(Duration::from_mins(2));
    assert_eq!(node.told, [OTHER; 3]);
    node.hear(OTHER, None);
    node.pass(Duration::from_mins(2));
    assert_eq!(node.told, [OTHER; 3]);
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

#[test]
fn a_process_that_stood_still_looks_around_again_before_it_begins() {
    let second = Duration::from_secs(1);
    let mut node = Node::new();
    node.feed(Input::Eligible { quiet: second });
    for stop in 1..=5 {
        node.now += 3 * second;
        node.feed(Input::Timeout);
        assert_eq!(node.machine.standing(), Standing::Eligible, "after stop {stop}");
    }
    node.now += 3 * second;
    node.feed(Input::Timeout);
    assert_eq!(node.machine.standing(), Standing::Claimed, "but not for ever");
}

fn says(node: &mut Node, from: Pid, standing: Standing) {
    let greeting = Greeting::None;
    node.feed(Input::Frame(Frame { from, to: ME, standing, greeting, digest: None, runs: Vec::new() }));
}

#[test]
fn a_stop_that_ends_before_it_is_time_to_begin_counts_too() {
    let mut node = Node::new();
    node.feed(Input::Eligible { quiet: Duration::from_secs(1) });
    node.pass(Duration::from_millis(10));
    node.now = Duration::from_millis(900);
    node.feed(Input::Timeout);
    node.pass(Duration::from_millis(990));
    assert_eq!(node.machine.standing(), Standing::Eligible, "it looks around for 1 s from when it ran again");
    node.pass(Duration::from_millis(10));
    assert_eq!(node.machine.standing(), Standing::Claimed);
}

#[test]
fn who_waited_for_a_lower_process_that_goes_begins_at_once_as_it_did_not_stand_still() {
    let lower = Pid { node: 0, boot: 1 };
    let mut node = Node::new();
    node.hear_of(lower, Liveness::Alive);
    says(&mut node, lower, Standing::Eligible);
    node.feed(Input::Eligible { quiet: Duration::from_secs(1) });
    node.pass(Duration::from_secs(10));
    assert_eq!(node.machine.standing(), Standing::Eligible, "the lower one is to begin");
    node.hear_of(lower, Liveness::Dead);
    assert_eq!(node.machine.standing(), Standing::Claimed);
}

#[test]
fn one_stop_counts_once_however_much_is_heard_of_after_it() {
    let mut node = Node::new();
    // What is known already changes nothing, so that what was due stays due.
    let hear_of_all = |node: &mut Node| {
        for id in 10..18 {
            let _frames = node.hear_of(Pid { node: id, boot: 1 }, Liveness::Alive);
        }
    };
    hear_of_all(&mut node);
    (10..18).for_each(|id| says(&mut node, Pid { node: id, boot: 1 }, Standing::Waiting));
    node.feed(Input::Eligible { quiet: Duration::from_secs(1) });
    for stop_ms in [3_000, 900] {
        node.now += Duration::from_millis(stop_ms);
        hear_of_all(&mut node);
        node.feed(Input::Timeout);
        assert_eq!(node.machine.standing(), Standing::Eligible, "after {stop_ms} ms");
    }
    node.pass(Duration::from_millis(990));
    assert_eq!(node.machine.standing(), Standing::Eligible, "the second stop counted, too");
    node.pass(Duration::from_millis(10));
    assert_eq!(node.machine.standing(), Standing::Claimed);
}
