//! The run: a phase with faults, a phase to settle, and a last read of everything.

mod seat;
mod settle;

use std::collections::BTreeMap;
use std::fmt::Arguments;
use std::time::Duration;

use boato_cluster::{Action, Event, Header, Operation, Pid, Step};
use bytes::Bytes;
use fastrand::Rng;

use super::agenda::Agenda;
use super::ambush::Ambush;
use super::clients::{Clients, Unread};
use super::custody::{Change, Custody};
use super::errand::{LONGEST, LONGEST_TOGETHER};
use super::fault::Fault;
use super::founding::Founding;
use super::judge;
use super::keys::{self, Key};
use super::message::Command;
use super::node::{Node, Note};
use super::report::{Liveness, Report, Safety, Violation};
use super::scenario::Scenario;
pub(super) use seat::Seat;

use crate::check::Holding;
use crate::{Effect, Engine, Host, Latency, Network, Rule};

/// Between two looks.
const SETTLE_LOOK: Duration = Duration::from_millis(250);
/// Longer than any operation takes.
const PATIENT: Duration = Duration::from_secs(20);
/// Operations that reach a node together: at most so many, of clients whose turns lie this close to each other.
const BATCH_MAX: usize = 8;
const TOGETHER: Duration = Duration::from_millis(100);
/// The runs of every so many seeds have them.
const BATCHES_EVERY: u64 = 4;
/// What alarms at the end of a wait may be late.
const WAIT_SLACK: Duration = Duration::from_millis(5);
/// Calls with numbers from here on are nobody's.
const BALLAST_CALLS: u64 = 1 << 48;

/// Is told what happens, for people to read.
pub(super) type Tell<'a> = Option<&'a mut dyn FnMut(Duration, Arguments<'_>)>;

pub(super) struct Run<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) rng: Rng,
    pub(super) engine: Engine<Node>,
    pub(super) seats: Vec<Seat>,
    pub(super) clients: Clients,
    pub(super) custody: Custody,
    pub(super) agenda: Agenda,
    pub(super) faults: BTreeMap<Fault, u64>,
    /// Whom the fault at hand is to strike.
    pub(super) aim: Option<Host>,
    pub(super) ambush: Ambush,
    /// Whether the faults are over.
    pub(super) calm: bool,
    node_time: Duration,
    hand_offs: u64,
    merges: u64,
    /// Slots that crashes took, as far as anybody alive could know, and as the nodes counted them.
    lost: u64,
    counted_lost: u64,
    /// Writes refused for want of members, and when one last was though those who run are enough.
    too_few: u64,
    refused_in_vain: Option<Duration>,
    pub(super) founding: Founding,
    /// The host that all clients come to, until then.
    pub(super) visited: Option<(Host, Duration)>,
    tell: Tell<'a>,
}

impl<'a> Run<'a> {
    pub(super) fn new(scenario: &'a Scenario, tell: Tell<'a>) -> Self {
        let mut rng = Rng::with_seed(scenario.seed ^ 0x5eed_7e57);
        let network = Network::new([Rule::everywhere(Effect::Delay(Latency::around(scenario.latency)))]);
        let keys = (0..scenario.keys).map(|number| Key::draw(number, scenario, &mut rng)).collect();
        let clients =
            Clients::new(keys, scenario.clients_per_key, scenario.rate, Rng::with_seed(rng.u64(..)));
        Self {
            engine: Engine::new(network, rng.u64(..)),
            rng,
            scenario,
            seats: Vec::new(),
            clients,
            custody: Custody::new(scenario.slots),
            agenda: Agenda::default(),
            faults: BTreeMap::new(),
            aim: None,
            ambush: Ambush::default(),
            calm: false,
            node_time: Duration::ZERO,
            hand_offs: 0,
            merges: 0,
            lost: 0,
            counted_lost: 0,
            too_few: 0,
            refused_in_vain: None,
            founding: Founding::default(),
            visited: None,
            tell,
        }
    }

