//! After a false death: what is gone is what the merges have told.

use std::collections::{BTreeMap, BTreeSet};

use boato_cluster::Epoch;

use super::{Action, Stamped, Value, Version, Violation};

/// Two values of a key met in a merge, and one of them was given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Given {
    /// The version that stayed.
    pub kept: Version,
    /// The version given up.
    pub gone: Version,
    /// Which of the two came from the loser.
    pub sent: Version,
    /// The epochs of the winner and of the loser.
    pub merge: (Epoch, Epoch),
    /// Whether it counts; otherwise the two sides had stood apart already.
    pub counted: bool,
}

/// Whether `given` explains what is gone of one key, and nothing else was reported. A side is a line of writes each
/// of which replaces the one before; it begins with a write to an absent key, or where two holders go on from one
/// copy. All sides but one end in a merge that counts, or with a process that crashed:
///
/// - writes that began a side are as many at most, and so are conditional writes that replaced one and the same version,
///   and increments that were told the same (a key with increments has no other writes);
/// - if all writes are conditional, each acknowledged one is behind what is left, or behind what was given up;
/// - what was given up and what was kept instead were both written, each is told once per merge, and the later is kept;
///   neither was written over the other, unless `copied`: there may have been two copies of the slot.
///
/// # Errors
///
/// [`Violation::Unreported`], [`Violation::Vanished`] or [`Violation::FalseReport`].
pub fn superseded(
    calls: &[Stamped],
    last: Option<Version>,
    given: &[Given],
    copied: bool,
) -> Result<(), Violation> {
    let writes = Writes::new(calls);
    given.iter().try_for_each(|it| writes.check_report(it, copied))?;
    check_once(given)?;
    writes.check_sides(given)?;
    writes.check_lines(last, given)
}

/// What was written, by version.
struct Writes<'a> {
    calls: &'a [Stamped],
    acknowledged: BTreeMap<Version, &'a Stamped>,
}

/// A version before another one.
enum Before {
    /// This one.
    Version(Version),
    /// There was none.
    Nothing,
    /// It cannot be told.
    Unclear,
}

impl<'a> Writes<'a> {
    fn new(calls: &'a [Stamped]) -> Self {
        let writes = calls.iter().filter(|stamped| !matches!(stamped.call.action, Action::Read { .. }));
        let acknowledged = writes.filter_map(|stamped| Some((stamped.version?, stamped))).collect();
        Self { calls, acknowledged }
    }

