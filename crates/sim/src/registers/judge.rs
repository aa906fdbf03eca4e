//! The verdict about what clients were told.

use std::time::Duration;

use super::custody::Custody;
use super::keys::{Key, Role};
use super::report::Safety;
use super::scenario::Scenario;
use crate::check::{self, Action, Call, History, Stamped, Value};

/// Beside the difference of clocks, what an expiry may be off.
const EXPIRY_SLACK: Duration = Duration::from_millis(5);

/// Judges every key; returns how many histories could not be decided.
pub(super) fn judge(scenario: &Scenario, keys: &[Key], custody: &Custody) -> Result<u64, Safety> {
    let mut undecided = 0;
    for key in keys {
        match judge_key(scenario, key, custody) {
            Err(Safety::History { violation, .. }) if violation.is_undecided() => undecided += 1,
            judged => judged?,
        }
    }
    Ok(undecided)
}

fn judge_key(scenario: &Scenario, key: &Key, custody: &Custody) -> Result<(), Safety> {
    let mut calls = key.calls.clone();
    calls.extend(custody.vanished().iter().filter(|it| it.slot == key.slot).map(|it| Stamped {
        call: Call { invoked: it.from, returned: Some(it.to), action: Action::Vanish },
        version: None,
        after: None,
    }));
    // What a late read has found; all reads at the end find the same, or the history is wrong.
    let last = calls.iter().rev().find_map(|stamped| match stamped.call.action {
        Action::Read { found } => Some((found, stamped.version)),
        _ => None,
    });
    let (last, version) = last.unwrap_or_default();
    let history = || calls.iter().map(|stamped| stamped.call).collect::<History>();
    let after_fork = || {
        check::highest(&calls, last)?;
        check::superseded(&calls, version, &key.given, custody.is_copied(key.slot))
    };
    let judged = match (key.role, custody.is_forked()) {
        (Role::Expiring(ttl), _) => return Expiring { scenario, key, ttl, calls: &calls, custody }.judge(),
        (Role::Counter, false) => check::counter(&history(), last),
        (Role::Sum, false) => check::increments(&history()),
        (Role::Sum, true) => check::attempted(&history()).and_then(|()| after_fork()),
        (_, true) => after_fork(),
        (Role::Plain | Role::Mixed, false) => check::linearizable(&history()),
    };
    judged.map_err(|violation| unexplained(key, violation))
}

fn unexplained(key: &Key, violation: check::Violation) -> Safety {
    let name = String::from_utf8_lossy(&key.name).into_owned();
    Safety::History { key: name, slot: key.slot, violation: Box::new(violation) }
}

/// A key whose values expire, and what clients were told of it.
struct Expiring<'a> {
    scenario: &'a Scenario,
    key: &'a Key,
    ttl: Duration,
    calls: &'a [Stamped],
    custody: &'a Custody,
}

/// A write of such a key.
#[derive(Clone, Copy)]
struct Written {
    value: Value,
    call: Call,
    /// When it had been applied: it was acknowledged, or somebody had found it.
    applied: Option<Duration>,
}

