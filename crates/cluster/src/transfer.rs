//! The source's side of a copy: which keys are still to be sent, and which chunks are on their way.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use boato_storage::Entries;
use bytes::Bytes;

use crate::message::Item;

/// One stream of entries to another node: a walk over all of them, a part at a time, then the keys written
/// meanwhile, round after round.
#[derive(Clone, Hash, Debug)]
pub struct Transfer {
    /// Its number.
    pub xfer: u64,
    /// Where the walk goes on; `None`: it is over.
    walk: Option<u64>,
    /// Keys the walk has passed that are still to be sent.
    found: VecDeque<Bytes>,
    /// Keys written since they were sent.
    written: BTreeSet<Bytes>,
    /// The keys of every chunk sent, so that any can be sent again.
    chunks: Vec<Chunk>,
    unacknowledged: usize,
    /// Bytes on their way.
    in_flight: usize,
    /// Written keys still to be sent before everything that this round is about has gone out.
    round_keys: usize,
    /// The chunks of this round end before this number; known once they have gone out.
    round_end: Option<usize>,
    /// Chunks before this number have been acknowledged.
    acknowledged: usize,
    /// Rounds ended: the first sends every key, each later one those written during the one before.
    pub(crate) rounds: u32,
    /// When the other side last acknowledged something, or asked for the slot.
    pub(crate) progress_at: Duration,
}

#[derive(Clone, Hash, Debug)]
struct Chunk {
    /// None: it only asks what has arrived.
    keys: Vec<Bytes>,
    bytes: usize,
    acknowledged: bool,
    /// When it was sent last.
    sent_at: Duration,
    /// Whether it was sent more than once, so that its acknowledgement does not tell which of them arrived.
    again: bool,
}

/// What an acknowledgement tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Arrived {
    /// Bytes that are no longer on their way.
    pub(crate) bytes: usize,
    /// When they were sent, if that is certain.
    pub(crate) sent_at: Option<Duration>,
}

impl Transfer {
    /// A transfer of everything that `entries` holds.
    pub(crate) fn new(xfer: u64, entries: &Entries, now: Duration) -> Self {
        Self {
            xfer,
            walk: (!entries.is_empty()).then_some(0),
            found: VecDeque::new(),
            written: BTreeSet::new(),
            round_keys: 0,
            round_end: None,
            acknowledged: 0,
            chunks: Vec::new(),
            unacknowledged: 0,
            in_flight: 0,
            rounds: 0,
            progress_at: now,
        }
    }

    /// Notes that a key was written.
    pub(crate) fn mark(&mut self, key: &[u8]) {
        if !self.written.contains(key) {
            self.written.insert(Bytes::copy_from_slice(key));
        }
    }

    /// Takes the next chunk: its number, items and bytes. `None`: nothing is left. It aims for `chunk_bytes`; a
    /// single larger entry makes a chunk of its own.
    pub(crate) fn next_chunk(
        &mut self,
        entries: &Entries,
        chunk_bytes: usize,
        now: Duration,
    ) -> Option<(u32, Vec<Item>, usize)> {
        let (mut keys, mut items, mut bytes) = (Vec::new(), Vec::new(), 0);
        while bytes < chunk_bytes
            && let Some(key) = self.next_key(entries)
        {
            if let Some(entry) = entries.peek(&key) {
                let size = Item::bytes(&entry);
                if bytes > 0 && bytes + size > chunk_bytes {
                    self.put_back(key);
                    break;
                }
                bytes += size;
                items.push(Item::from(entry));
                keys.push(key);
            }
        }
        if keys.is_empty() {
            return None;
        }
        let seq = self.chunks();
        self.round_keys = self.round_keys.saturating_sub(keys.len());
        self.push(keys, bytes, now);
        if self.walked() && self.round_keys == 0 {
            self.round_end.get_or_insert(self.chunks.len());
        }
        Some((seq, items, bytes))
    }

    fn push(&mut self, keys: Vec<Bytes>, bytes: usize, sent_at: Duration) {
        self.chunks.push(Chunk { keys, bytes, acknowledged: false, sent_at, again: false });
        self.unacknowledged += 1;
        self.in_flight += bytes;
    }

    /// The number of a chunk without keys: its acknowledgement tells that whatever was sent before has arrived or is
    /// lost. The one before serves again while it is the last, and tells of what was sent before it was sent first.
    pub(crate) fn probe(&mut self, now: Duration) -> u32 {
        let serves = |chunk: &Chunk| chunk.keys.is_empty() && !chunk.acknowledged && !chunk.again;
        if !self.chunks.last().is_some_and(serves) {
            self.push(Vec::new(), 0, now);
        }
        self.chunks() - 1
    }

