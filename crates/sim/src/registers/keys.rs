//! The keys of a run: names that lie in wanted slots, and what their clients do with them.

use std::fmt::Display;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;

use super::scenario::Scenario;
use crate::check::{Given, Stamped};

/// Keys lie in the first slots, however many there are.
pub(super) const KEY_SLOTS: u16 = 64;

/// For each of the first slots a hash tag that leads there.
static TAGS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut tags = vec![String::new(); KEY_SLOTS.into()];
    let mut missing = tags.len();
    for number in 0_u32.. {
        let tag = format!("{number:x}");
        if let Some(place) = tags.get_mut(usize::from(boato_placement::slot(tag.as_bytes())))
            && place.is_empty()
        {
            *place = tag;
            missing -= 1;
        }
        if missing == 0 {
            break;
        }
    }
    tags
});

/// What clients do with a key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Role {
    /// Reads, and writes of values that are never written again.
    Plain,
    /// Deletes and conditional writes as well.
    Mixed,
    /// Conditional increments.
    Counter,
    /// Increments by what the store itself adds, and reads.
    Sum,
    /// Writes that live for so long, and reads.
    Expiring(Duration),
}

/// One key, and what clients did to it.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: Bytes,
    pub(super) slot: u16,
    pub(super) role: Role,
    /// Bytes of each value, at least those of its number.
    pub(super) value_bytes: usize,
    /// From then on it is only read, so that what a merge left stays.
    pub(super) written_until: Duration,
    /// Whether the first client after that still has to delete it.
    pub(super) deleted_last: bool,
    /// The last value made up for it.
    pub(super) writes: u64,
    /// The calls that count, in the order they ended.
    pub(super) calls: Vec<Stamped>,
    /// What merges have given up of it.
    pub(super) given: Vec<Given>,
}

impl Key {
    /// Draws a key in one of the first slots.
    pub(super) fn draw(number: usize, scenario: &Scenario, rng: &mut Rng) -> Self {
        let slot = rng.u16(..scenario.slots.min(KEY_SLOTS));
        let role = match rng.u8(..10) {
            0..3 => Role::Plain,
            3 => Role::Sum,
            4..7 => Role::Mixed,
            7 | 8 => Role::Counter,
            _ => Role::Expiring(Duration::from_millis(rng.u64(500..8_000))),
        };
        let value_bytes = if rng.u8(..6) == 0 { rng.usize(1_000..60_000) } else { 8 };
        let written_until = if rng.bool() { Duration::MAX } else { scenario.length.mul_f64(rng.f64()) };
        // Where two holders can be, a delete that nobody writes over has to last until they meet.
        let deleted_last = role == Role::Mixed && number.is_multiple_of(2) && scenario.may_fork();
        Self {
            name: name(number, slot),
            slot,
            role,
            value_bytes,
            written_until,
            deleted_last,
            writes: 0,
            calls: Vec::new(),
            given: Vec::new(),
        }
    }

    /// A value as it is stored.
    pub(super) fn encode(&self, value: u64) -> Bytes {
        let mut bytes = vec![0; self.value_bytes.max(8)];
        bytes[..8].copy_from_slice(&value.to_le_bytes());
        bytes.into()
    }
}

/// The value that is stored as `bytes`: of fewer than 8, a sum in decimal digits. 0, which nobody writes, for anything
/// else.
pub(super) fn decode(bytes: &[u8]) -> u64 {
    let sum = || str::from_utf8(bytes).ok().and_then(|text| text.parse().ok());
    bytes.first_chunk().map(|first| u64::from_le_bytes(*first)).or_else(sum).unwrap_or(0)
}

/// A name that lies in a slot, which is one of the first [`KEY_SLOTS`].
pub(super) fn name(prefix: impl Display, slot: u16) -> Bytes {
    Bytes::from(format!("{prefix}{{{}}}", TAGS[usize::from(slot)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lie_in_their_slots() {
        for slot in 0..KEY_SLOTS {
            assert_eq!(boato_placement::slot(&name(slot * 7, slot)), slot);
        }
    }

    #[test]
    fn a_value_survives_its_padding() {
        let mut key = Key::draw(1, &Scenario::from_seed(1), &mut Rng::with_seed(1));
        for value_bytes in [0, 8, 1_000] {
            key.value_bytes = value_bytes;
            assert_eq!(decode(&key.encode(u64::MAX - 5)), u64::MAX - 5);
        }
    }

    #[test]
    fn a_sum_is_told_from_what_is_none() {
        assert_eq!([&b"1"[..], b"1234567", b"", b"x"].map(decode), [1, 1_234_567, 0, 0]);
    }
}
