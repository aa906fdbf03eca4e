//! The effect of operations on the entries of their slot.

use std::ops::Range;

use boato_storage::{Aside, Condition, Delete, Entries, EntryRef, Put, PutError, Value, Version, Writer};
use bytes::Bytes;

use super::{
    Action, Effect, ExpireWhen, Expiry, FLUSH_LIMIT, Guard, LIST_BYTES, LIST_LIMIT, Operation, Outcome, Step,
    VALUE_MAX, number, page,
};

/// Bytes of values that the outcomes of one transaction bring together, at most, and bytes of these outcomes altogether:
/// they have to fit a frame between nodes.
const TRANSACTION_VALUES_MAX: usize = 12 << 20;
const TRANSACTION_OUTCOMES_MAX: usize = 15 << 20;

/// What applying needs beside the entries.
#[derive(Clone, Copy)]
pub(crate) struct Applier<'a> {
    /// Stamps writes; carries the wall clock.
    pub(crate) writer: Writer<'a>,
    /// How long a tombstone is kept, in milliseconds.
    pub(crate) healing_ms: u64,
    /// Memory for what is stored.
    pub(crate) aside: Option<&'a Aside>,
}

/// The outcome, or why nothing was written.
type Written = Result<Outcome, Outcome>;

impl Applier<'_> {
    /// Applies `operation` to the entries of its slot.
    pub(crate) fn apply<B: AsRef<[u8]>>(&self, operation: &Operation<B>, entries: &mut Entries) -> Effect {
        let now_ms = self.writer.now_ms;
        match operation {
            Operation::Key(step) => Effect::Key(self.step(step, entries)),
            Operation::List { prefix, after, limit, .. } => {
                let (after, limit) = (after.as_ref().map(AsRef::as_ref), (*limit).min(LIST_LIMIT) as usize);
                let keys = entries.list(prefix.as_ref(), after, limit, now_ms).into_iter().map(Bytes::from);
                let mut bytes = 0;
                let within = |key: &Bytes| {
                    let goes_on = bytes < LIST_BYTES;
                    bytes += key.len();
                    goes_on
                };
                Effect::Keys(keys.take_while(within).collect())
            }
            Operation::Scan { position, count, pattern, .. } => {
                let pattern = pattern.as_ref().map(AsRef::as_ref);
                Effect::Page(page::of(entries, *position, *count, pattern, now_ms))
            }
            Operation::Count { .. } => Effect::Count { keys: entries.memory().entries, left: 0 },
            Operation::Flush { .. } => self.flush(entries),
            Operation::Transaction { watched, steps, .. } => {
                let unchanged = watched.iter().all(|(key, version)| {
                    entries.get(key.as_ref(), now_ms).map(|entry| pair(entry.version)) == *version
                });
                Effect::Transaction(unchanged.then(|| self.steps(steps, entries)))
            }
        }
    }

    /// Where memory does not suffice for all, none is applied. A step whose outcome would bring too many bytes is not applied.
    fn steps<B: AsRef<[u8]>>(&self, steps: &[Step<B>], entries: &mut Entries) -> Vec<Outcome> {
        let Ok(aside) = self.set_aside(entries, steps.iter()) else {
            return vec![Outcome::Full; steps.len()];
        };
        let applier = Applier { aside: aside.as_ref(), ..*self };
        let outcomes = steps.len() * size_of::<rkyv::Archived<Outcome>>();
        let mut room = TRANSACTION_OUTCOMES_MAX.saturating_sub(outcomes).min(TRANSACTION_VALUES_MAX);
        let mut outcome = |step: &Step<B>| {
            if step.action.returns_value() {
                let stored = entries.get(step.key.as_ref(), self.writer.now_ms);
                let bytes = stored.map_or(0, |entry| entry.value.len() + entry.content_type.len());
                match room.checked_sub(bytes) {
                    Some(rest) => room = rest,
                    None => return Outcome::TooLarge,
                }
            }
            applier.step(step, entries)
        };
        steps.iter().map(&mut outcome).collect()
    }

    fn step<B: AsRef<[u8]>>(&self, step: &Step<B>, entries: &mut Entries) -> Outcome {
        let key = step.key.as_ref();
        let now_ms = self.writer.now_ms;
        let written = match &step.action {
            Action::Get => return read(entries, key, now_ms, |len| 0..len),
            Action::GetRange { first, last } => {
                return read(entries, key, now_ms, |len| range(*first, *last, len));
            }
            Action::Head => return head(entries, key, now_ms),
            Action::Put { value, content_type, expiry, guard, previous } => {
                let (bytes, content_type) = (value.as_ref(), content_type.as_ref());
                let value = Value { bytes, content_type, expires_at_ms: None };
                self.put(entries, key, value, *expiry, guard, *previous)
            }
            Action::Delete { guard, previous } => Ok(self.delete(entries, key, guard, *previous)),
            Action::Expire { expiry, when, value } => Ok(self.expire(entries, key, *expiry, *when, *value)),
            Action::Add { by, ttl_ms } => self.add(entries, key, *by, *ttl_ms),
            Action::AddFloat { by_bits } => self.add_float(entries, key, f64::from_bits(*by_bits)),
            Action::Append { bytes } => self.splice(entries, key, None, bytes.as_ref()),
            Action::SetRange { bytes, .. } if bytes.as_ref().is_empty() => {
                Ok(Outcome::Length(entries.get(key, now_ms).map_or(0, |entry| entry.value.len() as u64)))
            }
            Action::SetRange { offset, bytes } => self.splice(entries, key, Some(*offset), bytes.as_ref()),
            Action::SetBit { offset, bit } => self.set_bit(entries, key, *offset, *bit),
            Action::Rename { to, replace, keep } => self.rename(entries, key, to.as_ref(), *replace, *keep),
        };
        written.unwrap_or_else(|refused| refused)
    }

    fn put<B: AsRef<[u8]>>(
        &self,
        entries: &mut Entries,
        key: &[u8],
        mut value: Value<'_>,
        expiry: Expiry,
        guard: &Guard<B>,
        previous: bool,
    ) -> Written {
        let (mut kept, mut before) = (None, None);
        let checked = guard.condition().filter(|_| !previous && expiry != Expiry::Keep);
        if checked.is_none() {
            let stored = entries.get(key, self.writer.now_ms);
            before = stored.filter(|_| previous).map(|entry| Bytes::copy_from_slice(entry.value));
            kept = stored.and_then(|entry| entry.expires_at_ms);
            if !guard.holds(stored.as_ref()) {
                let version = stored.map(|entry| pair(entry.version));
                return Ok(Outcome::Refused { version, previous: before });
            }
        }
        value.expires_at_ms = expiry.deadline(kept, self.writer.now_ms);
        Ok(match self.store(entries, key, value, &checked.unwrap_or_default())? {
            Put::Created(version) => Outcome::Created(pair(version)),
            Put::Replaced(version) => Outcome::Replaced { version: pair(version), previous: before },
            Put::Refused(version) => Outcome::Refused { version: version.map(pair), previous: None },
        })
    }

    fn delete<B: AsRef<[u8]>>(
        &self,
        entries: &mut Entries,
        key: &[u8],
        guard: &Guard<B>,
        previous: bool,
    ) -> Outcome {
        let mut before = None;
        if previous || !matches!(guard, Guard::Always) {
            let stored = entries.get(key, self.writer.now_ms);
            before = stored.filter(|_| previous).map(|entry| Bytes::copy_from_slice(entry.value));
            if !guard.holds(stored.as_ref()) {
                let version = stored.map(|entry| pair(entry.version));
                return Outcome::Refused { version, previous: before };
            }
        }
        match self.remove(entries, key) {
            Some(version) => Outcome::Deleted { version: pair(version), previous: before },
            None => Outcome::Missing,
        }
    }

    fn expire(
        &self,
        entries: &mut Entries,
        key: &[u8],
        expiry: Expiry,
        when: ExpireWhen,
        value: bool,
    ) -> Outcome {
        let now_ms = self.writer.now_ms;
        let Some(entry) = entries.get(key, now_ms) else { return Outcome::Missing };
        let old = entry.expires_at_ms;
        let new = expiry.deadline(old, now_ms);
        let never_did = expiry == Expiry::Never && old.is_none();
        let changes = expiry != Expiry::Keep && !never_did && when.holds(old, new);
        let bytes = value.then(|| Bytes::copy_from_slice(entry.value));
        let content_type = if value { Bytes::copy_from_slice(entry.content_type) } else { Bytes::new() };
        let (mut version, mut expires_at_ms) = (entry.version, old);
        if changes {
            let is_over = new.is_some_and(|at| at <= now_ms);
            let written = if is_over {
                self.remove(entries, key)
            } else {
                entries.set_deadline(key, new, &self.writer)
            };
            (version, expires_at_ms) = (written.unwrap_or(version), new);
        }
        match bytes {
            Some(value) => {
                let ttl_ms = expires_at_ms.map(|at| at.saturating_sub(now_ms));
                Outcome::Value { value, content_type, version: pair(version), ttl_ms }
            }
            None => Outcome::Changed(changes),
        }
    }

    fn add(&self, entries: &mut Entries, key: &[u8], by: i64, ttl_ms: Option<u64>) -> Written {
        let now_ms = self.writer.now_ms;
        let stored = entries.get(key, now_ms);
        let current = match stored {
            Some(entry) => number::integer(entry.value).ok_or(Outcome::NotAnInteger)?,
            None => 0,
        };
        let value = current.checked_add(by).ok_or(Outcome::Overflow)?;
        let fresh_until = ttl_ms.map(|ttl| now_ms.saturating_add(ttl));
        let kept = Kept::of(stored, fresh_until);
        let version = self.restore(entries, key, value.to_string().as_bytes(), &kept)?;
        Ok(Outcome::Integer { value, version })
    }

    fn add_float(&self, entries: &mut Entries, key: &[u8], by: f64) -> Written {
        let stored = entries.get(key, self.writer.now_ms);
        let text = number::sum(stored.map_or(&b"0"[..], |entry| entry.value), by)?;
        let value: f64 = text.parse().map_err(|_| Outcome::Overflow)?;
        let kept = Kept::of(stored, None);
        let version = self.restore(entries, key, text.as_bytes(), &kept)?;
        Ok(Outcome::Float { bits: value.to_bits(), version })
    }

    /// Writes `bytes` into the value from `offset` on; `None`: behind its end.
    fn splice(&self, entries: &mut Entries, key: &[u8], offset: Option<u64>, bytes: &[u8]) -> Written {
        let stored = entries.get(key, self.writer.now_ms);
        let old = stored.map_or(&[][..], |entry| entry.value);
        let start = match offset {
            Some(offset) => usize::try_from(offset).map_err(|_| Outcome::TooLarge)?,
            None => old.len(),
        };
        let end = start.saturating_add(bytes.len());
        if end > VALUE_MAX {
            return Err(Outcome::TooLarge);
        }
        let mut new = Vec::with_capacity(end.max(old.len()));
        new.extend_from_slice(old);
        new.resize(end.max(old.len()), 0);
        new[start..end].copy_from_slice(bytes);
        let kept = Kept::of(stored, None);
        self.restore(entries, key, &new, &kept)?;
        Ok(Outcome::Length(new.len() as u64))
    }

    fn set_bit(&self, entries: &mut Entries, key: &[u8], offset: u64, bit: bool) -> Written {
        let place = offset / 8;
        let mask = 0x80_u8 >> (offset % 8);
        let stored = entries.get(key, self.writer.now_ms);
        let at = usize::try_from(place).map_err(|_| Outcome::TooLarge)?;
        let old = stored.and_then(|entry| entry.value.get(at).copied()).unwrap_or(0);
        let new = if bit { old | mask } else { old & !mask };
        self.splice(entries, key, Some(place), &[new])?;
        let version = entries.peek(key).map(|entry| pair(entry.version));
        let version = version.expect("invariant: it has just been stored");
        Ok(Outcome::Integer { value: (old & mask != 0).into(), version })
    }

    fn rename(&self, entries: &mut Entries, key: &[u8], to: &[u8], replace: bool, keep: bool) -> Written {
        let now_ms = self.writer.now_ms;
        let Some(entry) = entries.get(key, now_ms) else { return Ok(Outcome::Missing) };
        if key == to {
            return Ok(Outcome::Changed(replace));
        }
        if !replace && entries.get(to, now_ms).is_some() {
            return Ok(Outcome::Changed(false));
        }
        let (bytes, content_type) = (entry.value.to_vec(), entry.content_type.to_vec());
        let expires_at_ms = entry.expires_at_ms;
        let value = Value { bytes: &bytes, content_type: &content_type, expires_at_ms };
        self.store(entries, to, value, &Condition::Always)?;
        if !keep {
            self.remove(entries, key);
        }
        Ok(Outcome::Changed(true))
    }

    fn flush(&self, entries: &mut Entries) -> Effect {
        let now_ms = self.writer.now_ms;
        let keys: Vec<Box<[u8]>> = flushed(entries, now_ms).map(|entry| Box::from(entry.key)).collect();
        for key in &keys {
            self.remove(entries, key);
        }
        let left = entries.entries().filter(|entry| entry.is_live(now_ms)).count();
        Effect::Count { keys: keys.len() as u64, left: left as u64 }
    }

    /// Stores a new value with what is kept of the old one.
    fn restore(
        &self,
        entries: &mut Entries,
        key: &[u8],
        bytes: &[u8],
        kept: &Kept,
    ) -> Result<(u64, u128), Outcome> {
        let Kept { content_type, expires_at_ms } = kept;
        let value = Value { bytes, content_type, expires_at_ms: *expires_at_ms };
        match self.store(entries, key, value, &Condition::Always)? {
            Put::Created(version) | Put::Replaced(version) => Ok(pair(version)),
            Put::Refused(_) => unreachable!("there is no condition"),
        }
    }

    fn store(
        &self,
        entries: &mut Entries,
        key: &[u8],
        value: Value<'_>,
        condition: &Condition,
    ) -> Result<Put, Outcome> {
        if value.bytes.len() > VALUE_MAX {
            return Err(Outcome::TooLarge);
        }
        entries.put_from(key, value, condition, &self.writer, self.aside).map_err(|error| match error {
            PutError::Full { .. } => Outcome::Full,
            _ => Outcome::TooLarge,
        })
    }

    fn remove(&self, entries: &mut Entries, key: &[u8]) -> Option<Version> {
        let until = self.writer.now_ms.saturating_add(self.healing_ms);
        match entries.delete(key, &Condition::Always, &self.writer, until) {
            Delete::Deleted(version) => Some(version),
            Delete::Missing | Delete::Refused(_) => None,
        }
    }
}