impl Expiring<'_> {
    /// A value is not read later, and is not gone earlier, than the clocks allow; and not read once another has replaced
    /// it.
    fn judge(&self) -> Result<(), Safety> {
        let writes = self.writes();
        let name = || String::from_utf8_lossy(&self.key.name).into_owned();
        let slack = 2 * Duration::from_millis(self.scenario.skew_ms.into()) + EXPIRY_SLACK;
        for read in self.calls.iter().map(|stamped| stamped.call) {
            let Action::Read { found } = read.action else { continue };
            let Some(over) = read.returned else { continue };
            if let Some(value) = found {
                let Some(write) = writes.iter().find(|write| write.value == value) else {
                    let never = check::Violation::NeverWritten { value, read: Some(read) };
                    return Err(unexplained(self.key, never));
                };
                let Some(applied) = write.applied else { continue };
                if let Some(late) = read.invoked.checked_sub(applied + self.ttl + slack) {
                    return Err(Safety::Outlived { key: name(), value, late });
                }
                let newer = |it: &&Written| {
                    it.call.invoked > applied && it.applied.is_some_and(|at| at < read.invoked)
                };
                if let Some(newer) = writes.iter().find(newer)
                    && !self.custody.was_forked(write.call.invoked, over)
                {
                    let (newer, at) = (newer.value, read.invoked);
                    return Err(Safety::WentBack { key: name(), value, newer, at });
                }
            } else {
                let lives = |write: &&Written| {
                    write.call.returned.is_some_and(|at| at < read.invoked)
                        && write.call.invoked + self.ttl > over + slack
                        && !self.may_be_gone(write.call.invoked, over)
                };
                if let Some(write) = writes.iter().find(lives) {
                    return Err(Safety::DiedEarly { key: name(), value: write.value, at: read.invoked });
                }
            }
        }
        Ok(())
    }

    fn writes(&self) -> Vec<Written> {
        let wrote = |stamped: &Stamped| match stamped.call.action {
            Action::Write { value, .. } => {
                let found = |it: &&Stamped| it.call.action == Action::Read { found: Some(value) };
                let found = self.calls.iter().filter(found).filter_map(|it| it.call.returned);
                let applied = found.chain(stamped.call.returned).min();
                Some(Written { value, call: stamped.call, applied })
            }
            _ => None,
        };
        self.calls.iter().filter_map(wrote).collect()
    }

    /// Whether what was written at one moment may be gone at another: a crash may have taken it, or there were two holders.
    fn may_be_gone(&self, from: Duration, to: Duration) -> bool {
        let meanwhile = |it: &Call| it.invoked <= to && it.returned.is_none_or(|end| end >= from);
        let crashed = self.calls.iter().any(|it| it.call.action == Action::Vanish && meanwhile(&it.call));
        crashed || self.custody.was_forked(from, to)
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;

    const TTL: Duration = Duration::from_secs(2);

    fn call(from_ms: u64, to_ms: Option<u64>, action: Action) -> Stamped {
        let (invoked, returned) = (Duration::from_millis(from_ms), to_ms.map(Duration::from_millis));
        Stamped { call: Call { invoked, returned, action }, version: None, after: None }
    }

    fn write(value: Value, from_ms: u64, to_ms: Option<u64>) -> Stamped {
        call(from_ms, to_ms, Action::Write { value, replaced: to_ms.map(|_| false) })
    }

    fn read(found: Option<Value>, at_ms: u64) -> Stamped {
        call(at_ms, Some(at_ms + 1), Action::Read { found })
    }

    /// The verdict about a key that lives for two seconds, on clocks that are right.
    fn verdict(calls: &[Stamped], custody: &Custody) -> Result<(), Safety> {
        let scenario = Scenario { skew_ms: 0, ..Scenario::from_seed(1) };
        let key = Key::draw(1, &scenario, &mut Rng::with_seed(1));
        Expiring { scenario: &scenario, key: &key, ttl: TTL, calls, custody }.judge()
    }

    #[test]
    fn a_value_is_gone_when_its_time_is_over_and_not_before() {
        let custody = Custody::new(1);
        let lived = |reads: &[Stamped]| verdict(&[&[write(1, 0, Some(10))], reads].concat(), &custody);
        assert!(lived(&[read(Some(1), 2_000), read(None, 2_001)]).is_ok());
        assert!(matches!(lived(&[read(Some(1), 2_100)]), Err(Safety::Outlived { value: 1, .. })));
        assert!(matches!(lived(&[read(None, 1_900)]), Err(Safety::DiedEarly { value: 1, .. })));
        let crash = |from_ms, to_ms| call(from_ms, Some(to_ms), Action::Vanish);
        assert!(lived(&[crash(500, 900), read(None, 1_900)]).is_ok());
        let late = lived(&[read(None, 1_900), crash(1_950, 1_960)]);
        assert!(matches!(late, Err(Safety::DiedEarly { .. })), "the crash came later");
    }

    #[test]
    fn the_time_of_a_write_of_unknown_outcome_counts_from_when_it_was_found() {
        let custody = Custody::new(1);
        let found =
            |again_ms| verdict(&[write(1, 0, None), read(Some(1), 500), read(Some(1), again_ms)], &custody);
        assert!(found(2_400).is_ok());
        assert!(matches!(found(2_600), Err(Safety::Outlived { value: 1, .. })));
    }

    #[test]
    fn what_was_replaced_is_not_read_again() {
        let went_back = [write(1, 0, Some(10)), write(2, 20, Some(30)), read(Some(1), 40)];
        let mut custody = Custody::new(1);
        assert!(matches!(verdict(&went_back, &custody), Err(Safety::WentBack { value: 1, newer: 2, .. })));
        custody.fork(Duration::from_millis(100));
        assert!(verdict(&went_back, &custody).is_err(), "the false death came later");
        custody.fork(Duration::from_millis(5));
        assert!(verdict(&went_back, &custody).is_err(), "the first one counts");
        let mut custody = Custody::new(1);
        custody.fork(Duration::ZERO);
        assert!(verdict(&went_back, &custody).is_ok());
        custody.whole(Duration::from_millis(1));
        assert!(
            verdict(&[write(1, 5, Some(10)), went_back[1], went_back[2]], &custody).is_err(),
            "it is over"
        );
    }
}
