//! Whether what clients saw is what boato promises.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use boato_sim::check::{self, Action, Call, History, Stamped, Violation};

use super::fate::Fates;
use super::key::{Key, Kind};

/// Violations told in full.
const TOLD_MAX: usize = 5;

/// The judgement of all keys.
#[derive(Default)]
pub(super) struct Verdict {
    /// Keys whose history is linearizable.
    linearizable: usize,
    /// As far as crashes leave them: keys that a crash may have taken along, once each.
    crashed: usize,
    /// Keys that kept their highest version after a false death.
    highest: usize,
    /// Keys whose histories were too much to search.
    undecided: Vec<String>,
    violations: Vec<String>,
    /// Names of the keys concerned, and their histories.
    histories: Vec<(String, String)>,
}

impl Verdict {
    pub(super) fn judge(&mut self, key: &Key, fates: &Fates) {
        let calls = key.calls();
        let (Some(first), Some(last)) = (calls.first(), calls.last()) else { return };
        if fates.is_forked(key.slot, first.call.invoked, last.call.returned.unwrap_or(Duration::MAX)) {
            let calls: Vec<_> = with_crashes(&calls, key, fates).into_iter().map(unversioned).collect();
            let judged = check::highest(&calls, last_read(&calls));
            return self.note(key, judged, |verdict| verdict.highest += 1);
        }
        let crashed = fates.crashes_of(key.slot).next().is_some();
        let mut history = History::default();
        for stamped in with_crashes(&calls, key, fates) {
            history.push(stamped.call);
        }
        let mut judged = check::linearizable(&history);
        if judged.is_ok()
            && key.kind == Kind::Counter
            && !crashed
            && calls.iter().all(|s| is_increment(&s.call))
        {
            judged = check::counter(&history, last_read(&calls));
        }
        self.note(
            key,
            judged,
            |verdict| {
                if crashed { verdict.crashed += 1 } else { verdict.linearizable += 1 }
            },
        );
    }

    fn note(&mut self, key: &Key, judged: Result<(), Violation>, passed: impl FnOnce(&mut Self)) {
        let Err(violation) = judged else { return passed(self) };
        let text = format!("{} (slot {}): {violation}", key.path, key.slot);
        if violation.is_undecided() {
            self.undecided.push(text);
        } else {
            self.violate(text);
        }
        let calls = key.calls();
        let lines = calls.iter().map(|Stamped { call, version, .. }| match version {
            Some((time, node)) => format!("{call}  {time:x}-{node:x}"),
            None => call.to_string(),
        });
        let lines: Vec<_> = lines.collect();
        self.histories.push((
            format!("key-{}.txt", self.histories.len()),
            format!("{}\n{}\n", key.path, lines.join("\n")),
        ));
    }

    pub(super) fn violate(&mut self, violation: String) {
        self.violations.push(violation);
    }

    /// Everything that must never happen, if anything did.
    pub(super) fn violations(&self) -> Option<String> {
        told("violations", &self.violations)
    }

    /// Writes the histories of keys that were not found right to `dir`.
    pub(super) fn write_histories(&self, dir: &Path) -> Result<()> {
        for (name, history) in &self.histories {
            std::fs::write(dir.join(name), history).with_context(|| format!("writing {name}"))?;
        }
        Ok(())
    }

    /// What could not be judged, if anything.
    pub(super) fn undecided(&self) -> Option<String> {
        told("histories too long to judge", &self.undecided)
    }
}

fn told(what: &str, texts: &[String]) -> Option<String> {
    (!texts.is_empty())
        .then(|| format!("{} {what}:\n{}", texts.len(), texts[..texts.len().min(TOLD_MAX)].join("\n")))
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "keys             {} linearizable, {} linearizable but for a crash, {} by highest version, {} undecided",
            self.linearizable,
            self.crashed,
            self.highest,
            self.undecided.len()
        )
    }
}

/// The calls and the crashes of the key's slot, in order of time.
fn with_crashes(calls: &[Stamped], key: &Key, fates: &Fates) -> Vec<Stamped> {
    let crashes = fates.crashes_of(key.slot).map(|fate| Stamped {
        call: Call { invoked: fate.from, returned: Some(fate.to), action: Action::Vanish },
        version: None,
        after: None,
    });
    let mut all: Vec<_> = calls.iter().copied().chain(crashes).collect();
    all.sort_by_key(|stamped| stamped.call.invoked);
    all
}

/// An acknowledged delete has a version, but clients are not told: it may be any.
fn unversioned(mut stamped: Stamped) -> Stamped {
    if stamped.call.action == (Action::Delete { existed: Some(true) }) {
        stamped.call.action = Action::Delete { existed: None };
    }
    stamped
}

fn last_read(calls: &[Stamped]) -> Option<u64> {
    let last = calls.iter().rev().find_map(|stamped| match stamped.call.action {
        Action::Read { found } => Some(found),
        _ => None,
    });
    last.flatten()
}

fn is_increment(call: &Call) -> bool {
    match call.action {
        Action::Swap { expected, value, .. } => value == expected.unwrap_or(0) + 1,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fate::Fate;
    use super::super::view::SlotSet;
    use super::*;

    const KEY_SLOT: u16 = 7;

    /// A write of 1, and 200 ms later a read of `found`.
    fn key(found: Option<u64>) -> Key {
        let key = Key::new("/k".to_owned(), KEY_SLOT, Kind::Register);
        let ms = Duration::from_millis;
        let call = |from, to, action| Call { invoked: ms(from), returned: Some(ms(to)), action };
        key.record(call(100, 101, Action::Write { value: 1, replaced: Some(false) }), Some((1, 1)));
        key.record(call(300, 301, Action::Read { found }), None);
        key
    }

    fn fate(slot: u16) -> Fate {
        let (from, to) = (Duration::from_millis(150), Duration::from_millis(250));
        Fate { node: "n1".to_owned(), from, to, slots: SlotSet::of_slots(&[slot]) }
    }

    /// How many violations there are in a loss, given what happened.
    fn violations(found: Option<u64>, fates: &Fates) -> usize {
        let mut verdict = Verdict::default();
        verdict.judge(&key(found), fates);
        verdict.violations.len()
    }

    #[test]
    fn a_loss_is_allowed_in_slots_of_a_killed_node_only() {
        let crash = |slot| Fates { crashes: vec![fate(slot)], ..Fates::default() };
        assert_eq!(violations(Some(1), &Fates::default()), 0);
        assert_eq!(violations(None, &Fates::default()), 1);
        assert_eq!(violations(None, &crash(KEY_SLOT)), 0);
        assert_eq!(violations(None, &crash(KEY_SLOT + 1)), 1);
    }

    #[test]
    fn after_a_false_death_the_highest_version_must_be_left() {
        let fork = |slot| Fates { forks: vec![fate(slot)], ..Fates::default() };
        assert_eq!(violations(Some(1), &fork(KEY_SLOT)), 0);
        assert_eq!(violations(None, &fork(KEY_SLOT)), 1);
        assert_eq!(violations(Some(9), &fork(KEY_SLOT)), 1);
    }

    #[test]
    fn an_acknowledged_delete_may_have_had_any_version() {
        let key = key(None);
        let at = Duration::from_millis(120);
        let action = Action::Delete { existed: Some(true) };
        key.record(Call { invoked: at, returned: Some(at), action }, None);
        let mut verdict = Verdict::default();
        verdict.judge(&key, &Fates { forks: vec![fate(KEY_SLOT)], ..Fates::default() });
        assert_eq!((verdict.violations(), verdict.highest), (None, 1));
    }
}