/// What a new value keeps of the one before.
struct Kept {
    content_type: Vec<u8>,
    expires_at_ms: Option<u64>,
}

impl Kept {
    /// Of nothing, the deadline is `fresh_until`.
    fn of(stored: Option<EntryRef<'_>>, fresh_until: Option<u64>) -> Kept {
        let content_type = stored.map_or(Vec::new(), |entry| entry.content_type.to_vec());
        Kept { content_type, expires_at_ms: stored.map_or(fresh_until, |entry| entry.expires_at_ms) }
    }
}

/// The entries that [`Operation::Flush`] removes next.
pub(super) fn flushed(entries: &Entries, now_ms: u64) -> impl Iterator<Item = EntryRef<'_>> {
    entries.entries().filter(move |entry| entry.is_live(now_ms)).take(FLUSH_LIMIT)
}

fn read(entries: &Entries, key: &[u8], now_ms: u64, part: impl Fn(usize) -> Range<usize>) -> Outcome {
    entries.get(key, now_ms).map_or(Outcome::Missing, |entry| Outcome::Value {
        value: Bytes::copy_from_slice(&entry.value[part(entry.value.len())]),
        content_type: Bytes::copy_from_slice(entry.content_type),
        version: pair(entry.version),
        ttl_ms: entry.expires_at_ms.map(|at| at.saturating_sub(now_ms)),
    })
}

fn head(entries: &Entries, key: &[u8], now_ms: u64) -> Outcome {
    entries.get(key, now_ms).map_or(Outcome::Missing, |entry| Outcome::Found {
        length: entry.value.len() as u64,
        version: pair(entry.version),
        expires_at_ms: entry.expires_at_ms,
        ttl_ms: entry.expires_at_ms.map(|at| at.saturating_sub(now_ms)),
    })
}

/// The bytes that `first` to `last` mean in a value of `len` bytes: what lies outside is left out.
fn range(first: i64, last: i64, len: usize) -> Range<usize> {
    let from_end = |place: i64| {
        let back = usize::try_from(place.unsigned_abs()).unwrap_or(usize::MAX);
        if place < 0 { len.saturating_sub(back) } else { back }
    };
    // Both before the beginning: nothing, and not the first byte.
    let crossed = first < 0 && last < 0 && first > last;
    let (start, end) = (from_end(first), from_end(last).min(len.saturating_sub(1)));
    if crossed || len == 0 || start > end { 0..0 } else { start..end + 1 }
}

fn pair(version: Version) -> (u64, u128) {
    (version.hlc, version.node)
}
