//! The engine with processes of its own: time, alarms, crashes, and the same run from the same seed.

use std::time::Duration;

use boato_sim::{Effect, Engine, Host, Latency, Network, Outbox, Payload, Process, Rule, Way};
use fastrand::Rng;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[derive(Clone, Debug)]
struct Count(Way, [u8; 1]);

impl Payload for Count {
    fn way(&self) -> Way {
        self.0
    }

    fn bytes(&self) -> &[u8] {
        &self.1
    }
}

/// Sends a count to a random host at random times, and tells every count it gets.
struct Gossiper {
    rng: Rng,
    hosts: u32,
    next: Option<Duration>,
    way: Way,
    sent: u8,
}

impl Process for Gossiper {
    type Message = Count;
    type Note = (Host, u8);

    fn start(&mut self, outbox: &mut Outbox<Self>) {
        self.wake(outbox);
    }

    fn receive(&mut self, from: Host, message: Count, outbox: &mut Outbox<Self>) {
        outbox.note((from, message.1[0]));
    }

    fn wake(&mut self, outbox: &mut Outbox<Self>) {
        if self.hosts > 0 {
            let to = Host(self.rng.u32(..self.hosts));
            outbox.send(to, Count(self.way, [self.sent]));
            self.sent = self.sent.wrapping_add(1);
            self.next = Some(outbox.now() + ms(self.rng.u64(1..20)));
        }
    }

    fn wake_at(&self) -> Option<Duration> {
        self.next
    }
}

/// A process that sends to the first `hosts` hosts; to none: it only listens.
fn gossiper(seed: u64, hosts: u32, way: Way) -> Gossiper {
    Gossiper { rng: Rng::with_seed(seed), hosts, next: None, way, sent: 0 }
}

fn delay(millis: u64) -> Rule {
    Rule::everywhere(Effect::Delay(Latency { floor: ms(millis), tail: Duration::ZERO }))
}

fn run(engine: &mut Engine<Gossiper>, until: Duration) -> Vec<(Duration, Host, (Host, u8))> {
    while engine.step(until) {}
    engine.notes().collect()
}

fn hash_of(seed: u64, loss: f64) -> String {
    let rules = [Effect::Delay(Latency::around(ms(5))), Effect::Lose(loss)].map(Rule::everywhere);
    let mut engine = Engine::new(Network::new(rules), seed);
    for _ in 0..10 {
        let host = engine.add_host();
        engine.start(host, gossiper(seed ^ u64::from(host.0), 10, Way::Datagram));
    }
    assert!(!run(&mut engine, Duration::from_secs(5)).is_empty());
    engine.trace_hash().to_string()
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
    assert_eq!(hash_of(1, 0.1), hash_of(1, 0.1));
    assert_ne!(hash_of(1, 0.1), hash_of(2, 0.1));
    assert_ne!(hash_of(1, 0.1), hash_of(1, 0.2));
}

#[test]
fn time_is_the_deadline_when_nothing_is_left_to_happen() {
    let mut engine: Engine<Gossiper> = Engine::new(Network::new([]), 1);
    assert!(!engine.step(ms(70)));
    assert_eq!(engine.now(), ms(70));
}

#[test]
fn what_is_under_way_to_a_crashed_process_is_lost_even_if_another_starts_there() {
    let mut engine = Engine::new(Network::new([delay(10)]), 1);
    let (listener, sender) = (engine.add_host(), engine.add_host());
    engine.start(listener, gossiper(1, 0, Way::Datagram));
    engine.start(sender, gossiper(2, 1, Way::Datagram));
    run(&mut engine, ms(5));
    engine.stop(listener);
    engine.start(listener, gossiper(3, 0, Way::Datagram));
    let heard = run(&mut engine, ms(200));
    assert!(heard.iter().all(|(at, ..)| *at >= ms(15)), "{heard:?}");
    assert!(!heard.is_empty());
}

#[test]
fn a_stopped_process_neither_sends_nor_wakes() {
    let mut engine = Engine::new(Network::new([delay(10)]), 1);
    let (listener, sender) = (engine.add_host(), engine.add_host());
    engine.start(listener, gossiper(1, 0, Way::Datagram));
    engine.start(sender, gossiper(2, 1, Way::Datagram));
    run(&mut engine, ms(100));
    assert!(engine.stop(sender).is_some());
    let sent = engine.traffic(sender);
    run(&mut engine, ms(110));
    let happened = engine.happened();
    assert!(run(&mut engine, Duration::from_secs(9)).is_empty());
    assert_eq!((engine.traffic(sender), engine.happened()), (sent, happened));
    assert!(engine.process(sender).is_none());
}

