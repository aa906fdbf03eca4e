//! What a member has done so far.

/// Counters since the start, and the present local health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Datagrams sent.
    pub datagrams_sent: u64,
    /// Bytes in them.
    pub datagram_bytes_sent: u64,
    /// Messages sent on streams.
    pub stream_messages_sent: u64,
    /// Bytes in them.
    pub stream_bytes_sent: u64,
    /// Messages received and understood.
    pub messages_received: u64,
    /// Messages received and refused as malformed.
    pub messages_refused: u64,
    /// Probes started by this member on its own behalf.
    pub probes: u64,
    /// Those that got no answer, neither direct nor through relays nor by stream.
    pub probes_failed: u64,
    /// Probes sent on behalf of others.
    pub probes_relayed: u64,
    /// How often this member began to take another for suspect, by its own probes or by what others say.
    pub suspicions: u64,
    /// How often this member had to refute that it is not alive.
    pub refutations: u64,
    /// Push-pulls started by this member.
    pub push_pulls: u64,
    /// Those that got no answer in time.
    pub push_pulls_failed: u64,
    /// News of further members not taken because the bound on members is reached.
    pub members_refused: u64,
    /// Words of members with a signature that is not the member's, or of a teller of too many such: passed on by others, they were
    /// not believed.
    pub signatures_refused: u64,
    /// How often this process was found to have not run for a while.
    pub stalls: u64,
    /// Members there is news about that has not yet been sent often enough.
    pub news_queued: usize,
    /// Bytes that telling this news once, and the events and queries still to be told, takes.
    pub queue_bytes: usize,
    /// Mean round-trip time of direct probes, in microseconds; 0 before the first answer.
    pub rtt_us: u64,
    /// Local health score: 0 is healthy, 8 trusts its own clock least.
    pub health_score: u32,
}
