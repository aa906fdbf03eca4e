//! Increments: what adding one to a key answers, and what reads find meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Action, Call, History, Value, Violation};

/// Whether the calls on a key that is only read and incremented by one are linearizable: each increment takes effect
/// at most once, between its request and its answer, and is told the sum that it left. That is so if and only if no
/// two were told the same, sums grow in real time, and increments of unknown outcome explain what is missing of them.
///
/// What a crash may have taken in between (`Action::Vanish`) excuses calls around it: only those between two crashes
/// are compared with each other.
///
/// # Errors
///
/// [`Violation::Increments`].
///
/// # Panics
///
/// If there is any other kind of write.
pub fn increments(history: &History) -> Result<(), Violation> {
    attempted(history)?;
    let mut eras: BTreeMap<usize, Vec<Told>> = BTreeMap::new();
    for told in history.calls().iter().filter_map(Told::by) {
        if let Some(era) = era(history, &told.call) {
            eras.entry(era).or_default().push(told);
        }
    }
    eras.into_iter().try_for_each(|(number, mut era)| {
        check_order(&era)?;
        era.sort_by_key(Told::rank);
        check_once(&era)?;
        check_missing(&era, number, history)
    })
}

/// Whether every sum that was told is a number of increments begun by then. That holds even when crashes took some of them
/// or two holders went on from one copy.
///
/// # Errors
///
/// [`Violation::Increments`].
///
/// # Panics
///
/// If there is any other kind of write.
pub fn attempted(history: &History) -> Result<(), Violation> {
    let begun = begun(history.calls().iter().filter(|call| is_increment(call)));
    let wrong_sum = |told: &Told| {
        let nothing = told.call.action == Action::Read { found: None };
        !nothing && !(1..=by(&begun, told.over)).contains(&told.sum)
    };
    match history.calls().iter().filter_map(Told::by).find(wrong_sum) {
        Some(told) => Err(wrong("no number of increments begun", [told])),
        None => Ok(()),
    }
}

/// What a call was told.
#[derive(Clone, Copy)]
struct Told {
    sum: Value,
    call: Call,
    over: Duration,
}

impl Told {
    fn by(call: &Call) -> Option<Self> {
        let sum = match call.action {
            Action::Read { found } => found.unwrap_or(0),
            Action::Add { sum } => sum?,
            _ => return None,
        };
        Some(Self { sum, call: *call, over: call.closed()? })
    }

    /// The place in the only possible order: reads of a sum are behind the increment that left it.
    fn rank(&self) -> (Value, bool) {
        (self.sum, !is_increment(&self.call))
    }
}

fn is_increment(call: &Call) -> bool {
    let only = matches!(call.action, Action::Add { .. } | Action::Read { .. } | Action::Vanish);
    assert!(only, "{call}: neither an increment nor a read");
    matches!(call.action, Action::Add { .. })
}

/// How many crashes were over before a call, if no crash can have been during it.
fn era(history: &History, call: &Call) -> Option<usize> {
    let crashes = || history.calls().iter().filter(|call| call.action == Action::Vanish);
    let before = |crash: &Call| crash.returned.is_some_and(|end| end < call.invoked);
    let after = |crash: &Call| Some(crash.invoked) > call.returned;
    crashes().all(|crash| before(crash) || after(crash)).then(|| crashes().filter(|it| before(it)).count())
}

/// When calls began, in order.
fn begun<'a>(calls: impl Iterator<Item = &'a Call>) -> Vec<Duration> {
    calls.map(|call| call.invoked).collect()
}

/// How many calls had begun by a moment.
fn by(begun: &[Duration], moment: Duration) -> u64 {
    begun.partition_point(|invoked| *invoked <= moment) as u64
}

/// In the order of invocation: nobody is told less than somebody who was answered before.
fn check_order(era: &[Told]) -> Result<(), Violation> {
    let mut answered: Vec<&Told> = era.iter().collect();
    answered.sort_by_key(|told| told.over);
    let mut answered = answered.into_iter().peekable();
    let mut highest: Option<&Told> = None;
    for told in era {
        while let Some(before) = answered.next_if(|before| before.over < told.call.invoked) {
            highest = highest.into_iter().chain([before]).max_by_key(|it| it.rank());
        }
        if let Some(before) = highest.filter(|before| before.rank() > told.rank()) {
            return Err(wrong("who came later was told less", [*before, *told]));
        }
    }
    Ok(())
}

