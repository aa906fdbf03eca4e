//! Times, counts and bounds of the protocol.

use std::time::Duration;

/// Settings of the protocol, equal on all members. Start from [`Config::lan`], [`Config::wan`] or
/// [`Config::local`] and change single fields.
#[derive(Clone, Debug)]
pub struct Config {
    /// One member is probed per interval. Shorter detects sooner and costs two datagrams more per second for each
    /// halving; at least 3 round trips. LAN 1 s.
    pub probe_interval: Duration,
    /// How long a direct probe may take before relays and a stream are tried; below the interval. LAN 500 ms.
    pub probe_timeout: Duration,
    /// How many relays probe on behalf of this member. 3.
    pub indirect_probes: usize,
    /// The shortest suspicion lasts this times `log10` of the cluster size, in probe intervals. LAN 4.
    pub suspicion_multiplier: u32,
    /// The longest suspicion, which nobody else confirms, in units of the shortest. 6.
    pub suspicion_max_multiplier: u32,
    /// Independent confirmations that shrink a suspicion to its shortest time. 3.
    pub suspicion_confirmations: usize,
    /// News is sent once per interval. LAN 200 ms.
    pub gossip_interval: Duration,
    /// To how many live members news is sent. 3.
    pub gossip_fanout: usize,
    /// News is sent this times `ceil(log10(n + 1))` times by each member. 4.
    pub retransmit_multiplier: u32,
    /// How long members found dead still receive news, so that one that is not dead can say so. LAN 30 s.
    pub gossip_to_dead: Duration,
    /// How often the full state is exchanged with one random member, up to 32 members; longer with log2 of more.
    /// LAN 30 s.
    pub sync_interval: Duration,
    /// How long an exchange of state waits for the answer. 10 s.
    pub sync_timeout: Duration,
    /// How often a dead or forgotten member may be contacted. LAN 30 s.
    pub reconnect_interval: Duration,
    /// When a dead member is forgotten. 24 h.
    pub reclaim_dead: Duration,
    /// When a member that left is forgotten. 1 h.
    pub reclaim_left: Duration,
    /// How long a leave may take to spread. LAN 5 s.
    pub leave_timeout: Duration,
    /// Most members kept, dead ones included. Others are not accepted. 65536.
    pub members_max: usize,
    /// Longest datagram sent, in bytes. What QUIC surely carries right after connecting is 1162.
    pub datagram_bytes: usize,
}

impl Config {
    /// Members in one data centre.
    pub fn lan() -> Config {
        Config {
            probe_interval: Duration::from_secs(1),
            probe_timeout: Duration::from_millis(500),
            indirect_probes: 3,
            suspicion_multiplier: 4,
            suspicion_max_multiplier: 6,
            suspicion_confirmations: 3,
            gossip_interval: Duration::from_millis(200),
            gossip_fanout: 3,
            retransmit_multiplier: 4,
            gossip_to_dead: Duration::from_secs(30),
            sync_interval: Duration::from_secs(30),
            sync_timeout: Duration::from_secs(10),
            reconnect_interval: Duration::from_secs(30),
            reclaim_dead: Duration::from_hours(24),
            reclaim_left: Duration::from_hours(1),
            leave_timeout: Duration::from_secs(5),
            members_max: 65_536,
            datagram_bytes: 1162,
        }
    }

    /// Members on several continents: patient, fewer messages.
    pub fn wan() -> Config {
        Config {
            probe_interval: Duration::from_secs(5),
            probe_timeout: Duration::from_secs(3),
            suspicion_multiplier: 6,
            gossip_interval: Duration::from_millis(500),
            gossip_fanout: 4,
            gossip_to_dead: Duration::from_mins(1),
            sync_interval: Duration::from_mins(1),
            reconnect_interval: Duration::from_mins(1),
            leave_timeout: Duration::from_secs(10),
            ..Config::lan()
        }
    }

    /// Members on one machine: quick.
    pub fn local() -> Config {
        Config {
            probe_timeout: Duration::from_millis(200),
            indirect_probes: 1,
            suspicion_multiplier: 3,
            gossip_interval: Duration::from_millis(100),
            retransmit_multiplier: 2,
            gossip_to_dead: Duration::from_secs(15),
            sync_interval: Duration::from_secs(15),
            reconnect_interval: Duration::from_secs(15),
            leave_timeout: Duration::from_secs(2),
            ..Config::lan()
        }
    }
}
