//! Actions on keys against a plain model of Redis' strings: a map of bytes and deadlines.

mod actions;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use actions::{KEYS, START_MS, action};
use boato_cluster::{
    Action, Config, Effect, ExpireWhen, Expiry, Guard, Input, Machine, Now, Operation, Outcome, Pid, Slots,
    Step,
};
use proptest::prelude::*;

/// A node that holds every slot.
fn machine() -> Machine {
    let at = |ms| Now { at: Duration::from_millis(ms), unix_ms: START_MS + ms };
    let mut machine = Machine::new(Config::new(Pid { node: 1, boot: 1 }, 7), at(0));
    machine.handle(Input::Eligible { quiet: Duration::ZERO }, at(0));
    machine.handle(Input::Timeout, at(1000));
    machine
}

/// A holder without keys: making a new one takes longer.
fn emptied(slots: &Arc<Slots>) -> &Arc<Slots> {
    let slot = boato_placement::slot(KEYS[0].as_bytes());
    slots.try_apply(&Operation::<bytes::Bytes>::Flush { slot }, START_MS).expect("held here");
    slots
}

/// What an outcome says, without versions.
#[derive(Debug, PartialEq)]
enum Said {
    Value(Vec<u8>, Option<u64>),
    Length(usize),
    Missing,
    Created,
    Replaced(Option<Vec<u8>>),
    Deleted(Option<Vec<u8>>),
    Refused(bool, Option<Vec<u8>>),
    Changed(bool),
    Integer(i64),
    NotAnInteger,
    Overflow,
}

fn said(outcome: Outcome) -> Said {
    let owned = |bytes: Option<bytes::Bytes>| bytes.map(|bytes| bytes.to_vec());
    match outcome {
        Outcome::Value { value, ttl_ms, .. } => Said::Value(value.to_vec(), ttl_ms),
        Outcome::Found { length, .. } | Outcome::Length(length) => {
            Said::Length(usize::try_from(length).expect("small"))
        }
        Outcome::Missing => Said::Missing,
        Outcome::Created(_) => Said::Created,
        Outcome::Replaced { previous, .. } => Said::Replaced(owned(previous)),
        Outcome::Deleted { previous, .. } => Said::Deleted(owned(previous)),
        Outcome::Refused { version, previous } => Said::Refused(version.is_some(), owned(previous)),
        Outcome::Changed(changed) => Said::Changed(changed),
        Outcome::Integer { value, .. } => Said::Integer(value),
        Outcome::NotAnInteger => Said::NotAnInteger,
        Outcome::Overflow => Said::Overflow,
        other => panic!("not to be expected here: {other:?}"),
    }
}

/// Values by key, each with its deadline.
#[derive(Clone, Default)]
struct Model {
    entries: BTreeMap<usize, (Vec<u8>, Option<u64>)>,
    now_ms: u64,
}

type Stored = Option<(Vec<u8>, Option<u64>)>;

impl Model {
    fn get(&self, key: usize) -> Stored {
        self.entries.get(&key).filter(|(_, until)| until.is_none_or(|until| until > self.now_ms)).cloned()
    }

    fn deadline(&self, expiry: Expiry, kept: Option<u64>) -> Option<u64> {
        match expiry {
            Expiry::Never => None,
            Expiry::Keep => kept,
            Expiry::After(ms) => Some(self.now_ms + ms),
            Expiry::At(at) => Some(at),
        }
    }

    fn holds(guard: &Guard, stored: &Stored) -> bool {
        match guard {
            Guard::Always => true,
            Guard::Absent => stored.is_none(),
            Guard::Present => stored.is_some(),
            Guard::ValueIs(bytes) => stored.as_ref().is_some_and(|(value, _)| value == bytes),
            Guard::Is(_) | Guard::IsNot(_) => unreachable!("no versions here"),
        }
    }