    pub(super) fn run(mut self) -> Report {
        let mut settled_after = None;
        let mut undecided = 0;
        let verdict = self.play(&mut settled_after, &mut undecided);
        for index in 0..self.seats.len() {
            self.end(index);
        }
        Report {
            seed: self.scenario.seed,
            trace_hash: self.engine.trace_hash(),
            simulated: self.engine.now(),
            node_seconds: self.node_time.as_secs_f64(),
            happened: self.engine.happened(),
            operations: self.clients.operations,
            faults: self.faults,
            hand_offs: self.hand_offs,
            merges: self.merges,
            superseded: self.clients.given_up(),
            slots_lost: self.counted_lost,
            too_few: self.too_few,
            forked: self.custody.is_forked(),
            waits: self.clients.waits(),
            settled_after,
            undecided,
            verdict,
        }
    }

    fn play(&mut self, settled_after: &mut Option<Duration>, undecided: &mut u64) -> Result<(), Violation> {
        self.open();
        self.advance(self.scenario.length)?;
        self.calm_down();
        let after = self.settle()?;
        *settled_after = Some(after);
        self.custody.whole(self.scenario.length + after + SETTLE_LOOK);
        self.at_rest(after)?;
        self.clients.retire();
        self.advance_until_idle()?;
        self.clients.first_pending().map_or(Ok(()), |call| self.check_wait(call, self.engine.now()))?;
        self.read_all()?;
        self.custody.settled(self.engine.now()).map_err(Violation::Safety)?;
        if !self.custody.is_forked() && self.lost != self.counted_lost {
            let (lost, counted) = (self.lost, self.counted_lost);
            return Err(Violation::Safety(Safety::Miscounted { lost, counted }));
        }
        *undecided =
            judge::judge(self.scenario, &self.clients.keys, &self.custody).map_err(Violation::Safety)?;
        Ok(())
    }

