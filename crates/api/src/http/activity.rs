//! What a connection is doing, so that one that does nothing, or too slowly, can be closed.
//!
//! The socket and the requests note what happens; [`Activity::expired`] sleeps until a limit may be over and
//! looks again, so that noting costs little and no timer is set per request.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How long a connection may do what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// From the first byte of a request (or the connection's start) to the end of its head.
    pub(super) head: Duration,
    /// Between requests.
    pub(super) idle: Duration,
    /// With bytes to send and none taken.
    pub(super) write: Duration,
}

/// What is to be done with a connection whose time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expired {
    /// Say goodbye: it is idle.
    Idle,
    /// Drop it: it is stuck in the middle of a message.
    Stuck,
}

const NEVER: u64 = u64::MAX;

/// Nothing has come in yet.
const FRESH: u8 = 0;
/// A request head has begun and is not complete.
const HEAD: u8 = 1;
/// The last head is complete.
const BETWEEN: u8 = 2;

/// The state of one connection, shared by its socket, its requests and its task.
#[derive(Debug)]
pub(super) struct Activity {
    origin: Instant,
    /// Requests whose answer is not yet handed over.
    in_flight: AtomicU32,
    /// What comes in: [`FRESH`], [`HEAD`] or [`BETWEEN`].
    phase: AtomicU8,
    /// In HTTP/2, bytes between requests are not the start of a head.
    http2: AtomicBool,
    /// Begin of the connection, the head or the idleness, in milliseconds since the origin.
    since_ms: AtomicU64,
    /// Since when the peer has taken no byte, or [`NEVER`].
    stalled_ms: AtomicU64,
    /// A request was answered although its body was not read to the end.
    unread: AtomicBool,
    /// The client is on this machine.
    local: bool,
}

impl Activity {
    /// A connection that has just been accepted: the time for its first head runs.
    pub(super) fn new(client: IpAddr) -> Arc<Activity> {
        Arc::new(Activity {
            local: client.to_canonical().is_loopback(),
            origin: Instant::now(),
            in_flight: AtomicU32::new(0),
            phase: AtomicU8::new(FRESH),
            http2: AtomicBool::new(false),
            since_ms: AtomicU64::new(0),
            stalled_ms: AtomicU64::new(NEVER),
            unread: AtomicBool::new(false),
        })
    }

    /// Whether the client is on this machine.
    pub(super) fn is_local(&self) -> bool {
        self.local
    }

    /// Bytes came in.
    pub(super) fn received(&self) {
        if self.in_flight.load(Relaxed) > 0 || self.http2.load(Relaxed) {
            return;
        }
        if self.phase.swap(HEAD, Relaxed) == BETWEEN {
            self.since_ms.store(self.now_ms(), Relaxed);
        }
    }

    /// The peer took bytes.
    pub(super) fn sent(&self) {
        if self.stalled_ms.load(Relaxed) != NEVER {
            self.stalled_ms.store(NEVER, Relaxed);
            self.since_ms.store(self.now_ms(), Relaxed);
        }
    }

    /// There are bytes to send and the peer takes none.
    pub(super) fn stalled(&self) {
        if self.stalled_ms.load(Relaxed) == NEVER {
            self.stalled_ms.store(self.now_ms(), Relaxed);
        }
    }

    /// A request's head is complete; the exchange lasts until the returned guard is dropped.
    pub(super) fn begin(self: &Arc<Self>, http2: bool) -> Exchange {
        self.http2.store(http2, Relaxed);
        self.phase.store(BETWEEN, Relaxed);
        self.unread.store(false, Relaxed);
        self.in_flight.fetch_add(1, Relaxed);
        Exchange(Arc::clone(self))
    }

    /// Notes whether the client may still be sending a body that nobody reads.
    pub(super) fn set_unread(&self, unread: bool) {
        self.unread.store(unread, Relaxed);
    }

    /// Whether the client is probably still sending: a body that nobody reads, or a head that was refused.
    pub(super) fn has_unread(&self) -> bool {
        self.unread.load(Relaxed) || self.phase.load(Relaxed) == HEAD
    }

    /// Completes when the connection's time is over.
    pub(super) async fn expired(&self, patience: Patience) -> Expired {
        loop {
            match self.judge(Instant::now(), patience) {
                Ok(next_look) => sleep_until(next_look).await,
                Err(expired) => return expired,
            }
        }
    }

