//! What this node's clients asked for and what came of it: who had the key, and whether there was a value.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use boato_api::{Action, Command, Outcome, Reply, Source};

/// Counters that threads share as little as possible; chosen by key.
const CELLS: usize = 32;

/// Counts of all operations on keys since the start.
#[derive(Debug, Default)]
pub(crate) struct Tally([Cell; CELLS]);

/// One line of the processor's cache, or two.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Cell {
    local: AtomicU64,
    forwarded: AtomicU64,
    failed: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// What is remembered of a command until it has its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    cell: usize,
    is_read: bool,
}

impl Asked {
    pub(crate) fn of(command: &Command<'_>) -> Self {
        Self { cell: cell(command.key), is_read: matches!(command.action, Action::Get) }
    }
}

/// The end of keys differs the most.
fn cell(key: &[u8]) -> usize {
    usize::from(key.last().copied().unwrap_or_default()) % CELLS
}

/// The sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// Operations on keys held here.
    pub(crate) local: u64,
    /// Operations on keys held elsewhere.
    pub(crate) forwarded: u64,
    /// Operations that nobody answered, or not in time.
    pub(crate) failed: u64,
    /// Reads that found a value.
    pub(crate) hits: u64,
    /// Reads that found none.
    pub(crate) misses: u64,
}

impl Tally {
    /// A key held here was read.
    pub(crate) fn read(&self, key: &[u8], hit: bool) {
        let cell = &self.0[cell(key)];
        cell.local.fetch_add(1, Relaxed);
        if hit { &cell.hits } else { &cell.misses }.fetch_add(1, Relaxed);
    }

    /// A command has its answer.
    pub(crate) fn answered<E>(&self, asked: Asked, result: &Result<Reply, E>) {
        let cell = &self.0[asked.cell];
        let Ok(reply) = result else {
            cell.failed.fetch_add(1, Relaxed);
            return;
        };
        let place = if reply.source == Source::Local { &cell.local } else { &cell.forwarded };
        place.fetch_add(1, Relaxed);
        match &reply.outcome {
            Outcome::Missing if asked.is_read => cell.misses.fetch_add(1, Relaxed),
            _ if asked.is_read => cell.hits.fetch_add(1, Relaxed),
            _ => 0,
        };
    }

    /// What was counted so far.
    pub(crate) fn sums(&self) -> Sums {
        let sum =
            |counter: fn(&Cell) -> &AtomicU64| self.0.iter().map(|cell| counter(cell).load(Relaxed)).sum();
        Sums {
            local: sum(|cell| &cell.local),
            forwarded: sum(|cell| &cell.forwarded),
            failed: sum(|cell| &cell.failed),
            hits: sum(|cell| &cell.hits),
            misses: sum(|cell| &cell.misses),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn reads_count_as_hits_or_misses_and_by_holder() {
        let tally = Tally::default();
        let reply = |source, outcome| Ok::<_, ()>(Reply { source, holder: "n".into(), outcome });
        let version = boato_api::Version { hlc: 1, node: 1 };
        let value =
            Outcome::Value { value: Bytes::new(), content_type: Bytes::new(), version, ttl_left: None };
        let asked = |action| Asked::of(&Command { key: b"k", action });
        tally.read(b"a", true);
        tally.read(b"", false);
        tally.answered(asked(Action::Get), &reply(Source::Cluster, value));
        tally.answered(asked(Action::Get), &reply(Source::Cluster, Outcome::Missing));
        tally.answered(asked(Action::put(b"")), &reply(Source::Local, Outcome::Created(version)));
        tally.answered(asked(Action::Get), &Err::<Reply, ()>(()));
        assert_eq!(tally.sums(), Sums { local: 3, forwarded: 2, failed: 1, hits: 2, misses: 2 });
    }
}
