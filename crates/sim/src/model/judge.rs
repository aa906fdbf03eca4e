//! The invariants. A state that breaks one is a violation, whatever comes later.

use boato_cluster::{Epoch, Pid};

use super::client::number;
use super::script::{keys, nth};
use super::trace::{self, name};
use super::world::World;

/// Who has custody of a slot, and the values of its keys there.
type Copy = (Pid, Vec<Option<u64>>);

fn tell((pid, values): &Copy) -> String {
    format!("{} {values:?}", name(*pid))
}

impl World {
    /// Judges the state after a step; `before` is the state before it.
    pub(super) fn judge(&mut self, before: &World) {
        for slot in self.script.slots() {
            if self.violation.is_none() {
                self.violation = self.judge_slot(before, slot).or_else(|| self.judge_writes(before, slot));
            }
        }
    }

    /// Nothing is written where too few members are in view. Only merges and time change data otherwise.
    fn judge_writes(&self, before: &World, slot: u16) -> Option<String> {
        if self.script.min_members == 0 || self.forked || self.later {
            return None;
        }
        let (was, is) =
            ((before.serving(slot), before.copies(slot)), (self.serving(slot), self.copies(slot)));
        let [(pid, epoch)] = is.0[..] else { return None };
        let written =
            was.0.contains(&(pid, epoch)) && was.1.iter().any(|copy| copy.0 == pid && !is.1.contains(copy));
        let members = 1 + self.boots.iter().filter(|other| self.knows(pid, **other)).count();
        (written && members < self.script.min_members)
            .then(|| format!("{} writes to slot {slot} with {members} members in view", name(pid)))
    }

    /// Who serves a slot, and under which epoch.
    pub(super) fn serving(&self, slot: u16) -> Vec<(Pid, Epoch)> {
        let serving = |slots: &boato_cluster::Slots| slots.inspect(slot, boato_cluster::Header::serving);
        let nodes = self.nodes.iter();
        nodes.filter_map(|node| Some((node.pid, serving(&node.machine.slots())?))).collect()
    }

    fn judge_slot(&mut self, before: &World, slot: u16) -> Option<String> {
        let (was, serving) = (before.serving(slot), self.serving(slot));
        if let [(one, _), (other, _), ..] = serving[..]
            && !self.forked
        {
            return Some(format!("slot {slot} is served by {} and {}", name(one), name(other)));
        }
        for (place, (pid, epoch)) in serving.iter().enumerate() {
            if serving[..place].iter().any(|(_, other)| other == epoch) {
                return Some(format!("slot {slot} is served twice under {}", trace::epoch(*epoch)));
            }
            if was.contains(&(*pid, *epoch)) {
                continue;
            }
            let begun = &mut self.begun[nth(slot)];
            let lower = *epoch <= *begun;
            if lower && !self.forked && !self.vanished[nth(slot)] {
                let (epoch, begun) = (trace::epoch(*epoch), trace::epoch(*begun));
                return Some(format!("slot {slot}: epoch {epoch} of {} begins after {begun}", name(*pid)));
            }
            *begun = (*begun).max(*epoch);
        }
        self.judge_data(slot)
    }

    /// What is served is what was acknowledged, and some copy has it unless somebody went who had one.
    fn judge_data(&self, slot: u16) -> Option<String> {
        if self.forked || self.begun[nth(slot)] == Epoch::ZERO {
            return None;
        }
        let (copies, serving) = (self.copies(slot), self.serving(slot));
        let bad = copies
            .iter()
            .find(|copy| serving.iter().any(|(pid, _)| *pid == copy.0) && !self.is_good(slot, copy));
        if let Some(bad) = bad {
            return Some(format!(
                "what is served of slot {slot} is not what was acknowledged: {}",
                tell(bad)
            ));
        }
        if self.vanished[nth(slot)] || copies.iter().any(|copy| self.is_good(slot, copy)) {
            return None;
        }
        let told = copies.iter().map(tell).collect::<Vec<_>>().join(", ");
        Some(format!("no copy of slot {slot} has what was acknowledged: {told}"))
    }

    fn is_good(&self, slot: u16, (_, values): &Copy) -> bool {
        let of_slot = (0..keys().len()).filter(|key| keys()[*key].1 == slot);
        of_slot.zip(values).all(|(key, value)| self.registers[key].allows(*value))
    }

    /// Who has custody of a slot, and the values of its keys there.
    pub(super) fn copies(&self, slot: u16) -> Vec<Copy> {
        let now_ms = self.now().unix_ms;
        let values = |slots: &boato_cluster::Slots| {
            slots.look(slot, |header, entries| {
                header.custody()?;
                let of_slot = keys().iter().filter(|(_, of)| *of == slot);
                let value = |key: &[u8]| {
                    let entry = entries.iter().find(|entry| entry.key == key)?;
                    entry.is_live(now_ms).then(|| number(entry.value)).flatten()
                };
                Some(of_slot.map(|(key, _)| value(key)).collect())
            })
        };
        let nodes = self.nodes.iter();
        nodes.filter_map(|node| Some((node.pid, values(&node.machine.slots())?))).collect()
    }

    /// Whether the highest epoch or number of a transfer goes beyond these.
    pub(super) fn exceeds(&self, epoch: u64, serial: u64) -> bool {
        self.begun.iter().any(|begun| begun.counter > epoch)
            || self.nodes.iter().any(|node| node.machine.last_serial() > serial)
    }
}