/// By rank: no two increments were told the same.
fn check_once(era: &[Told]) -> Result<(), Violation> {
    let same = |pair: &&[Told]| pair[0].rank() == pair[1].rank() && is_increment(&pair[0].call);
    match era.windows(2).find(same) {
        Some(pair) => Err(wrong("two increments were told the same", [pair[0], pair[1]])),
        None => Ok(()),
    }
}

/// By rank: the sums that no increment of the era was told are no more than the others that had begun.
fn check_missing(told: &[Told], number: usize, history: &History) -> Result<(), Violation> {
    let is_here = |call: &Call| Told::by(call).is_some() && era(history, call) == Some(number);
    let others = begun(history.calls().iter().filter(|call| is_increment(call) && !is_here(call)));
    let mut known = 0;
    for told in told {
        known += u64::from(is_increment(&told.call));
        if told.sum.saturating_sub(known) > by(&others, told.over) {
            return Err(wrong("more than the increments that can have been", [*told]));
        }
    }
    Ok(())
}

fn wrong<const N: usize>(why: &'static str, calls: [Told; N]) -> Violation {
    Violation::Increments { why, calls: calls.iter().map(|told| told.call).collect() }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOTHING, add, call, history, read};
    use super::*;

    fn why<const N: usize>(calls: [(u64, u64, Action); N]) -> Option<&'static str> {
        match increments(&history(calls.map(|(from, to, action)| call(from, to, action)))) {
            Err(Violation::Increments { why, .. }) => Some(why),
            verdict => verdict.map(|()| None).expect("nothing else is found"),
        }
    }

    #[test]
    fn increments_are_told_one_sum_after_the_other() {
        assert_eq!(
            why([(0, 1, NOTHING), (2, 3, add(1)), (4, 9, add(3)), (5, 8, add(2)), (10, 11, read(3))]),
            None
        );
        let same = why([(0, 5, add(1)), (1, 6, add(1))]);
        assert_eq!(same, Some("two increments were told the same"));
        let less = Some("who came later was told less");
        assert_eq!(why([(0, 9, add(2)), (0, 9, add(None)), (0, 2, add(3)), (3, 4, add(1))]), less);
        assert_eq!(why([(0, 1, add(1)), (2, 3, NOTHING)]), less);
        assert_eq!(why([(0, 9, add(1)), (1, 2, read(1)), (3, 4, NOTHING)]), less);
    }

    #[test]
    fn an_increment_applied_twice_is_seen_in_the_next_answer() {
        assert_eq!(why([(0, 1, add(2))]), Some("no number of increments begun"));
        // The other one was told what it was.
        let jump = why([(0, 1, add(1)), (2, 9, add(4)), (3, 4, add(3)), (5, 6, add(None))]);
        assert_eq!(jump, Some("more than the increments that can have been"));
    }

    #[test]
    fn an_unknown_outcome_counts_once_or_not() {
        assert_eq!(why([(0, 1, add(1)), (2, 3, add(None)), (4, 5, add(3)), (6, 7, read(3))]), None);
        assert_eq!(why([(0, 1, add(1)), (2, 3, add(None)), (4, 5, add(2)), (6, 7, read(3))]), None, "later");
        let early = why([(0, 1, add(1)), (2, 5, add(3)), (6, 7, add(None)), (8, 9, add(4))]);
        assert_eq!(early, Some("no number of increments begun"));
        let twice = [(0, 1, add(1)), (2, 3, add(None)), (4, 5, read(2)), (6, 9, add(4)), (7, 8, add(5))];
        assert_eq!(why(twice), Some("no number of increments begun"));
    }

    #[test]
    fn a_crash_excuses_only_what_is_around_it() {
        let crash = (2, 3, Action::Vanish);
        assert_eq!(why([(0, 1, add(1)), crash, (4, 5, add(1)), (6, 7, add(2))]), None);
        assert_eq!(why([(0, 1, add(1)), crash, (4, 5, add(2))]), None, "it was elsewhere");
        assert!(why([(0, 1, add(1)), crash, (4, 5, add(1)), (6, 7, add(1))]).is_some());
        assert!(why([(0, 1, add(1)), crash, (4, 5, add(1)), (6, 7, add(4))]).is_some());
    }

    #[test]
    #[should_panic(expected = "neither an increment nor a read")]
    fn other_writes_are_not_judged() {
        let _ = why([(0, 1, super::super::testing::create(1))]);
    }
}