    fn apply(&mut self, key: usize, action: &Action) -> Said {
        let stored = self.get(key);
        let (value, until) = stored.clone().unwrap_or_default();
        let left = |until: Option<u64>| until.map(|until| until - self.now_ms);
        match action {
            Action::Get => stored.map_or(Said::Missing, |_| Said::Value(value, left(until))),
            Action::Head => stored.map_or(Said::Missing, |_| Said::Length(value.len())),
            Action::GetRange { first, last } => {
                stored.map_or(Said::Missing, |_| Said::Value(part(&value, *first, *last), left(until)))
            }
            Action::Put { value: new, expiry, guard, previous, .. } => {
                let before = stored.as_ref().filter(|_| *previous).map(|_| value);
                if !Self::holds(guard, &stored) {
                    return Said::Refused(stored.is_some(), before);
                }
                self.entries.insert(key, (new.to_vec(), self.deadline(*expiry, until)));
                if stored.is_some() { Said::Replaced(before) } else { Said::Created }
            }
            Action::Delete { guard, previous } => {
                let before = stored.as_ref().filter(|_| *previous).map(|_| value);
                if !Self::holds(guard, &stored) {
                    return Said::Refused(stored.is_some(), before);
                }
                self.entries.remove(&key);
                if stored.is_some() { Said::Deleted(before) } else { Said::Missing }
            }
            Action::Expire { expiry, when, value: wants_value } => {
                if stored.is_none() {
                    return Said::Missing;
                }
                let new = self.deadline(*expiry, until);
                // "Never" as the end of time.
                let (old_at, new_at) = (until.unwrap_or(u64::MAX), new.unwrap_or(u64::MAX));
                let holds = match when {
                    ExpireWhen::Always => true,
                    ExpireWhen::NoExpiry => until.is_none(),
                    ExpireWhen::HasExpiry => until.is_some(),
                    ExpireWhen::Later => new_at > old_at,
                    ExpireWhen::Sooner => new_at < old_at,
                    ExpireWhen::OnlySooner => until.is_some() && new_at < old_at,
                };
                let persists = *expiry == Expiry::Never && until.is_none();
                let changes = holds && *expiry != Expiry::Keep && !persists;
                if changes {
                    self.entries.insert(key, (value.clone(), new));
                }
                let now = if changes { new } else { until };
                let left = now.map(|until| until.saturating_sub(self.now_ms));
                if *wants_value { Said::Value(value, left) } else { Said::Changed(changes) }
            }
            Action::Add { by, ttl_ms } => {
                let text = String::from_utf8_lossy(&value).into_owned();
                let number: Option<i64> = if stored.is_some() { text.parse().ok() } else { Some(0) };
                let Some(number) = number.filter(|number| stored.is_none() || number.to_string() == text)
                else {
                    return Said::NotAnInteger;
                };
                let Some(sum) = number.checked_add(*by) else { return Said::Overflow };
                let until = if stored.is_some() { until } else { ttl_ms.map(|ttl| self.now_ms + ttl) };
                self.entries.insert(key, (sum.to_string().into_bytes(), until));
                Said::Integer(sum)
            }
            Action::Append { bytes } => {
                let new = [&value, &bytes[..]].concat();
                let length = new.len();
                self.entries.insert(key, (new, until));
                Said::Length(length)
            }
            Action::SetRange { bytes, .. } if bytes.is_empty() => Said::Length(value.len()),
            Action::SetRange { offset, bytes } => {
                let start = usize::try_from(*offset).expect("small");
                let mut new = value;
                new.resize(new.len().max(start + bytes.len()), 0);
                new.splice(start..start + bytes.len(), bytes.iter().copied());
                let length = new.len();
                self.entries.insert(key, (new, until));
                Said::Length(length)
            }
            Action::SetBit { offset, bit } => {
                let (place, shift) = (usize::try_from(offset / 8).expect("small"), 7 - offset % 8);
                let mut new = value;
                new.resize(new.len().max(place + 1), 0);
                let old = new[place] >> shift & 1;
                new[place] = new[place] & !(1 << shift) | u8::from(*bit) << shift;
                self.entries.insert(key, (new, until));
                Said::Integer(old.into())
            }
            Action::Rename { to, replace, keep } => {
                let to = KEYS.iter().position(|name| name.as_bytes() == &to[..]).expect("one of the keys");
                self.rename(key, to, *replace, *keep)
            }
            Action::AddFloat { .. } => unreachable!("tested beside its code"),
        }
    }
}

impl Model {
    fn rename(&mut self, key: usize, to: usize, replace: bool, keep: bool) -> Said {
        let Some(stored) = self.get(key) else { return Said::Missing };
        if to == key {
            return Said::Changed(replace);
        }
        if self.get(to).is_some() && !replace {
            return Said::Changed(false);
        }
        self.entries.insert(to, stored);
        if !keep {
            self.entries.remove(&key);
        }
        Said::Changed(true)
    }
}

/// GETRANGE as Redis' documentation puts it.
fn part(value: &[u8], first: i64, last: i64) -> Vec<u8> {
    let len = i64::try_from(value.len()).expect("small");
    let place = |at: i64| if at < 0 { len + at } else { at };
    if first < 0 && last < 0 && first > last {
        return Vec::new();
    }
    let (first, last) = (place(first).max(0), place(last).max(0).min(len - 1));
    (first..=last).filter_map(|at| value.get(usize::try_from(at).ok()?).copied()).collect()
}