    /// The next moment at which the time may be over, or how it is over.
    fn judge(&self, now: Instant, patience: Patience) -> Result<Instant, Expired> {
        let at = |since_ms, limit| self.origin + Duration::from_millis(since_ms) + limit;
        let stalled_ms = self.stalled_ms.load(Relaxed);
        let (end, verdict) = if stalled_ms != NEVER {
            (at(stalled_ms, patience.write), Expired::Stuck)
        } else if self.in_flight.load(Acquire) > 0 {
            (now + patience.idle, Expired::Idle)
        } else if self.phase.load(Relaxed) != BETWEEN {
            (at(self.since_ms.load(Relaxed), patience.head), Expired::Stuck)
        } else {
            (at(self.since_ms.load(Relaxed), patience.idle), Expired::Idle)
        };
        // Whatever begins after this look cannot be over before the shortest limit has passed.
        let shortest = patience.head.min(patience.idle).min(patience.write);
        if end <= now { Err(verdict) } else { Ok(end.min(now + shortest)) }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(NEVER - 1)
    }
}

/// A request being answered.
#[derive(Debug)]
pub(super) struct Exchange(Arc<Activity>);

impl Drop for Exchange {
    fn drop(&mut self) {
        self.0.since_ms.store(self.0.now_ms(), Relaxed);
        self.0.in_flight.fetch_sub(1, Release);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_client_on_this_machine_comes_from_loopback() {
        for (client, local) in [
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("10.0.0.1", false),
        ] {
            assert_eq!(Activity::new(client.parse().unwrap()).is_local(), local, "{client}");
        }
    }

    use tokio::time::timeout;

    const PATIENCE: Patience = Patience {
        head: Duration::from_secs(10),
        idle: Duration::from_mins(1),
        write: Duration::from_secs(30),
    };

    async fn seconds_until(activity: &Activity) -> (u64, Expired) {
        let start = Instant::now();
        let expired =
            timeout(Duration::from_hours(1), activity.expired(PATIENCE)).await.expect("it must expire");
        (start.elapsed().as_secs(), expired)
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_never_speaks_is_dropped() {
        assert_eq!(seconds_until(&Activity::new(Ipv4Addr::LOCALHOST.into())).await, (10, Expired::Stuck));
    }

    #[tokio::test(start_paused = true)]
    async fn dripping_a_head_does_not_extend_its_time() {
        let activity = Activity::new(Ipv4Addr::LOCALHOST.into());
        drop(activity.begin(false));
        activity.received();
        tokio::time::advance(Duration::from_secs(7)).await;
        activity.received();
        assert_eq!(seconds_until(&activity).await, (3, Expired::Stuck));
    }

    #[tokio::test(start_paused = true)]
    async fn the_idle_time_starts_with_the_end_of_the_last_exchange() {
        let activity = Activity::new(Ipv4Addr::LOCALHOST.into());
        let exchange = activity.begin(false);
        tokio::time::advance(Duration::from_secs(500)).await;
        drop(exchange);
        assert_eq!(seconds_until(&activity).await, (60, Expired::Idle));
    }

    #[tokio::test(start_paused = true)]
    async fn an_exchange_may_last() {
        let activity = Activity::new(Ipv4Addr::LOCALHOST.into());
        let _exchange = activity.begin(false);
        let waited = timeout(Duration::from_hours(1), activity.expired(PATIENCE)).await;
        assert!(waited.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_dropped_even_during_an_exchange() {
        let activity = Activity::new(Ipv4Addr::LOCALHOST.into());
        let _exchange = activity.begin(true);
        activity.stalled();
        tokio::time::advance(Duration::from_secs(1)).await;
        activity.stalled();
        assert_eq!(seconds_until(&activity).await, (29, Expired::Stuck));
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_between_http2_requests_do_not_extend_idleness() {
        let activity = Activity::new(Ipv4Addr::LOCALHOST.into());
        drop(activity.begin(true));
        tokio::time::advance(Duration::from_secs(20)).await;
        activity.received();
        assert_eq!(seconds_until(&activity).await, (40, Expired::Idle));
    }
}
