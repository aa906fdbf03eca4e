//! What the measurements share: the process, and a node in it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use boato_transport::{Config, Handler, NodeKey, Transport};

/// A node on loopback that serves others with `handler`.
pub(crate) fn node(handler: Arc<dyn Handler>) -> Transport {
    let bind = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = Config::new("bench", NodeKey::generate(), bind, 1);
    let transport = Transport::bind(config).expect("loopback can be bound");
    transport.serve(handler);
    transport
}

/// CPU time of this process so far.
pub(crate) fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    // User and system time are fields 14 and 15 of proc(5), in ticks of 10 ms.
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}
