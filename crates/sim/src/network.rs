//! The simulated network: rules that each packet passes, one after the other.

mod latency;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fastrand::Rng;

pub use latency::Latency;

use crate::{Host, Way};

/// Bytes that one packet carries; longer stream messages take several.
const PACKET_BYTES: usize = 1162;
/// Added to a round trip before a stream sends again what got lost.
const RETRY_PAUSE: Duration = Duration::from_millis(25);
/// A stream gives a message up after this many rounds of sending again, each waiting twice as long as the last.
const RETRIES_MAX: u32 = 8;
/// A message that would take longer is lost with its connection.
const STREAM_PATIENCE: Duration = Duration::from_secs(10);
/// Pairs of hosts whose stream order is remembered before the past ones are swept.
const STREAMS_SWEEP: usize = 1024;

/// Some hosts.
#[derive(Clone, Debug)]
pub enum Hosts {
    /// Every host, those to come included.
    All,
    /// These.
    Only(BTreeSet<Host>),
}

impl Hosts {
    fn contains(&self, host: Host) -> bool {
        match self {
            Self::All => true,
            Self::Only(set) => set.contains(&host),
        }
    }
}

impl FromIterator<Host> for Hosts {
    fn from_iter<I: IntoIterator<Item = Host>>(hosts: I) -> Self {
        Self::Only(hosts.into_iter().collect())
    }
}

/// What a rule does to the packets in its scope.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Takes time. Several add up.
    Delay(Latency),
    /// Each sender sends so many bytes per second, at least 1; the rest waits for its turn. The lowest counts.
    Rate(u64),
    /// Loses each packet with this probability, 0 to 1. Several are independent.
    Lose(f64),
    /// Delivers a datagram twice with this probability, 0 to 1, each copy in its own time.
    Duplicate(f64),
    /// Loses every packet, also those that are under way and would arrive now, and breaks streams.
    Cut,
}

/// One rule: an effect on the packets between some hosts, in one direction.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Senders in its scope.
    pub from: Hosts,
    /// Receivers in its scope.
    pub to: Hosts,
    /// What happens to their packets.
    pub effect: Effect,
}

impl Rule {
    /// A rule for everybody.
    pub fn everywhere(effect: Effect) -> Self {
        Self { from: Hosts::All, to: Hosts::All, effect }
    }
}

/// Names a rule, to take it away again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleId(u64);

/// The rules in force, and the order of what is under way on streams.
///
/// The effects of all rules whose scope a packet lies in compose: delays add up, and one loss is enough. Without any
/// rule everything arrives at once.
#[derive(Debug, Default)]
pub struct Network {
    rules: Vec<(RuleId, Rule)>,
    added: u64,
    /// When the last message of a stream arrives.
    streams: BTreeMap<(Host, Host, u8), Duration>,
    sweep_at: usize,
    /// When a sender whose rate is limited has sent what it was given.
    busy: BTreeMap<Host, Duration>,
}

impl Network {
    /// A network with these rules.
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Self {
        let mut network = Self { sweep_at: STREAMS_SWEEP, ..Self::default() };
        for rule in rules {
            network.add(rule);
        }
        network
    }

    /// Puts a rule in force, for packets sent from now on.
    pub fn add(&mut self, rule: Rule) -> RuleId {
        let id = RuleId(self.added);
        self.added += 1;
        self.rules.push((id, rule));
        id
    }

    /// Takes a rule away; packets lost to it stay lost.
    pub fn remove(&mut self, id: RuleId) {
        self.rules.retain(|(found, _)| *found != id);
    }

    /// Cuts both directions between two groups; take both rules away to heal.
    pub fn partition(&mut self, one: &Hosts, other: &Hosts) -> [RuleId; 2] {
        let cut = |from: &Hosts, to: &Hosts| Rule { from: from.clone(), to: to.clone(), effect: Effect::Cut };
        [self.add(cut(one, other)), self.add(cut(other, one))]
    }