proptest! {
    #[test]
    fn a_holder_does_what_the_model_does(
        script in proptest::collection::vec((0..KEYS.len(), action(), 0_u64..20), 1..40)
    ) {
        static HOLDER: LazyLock<Arc<Slots>> = LazyLock::new(|| machine().slots());
        let slots = emptied(&HOLDER);
        let mut model = Model { now_ms: START_MS + 1000, ..Model::default() };
        for (key, action, pause) in script {
            model.now_ms += pause;
            let expected = model.apply(key, &action);
            let (effect, _) =
                slots.try_apply(&Operation::<bytes::Bytes>::on(KEYS[key], action.clone()), model.now_ms).unwrap();
            prop_assert_eq!(said(effect.outcome().unwrap()), expected, "{:?} on {}", action, KEYS[key]);
            for (index, key) in KEYS.iter().enumerate() {
                let stored = slots
                    .try_read(key.as_bytes(), model.now_ms, |value| {
                        value.map(|value| (value.bytes.to_vec(), value.expires_at_ms))
                    })
                    .unwrap();
                prop_assert_eq!(stored, model.get(index), "{} after {:?}", key, action);
            }
        }
    }

    /// A transaction is its steps in their order.
    #[test]
    fn a_transaction_does_what_its_steps_do(script in proptest::collection::vec((0..KEYS.len(), action()), 0..12)) {
        static HOLDERS: LazyLock<[Arc<Slots>; 2]> = LazyLock::new(|| [machine().slots(), machine().slots()]);
        let [alone, together] = HOLDERS.each_ref().map(emptied);
        let steps: Vec<Step> =
            script.into_iter().map(|(key, action)| Step { key: KEYS[key].into(), action }).collect();
        let one_by_one: Vec<Said> = steps
            .iter()
            .map(|step| {
                let done = alone.try_apply(&Operation::Key(step.clone()), START_MS).unwrap();
                said(done.0.outcome().unwrap())
            })
            .collect();
        let slot = boato_placement::slot(KEYS[0].as_bytes());
        let transaction: Operation = Operation::Transaction { slot, watched: Vec::new(), steps };
        let (effect, _) = together.try_apply(&transaction, START_MS).unwrap();
        let Effect::Transaction(Some(outcomes)) = effect else { panic!("{effect:?}") };
        prop_assert_eq!(outcomes.into_iter().map(said).collect::<Vec<_>>(), one_by_one);
    }
}

fn apply(machine: &Machine, operation: &Operation) -> Effect {
    machine.slots().try_apply(operation, START_MS).expect("held here").0
}

#[test]
fn a_transaction_is_refused_where_a_watched_key_has_changed() {
    let machine = machine();
    let Effect::Key(Outcome::Created(version)) = apply(&machine, &Operation::on(KEYS[0], Action::put("1")))
    else {
        panic!("stored")
    };
    let slot = boato_placement::slot(KEYS[0].as_bytes());
    let steps = vec![Step { key: KEYS[1].into(), action: Action::put("2") }];
    let transaction = |watched| Operation::Transaction { slot, watched, steps: steps.clone() };
    for watched in [
        vec![(KEYS[0].into(), None)],
        vec![(KEYS[0].into(), Some((version.0 + 1, version.1)))],
        vec![(KEYS[0].into(), Some(version)), (KEYS[1].into(), Some(version))],
    ] {
        assert_eq!(apply(&machine, &transaction(watched)), Effect::Transaction(None));
        assert_eq!(apply(&machine, &Operation::get(KEYS[1])), Effect::Key(Outcome::Missing));
    }
    let effect = apply(&machine, &transaction(vec![(KEYS[0].into(), Some(version)), (KEYS[1].into(), None)]));
    assert!(matches!(effect, Effect::Transaction(Some(outcomes)) if outcomes.len() == 1));
}

#[test]
fn the_values_of_a_transaction_fit_a_frame() {
    let machine = machine();
    for key in KEYS {
        apply(&machine, &Operation::on(key, Action::put(vec![0; 5 << 20])));
    }
    let slot = boato_placement::slot(KEYS[0].as_bytes());
    let steps = KEYS.map(|key| Step { key: key.into(), action: Action::Get }).to_vec();
    let effect = apply(&machine, &Operation::Transaction { slot, watched: Vec::new(), steps });
    let Effect::Transaction(Some(outcomes)) = effect else { panic!("not refused") };
    assert!(matches!(outcomes[..], [Outcome::Value { .. }, Outcome::Value { .. }, Outcome::TooLarge]));
}

#[test]
fn what_is_larger_than_a_value_may_be_is_refused_and_changes_nothing() {
    let machine = machine();
    let limit = 8 << 20;
    apply(&machine, &Operation::on(KEYS[0], Action::put(vec![1; limit])));
    for action in [
        Action::Append { bytes: "x".into() },
        Action::SetRange { offset: limit as u64, bytes: "x".into() },
        Action::SetRange { offset: u64::MAX, bytes: "x".into() },
        Action::SetBit { offset: 8 * limit as u64, bit: true },
        Action::put(vec![0; limit + 1]),
    ] {
        assert_eq!(apply(&machine, &Operation::on(KEYS[0], action)), Effect::Key(Outcome::TooLarge));
    }
    let Effect::Key(Outcome::Found { length, .. }) = apply(&machine, &Operation::on(KEYS[0], Action::Head))
    else {
        panic!("still there")
    };
    assert_eq!(length, limit as u64);
}
