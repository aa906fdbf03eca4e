//! A node that an operator names is contacted until it is a member.

use std::net::SocketAddr;
use std::time::Duration;

use boato_api::Declined;
use tokio::time::{Instant, sleep};

use super::Membership;
use crate::config::Join;
use crate::discovery::look_up;

/// How long whoever asks waits, and how often the addresses are contacted and the members looked at.
const PATIENCE: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_millis(500);

impl Membership {
    /// Contacts all other addresses of the name again and again until a live member has one of them. A node that is not one of them yet may be
    /// of another cluster of this name: the two become one.
    ///
    /// # Errors
    /// Nobody is there, it is this node itself, or it has another secret.
    pub(super) async fn join_and_wait(&self, addr: &str) -> Result<(), Declined> {
        let join: Join = addr.parse().map_err(|error| Declined::Invalid(format!("{addr:?}: {error}")))?;
        let addrs = look_up(&join).await.map_err(|error| {
            Declined::Unknown(format!(
                "cannot resolve {join}: {error}; is the name right, and does the node's machine know it?"
            ))
        })?;
        let addrs: Vec<SocketAddr> = addrs.into_iter().filter(|addr| *addr != self.addr).collect();
        if addrs.is_empty() {
            return Err(Declined::Conflict(format!("{join} is this node itself: name another")));
        }
        let deadline = Instant::now() + PATIENCE;
        while !self.has_one_at(&addrs) {
            if Instant::now() >= deadline {
                return Err(Declined::Busy(format!(
                    "nobody at {join} has become a member within {} s: does a node of this cluster's name and secret listen there, and does a firewall drop UDP?",
                    PATIENCE.as_secs()
                )));
            }
            for addr in &addrs {
                self.join(*addr);
            }
            sleep(AGAIN).await;
        }
        Ok(())
    }

    fn has_one_at(&self, addrs: &[SocketAddr]) -> bool {
        let members = self.members();
        members.iter().any(|member| member.id != self.me && member.is_live() && addrs.contains(&member.addr))
    }
}
