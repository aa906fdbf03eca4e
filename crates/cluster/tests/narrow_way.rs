//! Two nodes and little room between them: a slot that is written faster than it can be copied changes hands after a
//! short pause all the same, and slots without entries do not wait for those that have some. And two whose tables differ.

use std::collections::VecDeque;
use std::time::Duration;

use boato_cluster::{
    Action, Answer, Config, Effect, Frame, Input, Liveness, Machine, Message, Now, Operation, Outcome,
    Output, Pid,
};
use bytes::Bytes;

const SOURCE: Pid = Pid { node: 1, boot: 1 };
const TARGET: Pid = Pid { node: 2, boot: 1 };
/// Bytes of one value.
const VALUE: usize = 32 << 10;
/// The keys of the slot.
const KEYS: u64 = 32;
/// Bytes per second from node to node.
const RATE: u64 = 8 << 20;
/// The same, where many slots wait for long.
const LOW_RATE: u64 = 1 << 20;

fn at(ms: u64) -> Now {
    Now { at: Duration::from_millis(ms), unix_ms: 1_700_000_000_000 + ms }
}

fn machine(me: Pid, slots: u16, rate: u64) -> Machine {
    Machine::new(Config { slots: 0..slots, handoff_rate: Some(rate), ..Config::new(me, 7) }, at(0))
}

/// A key of slot 0.
fn key(number: u64) -> Bytes {
    Bytes::from(format!("{{{}}}/{number}", slot_zero()))
}

/// A key for each of the slots from 1 to the last.
fn keys_in_other_slots(last: u16) -> Vec<String> {
    let key_in =
        |slot| (0..u32::MAX).map(|n| n.to_string()).find(|key| boato_placement::slot(key.as_bytes()) == slot);
    (1..=last).filter_map(key_in).collect()
}

fn slot_zero() -> String {
    let found = (0..u32::MAX).map(|n| n.to_string()).find(|text| boato_placement::slot(text.as_bytes()) == 0);
    found.expect("some number has slot 0")
}

fn put(number: u64) -> Operation {
    Operation::on(key(number), Action::put(vec![b'v'; VALUE]))
}

/// Two nodes, a millisecond apart.
struct Pair {
    nodes: [Machine; 2],
    on_its_way: VecDeque<(u64, Frame)>,
    ms: u64,
    moved: bool,
    written: u64,
    bytes_while_frozen: usize,
    /// Chunks that the target had to ask for again.
    missed: usize,
    commits_get_lost: bool,
    /// The most bytes of values that a node sent at once.
    burst: usize,
    /// Slots that have been let go, in either direction, and hand-overs given up.
    released: usize,
    given_up: usize,
}

impl Pair {
    /// Both nodes; the first holds all of so many slots, with values in slot 0.
    fn new(slots: u16, rate: u64) -> Self {
        let mut pair = Self {
            nodes: [SOURCE, TARGET].map(|me| machine(me, slots, rate)),
            on_its_way: VecDeque::new(),
            ms: 0,
            moved: false,
            written: 0,
            bytes_while_frozen: 0,
            missed: 0,
            commits_get_lost: false,
            burst: 0,
            released: 0,
            given_up: 0,
        };
        pair.feed(0, Input::Eligible { quiet: Duration::from_millis(10) });
        (0..100).for_each(|_| pair.step());
        (0..KEYS).for_each(|key| pair.write_to(key));
        pair
    }

    /// Everything is to go to the second node.
    fn begin_move(&mut self) {
        self.feed(0, Input::Member { pid: TARGET, liveness: Liveness::Alive, weight: 1 });
        self.feed(1, Input::Member { pid: SOURCE, liveness: Liveness::Alive, weight: 0 });
        self.feed(0, Input::Member { pid: SOURCE, liveness: Liveness::Alive, weight: 0 });
    }

    /// By its own table neither is to have anything.
    fn disagree(&mut self) {
        self.feed(0, Input::Member { pid: TARGET, liveness: Liveness::Alive, weight: 1 });
        self.feed(1, Input::Member { pid: SOURCE, liveness: Liveness::Alive, weight: 1 });
        self.feed(0, Input::Member { pid: SOURCE, liveness: Liveness::Alive, weight: 0 });
        self.feed(1, Input::Member { pid: TARGET, liveness: Liveness::Alive, weight: 0 });
    }

