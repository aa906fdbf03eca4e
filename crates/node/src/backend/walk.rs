//! What concerns all slots, wherever each is held: pages of keys by number, counting, removing.

use boato_api::{self as api, ScanPage, ScanQuery, Topology};
use boato_cluster::quic::Cluster;
use boato_cluster::{Effect, FLUSH_LIMIT, Operation, POSITION_BITS, SCAN_LIMIT, Slice};
use boato_placement::SLOTS;
use bytes::Bytes;

use super::convert::{failure, refusal};

/// Slots asked at a time.
const BATCH: usize = 256;

/// Slots that a page asks first: what they bring tells how many can be asked at a time.
const FIRST_BATCH: usize = 16;

/// A page ends once its keys have so many bytes. A slot alone brings about as many at most.
const PAGE_BYTES: usize = 4 << 20;

/// As many keys a slot is asked for at least, where more are wanted.
const ASKED_MIN: usize = 64;

/// Slots that one page looks at before it is handed out, however few keys it has.
const SLOTS_PER_PAGE: usize = 4096;

/// Where a page of keys begins: in a slot, at a position of the order in which it lists its keys.
///
/// As a number below 2^53, which even those clients read right that keep numbers as doubles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    slot: usize,
    position: u64,
}

impl Cursor {
    fn read(number: u64) -> Self {
        let position = number & ((1 << POSITION_BITS) - 1);
        Self { slot: usize::try_from(number >> POSITION_BITS).unwrap_or(SLOTS), position }
    }

    /// 0 past the last slot, as before the first.
    fn number(self) -> u64 {
        if self.slot >= SLOTS { 0 } else { (self.slot as u64) << POSITION_BITS | self.position }
    }
}

/// What a page asks for.
pub(super) struct Scan {
    cursor: Cursor,
    end: usize,
    pattern: Option<Bytes>,
    count: usize,
    only: Option<u16>,
    /// Whether a slot is walked through at all.
    walked: Vec<bool>,
}

impl Scan {
    pub(super) fn new(query: ScanQuery<'_>, topology: &Topology) -> Self {
        let mut cursor = Cursor::read(query.cursor);
        let mut end = SLOTS.min(cursor.slot + SLOTS_PER_PAGE);
        if let Some(slot) = query.slot.map(usize::from) {
            // The cursor of a walk through one slot is one of that slot.
            cursor = Cursor { slot, position: if cursor.slot == slot { cursor.position } else { 0 } };
            end = SLOTS.min(slot + 1);
        }
        let pattern = query.pattern.filter(|pattern| *pattern != b"*").map(Bytes::copy_from_slice);
        let count = query.count.clamp(1, SCAN_LIMIT as usize);
        let walked = if query.mine { own_slots(topology) } else { vec![true; SLOTS] };
        Self { cursor, end, pattern, count, only: query.slot, walked }
    }

    /// Looks at so many slots at a time that what is asked for should be found in them; what they have beyond it is
    /// asked for again with the next page, as is what long keys leave no room for.
    pub(super) async fn page(self, cluster: Cluster) -> Result<ScanPage, api::Failure> {
        let Self { mut cursor, end, pattern, count, only, walked } = self;
        let mut page = ScanPage::default();
        let (mut seen, mut bytes, mut batch) = (0, 0, FIRST_BATCH);
        while cursor.slot < end && seen < count && bytes < PAGE_BYTES {
            let until = end.min(cursor.slot + likely_slots(&cluster, count - seen).min(batch));
            let slots: Vec<usize> = (cursor.slot..until).filter(|slot| walked[*slot]).collect();
            let ask = asked_of_each(count - seen, slots.len());
            let operations = slots.iter().map(|slot| {
                let position = if *slot == cursor.slot { cursor.position } else { 0 };
                let pattern = pattern.as_deref().map(Slice);
                Operation::Scan { slot: number(*slot), position, count: ask, pattern }
            });
            let results = cluster.execute_all(&operations.collect::<Vec<_>>()).await;
            cursor = Cursor { slot: until, position: 0 };
            for (slot, result) in slots.into_iter().zip(results) {
                let (effect, _) = result.map_err(failure)?;
                let Effect::Page(mut found) = effect else { return Err(refusal(&effect)) };
                seen += found.seen as usize;
                bytes += found.keys.iter().map(Bytes::len).sum::<usize>();
                page.keys.append(&mut found.keys);
                if seen >= count || bytes >= PAGE_BYTES || found.next.is_some() {
                    cursor = match found.next {
                        Some(position) => Cursor { slot, position },
                        None => Cursor { slot: slot + 1, position: 0 },
                    };
                    break;
                }
            }
            // More only while many times as many would not be too much.
            batch = if bytes < PAGE_BYTES / 64 { (batch * 4).min(BATCH) } else { FIRST_BATCH };
        }
        let is_over = only.is_some() && cursor.slot >= end;
        page.cursor = if is_over { 0 } else { cursor.number() };
        Ok(page)
    }
}