    fn unknown(&self) -> impl Iterator<Item = &'a Stamped> {
        let unknown = |stamped: &&Stamped| {
            matches!(
                stamped.call.action,
                Action::Write { replaced: None, .. }
                    | Action::Delete { existed: None }
                    | Action::Swap { done: None, .. }
                    | Action::Add { sum: None }
            )
        };
        self.calls.iter().filter(unknown)
    }

    fn vanishes(&self) -> impl Iterator<Item = &'a Stamped> {
        self.calls.iter().filter(|stamped| stamped.call.action == Action::Vanish)
    }

    fn check_report(&self, given: &Given, copied: bool) -> Result<(), Violation> {
        let wrong = |why| Err(Violation::FalseReport { given: Box::new(*given), why });
        if given.gone >= given.kept {
            return wrong("the later one is given up");
        }
        let unknown = |version| !self.acknowledged.contains_key(&version);
        let unknowns = usize::from(unknown(given.gone)) + usize::from(unknown(given.kept));
        if unknowns > self.unknown().take(2).count() {
            return wrong("it was never written");
        }
        if !copied && self.line(given.kept).any(|version| version == given.gone) {
            return wrong("one was written over the other");
        }
        Ok(())
    }

    /// The sides that must have been, against those that have ended.
    fn check_sides(&self, given: &[Given]) -> Result<(), Violation> {
        let (mut created, mut deleted) = (0, 0);
        let mut over: BTreeMap<Version, usize> = BTreeMap::new();
        let mut sums: BTreeMap<Value, usize> = BTreeMap::new();
        for stamped in self.calls {
            match stamped.call.action {
                Action::Write { replaced: Some(false), .. } => created += 1,
                Action::Swap { done: Some(true), .. } => match stamped.after {
                    Some(version) => *over.entry(version).or_default() += 1,
                    None => created += 1,
                },
                Action::Delete { existed: Some(true) | None } => deleted += 1,
                Action::Add { sum: Some(sum) } => *sums.entry(sum).or_default() += 1,
                _ => {}
            }
        }
        let split: usize = over.values().map(|swaps| swaps - 1).sum();
        let alike = sums.into_values().max().unwrap_or(0);
        let sides = alike.max(usize::saturating_sub(created, deleted) + split);
        let counted = given.iter().filter(|given| given.counted).count();
        let crashed = self.vanishes().count();
        if sides <= 1 + counted + crashed {
            return Ok(());
        }
        Err(Violation::Unreported { sides, counted, crashed })
    }

    /// Each acknowledged write is on the line of what is left, or on one that a merge has ended.
    fn check_lines(&self, last: Option<Version>, given: &[Given]) -> Result<(), Violation> {
        let conditional = |stamped: &&Stamped| matches!(stamped.call.action, Action::Swap { .. });
        if !self.acknowledged.values().copied().chain(self.unknown()).all(|stamped| conditional(&stamped)) {
            return Ok(());
        }
        let mut explained = BTreeSet::new();
        for end in last.into_iter().chain(given.iter().map(|given| given.gone)) {
            let mut version = end;
            while explained.insert(version) {
                match self.before(version) {
                    Before::Version(before) => version = before,
                    Before::Nothing => break,
                    Before::Unclear => return Ok(()),
                }
            }
        }
        let crashed = |stamped: &Stamped| {
            self.vanishes().any(|it| it.call.returned.is_none_or(|end| end >= stamped.call.invoked))
        };
        let missing = self.acknowledged.iter().find(|it| !explained.contains(it.0) && !crashed(it.1));
        missing.map_or(Ok(()), |(_, stamped)| Err(Violation::Vanished { call: stamped.call }))
    }

    /// What was replaced, as far back as it can be told.
    fn line(&self, version: Version) -> impl Iterator<Item = Version> {
        std::iter::successors(Some(version), |version| match self.before(*version) {
            Before::Version(before) => Some(before).filter(|before| before < version),
            Before::Nothing | Before::Unclear => None,
        })
        .skip(1)
    }

    fn before(&self, version: Version) -> Before {
        let found = self.acknowledged.get(&version).copied().or_else(|| self.guess(version));
        match found.map(|stamped| (stamped.call.action, stamped.after)) {
            Some((Action::Swap { .. }, Some(before))) => Before::Version(before),
            Some((Action::Swap { .. }, None)) => Before::Nothing,
            _ => Before::Unclear,
        }
    }

    /// The call of unknown outcome that wrote a version, if only one can have: somebody has found its value.
    fn guess(&self, version: Version) -> Option<&'a Stamped> {
        let value = self.calls.iter().find_map(|stamped| match stamped.call.action {
            Action::Read { found } if stamped.version == Some(version) => found,
            Action::Swap { expected, .. } if stamped.after == Some(version) => expected,
            _ => None,
        })?;
        let mut wrote = self.unknown().filter(|stamped| writes(stamped, value));
        wrote.next().filter(|_| wrote.next().is_none())
    }
}

fn writes(stamped: &Stamped, written: Value) -> bool {
    match stamped.call.action {
        Action::Write { value, .. } | Action::Swap { value, .. } => value == written,
        Action::Read { .. } | Action::Delete { .. } | Action::Add { .. } | Action::Vanish => false,
    }
}

