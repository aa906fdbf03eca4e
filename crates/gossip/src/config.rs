//! Times, counts and bounds of the protocol.

use std::time::Duration;

use crate::codec::DATAGRAM_BYTES_MIN;
use crate::member::ATTRIBUTE_BYTES_MAX;
use crate::user_event::OVERHEAD;

/// A query is open for so many gossip intervals for each digit of the number of members (Serf).
const QUERY_INTERVALS: u32 = 16;

/// Settings of the protocol, equal on all members. Start from [`Config::lan`], [`Config::wan`] or
/// [`Config::local`] and change single fields. Each field tells its range (others are refused when the core is made), what
/// more and less of it cost, and its value in `Config::lan`.
#[derive(Clone, Debug)]
pub struct Config {
    /// One member is probed per interval. Shorter detects sooner and doubles the datagrams of probes with each halving; keep
    /// it at 3 round trips or more. Of 100 crashes one waits 4.6 intervals for its first probe, however large the cluster.
    /// From 1 ms to 1 day. LAN 500 ms.
    pub probe_interval: Duration,
    /// How long a direct probe may take before relays and a stream are tried; less where measured round trips allow it.
    /// Longer asks them less often for nothing and leaves them less of the interval; shorter than the slowest round trip, every
    /// probe costs relays. From 1 ms to below `probe_interval`. LAN 250 ms.
    pub probe_timeout: Duration,
    /// How many relays probe on behalf of this member when a direct probe got no answer. More suspect less where packets are
    /// lost, and cost four datagrams each for every probe that fails. From 0, where only the stream is left, to 16. LAN 3.
    pub indirect_probes: usize,
    /// The shortest suspicion lasts this times `log10` of the cluster size, in probe intervals (Lifeguard's alpha). Lower
    /// finds deaths sooner, and gives a member less time to say that it lives. From 1 to 100. LAN 7.
    pub suspicion_multiplier: u32,
    /// The shortest suspicion lasts so many probe intervals at least, however few members there are: a process may stand
    /// still for about so long. Lower finds deaths in a small cluster sooner. From 1 to 100. LAN 8, which is 4 s.
    pub suspicion_floor: u32,
    /// The longest suspicion, which nobody else confirms, in units of the shortest (Lifeguard's beta). Higher saves more members
    /// from an accuser that is itself slow, and finds a death that few can see later. From 1 to 100. LAN 6.
    pub suspicion_max_multiplier: u32,
    /// Independent confirmations that shrink a suspicion to its shortest time; none in a cluster too small to give them. More
    /// ask for more witnesses, and declare later. From 0, where all suspicions are of the shortest time, to 16. LAN 3.
    pub suspicion_confirmations: usize,
    /// Whether a member that finds itself slow takes more time and does not trust what it missed. Without, and with
    /// no `suspicion_confirmations`, this is SWIM as it was before Lifeguard: for comparisons. LAN true.
    pub local_health: bool,
    /// News is sent once per interval, while there is any. Shorter spreads it sooner, in more and emptier datagrams.
    /// From 1 ms to 1 day. LAN 200 ms.
    pub gossip_interval: Duration,
    /// To how many live members news is sent per interval. More spreads it sooner (by the logarithm to this base) for as many
    /// datagrams more. From 1 to 16. LAN 3.
    pub gossip_fanout: usize,
    /// News is sent this times `ceil(log10(n + 1))` times by each member; to at least 8 others, or to all of fewer. Higher
    /// reaches more members where packets are lost, before push-pull does; bytes grow with it. From 1 to 100. LAN 4.
    pub retransmit_multiplier: u32,
    /// How long members found dead still receive news, so that one that is not dead can say so. Longer heals short cuts
    /// sooner; datagrams to nobody after a crash. From 0 to 1 day. LAN 30 s.
    pub gossip_to_dead: Duration,
    /// How often all beliefs are compared with those of one random member, up to 32 members; longer with log2 of
    /// more. Much sooner while a comparison finds much that differs, as after a partition. Shorter makes up sooner for news
    /// that was lost; a comparison costs bytes with the number of members. From 1 ms to 1 day. LAN 30 s.
    pub push_pull_interval: Duration,
    /// How long a push-pull waits for the answer. Longer suits large clusters behind slow lines; shorter gives up sooner a
    /// member that says nothing, and turns to another. From 1 ms to 1 day. LAN 10 s.
    pub push_pull_timeout: Duration,
    /// How often a dead or forgotten member may be contacted, by any one member. Shorter finds sooner that a partition has
    /// healed; each contact is a connection tried for nothing while it has not. From 1 ms to 1 day. LAN 30 s.
    pub reconnect_interval: Duration,
    /// When a dead member is forgotten. Longer lets the halves of a longer partition find each other; the list keeps
    /// whom nobody removes. From 0 to 366 days. LAN 24 h.
    pub reclaim_dead: Duration,
    /// When a member that left is forgotten. Shorter than late news of it travels, it may be taken for alive again; longer
    /// keeps the list of those that are gone. From 0 to 366 days. LAN 1 h.
    pub reclaim_left: Duration,
    /// How long a leave may take to spread; sooner where all have it. Shorter ends sooner, and whoever has not heard of it
    /// declares a death instead. From 1 ms to 1 day. LAN 5 s.
    pub leave_timeout: Duration,
    /// Most bytes of recent user events kept, with 128 for each; the oldest are forgotten. Beyond half of it, events that
    /// have yet to be told keep own new ones out. More bridges longer absences and takes memory. From 4 KiB to 64 MiB.
    /// LAN 256 KiB.
    pub event_bytes: usize,
    /// Most members kept, dead ones included; others are not accepted. A bound for memory, which peers could fill otherwise.
    /// From 1 to 1048576. LAN 65536.
    pub members_max: usize,
    /// Most bytes of names and tags of all others, kept beside them. Members beyond it are not accepted, and larger tags of known
    /// ones not taken over: a bound for memory. From 64 KiB to 1 GiB. LAN 64 MiB.
    pub attribute_bytes: usize,
    /// Longest datagram sent, in bytes. What QUIC surely carries right after connecting is 1162; longer carries more news at
    /// once, and is lost where the path is narrower. From 1162 to 65507. LAN 1162.
    pub datagram_bytes: usize,
}