/// Which slots the topology names this node for.
fn own_slots(topology: &Topology) -> Vec<bool> {
    let mut own = vec![false; SLOTS];
    for (first, last, _) in topology.runs.iter().filter(|(.., node)| topology.nodes[*node].me) {
        own[usize::from(*first)..=usize::from(*last)].fill(true);
    }
    own
}

/// How many keys to ask each of some slots for, so that they bring not much more than is wanted where they have more than
/// expected: what a slot has beyond it is asked for next.
fn asked_of_each(keys: usize, slots: usize) -> u32 {
    let each = (keys / slots.max(1)).saturating_mul(4).clamp(ASKED_MIN, ASKED_MIN.max(keys));
    u32::try_from(each).unwrap_or(SCAN_LIMIT)
}

/// How many slots have so many keys together, if the others have as many as those held here.
fn likely_slots(cluster: &Cluster, keys: usize) -> usize {
    let entries = usize::try_from(cluster.slots().memory().entries).unwrap_or(usize::MAX);
    let held = cluster.stats().custody.max(1);
    (keys.saturating_mul(held) / entries.max(1)).clamp(1, BATCH)
}

/// How many keys one slot has, or all.
pub(super) async fn count(cluster: Cluster, slot: Option<u16>) -> Result<u64, api::Failure> {
    let slots = slot.map_or(0..SLOTS, |slot| usize::from(slot)..usize::from(slot) + 1);
    let counts = counts(&cluster, slots.collect(), |slot| Operation::Count { slot }).await?;
    Ok(counts.iter().map(|(_, keys, _)| keys).sum())
}

/// Removes all keys; returns how many there were.
pub(super) async fn flush(cluster: Cluster) -> Result<u64, api::Failure> {
    let mut removed = 0;
    let mut slots: Vec<usize> = (0..SLOTS).collect();
    // Slots whose keys are not all gone take further rounds; keys that are added meanwhile take none.
    let mut rounds = 1;
    let mut round = 0;
    while round < rounds && !slots.is_empty() {
        let counts = counts(&cluster, slots, |slot| Operation::Flush { slot }).await?;
        removed += counts.iter().map(|(_, keys, _)| keys).sum::<u64>();
        let most = counts.iter().map(|(.., left)| left).max().copied().unwrap_or(0);
        if round == 0 {
            rounds += most.div_ceil(FLUSH_LIMIT as u64);
        }
        slots = counts.into_iter().filter(|(.., left)| *left > 0).map(|(slot, ..)| slot).collect();
        round += 1;
    }
    Ok(removed)
}

/// Asks slots for counts: each with its keys and those left.
async fn counts(
    cluster: &Cluster,
    slots: Vec<usize>,
    operation: impl Fn(u16) -> Operation<Slice<'static>>,
) -> Result<Vec<(usize, u64, u64)>, api::Failure> {
    let mut counts = Vec::with_capacity(slots.len());
    for batch in slots.chunks(BATCH) {
        let operations: Vec<_> = batch.iter().map(|slot| operation(number(*slot))).collect();
        for (&slot, result) in batch.iter().zip(cluster.execute_all(&operations).await) {
            let (effect, _) = result.map_err(failure)?;
            let Effect::Count { keys, left } = effect else { return Err(refusal(&effect)) };
            counts.push((slot, keys, left));
        }
    }
    Ok(counts)
}

fn number(slot: usize) -> u16 {
    u16::try_from(slot).expect("invariant: slots are numbered below 16384")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_fits_a_double() {
        for cursor in [
            Cursor { slot: 0, position: 1 },
            Cursor { slot: 16383, position: (1 << POSITION_BITS) - 1 },
            Cursor { slot: 77, position: 0 },
        ] {
            assert_eq!(Cursor::read(cursor.number()), cursor);
            assert!(cursor.number() < 1 << 53);
        }
        assert_eq!(Cursor { slot: SLOTS, position: 0 }.number(), 0);
    }

    #[test]
    fn many_slots_are_asked_for_few_keys_each() {
        for (keys, slots, each) in
            [(10, 256, 64), (4096, 1, 4096), (4096, 256, 64), (65_536, 256, 1024), (1, 0, 64)]
        {
            assert_eq!(asked_of_each(keys, slots), each, "{keys} keys of {slots} slots");
        }
    }

    #[test]
    fn any_number_is_a_cursor() {
        for number in [u64::MAX, 1 << 53, (SLOTS as u64) << POSITION_BITS] {
            let query = ScanQuery { cursor: number, pattern: None, count: 10, slot: None, mine: false };
            let scan = Scan::new(query, &Topology::default());
            assert!(scan.cursor.slot >= scan.end, "{number} is past the last slot");
        }
    }
}
