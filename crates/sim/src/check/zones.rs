//! Registers with unique writes, in `n log n`: P. B. Gibbons and E. Korach, *Testing Shared Memories*, SIAM Journal
//! on Computing 26(4), 1997.
//!
//! A write and the reads of its value form a cluster. Its zone spans from the first answer in it to the last request
//! in it (forward), or the other way round if all its calls overlap at some moment (backward). The history is
//! linearizable unless two forward zones overlap or a forward one contains a backward one.
//!
//! Added to the paper: a write of unknown outcome never ends, so that it contradicts nothing if nobody read it; that
//! the key is absent at first is a cluster before all others; the write that was told to have created the key comes next.

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
}

/// When a call was certainly over.
fn over(call: &Call) -> Duration {
    call.closed().unwrap_or(Duration::MAX)
}

/// What is wrong with the order of a history's values; `true` if nothing else can be wrong with it: it has only reads
/// and unconditional writes of distinct values. Elsewhere deletes and refusals are left out, a swap ends one cluster
/// and begins another, and values that several calls may have written are not judged.
pub(super) fn check(history: &History) -> Result<bool, Violation> {
    let (mut clusters, mut exact) = (BTreeMap::new(), true);
    for call in history.calls() {
        exact &= matches!(call.action, Action::Read { .. } | Action::Write { .. });
        let Some(value) = written(call) else { continue };
        let cluster = Some(Cluster::new(*call));
        if clusters.insert(value, cluster).is_some() {
            exact = false;
            clusters.insert(value, None);
        }
    }
    for (value, call) in history.calls().iter().filter_map(|call| Some((needed(call)?, call))) {
        let never = Violation::NeverWritten { value, read: Some(*call) };
        let Some(cluster) = clusters.get_mut(&value).ok_or(never)? else { continue };
        if over(call) < cluster.write.invoked {
            return Err(Violation::FromFuture { calls: [Box::new(*call), Box::new(cluster.write)] });
        }
        cluster.add(*call);
    }
    let clusters: Vec<Cluster> = clusters.into_values().flatten().collect();
    check_zones(&clusters)?;
    if exact {
        check_absence(&clusters, history)?;
        check_origin(&clusters)?;
    }
    Ok(exact)
}

/// What a call has written, perhaps.
fn written(call: &Call) -> Option<Value> {
    match call.action {
        Action::Write { value, .. } => Some(value),
        Action::Swap { value, done, .. } => (done != Some(false)).then_some(value),
        _ => None,
    }
}

/// The value that was there at some moment of a call.
fn needed(call: &Call) -> Option<Value> {
    call.closed()?;
    match call.action {
        Action::Read { found } => found,
        Action::Swap { expected, done: Some(true), .. } => expected,
        _ => None,
    }
}

