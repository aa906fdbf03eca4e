//! What the cluster core says of slots, for the log and the journal. It speaks slot by slot and step by step, so what
//! comes within a second is put together: a crash or a merge concerns thousands of slots.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use boato_cluster::quic::Cluster;
use boato_cluster::{Event, Pid};
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{MissedTickBehavior, interval};

use crate::journal::Journal;
use crate::roster::Roster;

/// How long events are gathered.
const GATHER: Duration = Duration::from_secs(1);

/// Writes what happens on this node until the cluster core ends.
pub(crate) async fn write(cluster: Cluster, journal: Arc<Journal>, roster: Arc<Roster>) {
    let mut events = cluster.subscribe();
    let mut reports = Reports::default();
    let mut ticks = interval(GATHER);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Ok(Event::Claimed { began }) => claimed(began, &journal),
                Ok(Event::Unanswered { pid }) => unanswered(&roster.name(pid), &journal),
                Ok(event) => reports.add(event),
                Err(RecvError::Lagged(missed)) => journal.miss(missed),
                Err(RecvError::Closed) => return,
            },
            _ = ticks.tick() => {
                let stats = cluster.stats();
                for report in reports.take(stats.slots_lost, stats.keys_superseded) {
                    report.write(&journal, &roster);
                }
            }
        }
    }
}

fn claimed(began: bool, journal: &Journal) {
    if began {
        tracing::info!("no cluster here yet: beginning one");
        journal.write("cluster_begun", json!({}));
    } else {
        tracing::info!("joined the cluster");
        journal.write("cluster_joined", json!({}));
    }
}

fn unanswered(member: &str, journal: &Journal) {
    tracing::warn!(
        %member,
        "a member that others reach does not answer this node, so neither takes slots over: let the two reach each other \
         (UDP, the port of --quic, both ways; `boato reachability`), or stop one of them"
    );
    journal.write("member_unanswered", json!({ "member": member }));
}

/// Events gathered and not written yet.
#[derive(Default)]
struct Reports {
    /// Slots lost on this node that have been written. Counted, not added up from events, of which some may be missed.
    lost: u64,
    /// Slots that go to the winner of two holders.
    merging: BTreeMap<Pid, usize>,
    /// Keys superseded on this node that have been written.
    superseded: u64,
}

/// Something to write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Report {
    Lost { slots: u64 },
    Merging { slots: usize, winner: Pid },
    Superseded { keys: u64 },
}

impl Reports {
    fn add(&mut self, event: Event) {
        if let Event::Merging { winner, .. } = event {
            *self.merging.entry(winner).or_default() += 1;
        }
    }

    /// What was gathered; `lost` and `superseded` count all slots and keys since the start.
    fn take(&mut self, lost: u64, superseded: u64) -> Vec<Report> {
        let lost_before = std::mem::replace(&mut self.lost, lost);
        let lost = Report::Lost { slots: lost - lost_before };
        let merging = std::mem::take(&mut self.merging);
        let merging = merging.into_iter().map(|(winner, slots)| Report::Merging { slots, winner });
        let before = std::mem::replace(&mut self.superseded, superseded);
        let superseded = Report::Superseded { keys: superseded - before };
        let reports = [lost, superseded].into_iter().chain(merging);
        reports
            .filter(|it| !matches!(it, Report::Lost { slots: 0 } | Report::Superseded { keys: 0 }))
            .collect()
    }
}

impl Report {
    fn write(self, journal: &Journal, roster: &Roster) {
        match self {
            Self::Lost { slots } => {
                tracing::warn!(
                    slots,
                    "slots of crashed nodes begin anew, empty: their logs, or the kernel's, may say why they ended"
                );
                journal.write("slots_lost", json!({ "slots": slots }));
            }
            Self::Merging { slots, winner } => {
                let winner = roster.name(winner);
                tracing::info!(slots, %winner, "another node holds these slots, too, and since later: merging into it");
                journal.write("slots_merging", json!({ "slots": slots, "into": &*winner }));
            }
            // Told by the winner, who compares.
            Self::Superseded { keys } => {
                tracing::info!(
                    keys,
                    "keys of which two nodes held different values keep their later version"
                );
                journal.write("keys_superseded", json!({ "keys": keys }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_within_a_second_is_one_report_a_kind_and_winner() {
        let [first, second] = [1, 2].map(|node| Pid { node, boot: 1 });
        let mut reports = Reports::default();
        assert_eq!(reports.take(0, 0), []);
        for (slot, winner) in [(1, second), (2, first), (3, second)] {
            reports.add(Event::Merging { slot, winner });
        }
        let told = [
            Report::Lost { slots: 12 },
            Report::Superseded { keys: 4 },
            Report::Merging { slots: 1, winner: first },
            Report::Merging { slots: 2, winner: second },
        ];
        assert_eq!(reports.take(12, 4), told);
        assert_eq!(reports.take(12, 4), []);
        assert_eq!(reports.take(13, 6), [Report::Lost { slots: 1 }, Report::Superseded { keys: 2 }]);
    }
}
