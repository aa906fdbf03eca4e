//! `--join`: names and addresses, looked up again and again.

use std::net::SocketAddr;
use std::ops::Range;

use super::pace::Pace;
use super::{Sink, Source};
use crate::config::Join;

/// Rest between two look-ups of a node that has not joined, and of one that has, in milliseconds.
const ALONE_MS: Range<u64> = 500..1_000;
const JOINED_MS: Range<u64> = 5_000..30_000;

/// Reports every address of `join` until it is time to end.
pub(super) async fn run(join: Join, sink: Sink, mut pace: Pace) {
    let mut failing = false;
    loop {
        match sink.shutdown.run_until_cancelled(look_up(&join)).await {
            None => return,
            Some(Ok(addrs)) => {
                failing = false;
                if !sink.report(addrs, Source::Join).await {
                    return;
                }
            }
            // Said once per outage, not once per second.
            Some(Err(error)) if !failing => {
                failing = true;
                tracing::warn!(%error, "cannot resolve {join}, trying again until it resolves: is the name right, and does this machine's DNS know it?");
            }
            Some(Err(_)) => {}
        }
        if !pace.rest_by_membership(ALONE_MS, JOINED_MS).await {
            return;
        }
    }
}

/// All addresses of a name, each once. The resolver of the system bounds how long this takes.
pub(crate) async fn look_up(join: &Join) -> std::io::Result<Vec<SocketAddr>> {
    let mut addrs: Vec<_> = tokio::net::lookup_host((join.host.as_str(), join.port)).await?.collect();
    addrs.sort_unstable();
    addrs.dedup();
    Ok(addrs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_gives_all_its_addresses_once() {
        let join = "dns://localhost:7400".parse().unwrap();
        let addrs = look_up(&join).await.unwrap();
        assert!(addrs.contains(&"127.0.0.1:7400".parse().unwrap()), "{addrs:?}");
        assert!(addrs.is_sorted_by(|a, b| a < b), "{addrs:?}");
    }
}