impl Config {
    /// Members in one data centre.
    pub fn lan() -> Config {
        Config {
            probe_interval: Duration::from_millis(500),
            probe_timeout: Duration::from_millis(250),
            indirect_probes: 3,
            suspicion_multiplier: 7,
            suspicion_floor: 8,
            suspicion_max_multiplier: 6,
            suspicion_confirmations: 3,
            local_health: true,
            gossip_interval: Duration::from_millis(200),
            gossip_fanout: 3,
            retransmit_multiplier: 4,
            gossip_to_dead: Duration::from_secs(30),
            push_pull_interval: Duration::from_secs(30),
            push_pull_timeout: Duration::from_secs(10),
            reconnect_interval: Duration::from_secs(30),
            reclaim_dead: Duration::from_hours(24),
            reclaim_left: Duration::from_hours(1),
            leave_timeout: Duration::from_secs(5),
            event_bytes: 256 << 10,
            members_max: 65_536,
            attribute_bytes: 64 << 20,
            datagram_bytes: 1162,
        }
    }

    /// Members on several continents: patient, fewer messages.
    pub fn wan() -> Config {
        Config {
            probe_interval: Duration::from_secs(5),
            probe_timeout: Duration::from_secs(3),
            suspicion_multiplier: 6,
            suspicion_floor: 6,
            gossip_interval: Duration::from_millis(500),
            gossip_fanout: 4,
            gossip_to_dead: Duration::from_mins(1),
            push_pull_interval: Duration::from_mins(1),
            reconnect_interval: Duration::from_mins(1),
            leave_timeout: Duration::from_secs(10),
            ..Config::lan()
        }
    }