    /// What comes next: the walk, then the written keys.
    fn next_key(&mut self, entries: &Entries) -> Option<Bytes> {
        while let (true, Some(from)) = (self.found.is_empty(), self.walk) {
            let (part, next) = entries.scan(from);
            self.found.extend(part.map(|entry| Bytes::copy_from_slice(entry.key)));
            self.walk = next;
        }
        if let Some(key) = self.found.pop_front() {
            self.written.remove(&key);
            return Some(key);
        }
        self.written.pop_first()
    }

    /// Keeps a key that found no room for the next chunk.
    fn put_back(&mut self, key: Bytes) {
        if self.walked() {
            self.written.insert(key);
        } else {
            self.found.push_front(key);
        }
    }

    /// Whether the walk has passed every entry.
    fn walked(&self) -> bool {
        self.walk.is_none() && self.found.is_empty()
    }

    /// The present entries of a chunk that was sent before, which is on its way again, and by how many bytes there are
    /// more on their way now. `None`: there is no such chunk.
    pub(crate) fn resend(
        &mut self,
        seq: u32,
        entries: &Entries,
        now: Duration,
    ) -> Option<(Vec<Item>, usize)> {
        let chunk = self.chunks.get_mut(seq as usize)?;
        let more = if chunk.acknowledged { chunk.bytes } else { 0 };
        self.unacknowledged += usize::from(chunk.acknowledged);
        self.in_flight += more;
        (chunk.acknowledged, chunk.again, chunk.sent_at) = (false, true, now);
        self.acknowledged = self.acknowledged.min(seq as usize);
        let items = chunk.keys.iter().filter_map(|key| entries.peek(key).map(Item::from)).collect();
        Some((items, more))
    }

    /// The chunks that were sent at `before` or earlier and are lost: the other side has acknowledged what was sent at
    /// `reached`, and everything arrives in order.
    pub(crate) fn lost(&self, reached: Duration, before: Duration) -> Vec<u32> {
        let is_lost =
            |chunk: &Chunk| !chunk.acknowledged && chunk.sent_at < reached && chunk.sent_at <= before;
        let first = u32::try_from(self.acknowledged).unwrap_or(u32::MAX);
        (first..).zip(&self.chunks[self.acknowledged..]).filter(|it| is_lost(it.1)).map(|it| it.0).collect()
    }

    /// Whether a chunk that the other side misses was sent again, and may arrive yet.
    pub(crate) fn is_coming(&self, seq: u32, reached: Duration, before: Duration) -> bool {
        self.chunks.get(seq as usize).is_some_and(|chunk| {
            chunk.again && !chunk.acknowledged && (chunk.sent_at >= reached || chunk.sent_at > before)
        })
    }

    /// Whether a chunk has been acknowledged.
    pub(crate) fn has_arrived(&self, seq: u32) -> bool {
        self.chunks.get(seq as usize).is_some_and(|chunk| chunk.acknowledged)
    }

    /// Notes an acknowledgement; `None`: of nothing that is on its way.
    pub(crate) fn acknowledge(&mut self, seq: u32, now: Duration) -> Option<Arrived> {
        let chunk = self.chunks.get_mut(seq as usize).filter(|chunk| !chunk.acknowledged)?;
        chunk.acknowledged = true;
        self.unacknowledged -= 1;
        self.in_flight -= chunk.bytes;
        self.progress_at = now;
        let arrived = Arrived { bytes: chunk.bytes, sent_at: (!chunk.again).then_some(chunk.sent_at) };
        while self.chunks.get(self.acknowledged).is_some_and(|chunk| chunk.acknowledged) {
            self.acknowledged += 1;
        }
        if self.round_end.is_some_and(|end| end <= self.acknowledged) {
            self.rounds += 1;
            self.round_keys = self.written.len();
            self.round_end = None;
        }
        Some(arrived)
    }

    /// Sets all times: when there was progress, and when chunks were sent.
    #[cfg(feature = "model")]
    pub(crate) fn blur(&mut self, progress_at: Duration, sent_at: Duration) {
        self.progress_at = progress_at;
        for chunk in &mut self.chunks {
            (chunk.sent_at, chunk.again) = (sent_at, false);
        }
    }

    /// Bytes on their way.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether everything sent has arrived.
    pub(crate) fn settled(&self) -> bool {
        self.unacknowledged == 0
    }

    /// Whether nothing is left to send.
    pub(crate) fn drained(&self) -> bool {
        self.walked() && self.written.is_empty()
    }

    /// Chunks sent so far.
    pub(crate) fn chunks(&self) -> u32 {
        u32::try_from(self.chunks.len()).expect("invariant: fewer than 2^32 chunks of one slot")
    }

