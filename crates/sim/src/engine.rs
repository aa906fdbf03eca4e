//! The engine: hosts, virtual time, and what happens next.

use std::time::Duration;

use fastrand::Rng;

use crate::queue::Queue;
use crate::trace::Happened;
use crate::{Host, Network, Outbox, Payload, Process, TraceHash, Way};

/// A process that is woken this often without time passing is stuck.
const WAKES_MAX: u32 = 10_000;

/// What comes after something else comes so much later.
const INSTANT: Duration = Duration::from_nanos(1);

/// A discrete-event simulation of processes of one type on a network.
///
/// Everything it does follows from its seed and from the calls made to it. After each call that lets a process act
/// ([`start`](Engine::start), [`with`](Engine::with), [`step`](Engine::step)), drain [`notes`](Engine::notes).
#[derive(Debug)]
pub struct Engine<P: Process> {
    now: Duration,
    rng: Rng,
    network: Network,
    queue: Queue<Next<P::Message>>,
    seats: Vec<Seat<P>>,
    outbox: Outbox<P>,
    notes: Vec<(Duration, Host, P::Note)>,
    trace: TraceHash,
    happened: u64,
}

/// What a host has sent, lost messages included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Messages: datagrams and whole stream messages.
    pub messages: u64,
    /// Their payload.
    pub bytes: u64,
}

impl std::iter::Sum for Traffic {
    fn sum<I: Iterator<Item = Traffic>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            messages: sum.messages + one.messages,
            bytes: sum.bytes + one.bytes,
        })
    }
}

/// Something in the queue. It is void if the host has another process by then.
#[derive(Debug)]
struct Next<M> {
    host: Host,
    boot: u32,
    what: What<M>,
}

#[derive(Debug)]
enum What<M> {
    Receive { from: Host, from_boot: u32, message: M },
    Wake,
}

/// What is known about one host.
#[derive(Debug)]
struct Seat<P> {
    process: Option<P>,
    /// How many processes have run here.
    boot: u32,
    /// What the processes up to this one had sent and is still under way gets lost.
    silenced: u32,
    /// When its process wants to be woken.
    wake_at: Option<Duration>,
    /// The earliest wake in the queue.
    alarm: Option<Duration>,
    /// How often it was woken in this instant.
    wakes: u32,
    /// Until when its process stands still, and by how much what arrives meanwhile comes behind its timers.
    paused_until: Duration,
    behind: Duration,
    /// Until when messages from and to it wait.
    held_until: Duration,
    traffic: Traffic,
}

impl<P: Process> Engine<P> {
    /// An engine without hosts, at time zero.
    pub fn new(network: Network, seed: u64) -> Self {
        Self {
            now: Duration::ZERO,
            rng: Rng::with_seed(seed),
            network,
            queue: Queue::new(),
            seats: Vec::new(),
            outbox: Outbox::new(),
            notes: Vec::new(),
            trace: TraceHash::default(),
            happened: 0,
        }
    }

    /// Virtual time since the start of the run.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// The rules of the network, to change them.
    pub fn network(&mut self) -> &mut Network {
        &mut self.network
    }

    /// How many things have happened: processes started and stopped, messages received, wakes.
    pub fn happened(&self) -> u64 {
        self.happened
    }

    /// Fingerprint of all that has happened.
    pub fn trace_hash(&self) -> TraceHash {
        self.trace
    }

    /// The hosts, in order.
    pub fn hosts(&self) -> impl Iterator<Item = Host> + use<P> {
        (0..self.seats.len()).map(nth_host)
    }

    /// The process on a host, if one runs there.
    pub fn process(&self, host: Host) -> Option<&P> {
        self.seats.get(host.index())?.process.as_ref()
    }

    /// What a host has sent so far.
    pub fn traffic(&self, host: Host) -> Traffic {
        self.seats.get(host.index()).map_or_else(Traffic::default, |seat| seat.traffic)
    }

    /// A new host, on which nothing runs yet.
    pub fn add_host(&mut self) -> Host {
        let host = nth_host(self.seats.len());
        self.seats.push(Seat {
            process: None,
            boot: 0,
            silenced: 0,
            wake_at: None,
            alarm: None,
            wakes: 0,
            paused_until: Duration::ZERO,
            behind: Duration::ZERO,
            held_until: Duration::ZERO,
            traffic: Traffic::default(),
        });
        host
    }

    /// Starts a process on a host, in place of the one that may run there.
    pub fn start(&mut self, host: Host, process: P) {
        self.stop(host);
        let seat = self.seat(host);
        seat.process = Some(process);
        seat.boot += 1;
        self.record(host, Happened::Started);
        self.with(host, P::start);
    }