    /// Members on one machine: quick.
    pub fn local() -> Config {
        Config {
            probe_interval: Duration::from_secs(1),
            probe_timeout: Duration::from_millis(200),
            indirect_probes: 1,
            suspicion_multiplier: 3,
            suspicion_floor: 3,
            gossip_interval: Duration::from_millis(100),
            gossip_to_dead: Duration::from_secs(15),
            push_pull_interval: Duration::from_secs(15),
            reconnect_interval: Duration::from_secs(15),
            leave_timeout: Duration::from_secs(2),
            ..Config::lan()
        }
    }

    /// Most user events that are kept, and so that one recall can bring.
    pub fn events_max(&self) -> usize {
        self.event_bytes / OVERHEAD
    }

    /// How long a query is open by itself, in a cluster of so many members: 16 gossip intervals for each digit of their
    /// number, as in Serf.
    pub fn query_timeout(&self, members: usize) -> Duration {
        self.gossip_interval * QUERY_INTERVALS * (members.max(1).ilog10() + 1)
    }

    /// What is wrong with the settings, if anything.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let times = [
            self.probe_interval,
            self.probe_timeout,
            self.gossip_interval,
            self.push_pull_interval,
            self.push_pull_timeout,
            self.reconnect_interval,
            self.leave_timeout,
        ];
        let rules = [
            (times.iter().all(|t| (TIME_MIN..=TIME_MAX).contains(t)), "times must be from 1 ms to 1 day"),
            (self.probe_timeout < self.probe_interval, "probe_timeout must be shorter than probe_interval"),
            (self.reclaim_dead <= RECLAIM_MAX, "reclaim_dead must be at most 366 days"),
            (self.reclaim_left <= RECLAIM_MAX, "reclaim_left must be at most 366 days"),
            (self.gossip_to_dead <= TIME_MAX, "gossip_to_dead must be at most 1 day"),
            ((1..=100).contains(&self.suspicion_multiplier), "suspicion_multiplier must be from 1 to 100"),
            ((1..=100).contains(&self.suspicion_floor), "suspicion_floor must be from 1 to 100"),
            (
                (1..=100).contains(&self.suspicion_max_multiplier),
                "suspicion_max_multiplier must be from 1 to 100",
            ),
            ((1..=100).contains(&self.retransmit_multiplier), "retransmit_multiplier must be from 1 to 100"),
            (self.indirect_probes <= 16, "indirect_probes must be at most 16"),
            (self.suspicion_confirmations <= 16, "suspicion_confirmations must be at most 16"),
            ((4096..=64 << 20).contains(&self.event_bytes), "event_bytes must be from 4096 to 67108864"),
            ((1..=16).contains(&self.gossip_fanout), "gossip_fanout must be from 1 to 16"),
            ((1..=1 << 20).contains(&self.members_max), "members_max must be from 1 to 1048576"),
            (
                (ATTRIBUTE_BYTES_MAX..=1 << 30).contains(&self.attribute_bytes),
                "attribute_bytes must be from 65536 to 1073741824",
            ),
            (
                (DATAGRAM_BYTES_MIN..=65_507).contains(&self.datagram_bytes),
                "datagram_bytes must be from 1162 to 65507",
            ),
        ];
        rules.iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, rule)| Err(*rule))
    }
}

const TIME_MIN: Duration = Duration::from_millis(1);
const TIME_MAX: Duration = Duration::from_hours(24);
const RECLAIM_MAX: Duration = Duration::from_hours(24 * 366);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_obey_the_rules() {
        for config in [Config::lan(), Config::wan(), Config::local()] {
            assert_eq!(config.check(), Ok(()));
        }
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let config = Config { probe_timeout: Duration::from_secs(1), ..Config::lan() };
        assert_eq!(config.check(), Err("probe_timeout must be shorter than probe_interval"));
        let config = Config { datagram_bytes: DATAGRAM_BYTES_MIN - 1, ..Config::lan() };
        assert!(config.check().is_err_and(|rule| rule.contains(&DATAGRAM_BYTES_MIN.to_string())));
    }
}
