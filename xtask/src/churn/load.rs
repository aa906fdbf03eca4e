//! The keys, and what the clients of a run share.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use anyhow::{Context, Result};

use super::doors::Doors;
use super::key::{Key, Kind};
use super::stage::Stage;
use super::view::{self, SlotSet};
use crate::nodes::Http;

/// Most calls to a key whose history is dear to check, and most of unknown outcome; then another takes its place.
const CALLS_MAX: usize = 1_000;
const UNKNOWN_MAX: usize = 3;

/// Large keys share slots with every other key in use, so that copying these slots takes long enough for writes meanwhile.
const CROWDED_SLOTS: usize = 32;
// A width of the formatter fits 16 bits.
const LARGE_BYTES: usize = 60 << 10;

/// Keys under load.
pub(super) struct Load {
    pub(super) stage: Stage,
    /// Whether clients try again after 503.
    pub(super) patient: bool,
    keys: Vec<RwLock<Arc<Key>>>,
    /// Large keys, written once.
    ballast: Vec<Arc<Key>>,
    /// Keys that are only read again, at the end.
    retired: Mutex<Vec<Arc<Key>>>,
    /// The next value to write: each is written once.
    value: AtomicU64,
}

impl Load {
    /// `count` keys, and large ones of so many bytes altogether; `http` asks the first door for their slots.
    pub(super) fn new(
        count: usize,
        ballast_bytes: usize,
        doors: Doors,
        patient: bool,
        http: &Http,
    ) -> Result<Self> {
        let first = doors.all();
        let first = *first.first().context("no node to ask")?;
        let key = |index| {
            let path = path(index, 0);
            let slot = view::slot(http, first, &path)?;
            Ok(RwLock::new(Arc::new(Key::new(path, slot, Kind::nth(index)))))
        };
        let large = |index| {
            let path = format!("/churn/%7B{}%7D/large/{index}", index % CROWDED_SLOTS);
            let slot = view::slot(http, first, &path)?;
            Ok(Arc::new(Key::large(path, slot, LARGE_BYTES)))
        };
        Ok(Self {
            stage: Stage::new(doors),
            patient,
            keys: (0..count).map(key).collect::<Result<_>>()?,
            ballast: (0..ballast_bytes / LARGE_BYTES).map(large).collect::<Result<_>>()?,
            retired: Mutex::default(),
            value: AtomicU64::new(1),
        })
    }

    /// How many keys are in use at a time.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The key in use at this place.
    pub(super) fn key(&self, index: usize) -> Arc<Key> {
        let key = self.keys[index].read().unwrap_or_else(PoisonError::into_inner);
        if is_spent(&key) {
            drop(key);
            return self.replace(index, is_spent);
        }
        Arc::clone(&key)
    }

    /// Puts fresh keys in the place of those in `slots`.
    pub(super) fn retire(&self, slots: &SlotSet) {
        for index in 0..self.keys.len() {
            self.replace(index, |key| slots.contains(key.slot));
        }
    }

    /// The key at this place, or a fresh one of the same slot and kind if `unfit`.
    fn replace(&self, index: usize, unfit: impl Fn(&Key) -> bool) -> Arc<Key> {
        let mut place = self.keys[index].write().unwrap_or_else(PoisonError::into_inner);
        if unfit(&place) {
            let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
            let fresh = Arc::new(Key::new(path(index, retired.len() + 1), place.slot, place.kind));
            retired.push(std::mem::replace(&mut *place, fresh));
        }
        Arc::clone(&place)
    }

    /// Every key there ever was.
    pub(super) fn all(&self) -> Vec<Arc<Key>> {
        let current =
            self.keys.iter().map(|key| Arc::clone(&key.read().unwrap_or_else(PoisonError::into_inner)));
        let mut all: Vec<_> = current.chain(self.ballast.iter().cloned()).collect();
        all.extend(self.retired.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned());
        all
    }

    /// Large keys.
    pub(super) fn ballast(&self) -> &[Arc<Key>] {
        &self.ballast
    }

    pub(super) fn fresh_value(&self) -> u64 {
        self.value.fetch_add(1, Relaxed)
    }
}

/// The path of a key. The hash tag decides on the slot: generations share it. Every other key has one of its own.
fn path(index: usize, generation: usize) -> String {
    let tag = if index.is_multiple_of(2) { index / 2 % CROWDED_SLOTS } else { index + CROWDED_SLOTS };
    format!("/churn/%7B{tag}%7D/{index}/{generation}")
}

/// Whether the history is long enough for a checker that has to search.
fn is_spent(key: &Key) -> bool {
    if matches!(key.kind, Kind::Register | Kind::Sum) {
        return false;
    }
    let (calls, unknown) = key.length();
    calls > CALLS_MAX || unknown > UNKNOWN_MAX
}