    /// Lets virtual time pass: nodes, clients and the agenda act in their turn.
    pub(super) fn advance(&mut self, until: Duration) -> Result<(), Violation> {
        'turns: loop {
            let turn = self.next_turn();
            let next = turn.map_or(until, |at| at.min(until));
            while self.engine.step(next) {
                self.observe()?;
                // Who visits a host comes at once.
                if self.visited(self.engine.now()).is_some() && self.next_turn().is_some_and(|at| at < next) {
                    continue 'turns;
                }
            }
            if turn.is_none_or(|at| at > until) {
                return Ok(());
            }
            while let Some(action) = self.agenda.due(next) {
                self.obey(action);
                self.observe()?;
            }
            while self.clients.next_turn().is_some_and(|at| at <= next) {
                self.client_turn();
            }
        }
    }

    /// When a client or the agenda has its turn next.
    fn next_turn(&self) -> Option<Duration> {
        self.clients.next_turn().into_iter().chain(self.agenda.next()).min()
    }

    fn client_turn(&mut self) {
        let now = self.engine.now();
        let entry = self.visited(now).or_else(|| self.any_running()).unwrap_or(Host(u32::MAX));
        // In some runs those whose turn comes soon join in, now and then.
        let joins = self.has_batches() && self.rng.bool();
        let together = if joins { now + TOGETHER } else { now };
        let mut all: Vec<_> = self.clients.act(entry, now).into_iter().collect();
        while joins && all.len() < BATCH_MAX && self.clients.next_turn().is_some_and(|at| at <= together) {
            all.extend(self.clients.act(entry, now));
        }
        if self.seats.get(entry.index()).is_none() {
            for (call, _) in all {
                self.clients.answered(call, &Err(boato_cluster::Failure::Unavailable), now);
            }
        } else if all.len() == 1 {
            for (call, operation) in all {
                self.post(entry, call, operation);
            }
        } else {
            for (call, operation) in &all {
                self.say_posted(entry, *call, operation);
            }
            self.engine.post(entry, Command::ExecuteAll(all).into());
        }
    }

    /// The host that all clients come to.
    fn visited(&self, now: Duration) -> Option<Host> {
        let (host, until) = self.visited?;
        (now < until && self.seats[host.index()].running).then_some(host)
    }

    fn post(&mut self, entry: Host, call: u64, operation: Operation) {
        self.say_posted(entry, call, &operation);
        self.engine.post(entry, Command::Execute { call, operation }.into());
    }

    fn say_posted(&mut self, entry: Host, call: u64, operation: &Operation) {
        if self.tell.is_some() {
            self.say(format_args!("call {call} at {}: {}", entry.0, describe(operation)));
        }
    }

    /// Takes in what the nodes have told.
    pub(super) fn observe(&mut self) -> Result<(), Violation> {
        let notes: Vec<_> = self.engine.notes().collect();
        for (at, host, note) in notes {
            if let Note::Answered { call, .. } = note {
                self.check_wait(call, at)?;
            }
            self.note(at, host, note).map_err(Violation::Safety)?;
        }
        Ok(())
    }

    /// Whether a call was answered at `at` within the time that the node it was made at may take.
    fn check_wait(&self, call: u64, at: Duration) -> Result<(), Violation> {
        let Some((entry, invoked)) = self.clients.invoked(call) else { return Ok(()) };
        let longest = if self.has_batches() { LONGEST_TOGETHER } else { LONGEST };
        // A clock may be that much too slow.
        let drift = longest * self.scenario.drift_ppm / (1_000_000 - self.scenario.drift_ppm);
        let after = at.saturating_sub(invoked.max(self.engine.paused_until(entry)));
        if after <= longest + drift + WAIT_SLACK {
            return Ok(());
        }
        Err(Violation::Liveness(Liveness::Late { at, call, host: entry.0, after }))
    }

    /// Whether operations reach nodes together in this run.
    fn has_batches(&self) -> bool {
        self.scenario.seed.is_multiple_of(BATCHES_EVERY)
    }

    fn note(&mut self, at: Duration, host: Host, note: Note) -> Result<(), Safety> {
        match note {
            Note::Answered { call, result } => {
                if self.tell.is_some() && call < BALLAST_CALLS {
                    self.say(format_args!("call {call} -> {}", describe_answer(&result)));
                }
                self.clients.answered(call, &result, at);
            }
            Note::Stirred => self.stirred(at, host)?,
            Note::Dead(pid) => self.considered_dead(at, host, pid),
            Note::Event(event) => self.event(at, host, event)?,
            Note::Superseded(superseded) => {
                self.say(format_args!("host {}: {superseded:?}", host.0));
                self.clients.superseded(superseded);
            }
            Note::Abandons => {
                if let Some(node) = self.engine.process(host) {
                    self.custody.stopped(at, node.pid());
                }
            }
            Note::Wanders => return Err(Safety::Wanders { at, host: host.0 }),
            Note::LeavesSlots(slots) => return Err(Safety::LeftSlots { at, host: host.0, slots }),
            Note::Ended => {
                self.say(format_args!("host {} has left", host.0));
                self.end(host.index());
            }
            Note::Refused(error) => return Err(Safety::Refused(error)),
            Note::TooFew => {
                self.too_few += 1;
                let running = self.seats.iter().filter(|seat| seat.running).count();
                if running >= self.scenario.min_members as usize {
                    self.refused_in_vain = Some(at);
                }
            }
            Note::WroteAmongFew(members) => {
                let needed = self.scenario.min_members;
                return Err(Safety::WroteAmongFew { at, host: host.0, members, needed });
            }
        }
        Ok(())
    }

    /// Slots of `host` may have changed their state.
    fn stirred(&mut self, at: Duration, host: Host) -> Result<(), Safety> {
        let mut looked = self.look(at, host);
        if let Err((slot, _)) = &looked
            && !self.custody.is_forked()
            && self.is_stranger(host, *slot)
        {
            self.say(format_args!("there are two clusters that know nothing of each other"));
            self.custody.fork(at);
            looked = self.look(at, host);
        }
        let changes = looked.map_err(|(_, safety)| safety)?;
        self.watch(host, &changes);
        let mut moving = None;
        for Change { slot, holding, lost } in changes {
            self.say(format_args!("host {} slot {slot}: {holding}", host.0));
            self.lost += u64::from(lost && self.is_known(slot, host));
            if matches!(holding, Holding::Custody(_)) {
                moving.get_or_insert(slot);
            }
        }
        if let Some(slot) = moving {
            self.hand_over_seen(host, slot);
        }
        Ok(())
    }

    fn look(&mut self, at: Duration, host: Host) -> Result<Vec<Change>, (u16, Safety)> {
        let node = self.engine.process(host);
        node.map_or(Ok(Vec::new()), |node| self.custody.look(at, &node.slots))
    }

    /// Whether anybody whom `host` could ask knew that a slot had existed when it began it anew. If not, nobody can
    /// count it.
    fn is_known(&self, slot: u16, host: Host) -> bool {
        let Some(minter) = self.engine.process(host) else { return false };
        let routes = minter.slots.routes();
        self.seats.iter().filter(|seat| seat.running && routes.is_live(seat.pid)).any(|seat| {
            let alive = self.engine.process(seat.host).filter(|node| !node.has_left());
            let floor = alive.map(|node| node.slots.inspect(slot, Header::floor).counter);
            floor > Some(u64::from(seat.host == host))
        })
    }

    fn considered_dead(&mut self, at: Duration, host: Host, pid: Pid) {
        let left = |seat: &Seat| self.engine.process(seat.host).is_some_and(Node::has_left);
        let lives = self.seats.iter().any(|seat| seat.running && seat.pid == pid && !left(seat));
        if lives && !self.custody.is_forked() {
            self.say(format_args!("host {} considers {pid} dead, which lives", host.0));
            self.custody.fork(at);
        }
    }

    fn event(&mut self, at: Duration, host: Host, event: Event) -> Result<(), Safety> {
        self.say(format_args!("host {}: {event:?}", host.0));
        match event {
            Event::SlotsLost { slots } => self.counted_lost += slots as u64,
            Event::Claimed { began: true } => self.began(at, host)?,
            _ => {}
        }
        Ok(())
    }

    /// Stores values beside the keys of clients.
    pub(super) fn load_ballast(&mut self) {
        let mut left = self.scenario.ballast;
        let mut number: u32 = 0;
        // Where messages are small, so are values: many slots are to have some.
        let longest = (16 * self.scenario.chunk_bytes).min(50_000);
        while left > 0 {
            let Some(host) = self.any_running() else { return };
            let size = self.rng.usize(500..longest).min(left);
            let slot = self.clients.keys[self.rng.usize(..self.clients.keys.len())].slot;
            let name = keys::name(format_args!("b{number}"), slot);
            let operation = Operation::on(name, Action::put(vec![b'b'; size]));
            self.engine
                .post(host, Command::Execute { call: BALLAST_CALLS + u64::from(number), operation }.into());
            number += 1;
            left -= size;
        }
    }

    fn advance_until_idle(&mut self) -> Result<(), Violation> {
        let limit = self.engine.now() + PATIENT;
        while !self.clients.is_idle() && self.engine.now() < limit {
            self.advance(self.engine.now() + SETTLE_LOOK)?;
        }
        Ok(())
    }

    /// Reads every key at every node.
    fn read_all(&mut self) -> Result<(), Violation> {
        let now = self.engine.now();
        let hosts: Vec<Host> = self.seats.iter().filter(|seat| seat.running).map(|seat| seat.host).collect();
        for key in 0..self.clients.keys.len() {
            for &host in &hosts {
                let (call, operation) = self.clients.read(key, host, now);
                self.post(host, call, operation);
            }
        }
        self.advance_until_idle()?;
        match self.clients.unread() {
            None => Ok(()),
            Some(Unread { key, host, answer }) => {
                Err(Violation::Liveness(Liveness::Unreadable { key, host, answer }))
            }
        }
    }

    pub(super) fn say(&mut self, what: Arguments<'_>) {
        if let Some(tell) = &mut self.tell {
            tell(self.engine.now(), what);
        }
    }
}

fn describe(operation: &Operation) -> String {
    let name = |key: &Bytes| String::from_utf8_lossy(key).into_owned();
    match operation {
        Operation::Key(Step { key, action: Action::Get }) => format!("get {}", name(key)),
        Operation::Key(Step { key, action: Action::Put { value, guard, .. } }) => {
            format!("put {} {} if {guard:?}", name(key), keys::decode(value))
        }
        Operation::Key(Step { key, action: Action::Delete { .. } }) => format!("delete {}", name(key)),
        other => format!("{other:?}"),
    }
}

fn describe_answer(result: &super::errand::Answered) -> String {
    match result {
        Ok((boato_cluster::Outcome::Value { value, version, .. }, pid)) => {
            format!("{} {version:?} from {pid}", keys::decode(value))
        }
        Ok((outcome, pid)) => format!("{outcome:?} from {pid}"),
        Err(failure) => format!("{failure:?}"),
    }
}