    /// When a message sent now arrives; `None` if it does not.
    pub(crate) fn arrival(
        &mut self,
        (from, to): (Host, Host),
        way: Way,
        stream: u8,
        bytes: usize,
        now: Duration,
        rng: &mut Rng,
    ) -> Option<Duration> {
        let path = self.path(from, to, rng)?;
        let sent = path.rate.map_or(now, |rate| self.transmit(from, bytes, rate, now));
        match way {
            Way::Datagram => (!path.loses(rng)).then(|| sent + path.delay),
            Way::Stream => {
                let arrival = sent + path.stream_delay(bytes, rng)?;
                Some(self.in_order((from, to, stream), arrival, now))
            }
        }
    }

    /// When the last byte has left a sender that sends so many a second.
    fn transmit(&mut self, from: Host, bytes: usize, rate: u64, now: Duration) -> Duration {
        let nanos = (bytes as u64).saturating_mul(1_000_000_000) / rate.max(1);
        let busy = self.busy.entry(from).or_default();
        *busy = now.max(*busy) + Duration::from_nanos(nanos);
        *busy
    }

    /// Whether a datagram sent now is delivered twice.
    pub(crate) fn duplicates(&self, (from, to): (Host, Host), rng: &mut Rng) -> bool {
        self.rules.iter().any(|(_, rule)| match rule.effect {
            Effect::Duplicate(probability) => {
                rule.from.contains(from) && rule.to.contains(to) && rng.f64() < probability
            }
            _ => false,
        })
    }

    /// Whether what is under way from one host to the other gets lost on arrival.
    pub(crate) fn is_cut(&self, from: Host, to: Host) -> bool {
        let cuts = |rule: &Rule| {
            matches!(rule.effect, Effect::Cut) && rule.from.contains(from) && rule.to.contains(to)
        };
        from != to && self.rules.iter().any(|(_, rule)| cuts(rule))
    }

    /// What the rules make of the way from one host to the other; `None` when it is cut.
    fn path(&self, from: Host, to: Host, rng: &mut Rng) -> Option<Path> {
        let mut path = Path { delay: Duration::ZERO, arrives: 1.0, rate: None };
        for (_, rule) in &self.rules {
            if !rule.from.contains(from) || !rule.to.contains(to) {
                continue;
            }
            match rule.effect {
                Effect::Delay(latency) => path.delay += latency.sample(rng),
                Effect::Lose(probability) => path.arrives *= 1.0 - probability,
                Effect::Rate(rate) => path.rate = Some(path.rate.map_or(rate, |other| rate.min(other))),
                Effect::Duplicate(_) => {}
                Effect::Cut => return None,
            }
        }
        Some(path)
    }

    fn in_order(&mut self, pair: (Host, Host, u8), arrival: Duration, now: Duration) -> Duration {
        if self.streams.len() >= self.sweep_at {
            self.streams.retain(|_, last| *last > now);
            self.sweep_at = STREAMS_SWEEP.max(2 * self.streams.len());
        }
        let last = self.streams.entry(pair).or_default();
        *last = arrival.max(*last);
        *last
    }
}

/// The way of one message.
struct Path {
    delay: Duration,
    /// Probability that a packet arrives.
    arrives: f64,
    /// Bytes per second that the sender can send, if that is limited.
    rate: Option<u64>,
}

impl Path {
    fn loses(&self, rng: &mut Rng) -> bool {
        self.arrives < 1.0 && rng.f64() >= self.arrives
    }

