//! Two nodes, and the way between them.

use std::collections::VecDeque;
use std::time::Duration;

use boato_cluster::{
    Action, Answer, Config, Effect, Frame, Input, Lane, Liveness, Machine, Message, Now, Operation, Outcome,
    Output, Pid,
};
use bytes::Bytes;

pub(crate) const SOURCE: Pid = Pid { node: 1, boot: 1 };
pub(crate) const TARGET: Pid = Pid { node: 2, boot: 1 };
/// Bytes of one value.
pub(crate) const VALUE: usize = 32 << 10;
/// The keys of the slot.
pub(crate) const KEYS: u64 = 32;
/// Bytes per second from node to node.
pub(crate) const RATE: u64 = 8 << 20;
/// The same, where many slots wait for long.
pub(crate) const LOW_RATE: u64 = 1 << 20;

fn at(ms: u64) -> Now {
    Now { at: Duration::from_millis(ms), unix_ms: 1_700_000_000_000 + ms }
}

fn machine(me: Pid, slots: u16, rate: Option<u64>) -> Machine {
    Machine::new(Config { slots: 0..slots, handoff_rate: rate, ..Config::new(me, 7) }, at(0))
}

/// A key of slot 0.
pub(crate) fn key(number: u64) -> Bytes {
    Bytes::from(format!("{{{}}}/{number}", slot_zero()))
}

