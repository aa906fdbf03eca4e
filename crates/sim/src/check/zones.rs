//! Registers with unique writes, in `n log n`: P. B. Gibbons and E. Korach, *Testing Shared Memories*, SIAM Journal
//! on Computing 26(4), 1997, section 4.
//!
//! A write and the reads of its value form a cluster. Its zone spans from the first answer in it to the last request
//! in it (forward), or the other way round if all its calls overlap at some moment (backward). The history is
//! linearizable unless two forward zones overlap or a forward one contains a backward one.
//!
//! Added to the paper: a write of unknown outcome never ends, and is left out if nobody read it; that the key is
//! absent at first is a cluster before all others; the write that was told to have created the key comes next.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Action, Call, History, Value, Violation};

/// A write and the reads of its value.
struct Cluster {
    write: Call,
    /// The call that was answered first.
    first_over: Call,
    /// The call that was requested last.
    last_begun: Call,
}

impl Cluster {
    fn new(write: Call) -> Self {
        Self { write, first_over: write, last_begun: write }
    }

    fn add(&mut self, read: Call) {
        if over(&read) < self.over() {
            self.first_over = read;
        }
        if read.invoked > self.begun() {
            self.last_begun = read;
        }
    }

    fn over(&self) -> Duration {
        over(&self.first_over)
    }

    fn begun(&self) -> Duration {
        self.last_begun.invoked
    }

    fn is_forward(&self) -> bool {
        self.over() < self.begun()
    }

    /// Whether it must have happened: it was acknowledged or read.
    fn counts(&self) -> bool {
        self.write.closed().is_some() || self.over() < Duration::MAX
    }
}

/// When a call was certainly over.
fn over(call: &Call) -> Duration {
    call.closed().unwrap_or(Duration::MAX)
}

/// Judges a history of reads and unconditional writes of distinct values; `None` if it is not one.
pub(super) fn check(history: &History) -> Option<Result<(), Violation>> {
    let mut clusters = gather_writes(history)?;
    let absent = match gather_reads(history, &mut clusters) {
        Ok(absent) => absent,
        Err(violation) => return Some(Err(violation)),
    };
    let clusters: Vec<Cluster> = clusters.into_values().collect();
    Some(
        check_absence(&clusters, absent)
            .and_then(|()| check_origin(&clusters))
            .and_then(|()| check_zones(&clusters)),
    )
}

fn gather_writes(history: &History) -> Option<BTreeMap<Value, Cluster>> {
    let mut clusters = BTreeMap::new();
    for call in history.calls() {
        match call.action {
            Action::Read { .. } => {}
            Action::Write { value, .. } => {
                if clusters.insert(value, Cluster::new(*call)).is_some() {
                    return None;
                }
            }
            _ => return None,
        }
    }
    Some(clusters)
}

/// The last request that found nothing.
fn gather_reads(
    history: &History,
    clusters: &mut BTreeMap<Value, Cluster>,
) -> Result<Option<Call>, Violation> {
    let mut absent = None;
    for call in history.calls().iter().filter(|call| call.closed().is_some()) {
        match call.action {
            Action::Read { found: None } => absent = Some(*call),
            Action::Read { found: Some(value) } => {
                let never = Violation::NeverWritten { value, read: Some(*call) };
                let cluster = clusters.get_mut(&value).ok_or(never)?;
                if over(call) < cluster.write.invoked {
                    return Err(Violation::FromFuture { calls: [Box::new(*call), Box::new(cluster.write)] });
                }
                cluster.add(*call);
            }
            _ => {}
        }
    }
    Ok(absent)
}

/// Nothing is over before the last request that found nothing.
fn check_absence(clusters: &[Cluster], absent: Option<Call>) -> Result<(), Violation> {
    let Some(absent) = absent else { return Ok(()) };
    match first_over(clusters, None) {
        Some(cluster) if cluster.over() < absent.invoked => {
            let mut calls = vec![cluster.write, cluster.first_over, absent];
            calls.dedup();
            Err(Violation::Stale { calls })
        }
        _ => Ok(()),
    }
}

/// The cluster that is over first, but for one.
fn first_over<'a>(clusters: &'a [Cluster], but: Option<&Cluster>) -> Option<&'a Cluster> {
    let but = but.map(|cluster| cluster.write);
    clusters.iter().filter(|cluster| Some(cluster.write) != but).min_by_key(|cluster| cluster.over())
}

/// Exactly one write was the first, and nothing of another value was over before all of its cluster had begun.
fn check_origin(clusters: &[Cluster]) -> Result<(), Violation> {
    let told = |answer| {
        let acknowledged = clusters.iter().filter(|cluster| cluster.write.closed().is_some());
        acknowledged.filter(move |cluster| matches!(cluster.write.action, Action::Write { replaced, .. } if replaced == answer))
    };
    let (mut created, mut replaced) = (told(Some(false)), told(Some(true)));
    let comes_first = |first: &Cluster| {
        let other = first_over(clusters, Some(first)).filter(|other| other.over() < first.begun());
        other.map_or(Ok(()), |other| {
            Err(Violation::Origin {
                calls: vec![first.write, other.write, other.first_over, first.last_begun],
            })
        })
    };
    match (created.next(), created.next(), replaced.next()) {
        (Some(first), Some(second), _) => Err(Violation::Origin { calls: vec![first.write, second.write] }),
        (Some(first), None, _) => comes_first(first),
        (None, _, None) => Ok(()),
        (None, _, Some(replaced)) => {
            let mut unknown = clusters.iter().filter(|cluster| cluster.write.closed().is_none());
            let found = unknown.any(|cluster| comes_first(cluster).is_ok());
            found.then_some(()).ok_or_else(|| Violation::Origin { calls: vec![replaced.write] })
        }
    }
}

/// No two clusters must each come before the other.
fn check_zones(clusters: &[Cluster]) -> Result<(), Violation> {
    let counted = clusters.iter().filter(|cluster| cluster.counts());
    let (mut forward, backward): (Vec<_>, Vec<_>) = counted.partition(|cluster| cluster.is_forward());
    forward.sort_by_key(|cluster| cluster.over());
    for pair in forward.windows(2) {
        // As no earlier pair overlaps, the one before is also the one that ends last.
        if pair[1].over() < pair[0].begun() {
            return Err(stale(pair[0], pair[1]));
        }
    }
    for inner in backward {
        let before = forward.partition_point(|outer| outer.over() < inner.begun());
        if let Some(outer) = before.checked_sub(1).map(|index| forward[index])
            && inner.over() < outer.begun()
        {
            return Err(stale(outer, inner));
        }
    }
    Ok(())
}

fn stale(a: &Cluster, b: &Cluster) -> Violation {
    let mut calls = vec![a.write, a.first_over, b.write, b.first_over, b.last_begun, a.last_begun];
    calls.sort_by_key(|call| call.invoked);
    calls.dedup();
    Violation::Stale { calls }
}