    /// How long a message of so many bytes takes: what got lost is sent again, in rounds.
    fn stream_delay(&self, bytes: usize, rng: &mut Rng) -> Option<Duration> {
        let mut waiting = bytes.div_ceil(PACKET_BYTES).max(1);
        let mut delay = self.delay;
        let mut pause = 2 * self.delay + RETRY_PAUSE;
        for _ in 0..RETRIES_MAX {
            waiting = (0..waiting).filter(|_| self.loses(rng)).count();
            if waiting == 0 || delay > STREAM_PATIENCE {
                return (delay <= STREAM_PATIENCE).then_some(delay);
            }
            delay += pause;
            pause *= 2;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Host = Host(0);
    const B: Host = Host(1);
    const C: Host = Host(2);

    fn datagram(network: &mut Network, from: Host, to: Host) -> Option<Duration> {
        network.arrival((from, to), Way::Datagram, 0, 100, Duration::ZERO, &mut Rng::with_seed(1))
    }

    fn fixed(ms: u64) -> Effect {
        Effect::Delay(Latency { floor: Duration::from_millis(ms), tail: Duration::ZERO })
    }

    #[test]
    fn a_slow_sender_sends_one_packet_after_the_other() {
        let ms = |ms| Some(Duration::from_millis(ms));
        let mut network =
            Network::new([fixed(3), Effect::Rate(10_000), Effect::Rate(20_000)].map(Rule::everywhere));
        assert_eq!(datagram(&mut network, A, B), ms(13), "100 bytes take 10 ms");
        assert_eq!(datagram(&mut network, A, C), ms(23), "they have waited for those to B");
        assert_eq!(datagram(&mut network, B, C), ms(13));
    }

    #[test]
    fn delays_of_all_rules_add_up() {
        let mut network = Network::new([Rule::everywhere(fixed(3))]);
        let slow = network.add(Rule { from: Hosts::All, to: [B].into_iter().collect(), effect: fixed(40) });
        assert_eq!(datagram(&mut network, A, B), Some(Duration::from_millis(43)));
        assert_eq!(datagram(&mut network, B, A), Some(Duration::from_millis(3)));
        network.remove(slow);
        assert_eq!(datagram(&mut network, A, B), Some(Duration::from_millis(3)));
    }

    #[test]
    fn a_cut_is_one_way_and_a_partition_both() {
        let mut network = Network::new([]);
        network.add(Rule {
            from: [A].into_iter().collect(),
            to: [B].into_iter().collect(),
            effect: Effect::Cut,
        });
        assert_eq!(datagram(&mut network, A, B), None);
        assert!(datagram(&mut network, B, A).is_some());
        let rules = network.partition(&[A, B].into_iter().collect(), &[C].into_iter().collect());
        assert_eq!(datagram(&mut network, B, C), None);
        assert_eq!(datagram(&mut network, C, B), None);
        assert!(datagram(&mut network, B, A).is_some());
        for id in rules {
            network.remove(id);
        }
        assert!(datagram(&mut network, B, C).is_some());
        assert_eq!(datagram(&mut network, A, B), None, "the older cut still holds");
    }

    #[test]
    fn losses_are_independent() {
        let mut network = Network::new([0.5, 0.5].map(|p| Rule::everywhere(Effect::Lose(p))));
        let mut rng = Rng::with_seed(7);
        let mut arrive =
            || network.arrival((A, B), Way::Datagram, 0, 100, Duration::ZERO, &mut rng).is_some();
        let arrived = (0..10_000).filter(|_| arrive()).count();
        assert!((2300..2700).contains(&arrived), "{arrived}");
    }

    #[test]
    fn a_stream_turns_loss_into_delay_and_keeps_its_order() {
        let mut network = Network::new([Rule::everywhere(fixed(1)), Rule::everywhere(Effect::Lose(0.2))]);
        let mut rng = Rng::with_seed(7);
        let mut last = Duration::ZERO;
        let mut late = 0;
        for step in 0..5_000 {
            let now = Duration::from_micros(100) * step;
            let arrival = network.arrival((A, B), Way::Stream, 0, 3_000, now, &mut rng);
            let arrival = arrival.expect("eight rounds are enough at 20 %");
            assert!(arrival >= last);
            late += u32::from(arrival > now + Duration::from_millis(1));
            last = arrival;
        }
        assert!(late > 2_000, "{late}");
    }

    #[test]
    fn the_memory_of_streams_is_swept() {
        let mut network = Network::new([]);
        let mut rng = Rng::with_seed(7);
        for pair in 0..10 * u32::try_from(STREAMS_SWEEP).unwrap() {
            let now = Duration::from_millis(u64::from(pair));
            network.arrival((Host(pair), B), Way::Stream, 0, 1, now, &mut rng);
        }
        assert!(network.streams.len() <= STREAMS_SWEEP, "{}", network.streams.len());
    }
}