    /// Stops the process on a host as a crash does: it sends nothing more, and what is under way to it gets lost.
    pub fn stop(&mut self, host: Host) -> Option<P> {
        let seat = self.seat(host);
        seat.alarm = None;
        (seat.paused_until, seat.held_until) = (Duration::ZERO, Duration::ZERO);
        let process = seat.process.take()?;
        self.record(host, Happened::Stopped);
        Some(process)
    }

    /// [`stop`](Engine::stop), and what the process had sent and is still under way gets lost as well: it had not left
    /// the machine yet.
    pub fn cut_short(&mut self, host: Host) -> Option<P> {
        let seat = self.seat(host);
        seat.silenced = seat.boot;
        self.stop(host)
    }

    /// Lets the process of a host stand still until `until`, as one that gets no processor: what arrives and what it
    /// wanted to do waits, and comes all at once afterwards, messages first. It does not end before an earlier pause does.
    pub fn pause(&mut self, host: Host, until: Duration) {
        let seat = self.seat(host);
        (seat.paused_until, seat.behind) = (until.max(seat.paused_until), Duration::ZERO);
    }

    /// The same, but its timers come first: it finds out how late it is before it hears what has been said to it, as a process
    /// may whose timers and sockets are served by different threads.
    pub fn pause_deaf(&mut self, host: Host, until: Duration) {
        let seat = self.seat(host);
        (seat.paused_until, seat.behind) = (until.max(seat.paused_until), 2 * INSTANT);
    }

    /// Lets the messages from and to the process of a host wait until `until`, while its timers go on: one whose message
    /// processing is slow, as in the experiments of Lifeguard.
    pub fn hold(&mut self, host: Host, until: Duration) {
        self.seat(host).held_until = until;
    }

    /// Until when the process of a host stands still, or last did; zero: never in this boot.
    pub fn paused_until(&self, host: Host) -> Duration {
        self.seats.get(host.index()).map_or(Duration::ZERO, |seat| seat.paused_until)
    }

    /// Whether the process of a host stands still.
    pub fn is_paused(&self, host: Host) -> bool {
        self.seats.get(host.index()).is_some_and(|seat| seat.paused_until > self.now)
    }

    /// Hands a message to the process of a host now, as from its own machine.
    pub fn post(&mut self, host: Host, message: P::Message) {
        let boot = self.seat(host).boot;
        self.queue.push(
            self.now,
            Next { host, boot, what: What::Receive { from: host, from_boot: boot, message } },
        );
    }

    /// Acts on the process of a host from outside, as its user would. `None` if nothing runs there.
    pub fn with<R>(&mut self, host: Host, act: impl FnOnce(&mut P, &mut Outbox<P>) -> R) -> Option<R> {
        let seat = &mut self.seats[host.index()];
        let process = seat.process.as_mut()?;
        self.outbox.now = self.now;
        let result = act(process, &mut self.outbox);
        seat.wake_at = process.wake_at();
        self.dispatch(host);
        self.arm(host);
        self.notes.extend(self.outbox.notes.drain(..).map(|note| (self.now, host, note)));
        Some(result)
    }

    /// Takes what the processes have told since the last call: when, who, what.
    pub fn notes(&mut self) -> impl Iterator<Item = (Duration, Host, P::Note)> {
        self.notes.drain(..)
    }

    /// Lets the next thing happen that is due by `deadline`. If there is none, the time is `deadline` and the result
    /// false.
    pub fn step(&mut self, deadline: Duration) -> bool {
        let Some((at, next)) = self.queue.pop_until(deadline) else {
            self.now = self.now.max(deadline);
            return false;
        };
        self.now = at;
        let seat = &self.seats[next.host.index()];
        if seat.process.is_some() && seat.boot == next.boot {
            let (paused_until, behind, held_until) = (seat.paused_until, seat.behind, seat.held_until);
            match next.what {
                What::Receive { .. } if held_until > at => self.queue.push(held_until, next),
                What::Receive { .. } if paused_until > at => self.queue.push(paused_until + behind, next),
                What::Receive { from, .. } if self.network.is_cut(from, next.host) => {}
                What::Receive { from, from_boot, .. } if from_boot <= self.seats[from.index()].silenced => {}
                What::Receive { from, message, .. } => self.receive(from, next.host, message),
                What::Wake if paused_until > at => self.delay_wake(next, at, paused_until),
                What::Wake => self.wake(next.host, at),
            }
        }
        true
    }

    fn receive(&mut self, from: Host, to: Host, message: P::Message) {
        self.record(to, Happened::Received { from, bytes: message.bytes() });
        self.with(to, |process, outbox| process.receive(from, message, outbox));
    }

