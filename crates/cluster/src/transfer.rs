//! The source's side of a copy: which keys are still to be sent, and which chunks are on their way.

use std::collections::BTreeSet;
use std::time::Duration;

use boato_storage::Entries;
use bytes::Bytes;

use crate::message::Item;

/// One stream of entries to another node. Keys written while it runs are simply to be sent again.
#[derive(Debug)]
pub struct Transfer {
    /// Its number.
    pub xfer: u64,
    /// Keys whose present entry the target may not have.
    pending: BTreeSet<Bytes>,
    /// The keys of every chunk sent, so that any can be sent again.
    chunks: Vec<Chunk>,
    unacknowledged: usize,
    /// Bytes on their way.
    in_flight: usize,
    /// Keys still to be sent before this round ends.
    round_keys: usize,
    /// Rounds ended: the first sends every key, each later one those written during the one before.
    pub(crate) rounds: u32,
    /// When the last acknowledgement came.
    pub(crate) progress_at: Duration,
}

#[derive(Debug)]
struct Chunk {
    keys: Vec<Bytes>,
    bytes: usize,
    acknowledged: bool,
}

/// The bytes of entries one chunk aims for; a single larger entry makes a chunk of its own.
pub(crate) const CHUNK_BYTES: usize = 64 << 10;

impl Transfer {
    /// A transfer of everything that `entries` holds.
    pub(crate) fn new(xfer: u64, entries: &Entries, now: Duration) -> Self {
        let pending: BTreeSet<_> = entries.entries().map(|entry| Bytes::copy_from_slice(entry.key)).collect();
        Self {
            xfer,
            round_keys: pending.len(),
            pending,
            chunks: Vec::new(),
            unacknowledged: 0,
            in_flight: 0,
            rounds: 0,
            progress_at: now,
        }
    }

    /// Notes that a key was written.
    pub(crate) fn mark(&mut self, key: &Bytes) {
        // Copied: `key` may be a view into a much larger buffer.
        if !self.pending.contains(key) {
            self.pending.insert(Bytes::copy_from_slice(key));
        }
    }

    /// Takes the next chunk: its number, items and bytes. `None`: nothing is pending.
    pub(crate) fn next_chunk(&mut self, entries: &Entries) -> Option<(u32, Vec<Item>, usize)> {
        let (mut keys, mut items, mut bytes) = (Vec::new(), Vec::new(), 0);
        while bytes < CHUNK_BYTES
            && let Some(key) = self.pending.pop_first()
        {
            if let Some(entry) = entries.peek(&key) {
                let size = Item::bytes(&entry);
                if bytes > 0 && bytes + size > CHUNK_BYTES {
                    self.pending.insert(key);
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
        self.chunks.push(Chunk { keys, bytes, acknowledged: false });
        self.unacknowledged += 1;
        self.in_flight += bytes;
        Some((seq, items, bytes))
    }

    /// The present entries of a chunk that was sent before; `None`: there is no such chunk.
    pub(crate) fn resend(&self, seq: u32, entries: &Entries) -> Option<Vec<Item>> {
        let chunk = self.chunks.get(seq as usize)?;
        Some(chunk.keys.iter().filter_map(|key| entries.peek(key).map(Item::from)).collect())
    }

    /// The numbers of the chunks not yet acknowledged.
    pub(crate) fn unacknowledged(&self) -> Vec<u32> {
        (0..).zip(&self.chunks).filter(|(_, chunk)| !chunk.acknowledged).map(|(seq, _)| seq).collect()
    }

    /// Notes an acknowledgement; returns the bytes that are no longer on their way.
    pub(crate) fn acknowledge(&mut self, seq: u32, now: Duration) -> usize {
        let Some(chunk) = self.chunks.get_mut(seq as usize).filter(|chunk| !chunk.acknowledged) else {
            return 0;
        };
        chunk.acknowledged = true;
        self.unacknowledged -= 1;
        self.in_flight -= chunk.bytes;
        self.progress_at = now;
        if self.unacknowledged == 0 && self.round_keys == 0 {
            self.rounds += 1;
            self.round_keys = self.pending.len();
        }
        chunk.bytes
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
        self.pending.is_empty()
    }

    /// Chunks sent so far.
    pub(crate) fn chunks(&self) -> u32 {
        u32::try_from(self.chunks.len()).expect("invariant: fewer than 2^32 chunks of one slot")
    }

    /// Bytes still to be sent, counted up to `limit`: a result of `limit` or more means "at least that".
    pub(crate) fn pending_bytes(&self, entries: &Entries, limit: usize) -> usize {
        let mut bytes = 0;
        for entry in self.pending.iter().filter_map(|key| entries.peek(key)) {
            bytes += Item::bytes(&entry);
            if bytes >= limit {
                break;
            }
        }
        bytes
    }
}
