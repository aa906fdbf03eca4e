//! The members that a node knew, kept in its data directory: it finds them again after a restart without being told.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::files;
use crate::membership::Membership;

/// The file in the data directory.
const FILE: &str = "members";
/// Largest such file, in bytes, and most addresses in it: more members are met by gossip.
const FILE_MAX: u64 = 64 << 10;
const ADDRESSES_MAX: usize = 256;
/// How often members are looked at, and written if they are others.
const PERIOD: Duration = Duration::from_secs(5);
/// How often they are contacted after a restart, and for how long.
const RETRY: Duration = Duration::from_secs(1);
const RETRIES_MAX: Duration = Duration::from_mins(1);

/// The addresses of members that were live when they were last written.
#[derive(Clone, Debug)]
pub(crate) struct Remembered {
    path: PathBuf,
    pub(crate) addresses: BTreeSet<SocketAddr>,
}

impl Remembered {
    /// What is kept in `dir`. What cannot be read is as good as nothing.
    pub(crate) fn open(dir: &Path) -> Self {
        let path = dir.join(FILE);
        let text = File::open(&path).and_then(|file| files::read(&file, FILE_MAX)).unwrap_or_default();
        let addresses = text.lines().filter_map(|line| line.parse().ok()).take(ADDRESSES_MAX).collect();
        Self { path, addresses }
    }

    /// Contacts them until one answers, then keeps the file up to date, until `stop`.
    pub(crate) async fn run(self, membership: Membership, stop: CancellationToken) {
        stop.run_until_cancelled(async {
            // When nobody answers in that time, whoever lives looks for this node as well.
            let _ = timeout(RETRIES_MAX, self.rejoin(&membership)).await;
            self.keep(&membership).await;
        })
        .await;
    }

    async fn rejoin(&self, membership: &Membership) {
        let mut ticks = interval(RETRY);
        while live(membership).is_empty() && !self.addresses.is_empty() {
            ticks.tick().await;
            self.addresses.iter().for_each(|addr| membership.join(*addr));
        }
    }

    async fn keep(mut self, membership: &Membership) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failed = false;
        loop {
            ticks.tick().await;
            let addresses = live(membership);
            // Who is alone, or is the last to go, remembers whom it knew last.
            if addresses.is_empty() || addresses == self.addresses {
                continue;
            }
            let (path, lines) = (self.path.clone(), addresses.clone());
            let written = tokio::task::spawn_blocking(move || write(&path, &lines)).await;
            match written.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())) {
                Ok(()) => (self.addresses, failed) = (addresses, false),
                // Tried again with the next look, and told once.
                Err(error) if !std::mem::replace(&mut failed, true) => tracing::warn!(
                    %error,
                    "cannot write {}, trying again: make room there and let this user write, or a restart finds others by \
                     --join and discovery only",
                    self.path.display()
                ),
                Err(_) => {}
            }
        }
    }
}

fn write(path: &Path, addresses: &BTreeSet<SocketAddr>) -> std::io::Result<()> {
    let lines: Vec<String> = addresses.iter().map(|addr| format!("{addr}\n")).collect();
    files::replace(path, lines.concat().as_bytes())
}

/// The addresses of the other live members.
fn live(membership: &Membership) -> BTreeSet<SocketAddr> {
    let members = membership.members();
    let others = members.iter().filter(|member| member.is_live() && member.addr != membership.addr());
    others.map(|member| member.addr).take(ADDRESSES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_other_lines_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut remembered = Remembered::open(dir.path());
        assert!(remembered.addresses.is_empty());
        let addresses = [1, 2].map(|n| SocketAddr::from(([10, 0, 0, n], 7400)));
        remembered.addresses.extend(addresses);
        write(&remembered.path, &remembered.addresses).unwrap();
        assert_eq!(Remembered::open(dir.path()).addresses, remembered.addresses);
        std::fs::write(dir.path().join(FILE), "10.0.0.1:7400\nnonsense\n\n[::1]:1\n").unwrap();
        assert_eq!(Remembered::open(dir.path()).addresses.len(), 2);
    }
}