/// Nothing is over before the last request that found nothing.
fn check_absence(clusters: &[Cluster], history: &History) -> Result<(), Violation> {
    let absent = |call: &&Call| call.closed().is_some() && call.action == Action::Read { found: None };
    let Some(absent) = history.calls().iter().rfind(absent) else { return Ok(()) };
    match first_over(clusters, None) {
        Some(cluster) if cluster.over() < absent.invoked => {
            let mut calls = vec![cluster.write, cluster.first_over, *absent];
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
    let (mut forward, backward): (Vec<_>, Vec<_>) = clusters.iter().partition(|cluster| cluster.is_forward());
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

#[cfg(test)]
mod tests {
    use super::super::testing::{NOTHING, call, create, delete, history, read, replace, swap, try_write};
    use super::*;

    /// The verdict on calls `(from, to, action)`.
    fn judge<const N: usize>(calls: [(u64, u64, Action); N]) -> Result<bool, Violation> {
        check(&history(calls.map(|(from, to, action)| call(from, to, action))))
    }

    fn is_stale<T>(verdict: &Result<T, Violation>) -> bool {
        matches!(verdict, Err(Violation::Stale { .. }))
    }

    fn is_origin<T>(verdict: &Result<T, Violation>) -> bool {
        matches!(verdict, Err(Violation::Origin { .. }))
    }

    #[test]
    fn a_read_between_two_writes_finds_the_first() {
        assert_eq!(
            judge([(0, 1, create(1)), (2, 3, read(1)), (4, 5, replace(2)), (6, 7, read(2))]),
            Ok(true)
        );
    }

    #[test]
    fn a_value_is_not_found_after_a_later_one() {
        let verdict = judge([(0, 1, create(1)), (2, 3, replace(2)), (4, 5, read(1))]);
        let Err(Violation::Stale { calls }) = verdict else { panic!("{verdict:?}") };
        assert_eq!(calls.len(), 3, "the writes and the read");
        // Both writes overlap both reads, which contradict each other.
        let backward =
            [(0, 9, create(1)), (0, 9, replace(2)), (1, 2, read(1)), (3, 4, read(2)), (5, 6, read(1))];
        assert!(is_stale(&judge(backward)));
    }

    #[test]
    fn zones_that_touch_are_in_order() {
        let touching = [(0, 1, create(1)), (2, 3, replace(2)), (3, 4, read(1)), (4, 5, read(2))];
        assert_eq!(judge(touching), Ok(true));
        let overlapping = [(0, 1, create(1)), (2, 3, replace(2)), (4, 5, read(1)), (4, 5, read(2))];
        assert!(is_stale(&judge(overlapping)));
    }

    #[test]
    fn a_value_that_nobody_wrote_is_not_found() {
        let verdict = judge([(0, 1, create(1)), (2, 3, read(2))]);
        assert!(matches!(verdict, Err(Violation::NeverWritten { value: 2, read: Some(_) })), "{verdict:?}");
        let refused = judge([(0, 1, create(1)), (2, 3, swap(None, 2, false)), (4, 5, read(2))]);
        assert!(matches!(refused, Err(Violation::NeverWritten { value: 2, .. })), "{refused:?}");
    }

    #[test]
    fn a_value_is_not_found_before_its_write() {
        let verdict = judge([(0, 1, read(1)), (2, 3, create(1))]);
        assert!(matches!(verdict, Err(Violation::FromFuture { .. })), "{verdict:?}");
    }

    #[test]
    fn nothing_is_found_only_before_the_first_write_is_over() {
        assert_eq!(judge([(0, 2, create(1)), (2, 3, NOTHING)]), Ok(true));
        assert!(is_stale(&judge([(0, 2, create(1)), (3, 4, NOTHING)])));
        let read_is_over = [(0, 9, create(1)), (1, 2, read(1)), (3, 4, NOTHING)];
        assert!(is_stale(&judge(read_is_over)));
    }

    #[test]
    fn one_write_is_the_first() {
        assert_eq!(judge([(0, 5, replace(2)), (0, 5, create(1))]), Ok(true));
        assert!(is_origin(&judge([(0, 5, create(2)), (0, 5, create(1))])), "both were");
        assert!(is_origin(&judge([(0, 5, replace(1))])), "none was");
        assert!(is_origin(&judge([(0, 1, replace(2)), (2, 3, create(1))])), "it came later");
    }

    #[test]
    fn a_write_of_unknown_outcome_takes_effect_at_any_time_or_never() {
        assert_eq!(
            judge([(0, 1, try_write(2)), (2, 3, create(1)), (4, 5, read(1)), (6, 7, read(2))]),
            Ok(true)
        );
        assert_eq!(judge([(0, 1, try_write(2)), (2, 3, create(1)), (4, 5, read(1))]), Ok(true));
        assert_eq!(judge([(0, 1, try_write(2)), (2, 3, replace(1))]), Ok(true), "it was the first");
        assert!(is_origin(&judge([(0, 1, replace(1)), (2, 3, try_write(2))])), "it was invoked too late");
        let twice =
            [(0, 1, try_write(2)), (2, 3, read(2)), (4, 5, replace(1)), (6, 7, read(1)), (8, 9, read(2))];
        assert!(is_stale(&judge(twice)), "once at most");
    }

    #[test]
    fn elsewhere_only_the_order_of_values_is_judged() {
        let right =
            [(0, 1, create(1)), (2, 3, delete(true)), (4, 5, NOTHING), (6, 7, create(2)), (8, 9, read(2))];
        assert_eq!(judge(right), Ok(false));
        let undone = [(0, 1, create(1)), (2, 3, swap(1, 2, true)), (4, 5, delete(true)), (6, 7, read(1))];
        assert!(is_stale(&judge(undone)));
        let ambiguous = [(0, 1, create(1)), (2, 3, replace(2)), (4, 5, read(1)), (6, 7, try_write(1))];
        assert_eq!(judge(ambiguous), Ok(false));
    }
}
