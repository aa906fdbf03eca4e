//! What a RESP door is told: its kind, passwords, limits, where its counters go.

use std::time::Duration;

use super::metrics::Metrics;
use super::slow_log::SlowLog;
use crate::Tokens;

/// What [`run`](super::run) needs beside a listener and a backend.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Which clients it is for.
    pub kind: Kind,
    /// What clients may show with `AUTH` or `HELLO`, any of them; none: everyone is served.
    pub passwords: Tokens,
    /// How much of everything.
    pub limits: Limits,
    /// Where this door counts; registered once, shared by all doors of a process.
    pub metrics: Metrics,
    /// Where commands that take long are kept, shared by all doors of a process.
    pub slow_log: SlowLog,
}

/// Which clients a door is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Clients that know one address: every key is served, wherever it is held.
    #[default]
    Proxy,
    /// Cluster clients: who asks the wrong node is told the right one, with `MOVED`.
    Cluster,
}

/// The bounds of a door. Times are taken as at least 10 ms and at most a year.
///
/// A connection holds up to 64 KiB of what it has read and about 1 MiB of replies; what it needs beyond that it takes from
/// `memory_bytes`, which all connections share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest single argument, in bytes; beyond, `invalid bulk length` and the end. Larger than the largest value, so that one
    /// that is a little too large is answered. Default 16 MiB.
    pub bulk_bytes: usize,
    /// Most arguments of a command, its name included; beyond, `invalid multibulk length` and the end. Default 1048576.
    pub arguments: usize,
    /// Longest command, in bytes; beyond, an error and the end. Default 64 MiB.
    pub command_bytes: usize,
    /// Most bytes of replies that wait for one client: a command with a longer reply ends the connection. Default 64 MiB.
    pub reply_bytes: usize,
    /// Most bytes that all connections hold of commands, replies and answers of other nodes, beyond what each has of its own and the
    /// answers that have just come, which are asked for one by one when memory is short; a connection for which
    /// nothing is left is ended with an error. Default 512 MiB.
    pub memory_bytes: usize,
    /// Open connections; one more is told so and closed. Default 10000.
    pub connections: usize,
    /// A command that has begun brings 16 KiB or its end within this time, again and again, and its end within this time and
    /// a second for each 64 KiB that it has brought, or the connection is ended: one of `command_bytes` has 18 minutes at
    /// most by default, however it comes. Default 30 s.
    pub command_timeout: Duration,
    /// Until a client shows the password, where one is asked for; then the connection is ended. Default 10 s.
    pub password_timeout: Duration,
    /// Between two commands; then the connection is ended. Default: none, as in Redis; a client that is gone without a word is
    /// noticed by TCP's own questions after about 6 minutes.
    pub idle_timeout: Option<Duration>,
    /// A client takes at least a byte of its replies within this time, or the connection is ended. Default 30 s.
    pub write_timeout: Duration,
    /// How long commands may take to finish once the door shuts down; then their connections are dropped. Default 10 s.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            bulk_bytes: 16 << 20,
            arguments: 1 << 20,
            command_bytes: 64 << 20,
            reply_bytes: 64 << 20,
            memory_bytes: 512 << 20,
            connections: 10_000,
            command_timeout: Duration::from_secs(30),
            password_timeout: Duration::from_secs(10),
            idle_timeout: None,
            write_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// The limits as the door can keep them.
    pub(super) fn within_reason(self) -> Limits {
        let time = |limit: Duration| limit.clamp(Duration::from_millis(10), Duration::from_hours(24 * 365));
        Limits {
            command_timeout: time(self.command_timeout),
            password_timeout: time(self.password_timeout),
            idle_timeout: self.idle_timeout.map(time),
            write_timeout: time(self.write_timeout),
            drain_timeout: time(self.drain_timeout),
            ..self
        }
    }
}
