//! A leaver offers its slots to others if those who should have them do not ask: one that cannot reach somebody takes nothing over.

use std::collections::BTreeMap;
use std::time::Duration;

use boato_cluster::{
    Config, Digest, Frame, Greeting, Input, Liveness, Machine, Message, Now, Output, Pid, Run, Standing,
};

const ME: Pid = Pid { node: 1, boot: 1 };
const CUT_OFF: Pid = Pid { node: 2, boot: 1 };
const WILLING: Pid = Pid { node: 3, boot: 1 };
const SLOTS: u16 = 16384;

struct Leaver {
    machine: Machine,
    now: Duration,
    /// To whom each slot was offered last, since the last look.
    offered: BTreeMap<u16, Pid>,
}

impl Leaver {
    /// A node with all slots and two peers, which leaves.
    fn new() -> Self {
        let now = Duration::ZERO;
        let machine = Machine::new(Config::new(ME, 7), Now { at: now, unix_ms: 1 });
        let mut leaver = Self { machine, now, offered: BTreeMap::new() };
        leaver.feed(Input::Eligible { quiet: Duration::ZERO });
        leaver.pass(Duration::from_secs(1));
        assert_eq!(leaver.machine.stats().custody, usize::from(SLOTS));
        for pid in [CUT_OFF, WILLING] {
            leaver.feed(Input::Member { pid, liveness: Liveness::Alive, weight: 1 });
            leaver.say(pid, Vec::new());
        }
        leaver.pass(Duration::from_secs(1));
        leaver.feed(Input::Leave);
        leaver.pass(Duration::from_secs(1));
        leaver
    }

    fn feed(&mut self, input: Input) {
        self.machine.handle(input, Now { at: self.now, unix_ms: 1 });
        while let Some(output) = self.machine.poll_output() {
            let Output::Send { to, frame, .. } = output else { continue };
            for Run { start, len, .. } in
                frame.runs.iter().filter(|run| matches!(run.message, Message::Offer { .. }))
            {
                self.offered.extend((*start..start + len).map(|slot| (slot, to)));
            }
        }
    }

    fn say(&mut self, from: Pid, runs: Vec<Run>) {
        let digest = Some(Digest { live: vec![ME, CUT_OFF, WILLING], dead: Vec::new() });
        let (standing, greeting) = (Standing::Claimed, Greeting::None);
        self.feed(Input::Frame(Frame { from, to: ME, standing, greeting, digest, runs }));
    }

    fn asks(&mut self, from: Pid, slots: &[u16]) {
        let run = |&slot: &u16| Run { start: slot, len: 1, message: Message::Acquire };
        self.say(from, slots.iter().map(run).collect());
    }

    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.machine.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.feed(Input::Timeout);
        }
        self.now = end;
    }

    fn offered_to(&mut self, pid: Pid) -> Vec<u16> {
        let slots = self.offered.iter().filter(|(_, to)| **to == pid).map(|(slot, _)| *slot).collect();
        self.offered.retain(|_, to| *to != pid);
        slots
    }
}

#[test]
fn slots_that_their_heir_does_not_ask_for_are_offered_to_another_until_it_does() {
    let mut leaver = Leaver::new();
    let [unwanted, wanted] = [CUT_OFF, WILLING].map(|pid| leaver.offered_to(pid));
    assert!(unwanted.len() > 5_000 && unwanted.len() + wanted.len() == usize::from(SLOTS));
    leaver.asks(WILLING, &wanted);
    leaver.pass(Duration::from_secs(3));
    assert!(leaver.offered_to(WILLING).is_empty(), "it has what it is to have");
    leaver.offered.clear();
    leaver.pass(Duration::from_secs(5));
    assert_eq!(leaver.offered_to(WILLING), unwanted);

    leaver.offered.clear();
    leaver.asks(CUT_OFF, &unwanted[..1]);
    leaver.pass(Duration::from_secs(3));
    assert_eq!(leaver.offered_to(CUT_OFF), unwanted);
}

#[test]
fn where_nobody_asks_for_anything_all_are_offered_slots_again() {
    let mut leaver = Leaver::new();
    leaver.offered.clear();
    leaver.pass(Duration::from_mins(1));
    let [one, other] = [CUT_OFF, WILLING].map(|pid| leaver.offered_to(pid));
    assert_eq!(one.len() + other.len(), usize::from(SLOTS));
}