#[test]
fn an_alarm_follows_the_process_when_it_is_moved_forth_and_back() {
    let mut engine = Engine::new(Network::new([]), 1);
    let (listener, sender) = (engine.add_host(), engine.add_host());
    engine.start(listener, gossiper(1, 0, Way::Datagram));
    engine.start(sender, gossiper(2, 1, Way::Datagram));
    run(&mut engine, Duration::ZERO);
    engine.with(sender, |process, _| process.next = Some(ms(900)));
    assert!(run(&mut engine, ms(899)).is_empty(), "put off");
    engine.with(sender, |process, _| process.next = Some(ms(901)));
    assert_eq!(run(&mut engine, ms(901)).len(), 1);
    engine.with(sender, |process, _| process.next = Some(ms(10_000)));
    engine.with(sender, |process, _| process.next = Some(ms(902)));
    assert_eq!(run(&mut engine, ms(902)).len(), 1, "moved forth");
}

#[test]
fn a_process_that_stands_still_catches_up_afterwards() {
    let mut engine = Engine::new(Network::new([delay(10)]), 1);
    let (listener, sender) = (engine.add_host(), engine.add_host());
    engine.start(listener, gossiper(1, 0, Way::Datagram));
    engine.start(sender, gossiper(2, 1, Way::Datagram));
    run(&mut engine, ms(50));
    engine.pause(listener, ms(400));
    assert!(engine.is_paused(listener));
    assert!(run(&mut engine, ms(399)).is_empty());
    let sent = engine.traffic(sender).messages;
    let heard = run(&mut engine, ms(400));
    assert!(heard.len() > 5 && heard.len() as u64 <= sent, "{heard:?}");
    assert!(!engine.is_paused(listener));
}

#[test]
fn datagrams_are_duplicated_and_streams_are_not() {
    for (way, times) in [(Way::Datagram, 2), (Way::Stream, 1)] {
        let mut engine = Engine::new(Network::new([Rule::everywhere(Effect::Duplicate(1.0))]), 1);
        let (listener, sender) = (engine.add_host(), engine.add_host());
        engine.start(listener, gossiper(1, 0, way));
        engine.start(sender, gossiper(2, 1, way));
        let heard = run(&mut engine, ms(500)).len() as u64;
        assert_eq!(heard, times * engine.traffic(sender).messages);
    }
}

#[test]
fn a_stream_keeps_its_order_whatever_the_network_does() {
    let rules = [Effect::Delay(Latency::around(ms(30))), Effect::Lose(0.3)].map(Rule::everywhere);
    let mut engine = Engine::new(Network::new(rules), 3);
    let (listener, sender) = (engine.add_host(), engine.add_host());
    engine.start(listener, gossiper(1, 0, Way::Stream));
    engine.start(sender, gossiper(2, 1, Way::Stream));
    let heard = run(&mut engine, ms(2_000));
    let counts: Vec<u8> = heard.iter().map(|(_, _, (_, count))| *count).collect();
    assert!(counts.len() > 100 && counts.is_sorted(), "{counts:?}");
}

#[test]
fn traffic_counts_what_was_sent_also_if_it_got_lost() {
    let mut engine = Engine::new(Network::new([Rule::everywhere(Effect::Cut)]), 1);
    let (listener, sender) = (engine.add_host(), engine.add_host());
    engine.start(listener, gossiper(1, 0, Way::Datagram));
    engine.start(sender, gossiper(2, 1, Way::Datagram));
    assert!(run(&mut engine, ms(500)).is_empty());
    let sent = engine.process(sender).map(|process| u64::from(process.sent)).unwrap();
    let traffic = engine.traffic(sender);
    assert_eq!((traffic.messages, traffic.bytes), (sent, sent));
    assert!(sent > 20);
}

#[test]
#[should_panic(expected = "woken again and again")]
fn a_process_that_never_sleeps_is_caught() {
    let mut engine = Engine::new(Network::new([]), 1);
    let host = engine.add_host();
    engine.start(host, gossiper(1, 0, Way::Datagram));
    engine.with(host, |process, _| process.next = Some(Duration::ZERO));
    run(&mut engine, ms(1));
}
