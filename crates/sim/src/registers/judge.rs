//! The verdict about what clients were told.

use std::time::Duration;

use super::custody::Custody;
use super::keys::{Key, Role};
use super::report::Safety;
use super::scenario::Scenario;
use crate::check::{self, Action, Call, History, Stamped};

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
        (Role::Expiring(ttl), forked) => return expiry(scenario, key, &calls, ttl, forked),
        (Role::Counter, false) => check::counter(&history(), last),
        (Role::Sum, false) => check::increments(&history()),
        (Role::Sum, true) => check::attempted(&history()).and_then(|()| after_fork()),
        (_, true) => after_fork(),
        (Role::Plain | Role::Mixed, false) => check::linearizable(&history()),
    };
    judged.map_err(|violation| Safety::History {
        key: String::from_utf8_lossy(&key.name).into_owned(),
        slot: key.slot,
        violation: Box::new(violation),
    })
}

/// A value that expires is not read later, and is not gone earlier, than the clocks allow.
fn expiry(
    scenario: &Scenario,
    key: &Key,
    calls: &[Stamped],
    ttl: Duration,
    forked: bool,
) -> Result<(), Safety> {
    let slack = 2 * Duration::from_millis(scenario.skew_ms.into()) + EXPIRY_SLACK;
    let name = || String::from_utf8_lossy(&key.name).into_owned();
    let vanishes = calls.iter().any(|stamped| stamped.call.action == Action::Vanish);
    let writes = || {
        calls.iter().filter_map(|stamped| match stamped.call.action {
            Action::Write { value, .. } => Some((value, stamped.call)),
            _ => None,
        })
    };
    for read in calls.iter().map(|stamped| stamped.call) {
        match read.action {
            Action::Read { found: Some(value) } => {
                let write = writes().find(|(written, _)| *written == value);
                let ended = write.and_then(|(_, write)| write.returned).map(|at| at + ttl + slack);
                if let Some(late) = ended.and_then(|at| read.invoked.checked_sub(at)) {
                    return Err(Safety::Outlived { key: name(), value, late });
                }
            }
            Action::Read { found: None } if !forked && !vanishes => {
                let lives = |write: Call| {
                    write.returned.is_some_and(|at| at < read.invoked)
                        && read.returned.is_some_and(|at| write.invoked + ttl > at + slack)
                };
                if let Some((value, _)) = writes().find(|(_, write)| lives(*write)) {
                    return Err(Safety::DiedEarly { key: name(), value, at: read.invoked });
                }
            }
            _ => {}
        }
    }
    Ok(())
}