    /// Bytes still to be sent, counted up to `limit`: a result of `limit` or more means "at least that".
    pub(crate) fn pending_bytes(&self, entries: &Entries, limit: usize) -> usize {
        let mut bytes = if self.walked() { 0 } else { entries.bytes() };
        for entry in self.written.iter().filter_map(|key| entries.peek(key)) {
            bytes += Item::bytes(&entry);
            if bytes >= limit {
                break;
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use boato_storage::{Clock, Condition, Config, Store, Value, Writer};

    use super::*;

    const START: Duration = Duration::ZERO;
    const CHUNK_BYTES: usize = 64 << 10;

    fn store(keys: usize, value: usize) -> Store {
        let store = Store::new(Config { slots: 1, hash_seed: 1, max_memory: None }, |_| ());
        for key in 0..keys {
            put(&store, &key.to_string(), &vec![b'v'; value]);
        }
        store
    }

    fn put(store: &Store, key: &str, bytes: &[u8]) {
        let clock = Clock::new();
        let writer = Writer { clock: &clock, node: 1, now_ms: 1 };
        let value = Value { bytes, content_type: b"", expires_at_ms: None };
        store.lock(0).put(key.as_bytes(), value, &Condition::Always, &writer).expect("there is room");
    }

    #[test]
    fn every_entry_goes_out_once_in_chunks_of_bounded_size() {
        let store = store(1000, 1000);
        let guard = store.lock(0);
        let mut transfer = Transfer::new(1, &guard, START);
        let mut keys = BTreeSet::new();
        let mut chunks = 0;
        while let Some((seq, items, bytes)) = transfer.next_chunk(&guard, CHUNK_BYTES, START) {
            assert!(bytes <= CHUNK_BYTES, "a chunk of {bytes} bytes");
            assert_eq!(seq, chunks);
            chunks += 1;
            keys.extend(items.into_iter().map(|item| item.key));
        }
        assert_eq!(keys.len(), 1000);
        assert!(transfer.drained() && !transfer.settled());
        assert_eq!(transfer.lost(Duration::MAX, START).len(), chunks as usize);
    }

    #[test]
    fn an_entry_larger_than_a_chunk_goes_alone() {
        let store = store(3, 2 * CHUNK_BYTES);
        let guard = store.lock(0);
        let mut transfer = Transfer::new(1, &guard, START);
        let sizes: Vec<usize> = std::iter::from_fn(|| transfer.next_chunk(&guard, CHUNK_BYTES, START))
            .map(|(_, items, _)| items.len())
            .collect();
        assert_eq!(sizes, [1, 1, 1]);
    }

    #[test]
    fn a_key_written_meanwhile_goes_out_again_with_its_present_value() {
        let store = store(1, 1);
        let mut transfer = Transfer::new(1, &store.lock(0), START);
        let (first, ..) = transfer.next_chunk(&store.lock(0), CHUNK_BYTES, START).expect("one chunk");
        put(&store, "0", b"new");
        transfer.mark(b"0");
        assert_eq!(transfer.resend(first, &store.lock(0), START).expect("known").0[0].value, "new");
        let (_, items, _) = transfer.next_chunk(&store.lock(0), CHUNK_BYTES, START).expect("the key again");
        assert_eq!(items[0].value, "new");
    }

    #[test]
    fn rounds_end_even_if_something_is_always_on_its_way() {
        let store = store(100, 1000);
        let guard = store.lock(0);
        let mut transfer = Transfer::new(1, &guard, START);
        let mut on_its_way = std::collections::VecDeque::new();
        for _ in 0..40 {
            (0..100).for_each(|key: u32| transfer.mark(key.to_string().as_bytes()));
            on_its_way.extend(transfer.next_chunk(&guard, CHUNK_BYTES, START).map(|(seq, ..)| seq));
            if on_its_way.len() > 2
                && let Some(seq) = on_its_way.pop_front()
            {
                transfer.acknowledge(seq, START);
                assert!(!transfer.settled());
            }
        }
        assert!(transfer.rounds >= 4, "after {} rounds", transfer.rounds);
    }

    #[test]
    fn rounds_end_when_what_was_pending_at_their_start_has_arrived() {
        let store = store(200, 1000);
        let guard = store.lock(0);
        let mut transfer = Transfer::new(1, &guard, START);
        transfer.next_chunk(&guard, CHUNK_BYTES, START);
        transfer.acknowledge(0, START);
        assert_eq!(transfer.rounds, 0, "most of the scan is still to come");
        while transfer.next_chunk(&guard, CHUNK_BYTES, START).is_some() {}
        transfer.mark(b"7");
        for seq in transfer.lost(Duration::MAX, START) {
            transfer.acknowledge(seq, START);
        }
        assert_eq!((transfer.rounds, transfer.in_flight(), transfer.settled()), (1, 0, true));
    }
}