    /// Puts an alarm off to the end of a pause, behind the messages that wait for it.
    fn delay_wake(&mut self, next: Next<P::Message>, alarm: Duration, paused_until: Duration) {
        let at = paused_until + INSTANT;
        let seat = self.seat(next.host);
        if seat.alarm == Some(alarm) {
            seat.alarm = Some(at);
            self.queue.push(at, next);
        }
    }

    /// An alarm went off. It is void if an earlier one was set since, and early if the process has put it off.
    fn wake(&mut self, host: Host, alarm: Duration) {
        let seat = self.seat(host);
        if seat.alarm != Some(alarm) {
            return;
        }
        seat.alarm = None;
        if seat.wake_at.is_some_and(|at| at <= alarm) {
            self.record(host, Happened::Woke);
            self.with(host, P::wake);
        } else {
            self.arm(host);
        }
    }

    /// Sees to it that an alarm goes off when the process of a host wants to be woken, or before.
    fn arm(&mut self, host: Host) {
        let now = self.now;
        let seat = self.seat(host);
        let Some(wake_at) = seat.wake_at else { return };
        let at = wake_at.max(now);
        seat.wakes = if at > now { 0 } else { seat.wakes + 1 };
        assert!(seat.wakes < WAKES_MAX, "{host:?} asks to be woken again and again at {now:?}");
        if seat.alarm.is_none_or(|alarm| at < alarm) {
            seat.alarm = Some(at);
            let boot = seat.boot;
            self.queue.push(at, Next { host, boot, what: What::Wake });
        }
    }

    /// Hands what a process has sent to the network.
    fn dispatch(&mut self, from: Host) {
        let mut sent = std::mem::take(&mut self.outbox.sent);
        for (to, message) in sent.drain(..) {
            self.send(from, to, message);
        }
        self.outbox.sent = sent;
    }

    fn send(&mut self, from: Host, to: Host, message: P::Message) {
        let (bytes, now) = (message.bytes().len(), self.now);
        let sender = self.seat(from);
        let (from_boot, leaves) = (sender.boot, sender.held_until.max(now));
        sender.traffic.messages += 1;
        sender.traffic.bytes += bytes as u64;
        // An address where nobody has ever lived.
        let Some(seat) = self.seats.get(to.index()) else { return };
        let boot = seat.boot;
        let (way, stream) = (message.way(), message.stream());
        if way == Way::Datagram && self.network.duplicates((from, to), &mut self.rng) {
            let arrival = self.network.arrival((from, to), way, stream, bytes, leaves, &mut self.rng);
            if let Some(at) = arrival {
                let message = message.clone();
                self.queue
                    .push(at, Next { host: to, boot, what: What::Receive { from, from_boot, message } });
            }
        }
        let arrival = self.network.arrival((from, to), way, stream, bytes, leaves, &mut self.rng);
        if let Some(at) = arrival {
            self.queue.push(at, Next { host: to, boot, what: What::Receive { from, from_boot, message } });
        }
    }

    fn record(&mut self, host: Host, what: Happened<'_>) {
        self.happened += 1;
        self.trace.add(self.now, host, what);
    }

    fn seat(&mut self, host: Host) -> &mut Seat<P> {
        &mut self.seats[host.index()]
    }
}

pub(crate) fn nth_host(index: usize) -> Host {
    Host(u32::try_from(index).expect("invariant: nobody simulates 2^32 hosts"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone)]
    struct Nothing;

    impl Payload for Nothing {
        fn way(&self) -> Way {
            Way::Datagram
        }

        fn bytes(&self) -> &[u8] {
            &[]
        }
    }

    /// Wakes every second, and in between wherever it is told to.
    struct Clock(Duration);

    impl Process for Clock {
        type Message = Nothing;
        type Note = ();

        fn start(&mut self, outbox: &mut Outbox<Self>) {
            self.wake(outbox);
        }

        fn receive(&mut self, _: Host, Nothing: Nothing, _: &mut Outbox<Self>) {}

        fn wake(&mut self, outbox: &mut Outbox<Self>) {
            self.0 = outbox.now() + Duration::from_secs(1);
        }

        fn wake_at(&self) -> Option<Duration> {
            Some(self.0)
        }
    }

    #[test]
    fn alarms_that_were_moved_do_not_pile_up() {
        let mut engine = Engine::new(Network::new([]), 1);
        let host = engine.add_host();
        engine.start(host, Clock(Duration::ZERO));
        for millis in (1..=500).rev() {
            engine.with(host, |clock, _| clock.0 = Duration::from_millis(millis));
        }
        while engine.step(Duration::from_secs(10)) {}
        assert_eq!(engine.queue.len(), 1);
    }
}
