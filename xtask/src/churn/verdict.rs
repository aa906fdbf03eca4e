//! Whether what clients saw is what boato promises.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use boato_sim::check::{self, Action, Call, History, Stamped, Version, Violation};

use super::fate::Fates;
use super::key::{Key, Kind};
use super::merges::Merges;

/// Violations told in full.
const TOLD_MAX: usize = 5;

/// The judgement of all keys.
#[derive(Default)]
pub(super) struct Verdict {
    /// Keys whose history is linearizable.
    linearizable: usize,
    /// As far as crashes leave them: keys that a crash may have taken along, once each.
    crashed: usize,
    /// Keys that kept their highest version after a false death, and lost nothing else than what the merges told.
    highest: usize,
    /// Keys whose histories were too much to search.
    undecided: Vec<String>,
    violations: Vec<String>,
    /// Names of the keys concerned, and their histories.
    histories: Vec<(String, String)>,
}

impl Verdict {
    pub(super) fn judge(&mut self, key: &Key, fates: &Fates, merges: &Merges) {
        let calls = key.calls();
        let (Some(first), Some(last)) = (calls.first(), calls.last()) else { return };
        if fates.is_forked(key.slot, first.call.invoked, last.call.returned.unwrap_or(Duration::MAX)) {
            let judged = judge_forked(key, &with_crashes(&calls, key, fates), fates, merges);
            return self.note(key, judged, |verdict| verdict.highest += 1);
        }
        let crashed = fates.crashes_of(key.slot).next().is_some();
        let history: History = with_crashes(&calls, key, fates).iter().map(|it| it.call).collect();
        let counts = !crashed && calls.iter().all(|stamped| is_increment(&stamped.call));
        let judged = match key.kind {
            Kind::Sum => check::increments(&history),
            Kind::Counter if counts => check::linearizable(&history)
                .and_then(|()| check::counter(&history, last_read(&calls).map(|it| it.0))),
            _ => check::linearizable(&history),
        };
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
            "keys             {} linearizable, {} linearizable but for a crash, {} by highest version and what merges told, {} undecided",
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

/// The value found last, and its version.
fn last_read(calls: &[Stamped]) -> Option<(u64, Option<Version>)> {
    let last = calls.iter().rev().find_map(|stamped| match stamped.call.action {
        Action::Read { found } => Some(found.map(|value| (value, stamped.version))),
        _ => None,
    });
    last.flatten()
}

/// Two may have served the key's slot.
fn judge_forked(key: &Key, calls: &[Stamped], fates: &Fates, merges: &Merges) -> Result<(), Violation> {
    if key.kind == Kind::Sum {
        check::attempted(&calls.iter().map(|stamped| stamped.call).collect())?;
    }
    let calls: Vec<_> = calls.iter().copied().map(unversioned).collect();
    let last = last_read(&calls);
    check::highest(&calls, last.map(|it| it.0))?;
    // Of a false death that nobody arranged it is not known what else happened meanwhile.
    if !fates.accidents.is_empty() {
        return Ok(());
    }
    // A merge may have been begun anew, which nobody outside sees: a report may be one too many.
    check::superseded(&calls, last.and_then(|it| it.1), merges.of(&key.path), true)
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
        let write = call(100, 101, Action::Write { value: 1, replaced: Some(false) });
        key.record(Stamped { call: write, version: Some((1, 1)), after: None });
        key.record(Stamped { call: call(300, 301, Action::Read { found }), version: None, after: None });
        key
    }

    fn fate(slot: u16) -> Fate {
        let (from, to) = (Duration::from_millis(150), Duration::from_millis(250));
        Fate { node: "n1".to_owned(), from, to, slots: SlotSet::of_slots(&[slot]) }
    }

    /// How many violations there are in a loss, given what happened.
    fn violations(found: Option<u64>, fates: &Fates) -> usize {
        let mut verdict = Verdict::default();
        verdict.judge(&key(found), fates, &Merges::default());
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
        let call = Call { invoked: at, returned: Some(at), action };
        key.record(Stamped { call, version: None, after: None });
        let mut verdict = Verdict::default();
        verdict.judge(&key, &Fates { forks: vec![fate(KEY_SLOT)], ..Fates::default() }, &Merges::default());
        assert_eq!((verdict.violations(), verdict.highest), (None, 1));
    }

    #[test]
    fn after_a_false_death_what_is_gone_must_have_been_told() {
        let fates = Fates { forks: vec![fate(KEY_SLOT)], ..Fates::default() };
        let line = r#"{"message":"a merge gave a value up","key":"k","kept":"2-2","gone":"1-1","sent":"1-1","winner":"3@0000000b.0001","loser":"2@0000000a.0001","again":false}"#;
        for (log, violations) in [("", 1), (line, 0)] {
            // Both sides have created the key.
            let key = key(Some(2));
            let (from, to) = (Duration::from_millis(160), Duration::from_millis(161));
            let action = Action::Write { value: 2, replaced: Some(false) };
            let call = Call { invoked: from, returned: Some(to), action };
            key.record(Stamped { call, version: Some((2, 2)), after: None });
            let mut verdict = Verdict::default();
            verdict.judge(&key, &fates, &Merges::of_log(log));
            assert_eq!(verdict.violations.len(), violations, "{:?}", verdict.violations);
        }
    }

    #[test]
    fn an_increment_that_counted_twice_is_found() {
        let key = Key::new("/k".to_owned(), KEY_SLOT, Kind::Sum);
        for (at, sum) in [(0, 1), (10, 3)] {
            let at = Duration::from_millis(at);
            let call = Call { invoked: at, returned: Some(at), action: Action::Add { sum: Some(sum) } };
            key.record(Stamped { call, version: Some((sum, 1)), after: None });
        }
        let mut verdict = Verdict::default();
        verdict.judge(&key, &Fates::default(), &Merges::default());
        assert_eq!(verdict.violations.len(), 1);
    }
}