/// A key for each of the slots from 1 to the last.
pub(crate) fn keys_in_other_slots(last: u16) -> Vec<String> {
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
pub(crate) struct Pair {
    pub(crate) nodes: [Machine; 2],
    control: VecDeque<(u64, Frame)>,
    bulk: VecDeque<(u64, Frame)>,
    /// Bytes of entries that the way carries in a millisecond, if that is limited, and until when it is taken.
    way: Option<u64>,
    taken_us: u64,
    /// Bytes of entries given to the way.
    pub(crate) sent: usize,
    pub(crate) ms: u64,
    pub(crate) moved: bool,
    pub(crate) written: u64,
    pub(crate) bytes_while_frozen: usize,
    /// Chunks that the target had to ask for again.
    pub(crate) missed: usize,
    pub(crate) commits_get_lost: bool,
    /// The most bytes of values that a node sent at once.
    pub(crate) burst: usize,
    /// Slots that have been let go, in either direction, and hand-overs given up.
    pub(crate) released: usize,
    pub(crate) given_up: usize,
}

impl Pair {
    /// Both nodes; the first holds all of so many slots, with values in slot 0.
    pub(crate) fn new(slots: u16, rate: u64) -> Self {
        let mut pair = Self::empty(slots, Some(rate));
        pair.begin();
        (0..KEYS).for_each(|key| pair.write_to(key));
        pair
    }

    /// The same without values. The way to the second carries so many bytes of entries in a millisecond.
    pub(crate) fn with_way(slots: u16, bytes_per_ms: u64) -> Self {
        let mut pair = Self { way: Some(bytes_per_ms), ..Self::empty(slots, None) };
        pair.begin();
        pair
    }

    fn begin(&mut self) {
        self.feed(0, Input::Eligible { quiet: Duration::from_millis(10) });
        (0..100).for_each(|_| self.step());
    }

    fn empty(slots: u16, rate: Option<u64>) -> Self {
        Self {
            nodes: [SOURCE, TARGET].map(|me| machine(me, slots, rate)),
            control: VecDeque::new(),
            bulk: VecDeque::new(),
            way: None,
            taken_us: 0,
            sent: 0,
            ms: 0,
            moved: false,
            written: 0,
            bytes_while_frozen: 0,
            missed: 0,
            commits_get_lost: false,
            burst: 0,
            released: 0,
            given_up: 0,
        }
    }

    /// Everything is to go to the second node.
    pub(crate) fn begin_move(&mut self) {
        self.feed(0, Input::Member { pid: TARGET, liveness: Liveness::Alive, weight: 1 });
        self.feed(1, Input::Member { pid: SOURCE, liveness: Liveness::Alive, weight: 0 });
        self.feed(0, Input::Member { pid: SOURCE, liveness: Liveness::Alive, weight: 0 });
    }

    /// By its own table neither is to have anything.
    pub(crate) fn disagree(&mut self) {
        self.feed(0, Input::Member { pid: TARGET, liveness: Liveness::Alive, weight: 1 });
        self.feed(1, Input::Member { pid: SOURCE, liveness: Liveness::Alive, weight: 1 });
        self.feed(0, Input::Member { pid: SOURCE, liveness: Liveness::Alive, weight: 0 });
        self.feed(1, Input::Member { pid: TARGET, liveness: Liveness::Alive, weight: 0 });
    }

    pub(crate) fn feed(&mut self, node: usize, input: Input) {
        self.nodes[node].handle(input, at(self.ms));
        let mut burst = 0;
        while let Some(output) = self.nodes[node].poll_output() {
            match output {
                Output::Send { frame, lane, .. } => {
                    burst += value_bytes(&frame);
                    self.note_frozen(&frame);
                    if !(self.commits_get_lost && commits(&frame)) {
                        self.send(lane, frame);
                    }
                }
                Output::Answer { answer: Answer::Done { effect, .. }, .. } => self.count(&effect),
                Output::Answer { answer: Answer::Moved(_), .. } => self.moved = true,
                _ => {}
            }
        }
        self.burst = self.burst.max(burst);
    }

    fn send(&mut self, lane: Lane, frame: Frame) {
        if lane == Lane::Control {
            return self.control.push_back((self.ms + 1, frame));
        }
        let bytes = value_bytes(&frame);
        self.sent += bytes;
        let takes_us = self.way.map_or(0, |way| bytes as u64 * 1000 / way);
        self.taken_us = self.taken_us.max(1000 * self.ms) + takes_us;
        self.bulk.push_back((self.taken_us.div_ceil(1000) + 1, frame));
    }

    /// The connection ends, and with it what is under way; returns the bytes of entries lost.
    pub(crate) fn break_connection(&mut self) -> usize {
        self.control.clear();
        self.taken_us = 0;
        std::mem::take(&mut self.bulk).iter().map(|(_, frame)| value_bytes(frame)).sum()
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
    pub(crate) fn store(&self, key: String, bytes: usize) {
        let put: Operation = Operation::on(key, Action::put(vec![b'v'; bytes]));
        assert!(self.nodes[0].slots().try_apply(&put, at(self.ms).unix_ms).is_some());
    }

    /// Large values in four slots.
    pub(crate) fn store_more_than_may_be_under_way(&self) {
        for key in keys_in_other_slots(4) {
            self.store(key, 512 << 10);
        }
    }

    /// A client that writes a value every millisecond: four times as much as can be copied.
    pub(crate) fn write(&mut self) {
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

    pub(crate) fn step(&mut self) {
        self.ms += 1;
        while let Some(frame) =
            arrived(&mut self.control, self.ms).or_else(|| arrived(&mut self.bulk, self.ms))
        {
            self.feed(usize::from(frame.to == TARGET), Input::Frame(frame));
        }
        for node in 0..2 {
            if self.nodes[node].poll_timeout().is_some_and(|due| due <= at(self.ms).at) {
                self.feed(node, Input::Timeout);
            }
        }
    }
}

fn arrived(way: &mut VecDeque<(u64, Frame)>, ms: u64) -> Option<Frame> {
    way.pop_front_if(|(due, _)| *due <= ms).map(|(_, frame)| frame)
}

fn commits(frame: &Frame) -> bool {
    frame.runs.iter().any(|run| matches!(run.message, Message::Commit { .. }))
}

fn value_bytes(frame: &Frame) -> usize {
    let bytes = frame.runs.iter().map(|run| match &run.message {
        Message::Chunk { items, .. } | Message::Merge { items, .. } => {
            items.iter().map(|item| item.value.len()).sum()
        }
        _ => 0,
    });
    bytes.sum()
}