/// Nothing that the loser sent is told twice of one merge.
fn check_once(given: &[Given]) -> Result<(), Violation> {
    let mut told = BTreeSet::new();
    match given.iter().find(|given| !told.insert((given.merge, given.sent))) {
        Some(given) => Err(Violation::FalseReport { given: Box::new(*given), why: "it was told before" }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use boato_cluster::Pid;

    use super::super::Call;
    use super::super::testing::{add, call, create, delete, replace, swap};
    use super::*;

    const A: u128 = 1;
    const B: u128 = 2;

    /// A write by a node at this logical time.
    fn write(action: Action, hlc: u64, node: u128) -> Stamped {
        Stamped { call: call(hlc, hlc + 1, action), version: Some((hlc, node)), after: None }
    }

    /// The increment of a counter from the value of an earlier version.
    fn increment(value: Value, after: Option<Version>, hlc: u64, node: u128) -> Stamped {
        let from = (value > 1).then_some(value - 1);
        Stamped { after, ..write(swap(from, value, true), hlc, node) }
    }

    fn crash(at: u64) -> Stamped {
        let call = Call { action: Action::Vanish, ..call(at, at, delete(None)) };
        Stamped { call, version: None, after: None }
    }

    /// B's copy was merged into A's.
    fn given(gone: Version, kept: Version) -> Given {
        let epoch = |counter, node| Epoch { counter, pid: Pid { node, boot: 1 } };
        let sent = if gone.1 == B { gone } else { kept };
        Given { kept, gone, sent, merge: (epoch(2, A), epoch(1, B)), counted: true }
    }

    fn is_unreported(verdict: &Result<(), Violation>) -> bool {
        matches!(verdict, Err(Violation::Unreported { sides: 2, counted: 0, crashed: 0 }))
    }

    #[test]
    fn what_began_twice_ended_in_a_merge_or_a_crash() {
        let mut calls = vec![write(create(1), 10, A), write(replace(2), 20, A), write(create(3), 30, B)];
        assert!(is_unreported(&superseded(&calls, Some((30, B)), &[], false)));
        assert_eq!(superseded(&calls, Some((30, B)), &[given((20, A), (30, B))], false), Ok(()));
        let again = Given { counted: false, ..given((20, A), (30, B)) };
        assert!(is_unreported(&superseded(&calls, Some((30, B)), &[again], false)), "it was not counted");
        calls.push(crash(25));
        assert_eq!(superseded(&calls, Some((30, B)), &[], false), Ok(()));
    }

    #[test]
    fn what_was_deleted_may_begin_again() {
        let mut calls = vec![write(create(1), 10, A), write(delete(true), 20, A), write(create(2), 30, A)];
        assert_eq!(superseded(&calls, Some((30, A)), &[], false), Ok(()));
        calls.push(write(create(3), 40, B));
        assert!(is_unreported(&superseded(&calls, Some((40, B)), &[], false)));
    }

    #[test]
    fn two_writes_over_one_version_are_two_sides() {
        let calls = [
            increment(1, None, 10, A),
            increment(2, Some((10, A)), 20, A),
            increment(2, Some((10, A)), 30, B),
        ];
        assert!(is_unreported(&superseded(&calls, Some((30, B)), &[], true)));
        assert_eq!(superseded(&calls, Some((30, B)), &[given((20, A), (30, B))], true), Ok(()));
    }

    #[test]
    fn two_increments_that_were_told_the_same_are_two_sides() {
        let calls = [1, 2, 2, 3].map(add).into_iter().zip([(10, A), (20, A), (30, B), (40, B)]);
        let calls: Vec<Stamped> = calls.map(|(action, (hlc, node))| write(action, hlc, node)).collect();
        assert!(is_unreported(&superseded(&calls, Some((40, B)), &[], false)));
        assert_eq!(superseded(&calls, Some((40, B)), &[given((20, A), (40, B))], false), Ok(()));
    }

    #[test]
    fn an_increment_is_behind_what_is_left_or_behind_what_was_given_up() {
        let calls = [
            increment(1, None, 10, A),
            increment(2, Some((10, A)), 20, A),
            increment(1, None, 30, B),
            increment(2, Some((30, B)), 40, B),
        ];
        assert_eq!(superseded(&calls, Some((40, B)), &[given((20, A), (40, B))], false), Ok(()));
        // What was given up was not the last of that side.
        let lost = superseded(&calls, Some((40, B)), &[given((10, A), (40, B))], false);
        assert_eq!(lost, Err(Violation::Vanished { call: calls[1].call }));
    }

    #[test]
    fn an_increment_of_unknown_outcome_is_found_by_its_value() {
        let unknown = Stamped { version: None, after: Some((10, A)), ..write(swap(1, 2, None), 20, A) };
        let calls = [increment(1, None, 10, A), unknown, increment(3, Some((20, A)), 30, A)];
        assert_eq!(superseded(&calls, Some((30, A)), &[], false), Ok(()));
        let gone = superseded(&calls, Some((10, A)), &[], false);
        assert_eq!(gone, Err(Violation::Vanished { call: calls[2].call }));
        let deleted =
            [calls.to_vec(), vec![Stamped { version: None, ..write(delete(None), 25, A) }]].concat();
        assert_eq!(superseded(&deleted, None, &[], false), Ok(()), "perhaps by the delete");
    }

    #[test]
    fn nothing_is_told_that_has_not_happened() {
        let calls =
            [increment(1, None, 10, A), increment(2, Some((10, A)), 20, A), increment(1, None, 15, B)];
        let why = |told: &[Given], copied| match superseded(&calls, Some((20, A)), told, copied) {
            Err(Violation::FalseReport { why, .. }) => why,
            verdict => panic!("{verdict:?}"),
        };
        let right = given((15, B), (20, A));
        assert_eq!(superseded(&calls, Some((20, A)), &[right], false), Ok(()));
        assert_eq!(why(&[right, right], false), "it was told before");
        assert_eq!(why(&[given((20, A), (15, B))], false), "the later one is given up");
        assert_eq!(why(&[given((16, B), (20, A))], false), "it was never written");
        assert_eq!(why(&[given((10, A), (20, A))], false), "one was written over the other");
        assert_eq!(superseded(&calls, Some((20, A)), &[right, given((10, A), (20, A))], true), Ok(()));
    }
}