    fn feed(&mut self, node: usize, input: Input) {
        self.nodes[node].handle(input, at(self.ms));
        let mut burst = 0;
        while let Some(output) = self.nodes[node].poll_output() {
            match output {
                Output::Send { frame, .. } => {
                    burst += value_bytes(&frame);
                    self.note_frozen(&frame);
                    if !(self.commits_get_lost && commits(&frame)) {
                        self.on_its_way.push_back((self.ms + 1, frame));
                    }
                }
                Output::Answer { answer: Answer::Done { effect, .. }, .. } => self.count(&effect),
                Output::Answer { answer: Answer::Moved(_), .. } => self.moved = true,
                _ => {}
            }
        }
        self.burst = self.burst.max(burst);
    }

    fn note_frozen(&mut self, frame: &Frame) {
        self.bytes_while_frozen += if commits(frame) { value_bytes(frame) } else { 0 };
        let missing = frame.runs.iter().map(|run| match &run.message {
            Message::Need { missing, .. } => missing.len(),
            _ => 0,
        });
        self.missed += missing.sum::<usize>();
        for run in &frame.runs {
            match run.message {
                Message::Released { .. } => self.released += usize::from(run.len),
                Message::Refuse { .. } | Message::Abort { .. } => self.given_up += usize::from(run.len),
                _ => {}
            }
        }
    }

    fn count(&mut self, effect: &Effect) {
        let written = matches!(effect, Effect::Key(Outcome::Created(_) | Outcome::Replaced { .. }));
        assert!(written, "{effect:?}");
        self.written += 1;
    }

    /// A value in the first node.
    fn store(&self, key: String, bytes: usize) {
        let put: Operation = Operation::on(key, Action::put(vec![b'v'; bytes]));
        assert!(self.nodes[0].slots().try_apply(&put, at(self.ms).unix_ms).is_some());
    }

    /// Large values in four slots.
    fn store_more_than_may_be_under_way(&self) {
        for key in keys_in_other_slots(4) {
            self.store(key, 512 << 10);
        }
    }

    /// A client that writes a value every millisecond: four times as much as can be copied.
    fn write(&mut self) {
        self.write_to(self.ms % KEYS);
    }

    fn write_to(&mut self, key: u64) {
        let (token, operation) = (self.ms, put(key));
        if let Some((effect, _)) = self.nodes[0].slots().try_apply(&operation, at(self.ms).unix_ms) {
            self.count(&effect);
        } else {
            let deadline = Duration::from_mins(1);
            self.feed(0, Input::Operate { token, used: None, deadline, operation });
        }
    }

    fn step(&mut self) {
        self.ms += 1;
        while self.on_its_way.front().is_some_and(|(due, _)| *due <= self.ms) {
            let (_, frame) = self.on_its_way.pop_front().expect("looked at above");
            self.feed(usize::from(frame.to == TARGET), Input::Frame(frame));
        }
        for node in 0..2 {
            if self.nodes[node].poll_timeout().is_some_and(|due| due <= at(self.ms).at) {
                self.feed(node, Input::Timeout);
            }
        }
    }
}

fn commits(frame: &Frame) -> bool {
    frame.runs.iter().any(|run| matches!(run.message, Message::Commit { .. }))
}

fn value_bytes(frame: &Frame) -> usize {
    let bytes = frame.runs.iter().map(|run| match &run.message {
        Message::Chunk { items, .. } => items.iter().map(|item| item.value.len()).sum(),
        _ => 0,
    });
    bytes.sum()
}

#[test]
fn slots_without_entries_do_not_wait_for_those_that_have_some() {
    let mut pair = Pair::new(16, RATE);
    pair.store_more_than_may_be_under_way();
    pair.begin_move();
    (0..65).for_each(|_| pair.step());
    let left = pair.nodes[0].progress().slots_to_give;
    assert!((1..=4).contains(&left), "{left} slots are left, of which 4 have entries");
}

