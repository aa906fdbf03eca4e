//! What this node's clients asked for and what came of it: who had the key, and whether there was a value.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use boato_api::{Action, Command, Operations, Outcome, PerThread, Source};

/// Counts of all operations on keys since the start.
#[derive(Debug, Default)]
pub(crate) struct Tally(PerThread<Counts>);

/// An operation counts once, so that counting it is one step.
#[derive(Debug, Default)]
struct Counts {
    local: Place,
    forwarded: Place,
    failed: AtomicU64,
}

/// Operations on keys held in one place.
#[derive(Debug, Default)]
struct Place {
    hits: AtomicU64,
    misses: AtomicU64,
    /// All but reads.
    others: AtomicU64,
}

/// What is remembered of a command until it has its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    is_read: bool,
}

impl Asked {
    /// Of something that is no read.
    pub(crate) fn write() -> Self {
        Self { is_read: false }
    }

    pub(crate) fn of(command: &Command<'_>) -> Self {
        Self { is_read: matches!(command.action, Action::Get | Action::GetRange { .. } | Action::Head) }
    }
}

impl Tally {
    /// A key held here was read.
    pub(crate) fn read(&self, hit: bool) {
        let local = &self.0.mine().local;
        if hit { &local.hits } else { &local.misses }.fetch_add(1, Relaxed);
    }

    /// So many keys held here were read and had a value, so many had none.
    pub(crate) fn read_all(&self, hits: u64, misses: u64) {
        let local = &self.0.mine().local;
        local.hits.fetch_add(hits, Relaxed);
        local.misses.fetch_add(misses, Relaxed);
    }

    /// A command has its answer.
    pub(crate) fn answered<E>(&self, asked: Asked, source: Source, result: &Result<Outcome, E>) {
        let counts = self.0.mine();
        let counter = match result {
            Err(_) => &counts.failed,
            Ok(outcome) => {
                let place = if source == Source::Local { &counts.local } else { &counts.forwarded };
                match outcome {
                    Outcome::Missing if asked.is_read => &place.misses,
                    _ if asked.is_read => &place.hits,
                    _ => &place.others,
                }
            }
        };
        counter.fetch_add(1, Relaxed);
    }

    /// A transaction has its answer. Its commands count one by one, unless a watched key had changed: then none was applied.
    pub(crate) fn transacted<E, F>(
        &self,
        asked: &[Asked],
        source: Source,
        result: &Result<Option<Vec<Result<Outcome, E>>>, F>,
    ) {
        match result {
            Ok(Some(all)) => {
                asked.iter().zip(all).for_each(|(&asked, result)| self.answered(asked, source, result));
            }
            Ok(None) => {}
            Err(error) => asked.iter().for_each(|&asked| self.answered(asked, source, &Err(error))),
        }
    }

    /// What was counted so far.
    pub(crate) fn sums(&self) -> Operations {
        let [local, forwarded] =
            [(|counts| &counts.local) as fn(&Counts) -> &Place, |counts| &counts.forwarded].map(|place| {
                let hits = self.0.sum(|counts| &place(counts).hits);
                let misses = self.0.sum(|counts| &place(counts).misses);
                (hits, misses, self.0.sum(|counts| &place(counts).others))
            });
        let all = |(hits, misses, others)| hits + misses + others;
        Operations {
            local: all(local),
            forwarded: all(forwarded),
            failed: self.0.sum(|counts| &counts.failed),
            hits: local.0 + forwarded.0,
            misses: local.1 + forwarded.1,
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
        let version = boato_api::Version { hlc: 1, node: 1 };
        let value =
            Outcome::Value { value: Bytes::new(), content_type: Bytes::new(), version, ttl_left: None };
        let asked = |action| Asked::of(&Command { key: b"k", action });
        tally.read(true);
        tally.read(false);
        tally.answered(asked(Action::Get), Source::Cluster, &Ok::<_, ()>(value));
        tally.answered(asked(Action::Get), Source::Cluster, &Ok::<_, ()>(Outcome::Missing));
        let created = Ok::<_, ()>(Outcome::Created(version));
        tally.answered(asked(Action::put(b"")), Source::Local, &created);
        tally.answered(asked(Action::Get), Source::Local, &Err(()));
        assert_eq!(tally.sums(), Operations { local: 3, forwarded: 2, failed: 1, hits: 2, misses: 2 });
        tally.read_all(2, 1);
        tally.answered(asked(Action::Head), Source::Local, &Ok::<_, ()>(Outcome::Missing));
        assert_eq!(tally.sums(), Operations { local: 7, forwarded: 2, failed: 1, hits: 4, misses: 4 });

        let asked = [asked(Action::Get), asked(Action::put(b""))];
        let all = vec![Ok::<_, ()>(Outcome::Missing), Ok(Outcome::Created(version))];
        tally.transacted(&asked, Source::Cluster, &Ok::<_, ()>(Some(all)));
        tally.transacted::<(), ()>(&asked, Source::Local, &Ok(None));
        tally.transacted::<(), ()>(&asked, Source::Local, &Err(()));
        assert_eq!(tally.sums(), Operations { local: 7, forwarded: 4, failed: 3, hits: 4, misses: 5 });
    }
}
