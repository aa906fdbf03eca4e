//! What happened to slots that no client can be blamed for, or promised anything about.

use std::time::Duration;

use super::view::SlotSet;

/// A node that was killed with its slots, or taken for dead while it held them.
pub(super) struct Fate {
    pub(super) node: String,
    /// From just before it happened ...
    pub(super) from: Duration,
    /// ... until all slots were held again.
    pub(super) to: Duration,
    pub(super) slots: SlotSet,
}

/// Everything of that kind in one run.
#[derive(Default)]
pub(super) struct Fates {
    pub(super) crashes: Vec<Fate>,
    /// False deaths: two nodes may have served these slots.
    pub(super) forks: Vec<Fate>,
    /// False deaths that nobody arranged: which slots they concern is not known.
    pub(super) accidents: Vec<String>,
    /// Slots counted as lost that no crash and no false death explains, or the other way round.
    pub(super) miscounts: Vec<String>,
}

impl Fates {
    /// The crashes that took a slot along.
    pub(super) fn crashes_of(&self, slot: u16) -> impl Iterator<Item = &Fate> {
        self.crashes.iter().filter(move |fate| fate.slots.contains(slot))
    }

    /// Whether two nodes may have served a slot between these times.
    pub(super) fn is_forked(&self, slot: u16, from: Duration, to: Duration) -> bool {
        let overlaps = |fate: &Fate| fate.slots.contains(slot) && fate.from <= to && from <= fate.to;
        !self.accidents.is_empty() || self.forks.iter().any(overlaps)
    }
}