#[test]
fn what_waits_long_for_the_rate_does_not_have_to_be_sent_again_while_frozen() {
    let mut pair = Pair::new(64, LOW_RATE);
    for slot_key in keys_in_other_slots(63) {
        for number in 0..16 {
            pair.store(format!("{{{slot_key}}}/{number}"), VALUE);
        }
    }
    pair.begin_move();
    while pair.nodes[0].stats().custody > 0 {
        assert!(pair.ms < 60_000, "not moved after a minute: {:?}", pair.nodes[0].progress());
        pair.step();
    }
    assert_eq!(pair.missed, 0, "chunks were sent again while their slots were frozen");
}

#[test]
fn a_slot_written_faster_than_it_is_copied_changes_hands_after_a_short_pause() {
    let mut pair = Pair::new(1, RATE);
    pair.begin_move();
    while !pair.moved {
        assert!(pair.ms < 30_000, "not moved after 30 s: {:?}", pair.nodes[0].progress());
        pair.write();
        pair.step();
    }
    assert!(pair.written > 2 * KEYS, "writes went on during the copy: {}", pair.written);
    let slack = 4 * VALUE;
    assert!(
        pair.bytes_while_frozen <= (64 << 10) + slack,
        "{} bytes went out while the slot was frozen",
        pair.bytes_while_frozen
    );
    assert_eq!(pair.nodes[0].stats().custody, 0);
}

#[test]
fn what_the_target_has_dropped_meanwhile_is_sent_again_a_window_at_a_time() {
    const WINDOW_BYTES: usize = 4 << 20;
    let mut pair = Pair::new(1, 1 << 30);
    for number in KEYS..512 {
        pair.store(String::from_utf8(key(number).to_vec()).expect("digits"), VALUE);
    }
    pair.begin_move();
    pair.commits_get_lost = true;
    (0..70_000).for_each(|_| pair.step());
    assert!(pair.nodes[0].stats().custody > 0, "the commit never arrived");
    pair.commits_get_lost = false;
    while pair.nodes[0].stats().custody > 0 {
        assert!(pair.ms < 100_000, "not moved after 30 s more: {:?}", pair.nodes[0].progress());
        pair.step();
    }
    assert!(pair.missed >= 256, "the target asked for {} chunks again", pair.missed);
    assert!(pair.burst <= WINDOW_BYTES + 2 * VALUE, "{} bytes were sent at once", pair.burst);
}

#[test]
fn slots_on_which_two_tables_differ_for_long_go_to_and_fro_about_once_a_second() {
    const SLOTS: usize = 16;
    let mut pair = Pair::new(16, RATE);
    for key in keys_in_other_slots(4) {
        pair.store(key, VALUE);
    }
    pair.disagree();
    (0..10_000).for_each(|_| pair.step());
    let rounds = pair.released / SLOTS;
    assert!((2..=20).contains(&rounds), "{rounds} hand-overs of each slot in 10 s");
    // Whoever has them when the tables agree again gives them to whom both name, at once.
    pair.feed(1, Input::Member { pid: SOURCE, liveness: Liveness::Alive, weight: 0 });
    pair.feed(1, Input::Member { pid: TARGET, liveness: Liveness::Alive, weight: 1 });
    (0..1_000).for_each(|_| pair.step());
    assert_eq!((pair.nodes[0].stats().custody, pair.nodes[1].stats().custody), (0, SLOTS));
}

#[test]
fn whoever_is_offered_a_slot_waits_for_it_though_its_own_table_names_another() {
    let mut pair = Pair::new(16, LOW_RATE);
    pair.store_more_than_may_be_under_way();
    pair.disagree();
    (0..3_000).for_each(|_| pair.step());
    assert!(pair.released >= 4, "{} slots have been let go", pair.released);
    assert_eq!(pair.given_up, 0, "hand-overs were given up");
}

#[test]
fn slots_that_have_been_copied_go_over_as_soon_as_there_is_room_to_freeze_them() {
    let mut pair = Pair::new(64, 1 << 30);
    for slot_key in keys_in_other_slots(63) {
        for number in 0..5 {
            pair.store(format!("{{{slot_key}}}/{number}"), VALUE);
        }
    }
    pair.begin_move();
    let begun = pair.ms;
    while pair.nodes[0].stats().custody > 0 {
        pair.step();
        let took = pair.ms - begun;
        assert!(took < 50, "not moved after {took} ms: {:?}", pair.nodes[0].progress());
    }
}
