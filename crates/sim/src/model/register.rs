//! What one key may hold, by what its clients were told: linearizability, decided as the answers come.
//!
//! A possibility is a value and the operations that took effect but were not answered yet, with what each found.
//! When an answer comes, those possibilities remain in which that operation has taken effect by now and found what
//! the answer says (Lowe 2017, "Testing for linearizability", the just-in-time algorithm).

use std::collections::BTreeSet;

/// Names an operation.
pub(super) type Id = u32;

/// What an operation does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Effect {
    Get,
    Put(u64),
    /// Only where there is nothing.
    Create(u64),
    Delete,
    /// What a crash or the end of its time may do to a key, once.
    Vanish,
}

/// What an operation says that it found.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Found {
    Nothing,
    Something,
    Value(u64),
}

type Possibility = (Option<u64>, Vec<(Id, Option<u64>)>);

/// One key.
#[derive(Clone, Hash)]
pub(super) struct Register {
    open: Vec<(Id, Effect)>,
    possible: BTreeSet<Possibility>,
}

impl Register {
    pub(super) fn new(value: Option<u64>) -> Self {
        Self { open: Vec::new(), possible: BTreeSet::from([(value, Vec::new())]) }
    }

    /// An operation begins; if it is never answered, it may take effect at any later time.
    pub(super) fn invoke(&mut self, id: Id, effect: Effect) {
        self.open.push((id, effect));
    }

    /// The operation certainly had no effect. False: that cannot be.
    pub(super) fn refuse(&mut self, id: Id) -> bool {
        self.open.retain(|(open, _)| *open != id);
        self.possible.retain(|(_, done)| done.iter().all(|(done, _)| *done != id));
        !self.possible.is_empty()
    }

    /// The operation is answered. False: that cannot be.
    pub(super) fn answer(&mut self, id: Id, found: Found) -> bool {
        let fits = |before: Option<u64>| match found {
            Found::Nothing => before.is_none(),
            Found::Something => before.is_some(),
            Found::Value(value) => before == Some(value),
        };
        let without = |(value, mut done): Possibility| {
            let place = done.iter().position(|(done, before)| *done == id && fits(*before))?;
            done.remove(place);
            Some((value, done))
        };
        self.possible = self.reachable().into_iter().filter_map(without).collect();
        self.open.retain(|(open, _)| *open != id);
        !self.possible.is_empty()
    }

    /// Whether the key may hold this now.
    pub(super) fn allows(&self, value: Option<u64>) -> bool {
        self.reachable().iter().any(|(possible, _)| *possible == value)
    }

    /// Everything that may be, whichever open operations have taken effect.
    fn reachable(&self) -> BTreeSet<Possibility> {
        let mut all = self.possible.clone();
        let mut new: Vec<Possibility> = all.iter().cloned().collect();
        while let Some((value, done)) = new.pop() {
            for &(id, effect) in &self.open {
                if done.iter().any(|(done, _)| *done == id) {
                    continue;
                }
                let mut next = (apply(effect, value), done.clone());
                next.1.push((id, value));
                next.1.sort_unstable();
                if all.insert(next.clone()) {
                    new.push(next);
                }
            }
        }
        all
    }
}

fn apply(effect: Effect, value: Option<u64>) -> Option<u64> {
    match effect {
        Effect::Get => value,
        Effect::Put(new) => Some(new),
        Effect::Create(new) => value.or(Some(new)),
        Effect::Delete | Effect::Vanish => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answered_write_replaces_what_was_there() {
        let mut register = Register::new(None);
        register.invoke(1, Effect::Put(7));
        assert!(register.allows(None) && register.allows(Some(7)));
        assert!(register.answer(1, Found::Nothing));
        assert!(!register.allows(None) && register.allows(Some(7)));
        register.invoke(2, Effect::Get);
        assert!(!register.clone().answer(2, Found::Nothing));
        assert!(register.answer(2, Found::Value(7)));
    }

    #[test]
    fn a_write_of_unknown_outcome_may_come_late_but_once() {
        let mut register = Register::new(None);
        register.invoke(1, Effect::Put(7));
        register.invoke(2, Effect::Delete);
        assert!(register.answer(2, Found::Nothing));
        register.invoke(3, Effect::Get);
        assert!(register.answer(3, Found::Value(7)));
        register.invoke(4, Effect::Delete);
        assert!(register.answer(4, Found::Something));
        assert!(!register.allows(Some(7)));
    }

    #[test]
    fn an_operation_that_took_effect_cannot_be_refused() {
        let mut register = Register::new(None);
        register.invoke(1, Effect::Put(7));
        register.invoke(2, Effect::Get);
        assert!(register.answer(2, Found::Value(7)));
        assert!(!register.refuse(1));
    }

    #[test]
    fn what_overlapping_operations_found_has_to_fit_one_order() {
        let mut register = Register::new(None);
        register.invoke(1, Effect::Create(1));
        register.invoke(2, Effect::Create(2));
        assert!(register.answer(1, Found::Nothing));
        assert!(!register.clone().answer(2, Found::Nothing), "both created it");
        assert!(register.answer(2, Found::Something));
        assert!(register.allows(Some(1)) && !register.allows(Some(2)));
    }
}
