//! Operations of every kind on a slot that is on its way to another node: it arrives as it would be had it stayed.

mod actions;

use std::collections::VecDeque;
use std::time::Duration;

use actions::{KEYS, START_MS, action};
use boato_cluster::{Action, Config, Frame, Input, Liveness, Machine, Now, Operation, Output, Pid, Step};
use proptest::prelude::*;

const SOURCE: Pid = Pid { node: 1, boot: 1 };
const TARGET: Pid = Pid { node: 2, boot: 1 };
const STAYER: Pid = Pid { node: 3, boot: 1 };

/// Bytes per second that the copy has: some virtual seconds go by until the keys are over there.
const RATE: u64 = 512;

/// What there is of a key: value, media type, lifetime.
type Stored = (Vec<u8>, Vec<u8>, Option<u64>);

/// Two nodes between which the slot moves, and a third for itself, which gets the same operations.
struct Stage {
    nodes: [Machine; 3],
    under_way: VecDeque<Frame>,
    now: Duration,
}

impl Stage {
    /// The first and the third hold the slot.
    fn new() -> Self {
        let config =
            |me| Config { slots: 0..1, chunk_bytes: 64, handoff_rate: Some(RATE), ..Config::new(me, 7) };
        let now = Duration::ZERO;
        let at = Now { at: now, unix_ms: START_MS };
        let nodes = [SOURCE, TARGET, STAYER].map(|me| Machine::new(config(me), at));
        let mut stage = Self { nodes, under_way: VecDeque::new(), now };
        for node in [0, 2] {
            stage.feed(node, Input::Eligible { quiet: Duration::from_millis(10) });
        }
        while stage.holder() != Some(0) || !stage.serves(2) {
            stage.step();
        }
        stage
    }

    fn unix_ms(&self) -> u64 {
        START_MS + u64::try_from(self.now.as_millis()).expect("small")
    }

    fn feed(&mut self, node: usize, input: Input) {
        let now = Now { at: self.now, unix_ms: self.unix_ms() };
        self.nodes[node].handle(input, now);
        while let Some(output) = self.nodes[node].poll_output() {
            if let Output::Send { frame, .. } = output {
                self.under_way.push_back(frame);
            }
        }
    }

    /// Delivers a frame, or if there is none lets the time pass until something is due.
    fn step(&mut self) {
        if let Some(frame) = self.under_way.pop_front() {
            let to = [SOURCE, TARGET].iter().position(|pid| *pid == frame.to).expect("one of the two");
            return self.feed(to, Input::Frame(frame));
        }
        let timeouts = self.nodes.iter().map(Machine::poll_timeout).enumerate();
        let (at, node) = timeouts.filter_map(|(node, at)| Some((at?, node))).min().expect("something is due");
        self.now = self.now.max(at);
        self.feed(node, Input::Timeout);
    }

    /// The slot is to go to the second node; its copy begins.
    fn begin_move(&mut self) {
        self.feed(0, Input::Member { pid: TARGET, liveness: Liveness::Alive, weight: 1 });
        self.feed(1, Input::Member { pid: SOURCE, liveness: Liveness::Alive, weight: 0 });
        self.feed(0, Input::Member { pid: SOURCE, liveness: Liveness::Alive, weight: 0 });
        while self.state(0) != "copying" {
            self.step();
        }
    }

    fn state(&self, node: usize) -> String {
        self.nodes[node].slots().status(0).runs.pop().map_or_else(String::new, |run| run.state)
    }

    fn serves(&self, node: usize) -> bool {
        self.nodes[node].slots().try_read(KEYS[0].as_bytes(), 0, |_| ()).is_some()
    }

    fn holder(&self) -> Option<usize> {
        (0..2).find(|&node| self.serves(node))
    }

    /// Applies an operation where the slot is, as soon as it is served somewhere, and to the node that is for itself.
    fn apply(&mut self, operation: &Operation) {
        loop {
            let unix_ms = self.unix_ms();
            let applied = |node: &Machine| node.slots().try_apply(operation, unix_ms).is_some();
            if self.nodes[..2].iter().any(applied) {
                assert!(applied(&self.nodes[2]));
                return;
            }
            self.step();
        }
    }

    fn contents(&self, node: usize) -> Vec<Option<Stored>> {
        let slots = self.nodes[node].slots();
        let read = |key: &str| {
            slots.try_read(key.as_bytes(), self.unix_ms(), |value| {
                value.map(|it| (it.bytes.to_vec(), it.content_type.to_vec(), it.expires_at_ms))
            })
        };
        KEYS.iter().map(|key| read(key).expect("served here")).collect()
    }
}

fn operation() -> impl Strategy<Value = Operation> {
    let step = || (0..KEYS.len(), action()).prop_map(|(key, action)| Step { key: KEYS[key].into(), action });
    let transaction = proptest::collection::vec(step(), 0..4);
    prop_oneof![
        12 => step().prop_map(Operation::Key),
        2 => transaction.prop_map(|steps| Operation::Transaction { slot: 0, watched: Vec::new(), steps }),
        1 => Just(Operation::Flush { slot: 0 }),
    ]
}

proptest! {
    #[test]
    fn what_is_written_while_a_slot_is_copied_arrives(
        before in proptest::collection::vec(1_usize..300, KEYS.len()),
        script in proptest::collection::vec((0_usize..6, operation()), 1..8),
    ) {
        let mut stage = Stage::new();
        for (key, bytes) in KEYS.into_iter().zip(before) {
            stage.apply(&Operation::on(key, Action::put(vec![b'v'; bytes])));
        }
        stage.begin_move();
        for (steps, operation) in &script {
            (0..*steps).for_each(|_| stage.step());
            stage.apply(operation);
        }
        for _ in 0..10_000 {
            if stage.holder() == Some(1) {
                break;
            }
            stage.step();
        }
        prop_assert_eq!(stage.holder(), Some(1), "the slot is {} and {}", stage.state(0), stage.state(1));
        prop_assert_eq!(stage.contents(1), stage.contents(2));
    }
}
